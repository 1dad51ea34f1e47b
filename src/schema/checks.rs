//! The rules between fields.

use super::build::{self, strings};
use super::custom_checks::CustomCheck;
use super::definition::{Field, Path};
use super::validate::{self, REQUIRED, Scope};
use super::violations::{add_entity_error, quoted};
use serde_json::{Map, Value};

/// One rule between fields.
#[derive(Debug)]
pub(super) struct Check {
    rule: Rule,
    /// The fields among its own that may hold a reference to a vault; the rule is not applied
    /// then.
    referenceable: Vec<Path>,
    /// The fields among its own that must be there and have no default.
    required: Vec<Path>,
}

#[derive(Debug)]
enum Rule {
    AtLeastOneOf(Vec<Path>),
    OnlyOneOf(Vec<Path>),
    Distinct(Vec<Path>),
    MutuallyRequired(Vec<Path>),
    MutuallyExclusive(Vec<Path>),
    Conditional(Box<Conditional>),
    ConditionalAtLeastOneOf(Box<ConditionalAtLeastOneOf>),
    Custom {
        sources: Vec<Path>,
        check: CustomCheck,
        with_missing_fields: bool,
        with_invalid_fields: bool,
    },
}

/// When one field has certain values, another one must have certain values.
#[derive(Debug)]
pub(super) struct Conditional {
    if_path: Path,
    if_field: Field,
    then_path: Path,
    then_field: Field,
    then_err: Option<Box<str>>,
}

/// When a field has certain values, one of some others must be set.
#[derive(Debug)]
pub(super) struct ConditionalAtLeastOneOf {
    if_path: Path,
    if_field: Field,
    then_paths: Vec<Path>,
    then_err: Option<Box<str>>,
    otherwise: Option<Otherwise>,
}

#[derive(Debug)]
struct Otherwise {
    field: Field,
    paths: Vec<Path>,
    err: Option<Box<str>>,
}

impl Check {
    /// Reads one entry of `entity_checks`; `at` is the path of the record it stands in.
    ///
    /// # Errors
    /// What is wrong with the schema file.
    pub fn load(raw: &Value, scope: &build::Scope<'_>, at: &str) -> Result<Check, String> {
        let rule = Rule::load(raw, scope, at)?;
        let those = |are: &dyn Fn(&Path) -> bool| {
            let sources = rule.sources().into_iter();
            sources.filter(|path| are(path)).cloned().collect()
        };
        Ok(Check {
            referenceable: those(&|path| scope.is_referenceable(path)),
            required: those(&|path| scope.is_never_filled_in(path)),
            rule,
        })
    }
}

impl Rule {
    /// Reads one entry of `entity_checks`; `at` is the path of the record it stands in.
    ///
    /// # Errors
    /// What is wrong with the schema file.
    fn load(raw: &Value, scope: &build::Scope<'_>, at: &str) -> Result<Rule, String> {
        let (name, arg) = build::as_object(raw)?
            .iter()
            .next()
            .ok_or("an empty check")?;
        let paths = |list: Option<&Value>| -> Vec<Path> {
            strings(list).iter().map(|path| Path::new(path)).collect()
        };
        let text = |key: &str| arg.get(key).and_then(Value::as_str);
        let path = |key: &str| {
            text(key)
                .map(Path::new)
                .ok_or(format!("a check without {key}"))
        };
        let overlay = |key: &str| arg.get(key).ok_or(format!("a check without {key}"));
        let err = |key: &str| text(key).map(Into::into);
        let set = |key: &str| arg.get(key) == Some(&Value::Bool(true));
        Ok(match name.as_str() {
            "at_least_one_of" => Rule::AtLeastOneOf(paths(Some(arg))),
            "only_one_of" => Rule::OnlyOneOf(paths(Some(arg))),
            "distinct" => Rule::Distinct(paths(Some(arg))),
            "mutually_required" => Rule::MutuallyRequired(paths(Some(arg))),
            "mutually_exclusive" => Rule::MutuallyExclusive(paths(Some(arg))),
            "conditional" => {
                let (if_path, then_path) = (path("if_field")?, path("then_field")?);
                Rule::Conditional(Box::new(Conditional {
                    if_field: scope.merged(&if_path, overlay("if_match")?)?,
                    then_field: scope.merged(&then_path, overlay("then_match")?)?,
                    then_err: err("then_err"),
                    if_path,
                    then_path,
                }))
            }
            "conditional_at_least_one_of" => {
                let if_path = path("if_field")?;
                let otherwise = match arg.get("else_match") {
                    Some(overlay) => Some(Otherwise {
                        field: scope.merged(&if_path, overlay)?,
                        paths: paths(arg.get("else_then_at_least_one_of")),
                        err: err("else_then_err"),
                    }),
                    None => None,
                };
                Rule::ConditionalAtLeastOneOf(Box::new(ConditionalAtLeastOneOf {
                    if_field: scope.merged(&if_path, overlay("if_match")?)?,
                    then_paths: paths(arg.get("then_at_least_one_of")),
                    then_err: err("then_err"),
                    otherwise,
                    if_path,
                }))
            }
            "custom_entity_check" => {
                let sources = paths(arg.get("field_sources"));
                let names: Vec<&str> = sources.iter().map(|path| &*path.text).collect();
                Rule::Custom {
                    check: CustomCheck::find(scope.owner(), &names)
                        .ok_or_else(|| format!("nobody knows the check of {names:?} at {at:?}"))?,
                    sources,
                    with_missing_fields: set("run_with_missing_fields"),
                    with_invalid_fields: set("run_with_invalid_fields"),
                }
            }
            other => return Err(format!("unknown check {other}")),
        })
    }

