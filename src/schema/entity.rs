//! One kind of entity: what it is called, how its input becomes rows and rows answers.

use super::definition::{Field, FieldKind, Foreign, Record};
use super::env::{Env, Role, RouterFlavor};
use super::fill;
use super::foreign;
use super::lua_text;
use super::number;
use super::read::{self, Form};
use super::transform::{self, Transformation};
use super::ttl::Ttl;
use super::validate::{self, REQUIRED, Scope};
use super::validators::normalize_target;
use super::violations::Violations;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// A kind of entity.
#[derive(Debug)]
pub struct Entity {
    /// The internal name, as in declarative files: `keyauth_credentials`.
    pub name: Box<str>,
    /// What `/tags` calls it: the name of Kong's table.
    pub table_name: Box<str>,
    /// The path of the collection: `/key-auths`.
    pub admin_path: Box<str>,
    /// The last segment under a parent: `key-auth`.
    pub nested_name: Box<str>,
    /// The field that identifies an entity in paths beside its id.
    pub endpoint_key: Option<Box<str>>,
    pub primary_key: Vec<Box<str>>,
    /// Together unique when there are several; the base of deterministic ids.
    pub cache_key: Vec<Box<str>>,
    /// Rows may expire; requests and responses have a `ttl` in seconds.
    pub ttl: bool,
    /// The plugin that brings the entity.
    pub plugin: Option<Box<str>>,
    /// Whether there are generated CRUD endpoints.
    pub has_admin_api: bool,
    /// Whether the entity is part of the configuration of data planes.
    pub exported: bool,
    pub(super) subschema_key: Option<Box<str>>,
    pub(super) subschema_error: Option<Box<str>>,
    pub(super) transformations: Vec<Transformation>,
    /// One, or one per router flavour.
    pub(super) shapes: Vec<Shape>,
}

/// The fields of an entity and what refines them.
#[derive(Debug)]
pub(super) struct Shape {
    pub base: Record,
    pub subschemas: HashMap<Box<str>, Subschema>,
}

/// The refinement of an entity by one of its fields: a plugin's by its name.
#[derive(Debug)]
pub(super) struct Subschema {
    pub record: Record,
    /// The variant for a traditional node, where it differs.
    pub traditional: Option<Record>,
}

impl Subschema {
    pub fn new(record: Record) -> Subschema {
        Subschema {
            record,
            traditional: None,
        }
    }

    pub fn record(&self, role: Role) -> &Record {
        match (&self.traditional, role) {
            (Some(traditional), Role::Traditional) => traditional,
            _ => &self.record,
        }
    }
}

impl Entity {
    /// The fields in order, for the default router flavour.
    pub fn fields(&self) -> &[Field] {
        &self.base(RouterFlavor::default()).fields
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.base(RouterFlavor::default()).get(name)
    }

    /// The references to parents, in field order.
    pub fn foreign_fields(&self) -> impl Iterator<Item = (&Field, &Foreign)> {
        self.fields().iter().filter_map(|field| match &field.kind {
            FieldKind::Foreign(foreign) => Some((field, foreign)),
            _ => None,
        })
    }

