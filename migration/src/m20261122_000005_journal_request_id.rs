//! Which request of the Admin API a revision came from.

use crate::ddl;

const COLUMN: &str = r#"
-- postgres
ALTER TABLE config_journal ADD COLUMN request_id UUID

-- sqlite
ALTER TABLE config_journal ADD COLUMN request_id BLOB CHECK (length(request_id) = 16)
"#;

const DROP: &str = "ALTER TABLE config_journal DROP COLUMN request_id";

ddl::migration!(COLUMN, run(DROP));
