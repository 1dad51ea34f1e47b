//! What `POST /transactions` is asked for, read from its body and its arguments.

use super::endpoint::{self, Endpoint};
use super::error::ApiError;
use super::paging;
use super::request::{self, Body};
use crate::schema::Violations;
use serde_json::{Map, Value};

/// Operations of one transaction.
pub const MOST_OPERATIONS: usize = 1000;
/// What an operation can be, and the method of its request.
pub const METHODS: [(&str, &str); 4] = [
    ("create", "POST"),
    ("update", "PATCH"),
    ("upsert", "PUT"),
    ("delete", "DELETE"),
];

/// A transaction whose shape is right.
#[derive(Debug, PartialEq)]
pub struct TransactionRequest {
    pub operations: Vec<Operation>,
    /// Everything but the commit.
    pub dry_run: bool,
}

/// One request of the Admin API.
#[derive(Debug, PartialEq)]
pub struct Operation {
    pub method: &'static str,
    /// None where the path is none that holds entities.
    pub endpoint: Option<Endpoint>,
    pub body: Body,
}

impl TransactionRequest {
    /// # Errors
    /// Code 2 with all that is wrong, in the shape of the body; 415 for a form.
    pub fn read(
        arguments: &[(String, String)],
        body: Body,
    ) -> Result<TransactionRequest, ApiError> {
        let mut body = match body {
            Body::None => Map::new(),
            Body::Json(body) => body,
            Body::Form(_) => return Err(ApiError::UnsupportedMediaType),
        };
        let mut refused = Map::new();
        let mut dry_run = asked_dry_run(arguments)?;
        match body.remove("dry_run") {
            None | Some(Value::Null) => {}
            Some(Value::Bool(asked)) => dry_run |= asked,
            Some(_) => drop(refused.insert("dry_run".to_owned(), "expected a boolean".into())),
        }
        let operations = match body.remove("operations") {
            None | Some(Value::Null) => Err("required field missing".into()),
            Some(Value::Array(list)) if list.is_empty() => Err("length must be at least 1".into()),
            Some(Value::Array(list)) if list.len() > MOST_OPERATIONS => {
                Err(format!("length must be at most {MOST_OPERATIONS}").into())
            }
            Some(Value::Array(list)) => all(list.into_iter().map(Operation::read)),
            Some(_) => Err("expected an array".into()),
        };
        refused.extend(unknown(body));
        let operations = operations.unwrap_or_else(|why| {
            refused.insert("operations".to_owned(), why);
            Vec::new()
        });
        match refused.is_empty() {
            true => Ok(TransactionRequest {
                operations,
                dry_run,
            }),
            false => Err(ApiError::Schema(Violations { fields: refused })),
        }
    }
}

impl Operation {
    /// The violations have the shape of the operation.
    fn read(operation: Value) -> Result<Operation, Value> {
        let Value::Object(mut operation) = operation else {
            return Err("expected an object".into());
        };
        let mut refused = Map::new();
        let method = match operation.remove("op") {
            None | Some(Value::Null) => Err("required field missing".to_owned()),
            Some(op) => method(&op),
        };
        let method = method.unwrap_or_else(|why| {
            refused.insert("op".to_owned(), why.into());
            ""
        });
        let endpoint = match operation.remove("path") {
            None | Some(Value::Null) => Err("required field missing"),
            Some(Value::String(path)) if !path.starts_with('/') => Err("should start with: /"),
            Some(Value::String(path)) if path.contains(['?', '#']) => {
                Err("must not have a query string")
            }
            Some(Value::String(path)) => Ok(holds_entities(&path)),
            Some(_) => Err("expected a string"),
        };
        let endpoint = endpoint.unwrap_or_else(|why| {
            refused.insert("path".to_owned(), why.into());
            None
        });
        let body = match operation.remove("body") {
            None | Some(Value::Null) => Ok(Body::None),
            Some(_) if method == "DELETE" => Err("must not be given with delete"),
            Some(Value::Object(body)) => Ok(Body::Json(body)),
            Some(_) => Err("expected an object"),
        };
        let body = body.unwrap_or_else(|why| {
            refused.insert("body".to_owned(), why.into());
            Body::None
        });
        refused.extend(unknown(operation));
        match refused.is_empty() {
            true => Ok(Operation {
                method,
                endpoint,
                body,
            }),
            false => Err(Value::Object(refused)),
        }
    }
}

/// `dry_run` of a query string.
fn asked_dry_run(arguments: &[(String, String)]) -> Result<bool, ApiError> {
    match paging::argument(arguments, "dry_run")? {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => {
            let why = "expected true or false";
            Err(ApiError::Schema(Violations::of("dry_run", why)))
        }
    }
}

