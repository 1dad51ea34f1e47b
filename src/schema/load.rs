//! From the embedded `data/schemas.json` to typed schemas, once per process.

use super::build::{Loader, Result, as_object, flag, list, strings};
use super::definition::Path;
use super::entity::{Entity, Shape, Subschema};
use super::env::Role;
use super::plugin_list::{OwnPlugin, own_plugins};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::LazyLock;

/// The parsed file, for `describe`, beside what was made of it.
pub(super) struct Schemas {
    pub raw: Map<String, Value>,
    entities: Vec<Entity>,
}

const EMBEDDED: &str = include_str!("data/schemas.json");

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
    load(EMBEDDED, own_plugins())
        .unwrap_or_else(|err| panic!("the schemas of this build are damaged: {err}"))
});

/// Whether the definitions of plugins that are not bundled can be used.
///
/// # Errors
/// What is wrong with the first bad one.
pub(super) fn check_definitions(own: &[OwnPlugin]) -> Result<()> {
    load(EMBEDDED, own).map(|_| ())
}

/// The entity of that (internal) name, such as `keyauth_credentials`.
pub fn entity(name: &str) -> Option<&'static Entity> {
    SCHEMAS.entities.iter().find(|entity| &*entity.name == name)
}

/// Every entity.
pub fn entities() -> impl Iterator<Item = &'static Entity> {
    SCHEMAS.entities.iter()
}

pub(super) fn raw() -> &'static Map<String, Value> {
    &SCHEMAS.raw
}

/// A plugin's definition as it is on nodes of that role.
pub(super) fn raw_plugin(name: &str, role: Role) -> Option<Value> {
    let definition = raw().get("plugins")?.get(name)?;
    let traditional = match role {
        Role::Traditional => traditional_variant(raw(), name, definition.as_object()?).ok()?,
        _ => None,
    };
    Some(traditional.map_or_else(|| definition.clone(), Value::Object))
}

