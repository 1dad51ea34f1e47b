//! Whole documents: what they declare and how they are refused.

mod entities;
mod laws;
mod recorded;
mod refusals;

use super::super::{Config, Revision};
use super::*;
use crate::schema::{self, Random, Role, RouterFlavor};
use proptest::prelude::*;
use serde_json::json;
use std::cell::Cell;

/// Ids that count up, so that tests see which are random.
#[derive(Default)]
struct Counting(Cell<u128>);

impl Random for Counting {
    fn uuid(&self) -> Uuid {
        self.0.set(self.0.get() + 1);
        Uuid::from_u128(self.0.get())
    }

    fn token(&self) -> String {
        "t".repeat(32)
    }
}

fn with_env<T>(run: impl FnOnce(&Env<'_>) -> T) -> T {
    run(&Env {
        now_ms: 1_700_000_000_000,
        random: &Counting::default(),
        role: Role::DbLess,
        router_flavor: RouterFlavor::default(),
        plugins: None,
    })
}

fn declared(text: &str) -> Declared {
    with_env(|env| parse(text, env)).unwrap_or_else(|err| panic!("{err}"))
}

fn refused(text: &str) -> DeclarativeErrors {
    match with_env(|env| parse(text, env)) {
        Ok(_) => panic!("accepted: {text}"),
        Err(err) => err,
    }
}

/// The stored entities of a document as `{kind: {id: fields}}`, as `POST /config` answers.
fn entities(text: &str) -> Value {
    let mut kinds = Map::new();
    for (kind, id, row) in declared(text).rows() {
        let kind = kinds.entry(kind.as_str()).or_insert_with(|| json!({}));
        kind[id.to_string()] = Value::Object(row.to_json().expect("a row"));
    }
    Value::Object(kinds)
}

fn lines(text: &str) -> Vec<String> {
    refused(text).lines().collect()
}
