//! The store against real databases: SQLite always, PostgreSQL where `LANGUR_TEST_POSTGRES`
//! holds a `postgres://` URL. Every test gets a database, or a schema, of its own.

mod actor;
mod cluster;
mod compact;
mod connections;
mod constraints;
mod declare;
mod fleet;
mod history;
mod journal;
mod reads;
mod support;
mod transactions;
mod writes;
