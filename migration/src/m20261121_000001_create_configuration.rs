//! The entities of the configuration.

use crate::ddl;

const TABLES: &str = r#"
CREATE TABLE certificates (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  cert TEXT NOT NULL,
  key TEXT NOT NULL,
  cert_alt TEXT,
  key_alt TEXT,
  tags JSONB,
  CONSTRAINT certificates_alt_check CHECK ((cert_alt IS NULL) = (key_alt IS NULL)),
  CONSTRAINT certificates_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE TABLE ca_certificates (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  cert TEXT NOT NULL,
  cert_digest TEXT,
  tags JSONB,
  CONSTRAINT ca_certificates_cert_digest_key UNIQUE (cert_digest),
  CONSTRAINT ca_certificates_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE TABLE snis (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  name TEXT NOT NULL,
  tags JSONB,
  certificate_id UUID NOT NULL,
  CONSTRAINT snis_name_key UNIQUE (name),
  CONSTRAINT snis_certificate_fkey FOREIGN KEY (certificate_id) REFERENCES certificates (id) ON DELETE CASCADE,
  CONSTRAINT snis_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE INDEX snis_certificate_id_idx ON snis (certificate_id, id)

CREATE TABLE services (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  name TEXT,
  retries BIGINT,
  protocol TEXT NOT NULL,
  host TEXT NOT NULL,
  port BIGINT NOT NULL,
  path TEXT,
  connect_timeout BIGINT,
  write_timeout BIGINT,
  read_timeout BIGINT,
  tags JSONB,
  client_certificate_id UUID,
  tls_verify BOOLEAN,
  tls_verify_depth BIGINT,
  ca_certificates JSONB,
  enabled BOOLEAN NOT NULL,
  CONSTRAINT services_name_key UNIQUE (name),
  CONSTRAINT services_protocol_check CHECK (protocol IN ('grpc', 'grpcs', 'http', 'https', 'tcp', 'tls', 'tls_passthrough', 'udp')),
  CONSTRAINT services_retries_check CHECK (retries BETWEEN 0 AND 32767),
  CONSTRAINT services_port_check CHECK (port BETWEEN 0 AND 65535),
  CONSTRAINT services_ca_certificates_check CHECK (ca_certificates IS NULL OR jsonb_typeof(ca_certificates) = 'array'),
  CONSTRAINT services_client_certificate_fkey FOREIGN KEY (client_certificate_id) REFERENCES certificates (id) ON DELETE RESTRICT,
  CONSTRAINT services_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE INDEX services_client_certificate_id_idx ON services (client_certificate_id, id)

CREATE TABLE upstreams (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  name TEXT NOT NULL,
  algorithm TEXT,
  hash_on TEXT,
  hash_fallback TEXT,
  hash_on_header TEXT,
  hash_fallback_header TEXT,
  hash_on_cookie TEXT,
  hash_on_cookie_path TEXT,
  hash_on_query_arg TEXT,
  hash_fallback_query_arg TEXT,
  hash_on_uri_capture TEXT,
  hash_fallback_uri_capture TEXT,
  slots BIGINT,
  healthchecks JSONB NOT NULL,
  tags JSONB,
  host_header TEXT,
  client_certificate_id UUID,
  use_srv_name BOOLEAN,
  CONSTRAINT upstreams_name_key UNIQUE (name),
  CONSTRAINT upstreams_slots_check CHECK (slots BETWEEN 10 AND 65536),
  CONSTRAINT upstreams_healthchecks_check CHECK (healthchecks IS NULL OR jsonb_typeof(healthchecks) = 'object'),
  CONSTRAINT upstreams_client_certificate_fkey FOREIGN KEY (client_certificate_id) REFERENCES certificates (id) ON DELETE RESTRICT,
  CONSTRAINT upstreams_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE INDEX upstreams_client_certificate_id_idx ON upstreams (client_certificate_id, id)

CREATE TABLE targets (
  id UUID NOT NULL PRIMARY KEY,
  created_at DOUBLE PRECISION NOT NULL,
  updated_at DOUBLE PRECISION NOT NULL,
  upstream_id UUID NOT NULL,
  target TEXT NOT NULL,
  weight BIGINT,
  tags JSONB,
  CONSTRAINT targets_upstream_target_key UNIQUE (upstream_id, target),
  CONSTRAINT targets_weight_check CHECK (weight BETWEEN 0 AND 65535),
  CONSTRAINT targets_upstream_fkey FOREIGN KEY (upstream_id) REFERENCES upstreams (id) ON DELETE CASCADE,
  CONSTRAINT targets_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE TABLE routes (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  name TEXT,
  protocols JSONB NOT NULL,
  https_redirect_status_code BIGINT NOT NULL,
  strip_path BOOLEAN NOT NULL,
  preserve_host BOOLEAN NOT NULL,
  request_buffering BOOLEAN NOT NULL,
  response_buffering BOOLEAN NOT NULL,
  tags JSONB,
  service_id UUID,
  snis JSONB,
  sources JSONB,
  destinations JSONB,
  methods JSONB,
  hosts JSONB,
  paths JSONB,
  headers JSONB,
  regex_priority BIGINT,
  path_handling TEXT,
  CONSTRAINT routes_name_key UNIQUE (name),
  CONSTRAINT routes_protocols_check CHECK (protocols IS NULL OR jsonb_typeof(protocols) = 'array'),
  CONSTRAINT routes_snis_check CHECK (snis IS NULL OR jsonb_typeof(snis) = 'array'),
  CONSTRAINT routes_sources_check CHECK (sources IS NULL OR jsonb_typeof(sources) = 'array'),
  CONSTRAINT routes_destinations_check CHECK (destinations IS NULL OR jsonb_typeof(destinations) = 'array'),
  CONSTRAINT routes_methods_check CHECK (methods IS NULL OR jsonb_typeof(methods) = 'array'),
  CONSTRAINT routes_hosts_check CHECK (hosts IS NULL OR jsonb_typeof(hosts) = 'array'),
  CONSTRAINT routes_paths_check CHECK (paths IS NULL OR jsonb_typeof(paths) = 'array'),
  CONSTRAINT routes_headers_check CHECK (headers IS NULL OR jsonb_typeof(headers) = 'object'),
  CONSTRAINT routes_service_fkey FOREIGN KEY (service_id) REFERENCES services (id) ON DELETE RESTRICT,
  CONSTRAINT routes_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE INDEX routes_service_id_idx ON routes (service_id, id)

CREATE TABLE consumers (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  username TEXT,
  custom_id TEXT,
  tags JSONB,
  CONSTRAINT consumers_username_key UNIQUE (username),
  CONSTRAINT consumers_custom_id_key UNIQUE (custom_id),
  CONSTRAINT consumers_named_check CHECK (username IS NOT NULL OR custom_id IS NOT NULL),
  CONSTRAINT consumers_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE TABLE keyauth_credentials (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  consumer_id UUID NOT NULL,
  key TEXT NOT NULL,
  tags JSONB,
  ttl BIGINT,
  CONSTRAINT keyauth_credentials_key_key UNIQUE (key),
  CONSTRAINT keyauth_credentials_consumer_fkey FOREIGN KEY (consumer_id) REFERENCES consumers (id) ON DELETE CASCADE,
  CONSTRAINT keyauth_credentials_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE INDEX keyauth_credentials_consumer_id_idx ON keyauth_credentials (consumer_id, id)

CREATE TABLE plugins (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  name TEXT NOT NULL,
  instance_name TEXT,
  route_id UUID,
  service_id UUID,
  consumer_id UUID,
  config JSONB,
  protocols JSONB NOT NULL,
  enabled BOOLEAN NOT NULL,
  tags JSONB,
  CONSTRAINT plugins_instance_name_key UNIQUE (instance_name),
  CONSTRAINT plugins_config_check CHECK (config IS NULL OR jsonb_typeof(config) = 'object'),
  CONSTRAINT plugins_protocols_check CHECK (protocols IS NULL OR jsonb_typeof(protocols) = 'array'),
  CONSTRAINT plugins_route_fkey FOREIGN KEY (route_id) REFERENCES routes (id) ON DELETE CASCADE,
  CONSTRAINT plugins_service_fkey FOREIGN KEY (service_id) REFERENCES services (id) ON DELETE CASCADE,
  CONSTRAINT plugins_consumer_fkey FOREIGN KEY (consumer_id) REFERENCES consumers (id) ON DELETE CASCADE,
  CONSTRAINT plugins_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

-- postgres: one plugin of a name per scope; no scope is the nil id, so that a second global one is a duplicate
CREATE UNIQUE INDEX plugins_scope_key ON plugins (
  name,
  COALESCE(route_id, '00000000-0000-0000-0000-000000000000'),
  COALESCE(service_id, '00000000-0000-0000-0000-000000000000'),
  COALESCE(consumer_id, '00000000-0000-0000-0000-000000000000')
)

-- sqlite: the same
CREATE UNIQUE INDEX plugins_scope_key ON plugins (
  name,
  COALESCE(route_id, x''),
  COALESCE(service_id, x''),
  COALESCE(consumer_id, x'')
)

CREATE INDEX plugins_route_id_idx ON plugins (route_id, id)

CREATE INDEX plugins_service_id_idx ON plugins (service_id, id)

CREATE INDEX plugins_consumer_id_idx ON plugins (consumer_id, id)
"#;

/// Children first.
const DROP: &[&str] = &[
    "plugins",
    "keyauth_credentials",
    "consumers",
    "routes",
    "targets",
    "upstreams",
    "services",
    "snis",
    "ca_certificates",
    "certificates",
];

ddl::migration!(TABLES, drop_tables(DROP));
