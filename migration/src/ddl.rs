//! One text for two engines: statements are written for PostgreSQL and translated for SQLite.
//!
//! Convention: one column or constraint on a line, as `name TYPE …`. SQLite's tables are
//! STRICT, so that a column's type means what it says; what STRICT has no type for gets a check.
//! A table whose key has several columns, and no blob, is kept in the order of that key, without a
//! second tree.
//! A table with tags gets the index by which PostgreSQL looks for them.

use sea_orm_migration::prelude::{DbErr, SchemaManager};
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Runs the statements of `script`, which are separated by blank lines. One that begins with
/// `-- postgres` or `-- sqlite` is meant for that engine alone.
pub(crate) async fn run(manager: &SchemaManager<'_>, script: &str) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let engine = connection.get_database_backend();
    for statement in script.split("\n\n").map(str::trim) {
        if statement.is_empty() || is_for_another_engine(statement, engine) {
            continue;
        }
        let sql = match engine {
            DbBackend::Sqlite => for_sqlite(statement),
            _ => statement.to_owned(),
        };
        connection.execute_unprepared(&sql).await?;
        if let (Some(table), DbBackend::Postgres) = (tagged_table(statement), engine) {
            // Containment is how tags are looked for.
            let index =
                format!("CREATE INDEX {table}_tags_idx ON {table} USING GIN (tags jsonb_path_ops)");
            connection.execute_unprepared(&index).await?;
        }
    }
    Ok(())
}

/// A step that runs one script and, undone, either drops tables or runs another script.
macro_rules! migration {
    ($script:expr, $undo:ident($undone:expr)) => {
        use sea_orm_migration::prelude::*;

        #[derive(DeriveMigrationName)]
        pub(crate) struct Migration;

        #[async_trait::async_trait]
        impl MigrationTrait for Migration {
            async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
                $crate::ddl::run(manager, $script).await
            }

            async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
                $crate::ddl::$undo(manager, $undone).await
            }
        }
    };
}
pub(crate) use migration;

/// The table that a statement creates, when it has tags.
fn tagged_table(statement: &str) -> Option<&str> {
    let (table, columns) = statement.strip_prefix("CREATE TABLE ")?.split_once(' ')?;
    columns.contains("\n  tags JSONB").then_some(table)
}

/// Drops tables, children first.
pub(crate) async fn drop_tables(manager: &SchemaManager<'_>, tables: &[&str]) -> Result<(), DbErr> {
    for table in tables {
        let sql = format!("DROP TABLE {table}");
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}

fn is_for_another_engine(statement: &str, engine: DbBackend) -> bool {
    let other = match engine {
        DbBackend::Sqlite => "-- postgres",
        _ => "-- sqlite",
    };
    statement.starts_with(other)
}

fn for_sqlite(statement: &str) -> String {
    let lines: Vec<_> = statement.lines().map(column_for_sqlite).collect();
    let sql = lines.join("\n").replace("jsonb_typeof(", "json_type(");
    // Large rows would spill out of such a tree.
    let by_key = statement.contains("\n  PRIMARY KEY (") && !statement.contains("BYTEA");
    match sql.strip_suffix("\n)") {
        Some(table) if by_key => format!("{table}\n) STRICT, WITHOUT ROWID"),
        Some(table) if sql.starts_with("CREATE TABLE") => format!("{table}\n) STRICT"),
        _ => sql,
    }
}

/// The line with SQLite's type and a check for what that type does not say.
fn column_for_sqlite(line: &str) -> String {
    let mut words = line.split_whitespace();
    let (Some(name), Some(kind)) = (words.next(), words.next()) else {
        return line.to_owned();
    };
    let kind = kind.trim_end_matches(',');
    let (found, sqlite, check) = match kind {
        "UUID" => ("UUID", "BLOB", format!("length({name}) = 16")),
        "BOOLEAN" => ("BOOLEAN", "INTEGER", format!("{name} IN (0, 1)")),
        "JSONB" => ("JSONB", "TEXT", format!("json_valid({name})")),
        "BYTEA" => ("BYTEA", "BLOB", String::new()),
        "BIGINT" => ("BIGINT", "INTEGER", String::new()),
        "DOUBLE" => ("DOUBLE PRECISION", "REAL", String::new()),
        _ => return line.to_owned(),
    };
    let typed = line.replacen(found, sqlite, 1);
    if check.is_empty() {
        return typed;
    }
    match typed.strip_suffix(',') {
        Some(column) => format!("{column} CHECK ({check}),"),
        None => format!("{typed} CHECK ({check})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_translated_for_sqlite() {
        let check = |line: &str, expected: &str| assert_eq!(column_for_sqlite(line), expected);
        check("  name TEXT,", "  name TEXT,");
        check("  port BIGINT NOT NULL,", "  port INTEGER NOT NULL,");
        check("  at DOUBLE PRECISION", "  at REAL");
        check(
            "  id UUID NOT NULL PRIMARY KEY,",
            "  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),",
        );
        check("  on BOOLEAN", "  on INTEGER CHECK (on IN (0, 1))");
        check("  tags JSONB,", "  tags TEXT CHECK (json_valid(tags)),");
        check(
            "  CONSTRAINT x UNIQUE (a, b),",
            "  CONSTRAINT x UNIQUE (a, b),",
        );
        check(")", ")");
    }

    #[test]
    fn tables_with_tags() {
        let tagged = "CREATE TABLE t (\n  id UUID,\n  tags JSONB\n)";
        assert_eq!(tagged_table(tagged), Some("t"));
        assert_eq!(tagged_table("CREATE TABLE t (\n  id UUID\n)"), None);
        assert_eq!(tagged_table("CREATE INDEX i ON t (tags)"), None);
    }

    #[test]
    fn only_tables_are_strict() {
        assert_eq!(
            for_sqlite("CREATE TABLE t (\n  a TEXT\n)"),
            "CREATE TABLE t (\n  a TEXT\n) STRICT"
        );
        assert_eq!(
            for_sqlite("CREATE TABLE t (\n  a TEXT,\n  b TEXT,\n  PRIMARY KEY (a, b)\n)"),
            "CREATE TABLE t (\n  a TEXT,\n  b TEXT,\n  PRIMARY KEY (a, b)\n) STRICT, WITHOUT ROWID"
        );
        assert_eq!(
            for_sqlite("CREATE INDEX i ON t (a)"),
            "CREATE INDEX i ON t (a)"
        );
    }
}
