//! Why a data plane's telemetry does not arrive, as the data plane says.

use crate::ddl;

const COLUMN: &str = "ALTER TABLE data_planes ADD COLUMN telemetry TEXT";

const DROP: &str = "ALTER TABLE data_planes DROP COLUMN telemetry";

ddl::migration!(COLUMN, run(DROP));
