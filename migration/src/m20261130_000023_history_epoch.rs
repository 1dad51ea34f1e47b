//! Which history the revisions belong to: a database that was restored has another one.

use crate::ddl;

const COLUMN: &str = r#"
-- postgres
ALTER TABLE config_revision ADD COLUMN epoch BIGINT NOT NULL DEFAULT 1 CHECK (epoch > 0)

-- sqlite
ALTER TABLE config_revision ADD COLUMN epoch INTEGER NOT NULL DEFAULT 1 CHECK (epoch > 0)
"#;

const DROP: &str = "ALTER TABLE config_revision DROP COLUMN epoch";

ddl::migration!(COLUMN, run(DROP));
