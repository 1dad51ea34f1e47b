//! What each change of the journal replaced: by it a revision can be taken back.

use crate::ddl;

/// NULL where an earlier version did not note it.
const COLUMN: &str = r#"
-- postgres
ALTER TABLE config_journal ADD COLUMN replaced BYTEA

-- sqlite
ALTER TABLE config_journal ADD COLUMN replaced BLOB
"#;

const DROP: &str = "ALTER TABLE config_journal DROP COLUMN replaced";

ddl::migration!(COLUMN, run(DROP));