    fn sources(&self) -> Vec<&Path> {
        match self {
            Rule::AtLeastOneOf(paths)
            | Rule::OnlyOneOf(paths)
            | Rule::Distinct(paths)
            | Rule::MutuallyRequired(paths)
            | Rule::MutuallyExclusive(paths)
            | Rule::Custom { sources: paths, .. } => paths.iter().collect(),
            Rule::Conditional(check) => vec![&check.if_path, &check.then_path],
            Rule::ConditionalAtLeastOneOf(check) => {
                let otherwise = check.otherwise.iter().flat_map(|other| &other.paths);
                std::iter::once(&check.if_path)
                    .chain(&check.then_paths)
                    .chain(otherwise)
                    .collect()
            }
        }
    }

    /// Whether the check runs although none of its fields is there.
    fn with_missing_fields(&self) -> bool {
        match self {
            Rule::Conditional(_) | Rule::ConditionalAtLeastOneOf(_) => false,
            Rule::Custom {
                with_missing_fields,
                ..
            } => *with_missing_fields,
            _ => true,
        }
    }

    /// Whether the check runs although one of its fields is wrong.
    fn with_invalid_fields(&self) -> bool {
        match self {
            Rule::MutuallyRequired(_) | Rule::MutuallyExclusive(_) => false,
            Rule::Custom {
                with_invalid_fields,
                ..
            } => *with_invalid_fields,
            _ => true,
        }
    }

    /// The field without which the check says so instead of running.
    fn required_sources(&self) -> Vec<&Path> {
        match self {
            Rule::Conditional(check) => vec![&check.if_path],
            Rule::ConditionalAtLeastOneOf(check) => vec![&check.if_path],
            Rule::Custom {
                sources,
                with_missing_fields: false,
                ..
            } => sources.iter().collect(),
            _ => Vec::new(),
        }
    }
}

/// Runs one check and adds what it finds to `errors`.
pub(super) fn run(
    check: &Check,
    data: &Map<String, Value>,
    scope: &Scope<'_>,
    errors: &mut Map<String, Value>,
) {
    let Check {
        rule,
        referenceable,
        required,
    } = check;
    let sources = rule.sources();
    let is_vaulted = |path: &Path| path.get(data).is_some_and(validate::is_reference);
    if referenceable.iter().any(is_vaulted) {
        return;
    }
    // Of fields in fields Kong does not know here that they are wrong.
    let is_invalid = |path: &&Path| path.parts.len() == 1 && errors.contains_key(&*path.text);
    if !rule.with_invalid_fields() && sources.iter().any(is_invalid) {
        return;
    }
    let is_absent = |path: &Path| match path.get(data) {
        None => true,
        // What must be there and has no default is not filled in.
        Some(value) => value.is_null() && required.contains(path),
    };
    let all_absent = sources.iter().all(|path| is_absent(path));
    if all_absent && (scope.updating || !rule.with_missing_fields()) {
        return;
    }
    let needed = rule.required_sources().into_iter();
    let absent: Vec<&Path> = needed.filter(|path| is_absent(path)).collect();
    if !absent.is_empty() {
        let when = if scope.updating { " when updating" } else { "" };
        for path in absent {
            let text = format!("field required for entity check{when}");
            path.set(errors, text.into());
        }
        return;
    }
    if let Some(text) = find(rule, data, scope, errors) {
        add_entity_error(errors, text);
    }
}

