"""What decK does to an Admin API, call by call: ping, dump, diff, sync, validate, reset. decK itself is
a Go program that is built from its sources; this is its traffic, its bodies and its reading of schemas.
It is stricter: no answer may be a 5xx, numbers of Go's integers must come without a fraction."""

import concurrent.futures
import dataclasses
import http.client
import json
import queue
import select
import threading
import urllib.parse
import uuid

from deck_defaults import aligned, fields, fill_entity, fill_plugin

PAGE = 1000
WORKERS = 10
# Fields that the server fills and decK does not compare.
OWN = {"id", "created_at", "updated_at"}
# The server has a password's hash only; snis are entities of their own.
NOT_COMPARED = {"basic-auths": {"password"}, "certificates": {"snis"}, "ca_certificates": {"cert_digest"}}


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of entity as decK sees it."""

    name: str
    level: int
    # What tells two entities apart; a foreign key counts by its id.
    key: tuple
    # The path of one, after the foreign key in `below` where it is written below its parent.
    path: str
    # The Admin API's name of its schema, where `deck gateway validate` asks for it.
    schema: str
    below: str | None = None
    # Statuses of the list that mean "there are none".
    absent: tuple = (404,)


CREDENTIAL = {"level": 2, "below": "consumers"}
KINDS = [
    Kind("certificates", 1, ("cert",), "certificates", "certificates", absent=()),
    Kind("ca_certificates", 1, ("cert",), "ca_certificates", "ca_certificates"),
    Kind("consumers", 1, ("username", "custom_id"), "consumers", "consumers", absent=()),
    Kind("vaults", 1, ("prefix",), "vaults", "vaults", absent=(403, 404)),
    Kind("key-sets", 1, ("name",), "key-sets", "key_sets"),
    Kind("snis", 2, ("name",), "snis", "snis", absent=()),
    Kind("services", 2, ("name",), "services", "services", absent=()),
    Kind("upstreams", 2, ("name",), "upstreams", "upstreams", absent=()),
    Kind("keys", 2, ("name",), "keys", "keys"),
    Kind("key-auths", path="key-auth", key=("key",), schema="keyauth_credentials", **CREDENTIAL),
    Kind("basic-auths", path="basic-auth", key=("username",), schema="basicauth_credentials", **CREDENTIAL),
    Kind("hmac-auths", path="hmac-auth", key=("username",), schema="hmacauth_credentials", **CREDENTIAL),
    Kind("jwts", path="jwt", key=("key",), schema="jwt_secrets", **CREDENTIAL),
    Kind("oauth2", path="oauth2", key=("client_id",), schema="oauth2_credentials", **CREDENTIAL),
    Kind("acls", path="acls", key=("consumer", "group"), schema="acls", **CREDENTIAL),
    Kind("routes", 3, ("name",), "routes", "routes", absent=()),
    Kind("targets", 3, ("upstream", "target"), "targets", "targets", below="upstreams"),
    Kind("plugins", 4, ("name", "service", "route", "consumer"), "plugins", "plugins", absent=()),
]
BY_NAME = {kind.name: kind for kind in KINDS}
# Lists that decK reads as well; this gateway has none of them.
OTHER_LISTS = {"filter-chains": (400, 404), "partials": (404,), "consumer_groups": (403, 404), "mtls-auths": (403, 404)}
# Where a foreign key leads, and what decK writes beside its id.
PARENTS = {
    "service": ("services", "name"),
    "route": ("routes", "name"),
    "consumer": ("consumers", "username"),
    "upstream": ("upstreams", "name"),
    "certificate": ("certificates", None),
    "client_certificate": ("certificates", None),
    "set": ("key-sets", "name"),
}
# The entities whose defaults decK takes from their schemas, beside plugins.
FILLED = ("services", "routes", "upstreams", "targets")


class Refused(Exception):
    """An answer that makes decK stop."""


class Admin:
    """Requests as go-kong makes them, on as many connections as are in use at once."""

    def __init__(self, url):
        self.address = urllib.parse.urlsplit(url).netloc
        self.idle = queue.SimpleQueue()

    def connection(self):
        while True:
            try:
                connection = self.idle.get_nowait()
            except queue.Empty:
                return http.client.HTTPConnection(self.address, timeout=60)
            # The server closes what was idle for long; Go sees that, too. There is nothing else to read.
            if connection.sock and not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()

    def close(self):
        while not self.idle.empty():
            self.idle.get().close()

    def request(self, method, path, document=None, expect=(200, 201, 204)):
        """(status, document), or `Refused` for a status that is not expected."""
        connection = self.connection()
        headers = {} if document is None else {"Content-Type": "application/json"}
        body = None if document is None else json.dumps(document)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        self.idle.put(connection)
        if answer.status not in expect:
            raise Refused(f"{method} {path} {body}: {answer.status} {text.decode()}")
        return answer.status, json.loads(text, parse_float=fraction) if text else None

    def list(self, path, absent=(), tags=()):
        """Every entity of a list, page by page; none when the status says that there is no such list."""
        query = {"size": PAGE, **({"tags": ",".join(tags)} if tags else {})}
        entities = []
        while True:
            url = f"/{path}?{urllib.parse.urlencode(query)}"
            status, page = self.request("GET", url, expect=(200, *absent))
            if status != 200:
                return []
            entities += page["data"]
            if "offset" not in page:
                return entities
            query["offset"] = page["offset"]


def fraction(text):
    """A number with a point. Go reads whole numbers into integers, and fails at `1.0`."""
    if float(text).is_integer():
        raise Refused(f"a whole number came as {text}")
    return float(text)


def ping(admin):
    """The version, which must have the three numbers that decK reads."""
    version = admin.request("GET", "/")[1]["version"]
    major, minor, patch = (int(part) for part in version.split("."))
    return major, minor, patch


def dump(admin, tags=()):
    """All entities by kind, from lists that are read at once."""
    ping(admin)
    lists = {kind.name: kind.absent for kind in KINDS if kind.name != "targets"} | OTHER_LISTS
    with concurrent.futures.ThreadPoolExecutor(len(lists)) as pool:
        reads = {
            name: pool.submit(admin.list, name, absent, () if name == "mtls-auths" else tags)
            for name, absent in lists.items()
        }
        state = {name: read.result() for name, read in reads.items()}
    for name in OTHER_LISTS:
        if state.pop(name):
            raise Refused(f"/{name} is not empty")
    state["targets"] = [
        target
        for upstream in state["upstreams"]
        for target in admin.list(f"upstreams/{upstream['id']}/targets", tags=tags)
    ]
    return state


class Schemas:
    """The schemas that decK asks for, each once."""

    def __init__(self, admin):
        self.admin, self.lock = admin, threading.Lock()
        self.entities = {name: self.read(name) for name in FILLED}
        admin.request("GET", "/schemas/consumer_group_plugins", expect=(404,))
        self.plugins = {}

    def read(self, name):
        return self.admin.request("GET", f"/schemas/{name}")[1]

    def plugin(self, name):
        with self.lock:
            if name not in self.plugins:
                self.plugins[name] = self.read(f"plugins/{name}")
            return self.plugins[name]

    def fill(self, kind, entity):
        """An entity of a file, with its defaults."""
        if kind == "plugins":
            return fill_plugin(entity, self.plugin(entity["name"]))
        if kind not in self.entities:
            return dict(entity)
        filled = fill_entity(entity, self.entities[kind])
        if {"grpc", "grpcs"} & set(filled.get("protocols", ())) and "strip_path" not in entity:
            # decK knows this by itself: it is in no schema.
            filled["strip_path"] = False
        return filled

    def differences(self, kind, wanted, old):
        """What decK would update: by field, what is wanted and what is there."""
        one, other = comparable(kind, wanted), comparable(kind, old)
        if kind == "plugins":
            schema = dict(fields(self.plugin(wanted["name"])))["config"]
            # Nulls count here: decK writes one for every field that has no default.
            one["config"], other["config"] = aligned(wanted["config"], old["config"], schema)
        return {
            field: (one.get(field), other.get(field))
            for field in one.keys() | other.keys()
            if one.get(field) != other.get(field)
        }


def comparable(kind, entity):
    """What decK compares of an entity. Of foreign keys, the ids."""
    compared = without_nulls({k: v for k, v in entity.items() if k not in OWN | NOT_COMPARED.get(kind, set())})
    return {field: value["id"] if field in PARENTS else value for field, value in compared.items()}


def without_nulls(value):
    """As a Go structure is written: what is null is not there."""
    if isinstance(value, list):
        return [without_nulls(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: without_nulls(one) for key, one in value.items() if one is not None}


def natural_key(kind, entity):
    values = (entity.get(field) for field in kind.key)
    return tuple(value["id"] if isinstance(value, dict) else value for value in values)


@dataclasses.dataclass
class Changes:
    """By kind: the entities to create, to update, and to delete; and what differs in those to update."""

    creates: dict
    updates: dict
    deletes: dict
    differences: list = dataclasses.field(default_factory=list)

    def counts(self):
        return tuple(sum(map(len, each.values())) for each in (self.creates, self.updates, self.deletes))


def diff(admin, file, current=None):
    """The changes that make the gateway what the file says. `file`: entities by kind, whose foreign keys
    are the natural keys of their parents. An entity that exists keeps its id, others get one here."""
    current = dump(admin) if current is None else current
    schemas = Schemas(admin)
    changes = Changes({}, {}, {})
    ids = {}
    for kind in KINDS:
        there = {natural_key(kind, entity): entity for entity in current[kind.name]}
        creates, updates = [], []
        for written in file.get(kind.name, []):
            wanted = schemas.fill(kind.name, written)
            wanted.update(foreign(wanted, ids))
            old = there.pop(natural_key(kind, wanted), None)
            wanted["id"] = old["id"] if old else str(uuid.uuid4())
            ids[(kind.name, name_of(kind.name, wanted))] = wanted["id"]
            if old is None:
                creates.append(wanted)
            elif differs := schemas.differences(kind.name, wanted, old):
                if kind.name == "certificates":
                    # Without them a PUT removes its names. What becomes of these comes afterwards.
                    wanted["snis"] = [
                        sni["name"] for sni in current["snis"] if sni["certificate"]["id"] == old["id"]
                    ]
                updates.append({**wanted, "created_at": old["created_at"]})
                changes.differences.append((kind.name, wanted["id"], differs))
        changes.creates[kind.name], changes.updates[kind.name] = creates, updates
        changes.deletes[kind.name] = list(there.values())
    return changes


def name_of(kind, entity):
    """What a file calls an entity by."""
    names = {"consumers": "username", "certificates": "cert"}
    return entity.get(names.get(kind, "name"))


def foreign(entity, ids):
    """The foreign keys of an entity as decK sends them: the id, and the name beside it."""
    found = {}
    for field, (parent, named) in PARENTS.items():
        name = entity.get(field)
        if name is not None:
            found[field] = {"id": ids[(parent, name)], **({named: name} if named else {})}
    return found


def place(kind, entity):
    """The path of the list that an entity is written below."""
    if kind.below is None:
        return f"/{kind.path}"
    parent = entity["upstream" if kind.below == "upstreams" else "consumer"]["id"]
    return f"/{kind.below}/{parent}/{kind.path}"


def put(admin, kind, entity):
    path, body = f"{place(kind, entity)}/{entity['id']}", dict(entity)
    if kind.name != "plugins":
        body = without_nulls(body)
    if kind.name == "targets":
        if admin.request("PUT", path, body, expect=(200, 404))[0] == 404:
            admin.request("POST", place(kind, entity), body, expect=(201,))
        return
    _, answer = admin.request("PUT", path, body, expect=(200,))
    if answer["id"] != entity["id"]:
        raise Refused(f"PUT {path} is answered with another id: {answer['id']}")


def delete(admin, kind, entity):
    admin.request("DELETE", f"{place(kind, entity)}/{entity['id']}", expect=(204,))


def sync(admin, changes):
    """Makes the changes with ten workers: levels top-down, then what goes, bottom-up. Each kind is done
    before the next begins."""
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for kind in sorted(KINDS, key=lambda kind: kind.level):
            writes = changes.creates[kind.name] + changes.updates[kind.name]
            list(pool.map(lambda entity: put(admin, kind, entity), writes))
        for kind in sorted(KINDS, key=lambda kind: -kind.level):
            list(pool.map(lambda entity: delete(admin, kind, entity), changes.deletes[kind.name]))


def validate(admin, changes):
    """Asks whether each entity to be created is valid, ten at a time."""
    work = [(kind, entity) for kind in KINDS for entity in changes.creates[kind.name]]

    def ask(each):
        kind, entity = each
        body = entity if kind.name == "plugins" else without_nulls(entity)
        admin.request("POST", f"/schemas/{kind.schema}/validate", body, expect=(200,))

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(ask, work))
    return len(work)


def reset(admin):
    """Deletes everything."""
    for name in ("cloned-plugins", "custom-plugins"):
        admin.request("GET", f"/{name}?size={PAGE}", expect=(404,))
    nothing = {kind.name: [] for kind in KINDS}
    sync(admin, Changes(nothing, nothing, dump(admin)))
