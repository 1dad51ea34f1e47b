"""What decK makes of the schemas that the Admin API serves: the values that an entity has when its
file does not say. A field has its default, else null; where a schema and the server's answers differ,
decK sees a change that never goes away."""

import copy


def fields(schema):
    """(name, definition) of a record's fields; each is an object of one key."""
    for entry in schema["fields"]:
        yield from entry.items()


def entity_defaults(schema):
    """The defaults of a service, route, upstream or target."""
    return {
        name: entity_defaults(field) if field["type"] == "record" else field.get("default")
        for name, field in fields(schema)
    }


def fill_entity(entity, schema):
    """An entity with the defaults where it says nothing, in records too."""
    return merge(entity_defaults(schema), entity)


def merge(below, above):
    merged = copy.deepcopy(below)
    for name, value in above.items():
        if isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = merge(merged[name], value)
        else:
            merged[name] = value
    return merged


def fill_plugin(plugin, schema):
    """A plugin with its whole config, protocols and state."""
    own = dict(fields(schema))
    filled = {
        "protocols": own.get("protocols", {}).get("default"),
        "enabled": True,
        **plugin,
    }
    filled["config"] = fill_record(plugin.get("config", {}), own["config"])
    return filled


def fill_record(given, schema, moved=()):
    """A record with an explicit value for every field. `moved`: where the deprecated names that the
    user wrote have gone; those fields are left to the server."""
    moved = [*moved, *(path for name, paths in aliases(schema).items() if name in given for path in paths)]
    own = schema.get("default") or {}
    filled = copy.deepcopy(given)
    for name, field in fields(schema):
        value = given.get(name)
        below = [path[1:] for path in moved if path[0] == name]
        if field["type"] == "record" and (value is not None or field.get("required")):
            filled[name] = fill_record(value or {}, field, [path for path in below if path])
        elif is_list_of_records(field) and value:
            filled[name] = [fill_record(one, field["elements"]) for one in value]
        elif name not in given and not below:
            filled[name] = own[name] if name in own else field.get("default")
    return filled


def is_list_of_records(field):
    return field["type"] in ("array", "set") and field["elements"]["type"] == "record"


def aliases(schema):
    """The paths that each deprecated name of a record stands for."""
    found = {}
    for entry in schema.get("shorthand_fields", []):
        for name, field in entry.items():
            new = field.get("deprecation", {}).get("replaced_with", [])
            found[name] = [target["path"] for target in new]
    return {name: paths for name, paths in found.items() if paths}


def aligned(new, old, schema):
    """Two configs as decK compares them: the server answers with the deprecated names and with those that
    replace them, a file has one of the two."""
    new, old = copy.deepcopy(new), copy.deepcopy(old)
    align(new, old, schema)
    return new, old


def align(new, old, schema):
    for name, paths in aliases(schema).items():
        if name not in new:
            old.pop(name, None)
            continue
        for path in paths:
            if not holds(new, path):
                remove(old, path)
            elif value_at(new, path) is None and new[name] is not None:
                remove(new, path)
                remove(old, path)
    for name, field in fields(schema):
        if field["type"] == "record" and new.get(name) and old.get(name):
            align(new[name], old[name], field)


def value_at(config, path):
    for name in path:
        config = (config or {}).get(name)
    return config


def holds(config, path):
    above = value_at(config, path[:-1])
    return above is not None and path[-1] in above


def remove(config, path):
    if holds(config, path):
        del value_at(config, path[:-1])[path[-1]]
