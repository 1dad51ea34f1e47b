//! A PostgreSQL database that is, or was, Kong's.

use crate::harness::{Cluster, Database, PostgresDatabase, get, post};
use crate::kong_command::Machine;
use serde_json::json;

fn machine_of(database: &PostgresDatabase) -> Machine {
    let mut machine = Machine::new();
    // As in Kong, PostgreSQL need not be asked for.
    for (name, value) in [
        ("KONG_PG_HOST", &database.host),
        ("KONG_PG_PORT", &database.port),
        ("KONG_PG_USER", &database.user),
        ("KONG_PG_DATABASE", &database.database),
    ] {
        machine.set(name, value);
    }
    machine
}

fn fresh() -> PostgresDatabase {
    match Database::fresh_postgres() {
        Database::Postgres(database) => database,
        Database::Sqlite => panic!("this story is about PostgreSQL"),
    }
}

/// The schemas that have a table of this name.
fn schemas_of(database: &PostgresDatabase, table: &str) -> String {
    database.sql(&format!(
        "SELECT string_agg(schemaname, ',' ORDER BY 1) FROM pg_tables WHERE tablename = '{table}'"
    ))
}

/// A control plane that was started once and is stopped.
fn stopped(database: Database) -> Cluster {
    let mut cluster = Cluster::without_data_planes(database);
    let node = &mut cluster.control_planes[0];
    node.stop(libc::SIGTERM);
    cluster
}

#[test]
fn trial_10_migrations_as_scripts_call_them() {
    let database = fresh();
    let machine = machine_of(&database);
    assert!(
        machine
            .kong(&["migrations", "list"], 3)
            .contains("run kong migrations bootstrap")
    );
    machine.kong(&["migrations", "reset", "--yes"], 0);
    let bootstrap = machine.kong(&["migrations", "bootstrap", "--db-timeout", "30", "-f"], 0);
    assert!(
        bootstrap.contains("the schema is up to date"),
        "{bootstrap}"
    );
    assert!(
        machine
            .kong(&["migrations", "bootstrap"], 0)
            .contains("bootstrapped already")
    );
    assert_eq!(machine.kong(&["migrations", "up", "-q"], 0), "");
    machine.kong(&["migrations", "finish", "--vv", "--lock-timeout", "60"], 0);
    assert!(
        machine
            .kong(&["migrations", "list"], 0)
            .contains("applied  m2026")
    );
    let status = machine.kong(&["migrations", "status"], 0);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["needs_bootstrap"], false, "{status}");
    assert_eq!(status["new_migrations"], json!([]), "{status}");
    assert_eq!(schemas_of(&database, "config_revision"), "langur");
    let last = "SELECT max(version) FROM seaql_migrations";
    let last = database.sql(last);
    database.sql(&format!(
        "DELETE FROM seaql_migrations WHERE version = '{last}'"
    ));
    assert!(
        machine
            .kong(&["migrations", "list"], 5)
            .contains("run kong migrations up")
    );
    machine.kong(&["migrations", "reset"], 1);
}

#[test]
fn trial_10_kongs_tables_are_not_touched() {
    let database = fresh();
    // Tables of Kong's, in the schema that its settings name.
    database.sql(
        "CREATE TABLE public.schema_meta (key text, subsystem text, last_executed text); \
         CREATE TABLE public.services (id uuid PRIMARY KEY, name text); \
         INSERT INTO public.services VALUES ('00000000-0000-4000-8000-000000000001', 'kongs')",
    );
    let mut cluster = stopped(Database::Postgres(database.clone()));
    for schema in ["", "public"] {
        let node = &mut cluster.control_planes[0];
        node.set("pg_schema", schema);
        node.restart();
        cluster.wait_until_ready(0);
        let node = &mut cluster.control_planes[0];
        let told = node.events(
            "Kong's tables are in this database: they are not touched, and langur migrate from-kong will read them",
        );
        let told = told.last().expect("it is said");
        assert_eq!(
            (&told["kong"], &told["langur"]),
            (&json!("public"), &json!("langur"))
        );
        let name = format!("mine{schema}");
        let service = json!({"name": name, "url": "http://127.0.0.1:9"});
        let admin = format!("http://{}/services", node.setting("admin_listen"));
        post(&admin, &service).expect("an answer").expect(201);
        assert_eq!(
            get(&format!("{admin}/kongs")).expect("an answer").status,
            404
        );
        node.stop(libc::SIGTERM);
    }
    assert_eq!(database.sql("SELECT name FROM public.services"), "kongs");
    assert_eq!(database.sql("SELECT count(*) FROM langur.services"), "2");
    assert_eq!(schemas_of(&database, "config_revision"), "langur");
}

#[test]
fn trial_10_an_older_installation_stays_where_it_is() {
    let database = fresh();
    let mut cluster = stopped(Database::Postgres(database.clone()));
    database.sql("DROP SCHEMA IF EXISTS langur CASCADE");
    let node = &mut cluster.control_planes[0];
    // Where all versions before this one have put their tables.
    node.set("pg_schema", "public");
    node.restart();
    cluster.wait_until_ready(0);
    let node = &mut cluster.control_planes[0];
    let admin = format!("http://{}/services", node.setting("admin_listen"));
    let service = json!({"name": "old", "url": "http://127.0.0.1:9"});
    post(&admin, &service).expect("an answer").expect(201);
    node.stop(libc::SIGTERM);
    node.set("pg_schema", "");
    node.restart();
    cluster.wait_until_ready(0);
    get(&format!("{admin}/old")).expect("an answer").expect(200);
    assert_eq!(schemas_of(&database, "config_revision"), "public");
    // The doctor looks at the same place.
    let told = cluster.control_planes[0].run(&["doctor", "--json"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("its schema is up to date"), "{told}");
}

#[test]
fn trial_10_a_schema_that_may_not_be_made_is_named() {
    let database = fresh();
    let user = format!("guest_{}", database.database);
    database.sql(&format!("CREATE ROLE {user} LOGIN"));
    let mut machine = machine_of(&database);
    machine.set("KONG_PG_USER", &user);
    let told = machine.kong(&["migrations", "bootstrap"], 1);
    assert!(told.contains("CREATE SCHEMA"), "{told}");
    assert!(told.contains("pg_schema"), "{told}");
    database.sql(&format!("CREATE SCHEMA langur AUTHORIZATION {user}"));
    machine.kong(&["migrations", "bootstrap"], 0);
}