fn method(op: &Value) -> Result<&'static str, String> {
    let found = METHODS.into_iter().find(|(name, _)| op == name);
    found.map(|(_, method)| method).ok_or_else(|| {
        let names = METHODS.map(|(name, _)| name);
        format!("expected one of: {}", names.join(", "))
    })
}

fn holds_entities(path: &str) -> Option<Endpoint> {
    let segments = request::segments(path)?;
    endpoint::resolve(&segments).filter(Endpoint::holds_entities)
}

/// What is left over of an object's fields.
fn unknown(rest: Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
    rest.into_iter()
        .map(|(field, _)| (field, "unknown field".into()))
}

/// All of a list, or what is wrong with each, null where nothing is.
fn all<T>(list: impl Iterator<Item = Result<T, Value>>) -> Result<Vec<T>, Value> {
    let (mut good, mut wrong, mut refused) = (Vec::new(), Vec::new(), false);
    for item in list {
        match item {
            Ok(item) => {
                good.push(item);
                wrong.push(Value::Null);
            }
            Err(why) => {
                refused = true;
                wrong.push(why);
            }
        }
    }
    match refused {
        true => Err(Value::Array(wrong)),
        false => Ok(good),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;
    use serde_json::json;

    fn read(query: &str, body: Value) -> Result<TransactionRequest, Value> {
        let arguments = request::arguments(query).expect("arguments");
        let body = body.as_object().expect("an object").clone();
        TransactionRequest::read(&arguments, Body::Json(body)).map_err(|err| match err {
            ApiError::Schema(violations) => Value::Object(violations.fields),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_good_transaction() {
        let operations = json!([
            {"op": "create", "path": "/services", "body": {"host": "h"}},
            {"op": "delete", "path": "/services/a%20b", "body": null},
            {"op": "upsert", "path": "/status"},
        ]);
        let read = read("", json!({"operations": operations})).expect("reads");
        assert!(!read.dry_run);
        let service = json!({"host": "h"}).as_object().expect("an object").clone();
        let operation = |method, endpoint, body| Operation {
            method,
            endpoint,
            body,
        };
        assert_eq!(
            read.operations,
            [
                operation(
                    "POST",
                    Some(Endpoint::Collection(Kind::Services)),
                    Body::Json(service)
                ),
                operation(
                    "DELETE",
                    Some(Endpoint::Entity(Kind::Services, "a b".to_owned())),
                    Body::None
                ),
                operation("PUT", None, Body::None),
            ]
        );
    }

    #[test]
    fn either_place_asks_for_a_dry_run() {
        let operations = json!([{"op": "delete", "path": "/services/s"}]);
        for (query, field, expected) in [
            ("", Value::Null, false),
            ("dry_run=true", Value::Null, true),
            ("dry_run=false", json!(true), true),
            ("dry_run=true", json!(false), true),
        ] {
            let body = json!({"operations": operations, "dry_run": field});
            assert_eq!(read(query, body).expect("reads").dry_run, expected);
        }
        let body = json!({ "operations": operations });
        let refused = read("dry_run=yes", body).expect_err("refused");
        assert_eq!(refused, json!({"dry_run": "expected true or false"}));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let body = json!({
            "operations": [
                {"op": "create", "path": "/services"},
                {"op": "replace", "path": "services", "body": [], "if": 1},
                {"path": "/services?size=1"},
                {"op": "delete", "path": 7, "body": {}},
                "create",
            ],
            "dry_run": "no",
            "atomic": true,
        });
        assert_eq!(
            read("", body).expect_err("refused"),
            json!({
                "dry_run": "expected a boolean",
                "operations": [
                    null,
                    {
                        "op": "expected one of: create, update, upsert, delete",
                        "path": "should start with: /",
                        "body": "expected an object",
                        "if": "unknown field",
                    },
                    {
                        "op": "required field missing",
                        "path": "must not have a query string",
                    },
                    {
                        "path": "expected a string",
                        "body": "must not be given with delete",
                    },
                    "expected an object",
                ],
                "atomic": "unknown field",
            })
        );
        let operation = json!({"op": "delete", "path": "/services/s"});
        for (operations, why) in [
            (Value::Null, "required field missing"),
            (json!({}), "expected an array"),
            (json!([]), "length must be at least 1"),
            (
                json!(vec![operation.clone(); MOST_OPERATIONS + 1]),
                "length must be at most 1000",
            ),
        ] {
            let refused = read("", json!({ "operations": operations }));
            assert_eq!(refused.expect_err(why), json!({ "operations": why }));
        }
        let most = json!({"operations": vec![operation; MOST_OPERATIONS]});
        assert!(read("", most).is_ok());
    }
}