    /// The fields that are unique on their own, in field order.
    pub fn unique_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields().iter().filter(|field| field.unique)
    }

    /// Whether timestamps have millisecond digits (a target's) or are whole seconds.
    pub fn has_precise_timestamps(&self) -> bool {
        self.field("created_at")
            .is_some_and(|field| matches!(field.kind, FieldKind::Number))
    }

    /// Normalises what a write normalises before it is validated: the address of a target.
    /// Not part of `POST /schemas/*/validate`.
    ///
    /// # Errors
    /// An address that cannot be normalised; nothing else is reported beside it.
    pub fn prepare(&self, input: &mut Map<String, Value>) -> Result<(), Violations> {
        if &*self.name != "targets" {
            return Ok(());
        }
        let Some(Value::String(target)) = input.get_mut("target") else {
            return Ok(());
        };
        match normalize_target(target) {
            Some(normal) => {
                *target = normal;
                Ok(())
            }
            None => Err(Violations::of(
                "target",
                "Invalid target; not a valid hostname or ip address",
            )),
        }
    }

    /// A new entity in its stored form: every field, nulls explicit, no alias, `ttl` as
    /// epoch seconds. Transient fields (the `snis` of a certificate) are validated and left out.
    ///
    /// # Errors
    /// Everything that is wrong with the input.
    pub fn insert(
        &self,
        input: Map<String, Value>,
        env: &Env<'_>,
    ) -> Result<Map<String, Value>, Violations> {
        let mut input = input;
        let ttl = Ttl::take(self, &mut input);
        let shape = self.shape(env.router_flavor);
        let subschema = self.subschema(shape, &input, env);
        let given = self.given(&input);
        let filled = fill::whole(&shape.base, subschema, input, env)
            .map_err(|fields| Violations { fields })?;
        self.validate(shape, &filled, &given, None, env)?;
        Ok(self.finish(filled, ttl.unwrap_or_default(), env))
    }

    /// A full replacement: the same rules as [`Entity::insert`].
    ///
    /// # Errors
    /// Everything that is wrong with the input.
    pub fn upsert(
        &self,
        input: Map<String, Value>,
        env: &Env<'_>,
    ) -> Result<Map<String, Value>, Violations> {
        self.insert(input, env)
    }

    /// The stored entity with the patch laid over it, whole and in its stored form.
    ///
    /// # Errors
    /// Everything that is wrong with the result.
    pub fn update(
        &self,
        patch: Map<String, Value>,
        stored: &Map<String, Value>,
        env: &Env<'_>,
    ) -> Result<Map<String, Value>, Violations> {
        let mut patch = patch;
        let refused = |fields| Violations { fields };
        let ttl = Ttl::take(self, &mut patch).unwrap_or_else(|| Ttl::stored(self, stored));
        let shape = self.shape(env.router_flavor);
        let before = self.complete(stored.clone(), Form::Stored, env);
        let decides = self.subschema_key.as_deref();
        let subschema = match decides.and_then(|key| patch.get(key)) {
            Some(_) => self.subschema(shape, &patch, env),
            None => self.subschema(shape, &before, env),
        };
        let given = self.given(&patch);
        let patch = fill::part(&shape.base, subschema, patch, env).map_err(refused)?;
        let mut after = before.clone();
        fill::merge(&shape.base, subschema, &mut after, patch, env).map_err(refused)?;
        if let Some(field) = shape.base.get("updated_at") {
            let now = fill::whole_value(field, None, env).map_err(refused)?;
            after.insert(field.name.to_string(), now);
        }
        self.validate(shape, &after, &given, Some(&before), env)?;
        Ok(self.finish(after, ttl, env))
    }

    /// The stored entity as responses show it: every field in schema order, nulls explicit,
    /// aliases beside what they stand for, `ttl` as remaining seconds.
    pub fn read(&self, stored: Map<String, Value>, env: &Env<'_>) -> Map<String, Value> {
        let ttl = Ttl::stored(self, &stored);
        let mut shown = self.complete(stored, Form::Shown, env);
        if &*self.name == "targets"
            && let Some(Value::String(target)) = shown.get_mut("target")
            && let Some(normal) = normalize_target(target)
        {
            *target = normal;
        }
        ttl.show(self, &mut shown, env);
        shown
    }

    /// The stored entity as a declarative document has it: as it is stored, `ttl` as remaining
    /// seconds. None once it has expired.
    pub fn exported(
        &self,
        mut stored: Map<String, Value>,
        env: &Env<'_>,
    ) -> Option<Map<String, Value>> {
        let ttl = Ttl::stored(self, &stored);
        match ttl {
            Ttl::Until(until) if until <= env.now() => return None,
            Ttl::Forever if self.ttl => drop(stored.shift_remove("ttl")),
            _ => ttl.show(self, &mut stored, env),
        }
        Some(stored)
    }

    /// Checks one value by itself, such as the key in a path.
    ///
    /// # Errors
    /// The first violation's text; a field that does not exist is one.
    pub fn check_field(&self, name: &str, value: &Value, env: &Env<'_>) -> Result<(), String> {
        let Some(field) = self.base(env.router_flavor).get(name) else {
            return Err(validate::UNKNOWN.to_owned());
        };
        validate::field(field, value, &Scope::new(env)).map_err(|violation| match violation {
            Value::String(text) => text,
            deeper => lua_text::pretty(&deeper),
        })
    }

    /// Derives what is stored in place of what was written: a hashed password, the digest
    /// of a CA certificate. `patch` is what a `PATCH` gave, `None` for inserts and upserts.
    pub fn transform(
        &self,
        row: &mut Map<String, Value>,
        patch: Option<&Map<String, Value>>,
        env: &Env<'_>,
    ) {
        transform::apply(self, row, patch, env);
    }

    /// The parents that the input names by something else than their id.
    pub fn lookups(&self, input: &Map<String, Value>, env: &Env<'_>) -> Vec<foreign::Lookup> {
        foreign::lookups(self, input, env)
    }

    pub(super) fn base(&self, flavor: RouterFlavor) -> &Record {
        &self.shape(flavor).base
    }

    pub(super) fn shape(&self, flavor: RouterFlavor) -> &Shape {
        let at = match (self.shapes.len(), flavor) {
            (1, _) => 0,
            (_, RouterFlavor::Traditional) => 0,
            (_, RouterFlavor::TraditionalCompatible) => 1,
            (_, RouterFlavor::Expressions) => 2,
        };
        &self.shapes[at]
    }

    /// The subschema that the entity's data chooses; for a set, by its first known element.
    pub(super) fn subschema<'s>(
        &self,
        shape: &'s Shape,
        data: &Map<String, Value>,
        env: &Env<'_>,
    ) -> Option<&'s Record> {
        let by_name = |name: &str| {
            if &*self.name == "plugins" && !env.plugin_enabled(name) {
                return None;
            }
            shape.subschemas.get(name).map(|sub| sub.record(env.role))
        };
        match data.get(self.subschema_key.as_deref()?)? {
            Value::String(name) => by_name(name),
            Value::Array(names) => names.iter().filter_map(Value::as_str).find_map(by_name),
            _ => None,
        }
    }

    fn complete(
        &self,
        stored: Map<String, Value>,
        form: Form,
        env: &Env<'_>,
    ) -> Map<String, Value> {
        let shape = self.shape(env.router_flavor);
        let subschema = self.subschema(shape, &stored, env);
        read::record(&shape.base, subschema, stored, form, env)
    }

    /// What the client gave of the fields that transformations look at.
    fn given(&self, input: &Map<String, Value>) -> Map<String, Value> {
        let mut given = Map::new();
        for transformation in &self.transformations {
            for path in transformation.input.iter().chain(&transformation.needs) {
                let first = &*path.parts[0];
                if let Some(value) = input.get(first) {
                    given.insert(first.to_owned(), value.clone());
                }
            }
        }
        given
    }

    fn validate(
        &self,
        shape: &Shape,
        data: &Map<String, Value>,
        given: &Map<String, Value>,
        before: Option<&Map<String, Value>>,
        env: &Env<'_>,
    ) -> Result<(), Violations> {
        let subschema = self.subschema(shape, data, env);
        if let (Some(key), None) = (&self.subschema_key, subschema) {
            // Without its subschema nothing else can be said about the entity.
            return Err(Violations::of(
                key,
                self.subschema_violation(data.get(&**key)),
            ));
        }
        let scope = Scope {
            env,
            updating: before.is_some(),
        };
        let mut fields = validate::record(&shape.base, subschema, data, &scope);
        transform::check(self, data, given, before, &mut fields);
        match fields.is_empty() {
            true => Ok(()),
            false => Err(Violations { fields }),
        }
    }

    fn subschema_violation(&self, value: Option<&Value>) -> String {
        let name = match value {
            None | Some(Value::Null) => return REQUIRED.to_owned(),
            Some(Value::String(name)) => name.clone(),
            Some(Value::Array(items)) => items
                .first()
                .map_or_else(|| "nil".to_owned(), number::to_text),
            Some(Value::Object(_)) if &*self.name == "routes" => "nil".to_owned(),
            Some(_) if &*self.name == "routes" => return "expected a set".to_owned(),
            Some(_) => return "expected a string".to_owned(),
        };
        match &self.subschema_error {
            Some(text) => text.replace("%s", &name),
            None => format!("unknown type: {name}"),
        }
    }

    /// The stored form of validated data: no transient fields, references hold the id alone, ids are lower case.
    fn finish(&self, data: Map<String, Value>, ttl: Ttl, env: &Env<'_>) -> Map<String, Value> {
        let mut data = data;
        data.retain(|name, _| !self.field(name).is_some_and(|field| field.transient));
        for (name, value) in &mut data {
            let Some(field) = self.field(name) else {
                continue;
            };
            match (&field.kind, &mut *value) {
                (FieldKind::Foreign(parent), Value::Object(key)) => {
                    foreign::keep_primary_key(parent, key);
                }
                (FieldKind::String, Value::String(id)) if field.uuid => id.make_ascii_lowercase(),
                (FieldKind::Array(element), Value::Array(ids)) if element.uuid => {
                    for id in ids {
                        if let Value::String(id) = id {
                            id.make_ascii_lowercase();
                        }
                    }
                }
                _ => {}
            }
        }
        ttl.store(self, &mut data, env);
        data
    }
}