/// The check's text when it fails; errors of single fields are set on the way.
fn find(
    rule: &Rule,
    data: &Map<String, Value>,
    scope: &Scope<'_>,
    errors: &mut Map<String, Value>,
) -> Option<String> {
    let set = |path: &&Path| path.get(data).is_some_and(is_nonempty);
    let count = |paths: &[Path]| paths.iter().filter(|path| set(path)).count();
    match rule {
        Rule::AtLeastOneOf(paths) => (count(paths) == 0).then(|| at_least_one_text(paths, scope)),
        Rule::OnlyOneOf(paths) => (count(paths) != 1).then(|| {
            format!(
                "exactly one of these fields must be non-empty: {}",
                names(paths)
            )
        }),
        Rule::MutuallyRequired(paths) => {
            let set = count(paths);
            (set != 0 && set != paths.len()).then(|| mutually_required_text(paths))
        }
        Rule::MutuallyExclusive(paths) => (count(paths) > 1).then(|| {
            format!(
                "only one or none of these fields must be set: {}",
                names(paths)
            )
        }),
        Rule::Distinct(paths) => {
            let values: Vec<&Value> = paths
                .iter()
                .filter_map(|path| path.get(data))
                .filter(|value| !value.is_null())
                .collect();
            let twice = (1..values.len()).any(|at| values[..at].contains(&values[at]));
            twice.then(|| format!("values of these fields must be distinct: {}", names(paths)))
        }
        Rule::Conditional(check) => conditional(check, data, scope, errors),
        Rule::ConditionalAtLeastOneOf(check) => {
            let value = check.if_path.get(data)?;
            let (paths, err) = if validate::field(&check.if_field, value, scope).is_ok() {
                (&check.then_paths, &check.then_err)
            } else {
                let otherwise = check.otherwise.as_ref()?;
                validate::field(&otherwise.field, value, scope).ok()?;
                (&otherwise.paths, &otherwise.err)
            };
            (count(paths) == 0).then(|| match err {
                Some(err) => err.replace("%s", &names(paths)),
                None => at_least_one_text(paths, scope),
            })
        }
        Rule::Custom { check, .. } => check.run(data, scope),
    }
}

fn conditional(
    check: &Conditional,
    data: &Map<String, Value>,
    scope: &Scope<'_>,
    errors: &mut Map<String, Value>,
) -> Option<String> {
    let value = check.if_path.get(data)?;
    validate::field(&check.if_field, value, scope).ok()?;
    let then = check.then_path.get(data).unwrap_or(&Value::Null);
    let violation = match (then, check.then_field.required) {
        (Value::Null, true) => Value::from(REQUIRED),
        _ => validate::field(&check.then_field, then, scope).err()?,
    };
    check.then_path.set(errors, violation);
    Some(match &check.then_err {
        Some(err) => err.to_string(),
        None => format!(
            "failed conditional validation given value of field '{}'",
            check.if_path.text
        ),
    })
}

/// Neither null, nor an empty text, nor an empty collection.
pub(super) fn is_nonempty(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    }
}

pub(super) fn mutually_required_text(paths: &[Path]) -> String {
    format!("all or none of these fields must be set: {}", names(paths))
}

fn at_least_one_text(paths: &[Path], scope: &Scope<'_>) -> String {
    let when = if scope.updating {
        "when updating, "
    } else {
        ""
    };
    let names = names(paths);
    format!("{when}at least one of these fields must be non-empty: {names}")
}

fn names(paths: &[Path]) -> String {
    quoted(paths.iter().map(|path| &*path.text))
}
