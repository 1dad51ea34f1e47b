//! What the data planes of a cluster prove themselves by.

use crate::ddl;

const TABLES: &str = r#"
CREATE TABLE node_identities (
  id UUID NOT NULL PRIMARY KEY,
  secret_hash BYTEA NOT NULL,
  bound_at BIGINT NOT NULL,
  CONSTRAINT node_identities_secret_hash_check CHECK (length(secret_hash) = 32)
)
"#;

const DROP: &[&str] = &["node_identities"];

ddl::migration!(TABLES, drop_tables(DROP));