fn load(text: &str, own: &[OwnPlugin]) -> Result<Schemas> {
    let Value::Object(mut raw) = serde_json::from_str(text).map_err(|err| err.to_string())? else {
        return Err("not an object".to_owned());
    };
    if let Some(Value::Object(plugins)) = raw.get_mut("plugins") {
        let own = own.iter();
        plugins.extend(own.map(|own| (own.info.name.to_owned(), own.definition.clone().into())));
    }
    let entities = object(&raw, "entities")?
        .iter()
        .map(|(name, entity)| {
            load_entity(&raw, name, entity).map_err(|err| format!("{name}: {err}"))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Schemas { raw, entities })
}

fn load_entity(raw: &Map<String, Value>, name: &str, definition: &Value) -> Result<Entity> {
    let definition = as_object(definition)?;
    let shapes = match name {
        "routes" => route_shapes(raw, definition)?,
        "plugins" => vec![plugin_shape(raw, definition)?],
        "vaults" => {
            let vaults = object(raw, "vaults")?;
            let mut subschemas = HashMap::default();
            for (vault, schema) in vaults {
                let record = Loader::new("vaults", vault).record(as_object(schema)?, None)?;
                subschemas.insert(vault.as_str().into(), Subschema::new(record));
            }
            vec![Shape {
                base: Loader::new("entities", name).record(definition, None)?,
                subschemas,
            }]
        }
        _ => vec![Shape {
            base: Loader::new("entities", name).record(definition, None)?,
            subschemas: HashMap::default(),
        }],
    };
    let texts = |key: &str| strings(definition.get(key));
    let text = |key: &str| definition.get(key).and_then(Value::as_str);
    let admin_name = text("admin_api_name").unwrap_or(name);
    Ok(Entity {
        name: name.into(),
        table_name: text("table_name").unwrap_or(name).into(),
        admin_path: format!("/{admin_name}").into(),
        nested_name: text("admin_api_nested_name").unwrap_or(admin_name).into(),
        endpoint_key: text("endpoint_key").map(Into::into),
        primary_key: texts("primary_key"),
        cache_key: texts("cache_key"),
        ttl: flag(definition, "ttl"),
        plugin: text("plugin").map(Into::into),
        has_admin_api: definition.get("generate_admin_api") != Some(&Value::Bool(false)),
        exported: definition.get("db_export") != Some(&Value::Bool(false)),
        subschema_key: text("subschema_key").map(Into::into),
        subschema_error: text("subschema_error").map(Into::into),
        transformations: list(definition.get("transformations"))
            .map(|t| super::transform::Transformation {
                input: strings(t.get("input"))
                    .iter()
                    .map(|p| Path::new(p))
                    .collect(),
                needs: strings(t.get("needs"))
                    .iter()
                    .map(|p| Path::new(p))
                    .collect(),
            })
            .collect(),
        shapes,
    })
}

/// One shape per router flavour: traditional, traditional compatible, expressions.
fn route_shapes(raw: &Map<String, Value>, compatible: &Map<String, Value>) -> Result<Vec<Shape>> {
    let expressions = object(raw, "routes_expressions")?;
    let mut traditional = compatible.clone();
    set_attribute(
        &mut traditional,
        &["snis", "elements"],
        "custom_validator",
        Value::from("@sni"),
    )?;
    [
        (&traditional, "routes_subschemas"),
        (compatible, "routes_subschemas"),
        (expressions, "routes_subschemas_expressions"),
    ]
    .into_iter()
    .map(|(base, subschemas)| {
        let loader = Loader::new("entities", "routes");
        let subschemas = object(raw, subschemas)?
            .iter()
            .map(|(protocol, schema)| {
                let record = loader.record(as_object(schema)?, Some(base))?;
                Ok((protocol.as_str().into(), Subschema::new(record)))
            })
            .collect::<Result<_>>()?;
        Ok(Shape {
            base: loader.record(base, None)?,
            subschemas,
        })
    })
    .collect()
}

fn plugin_shape(raw: &Map<String, Value>, definition: &Map<String, Value>) -> Result<Shape> {
    let mut subschemas = HashMap::default();
    for (plugin, schema) in object(raw, "plugins")? {
        let with_plugin = |err| format!("{plugin}: {err}");
        let schema = as_object(schema)?;
        let loader = Loader::new("plugins", plugin);
        let mut subschema = Subschema::new(
            loader
                .record(schema, Some(definition))
                .map_err(with_plugin)?,
        );
        if let Some(traditional) = traditional_variant(raw, plugin, schema)? {
            let record = loader
                .record(&traditional, Some(definition))
                .map_err(with_plugin)?;
            subschema.traditional = Some(record);
        }
        subschemas.insert(plugin.as_str().into(), subschema);
    }
    Ok(Shape {
        base: Loader::new("entities", "plugins").record(definition, None)?,
        subschemas,
    })
}

/// A plugin's definition on a traditional node, where it differs from the others.
fn traditional_variant(
    raw: &Map<String, Value>,
    plugin: &str,
    definition: &Map<String, Value>,
) -> Result<Option<Map<String, Value>>> {
    let mut variant = None;
    for (path, difference) in object(raw, "role_differences")? {
        let parts: Vec<&str> = path.split('.').collect();
        let [owner, inner @ .., attribute] = parts.as_slice() else {
            return Err(format!("role difference {path}"));
        };
        if *owner == plugin {
            let value = difference.get("traditional").cloned().unwrap_or_default();
            let variant = variant.get_or_insert_with(|| definition.clone());
            set_attribute(variant, inner, attribute, value)?;
        }
    }
    Ok(variant)
}

/// Sets an attribute of a nested field; the last parts may be `elements`.
fn set_attribute(
    record: &mut Map<String, Value>,
    path: &[&str],
    attribute: &str,
    value: Value,
) -> Result<()> {
    let Some((first, rest)) = path.split_first() else {
        record.insert(attribute.to_owned(), value);
        return Ok(());
    };
    let missing = || format!("no field {first}");
    let inner = if *first == "elements" {
        record.get_mut("elements")
    } else {
        record
            .get_mut("fields")
            .and_then(Value::as_array_mut)
            .and_then(|fields| fields.iter_mut().find_map(|field| field.get_mut(*first)))
    };
    let inner = inner.and_then(Value::as_object_mut).ok_or_else(missing)?;
    set_attribute(inner, rest, attribute, value)
}

fn object<'v>(raw: &'v Map<String, Value>, name: &str) -> Result<&'v Map<String, Value>> {
    raw.get(name)
        .and_then(Value::as_object)
        .ok_or_else(|| format!("no {name}"))
}
