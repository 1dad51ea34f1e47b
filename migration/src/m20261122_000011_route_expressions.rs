//! What routes have when the router's flavor is `expressions`.

use crate::ddl;

const COLUMNS: &str = r#"
ALTER TABLE routes ADD COLUMN expression TEXT

-- postgres
ALTER TABLE routes ADD COLUMN priority BIGINT

-- sqlite
ALTER TABLE routes ADD COLUMN priority INTEGER
"#;

const DROP: &str = r#"
ALTER TABLE routes DROP COLUMN priority

ALTER TABLE routes DROP COLUMN expression
"#;

ddl::migration!(COLUMNS, run(DROP));
