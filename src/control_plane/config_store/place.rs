//! In which schema of a PostgreSQL database Langur's tables are.
//!
//! The database may be Kong's own, and Kong has tables of the same names. Langur's are therefore in
//! a schema of their own, unless an earlier version has put them somewhere else. Kong's are never
//! touched.

use sqlx::{PgConnection, Row as _};

/// The schema that Langur makes for itself.
const OWN: &str = "langur";

/// A table by which Langur's are recognised, and one by which Kong's are.
const LANGURS_TABLE: &str = "config_revision";
const KONGS_TABLE: &str = "schema_meta";

/// Where the tables are, or will be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub schema: String,
    /// The schema with Kong's tables, where the database has them.
    pub kong: Option<String>,
}

/// A schema that has tables of either.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    schema: String,
    langur: bool,
    kong: bool,
}

/// Looks at the database. `asked` is the setting `pg_schema`.
pub(super) async fn find(
    connection: &mut PgConnection,
    asked: Option<&str>,
) -> Result<Place, sqlx::Error> {
    let default: Option<String> = sqlx::query_scalar("SELECT current_schema()::text")
        .fetch_one(&mut *connection)
        .await?;
    let rows = sqlx::query(
        "SELECT n.nspname::text, bool_or(c.relname = $1), bool_or(c.relname = $2) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND c.relname IN ($1, $2) GROUP BY 1 ORDER BY 1",
    )
    .bind(LANGURS_TABLE)
    .bind(KONGS_TABLE)
    .fetch_all(connection)
    .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        found.push(Found {
            schema: row.try_get(0)?,
            langur: row.try_get(1)?,
            kong: row.try_get(2)?,
        });
    }
    Ok(choose(asked, default.as_deref(), &found))
}

/// The schema that was asked for, unless that is Kong's; else the one that has Langur's tables
/// already; else Langur's own.
fn choose(asked: Option<&str>, default: Option<&str>, found: &[Found]) -> Place {
    let is = |name: &str, what: fn(&Found) -> bool| {
        found
            .iter()
            .any(|found| found.schema == name && what(found))
    };
    let is_langurs = |name: &str| is(name, |found| found.langur);
    let is_kongs = |name: &str| is(name, |found| found.kong && !found.langur);
    let schema = match (asked, default) {
        (Some(asked), _) if !is_kongs(asked) => asked,
        (None, Some(default)) if !is_langurs(OWN) && is_langurs(default) => default,
        _ => OWN,
    };
    Place {
        schema: schema.to_owned(),
        kong: found
            .iter()
            .find(|found| found.kong)
            .map(|found| found.schema.clone()),
    }
}

impl Place {
    /// What makes a connection find the tables there and nowhere else.
    pub(super) fn search_path(&self) -> String {
        format!(
            "SET search_path TO \"{}\"",
            self.schema.replace('"', "\"\"")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trial_10_where_the_tables_are() {
        let found = |schemas: &[&str]| -> Vec<Found> {
            let of = |text: &&str| {
                let (schema, whose) = text.split_once(':').unwrap();
                Found {
                    schema: schema.to_owned(),
                    langur: whose.contains("langur"),
                    kong: whose.contains("kong"),
                }
            };
            schemas.iter().map(of).collect()
        };
        let public = Some("public");
        for (asked, default, schemas, expected, kong) in [
            (None, public, &[][..], "langur", None),
            (None, None, &[], "langur", None),
            (None, public, &["public:kong"], "langur", public),
            (None, public, &["public:langur"], "public", None),
            (
                None,
                public,
                &["langur:langur", "public:kong"],
                "langur",
                public,
            ),
            // An earlier version that was started once more has made empty tables.
            (
                None,
                public,
                &["langur:langur", "public:langur"],
                "langur",
                None,
            ),
            (None, public, &["other:langur"], "langur", None),
            (
                None,
                Some("own"),
                &["own:langur", "public:kong"],
                "own",
                public,
            ),
            (Some("mine"), public, &["public:kong"], "mine", public),
            (Some("public"), public, &[], "public", None),
            (Some("public"), public, &["public:langur"], "public", None),
            // What kong.conf says is where Kong's tables are.
            (Some("public"), public, &["public:kong"], "langur", public),
            (
                Some("kong"),
                public,
                &["kong:kong", "langur:langur"],
                "langur",
                Some("kong"),
            ),
        ] {
            let place = choose(asked, default, &found(schemas));
            assert_eq!(place.schema, expected, "{asked:?} {schemas:?}");
            assert_eq!(place.kong.as_deref(), kong, "{asked:?} {schemas:?}");
        }
    }

    #[test]
    fn names_are_quoted() {
        let place = Place {
            schema: "a\"; DROP".to_owned(),
            kong: None,
        };
        assert_eq!(place.search_path(), "SET search_path TO \"a\"\"; DROP\"");
    }
}
