//! Requests counted, and how far each node has been counted. Ids of entities may be gone: no foreign keys.

use crate::ddl;

const TABLES: &str = r#"
CREATE TABLE telemetry_positions (
  node_id UUID NOT NULL,
  incarnation UUID NOT NULL,
  sequence BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (node_id, incarnation)
)

CREATE TABLE telemetry_counts (
  service_id UUID NOT NULL,
  route_id UUID NOT NULL,
  consumer_id UUID NOT NULL,
  status BIGINT NOT NULL,
  data_plane_id UUID NOT NULL,
  requests BIGINT NOT NULL,
  request_bytes BIGINT NOT NULL,
  response_bytes BIGINT NOT NULL,
  PRIMARY KEY (service_id, route_id, consumer_id, status, data_plane_id)
)
"#;

/// Children first.
const DROP: &[&str] = &["telemetry_counts", "telemetry_positions"];

ddl::migration!(TABLES, drop_tables(DROP));
