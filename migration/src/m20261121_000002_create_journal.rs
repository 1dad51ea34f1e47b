//! The journal of changes and the revision it has reached.

use crate::ddl;

const TABLES: &str = r#"
CREATE TABLE config_revision (
  id BIGINT NOT NULL PRIMARY KEY,
  revision BIGINT NOT NULL,
  CONSTRAINT config_revision_one_row_check CHECK (id = 1),
  CONSTRAINT config_revision_revision_check CHECK (revision >= 0)
)

INSERT INTO config_revision (id, revision) VALUES (1, 0)

CREATE TABLE config_journal (
  revision BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  kind TEXT NOT NULL,
  id UUID NOT NULL,
  row BYTEA,
  committed_at BIGINT NOT NULL,
  PRIMARY KEY (revision, seq),
  CONSTRAINT config_journal_revision_check CHECK (revision > 0)
)
"#;

/// Children first.
const DROP: &[&str] = &["config_journal", "config_revision"];

ddl::migration!(TABLES, drop_tables(DROP));
