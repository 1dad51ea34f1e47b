//! Who takes part: control planes that share the database, data planes they serve.

use crate::ddl;

const TABLES: &str = r#"
CREATE TABLE control_planes (
  id UUID NOT NULL PRIMARY KEY,
  hostname TEXT NOT NULL,
  last_seen BIGINT NOT NULL
)

CREATE TABLE data_planes (
  id UUID NOT NULL PRIMARY KEY,
  hostname TEXT NOT NULL,
  ip TEXT NOT NULL,
  last_seen BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  config_hash TEXT NOT NULL,
  version TEXT,
  sync_status TEXT NOT NULL,
  labels JSONB,
  cert_details JSONB NOT NULL,
  rpc_capabilities JSONB,
  ttl BIGINT NOT NULL,
  control_plane_id UUID,
  connected BOOLEAN NOT NULL,
  revision BIGINT,
  in_effect_at DOUBLE PRECISION,
  quarantined JSONB NOT NULL,
  langur_version TEXT,
  CONSTRAINT data_planes_config_hash_check CHECK (length(config_hash) = 32)
)

CREATE INDEX data_planes_ttl_idx ON data_planes (ttl)

CREATE INDEX data_planes_control_plane_idx ON data_planes (control_plane_id)
"#;

/// Children first.
const DROP: &[&str] = &["data_planes", "control_planes"];

ddl::migration!(TABLES, drop_tables(DROP));
