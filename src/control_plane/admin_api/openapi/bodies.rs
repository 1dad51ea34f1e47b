//! The components that follow from the schemas of entities: what they are shown as, what
//! requests may carry, pages.

use super::operation::{Body, reference};
use crate::model::Kind;
use crate::schema::json_schema::{self, Purpose, Variant};
use crate::schema::{self, Entity, Env};
use serde_json::{Map, Value, json};

/// The component of a form whose entity is not known beforehand.
pub const ANY_FORM: &str = "any-form";

/// The component that says how an entity fares.
const STATUS: &str = "entity-status";

/// What an argument of a form holds; the same name again makes a list.
fn form_value() -> Value {
    json!({"type": ["string", "array"], "items": {"type": "string"}})
}

/// The component of an entity for a purpose.
pub fn component(kind: Kind, purpose: Purpose) -> String {
    match purpose {
        Purpose::Shown => kind.to_string(),
        Purpose::Whole => format!("{kind}-new"),
        Purpose::Part => format!("{kind}-change"),
    }
}

/// The component of a page of entities.
pub fn page_component(kind: Kind) -> String {
    format!("{kind}-page")
}

/// The body of a `POST` or `PUT`. The path gives `forced` fields.
pub fn whole(kind: Kind, forced: &[&str]) -> Body {
    let entity = schema::entity(kind.as_str());
    let but_forced = |needed: Vec<&'static str>| {
        let needed = needed.into_iter().filter(|field| !forced.contains(field));
        needed.collect::<Vec<_>>()
    };
    let mut body = body(kind, Purpose::Whole);
    let given_by_paths = but_forced(entity.map_or_else(Vec::new, json_schema::given_by_paths));
    if !given_by_paths.is_empty() {
        body.json["required"] = json!(given_by_paths);
    }
    let arguments = but_forced(entity.map_or_else(Vec::new, json_schema::needed_arguments));
    if let (false, Some(form)) = (arguments.is_empty(), &mut body.form) {
        form["required"] = json!(arguments);
    }
    body
}

/// The body of a `PATCH`.
pub fn part(kind: Kind) -> Body {
    body(kind, Purpose::Part)
}

fn body(kind: Kind, purpose: Purpose) -> Body {
    Body {
        json: reference(&component(kind, purpose)),
        form: Some(reference(&format!("{kind}-form"))),
    }
}

/// The body of `/schemas/{entity}/validate`, which says nothing of an id.
pub fn any_whole() -> Body {
    let all = Kind::ALL.map(|kind| reference(&component(kind, Purpose::Whole)));
    Body {
        json: json!({ "anyOf": all }),
        form: Some(reference(ANY_FORM)),
    }
}

/// The schemas of all entities, by component.
pub fn schemas(env: &Env<'_>) -> Map<String, Value> {
    let mut schemas = Map::new();
    let any_form = json!({"type": "object", "additionalProperties": form_value()});
    schemas.insert(ANY_FORM.to_owned(), any_form);
    schemas.insert(STATUS.to_owned(), status());
    for kind in Kind::ALL {
        let Some(entity) = schema::entity(kind.as_str()) else {
            continue;
        };
        for purpose in [Purpose::Shown, Purpose::Whole, Purpose::Part] {
            let name = component(kind, purpose);
            let variants = json_schema::entity(entity, purpose, env);
            add_entity(&mut schemas, entity, purpose, &name, variants);
        }
        schemas.insert(format!("{kind}-form"), json_schema::form(entity, env));
        let items = reference(&component(kind, Purpose::Shown));
        schemas.insert(page_component(kind), page(items));
    }
    schemas
}

/// Whether an entity is in effect as configured, and where not.
fn status() -> Value {
    json!({
        "type": "object",
        "description": "only with `status=true`",
        "properties": {
            "in_effect": {
                "type": "boolean",
                "description": "as configured, on every node that this one knows of",
            },
            "quarantined": {"type": "array", "items": reference("quarantined-on")},
        },
        "required": ["in_effect", "quarantined"],
        "additionalProperties": false,
    })
}

/// A page: `offset` is there when there is a next one.
pub fn page(items: Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "data": {"type": "array", "items": items},
            "next": {
                "type": ["string", "null"],
                "description": "the path of the next page",
            },
            "offset": {"type": "string", "description": "the token of the next page"},
        },
        "required": ["data", "next"],
        "additionalProperties": false,
    })
}

/// One component, or one for each name and their union.
fn add_entity(
    schemas: &mut Map<String, Value>,
    entity: &'static Entity,
    purpose: Purpose,
    component: &str,
    variants: Vec<Variant>,
) {
    let mut members = Vec::with_capacity(variants.len());
    let mut mapping = Map::new();
    for mut variant in variants {
        if purpose == Purpose::Shown {
            // Only `?status=true` adds it, on the entity's own page.
            variant.schema["properties"]["status"] = reference(STATUS);
        }
        let Some(name) = variant.name else {
            schemas.insert(component.to_owned(), variant.schema);
            return;
        };
        let own = format!("{component}.{name}");
        members.push(reference(&own));
        mapping.insert(
            name.to_owned(),
            json!(format!("#/components/schemas/{own}")),
        );
        schemas.insert(own, variant.schema);
    }
    // A change may leave the name out, and then fits several.
    let union = match (purpose, json_schema::chooser(entity)) {
        (Purpose::Part, _) | (_, None) => json!({ "anyOf": members }),
        (_, Some(name)) => json!({
            "oneOf": members,
            "discriminator": {"propertyName": name, "mapping": mapping},
        }),
    };
    schemas.insert(component.to_owned(), union);
}
