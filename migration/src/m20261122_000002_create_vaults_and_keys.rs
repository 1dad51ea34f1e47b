//! Vaults, and keys in sets.

use crate::ddl;

const TABLES: &str = r#"
CREATE TABLE vaults (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  prefix TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT,
  config JSONB,
  tags JSONB,
  CONSTRAINT vaults_prefix_key UNIQUE (prefix),
  CONSTRAINT vaults_config_check CHECK (config IS NULL OR jsonb_typeof(config) = 'object'),
  CONSTRAINT vaults_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE TABLE key_sets (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  name TEXT,
  tags JSONB,
  CONSTRAINT key_sets_name_key UNIQUE (name),
  CONSTRAINT key_sets_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE TABLE keys (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  set_id UUID,
  name TEXT,
  kid TEXT NOT NULL,
  jwk TEXT,
  pem JSONB,
  tags JSONB,
  CONSTRAINT keys_name_key UNIQUE (name),
  CONSTRAINT keys_content_check CHECK ((jwk IS NULL) <> (pem IS NULL)),
  CONSTRAINT keys_pem_check CHECK (pem IS NULL OR jsonb_typeof(pem) = 'object'),
  CONSTRAINT keys_set_fkey FOREIGN KEY (set_id) REFERENCES key_sets (id) ON DELETE CASCADE,
  CONSTRAINT keys_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

-- postgres: one key of an id per set; no set is the nil id, so that a second one outside is a duplicate
CREATE UNIQUE INDEX keys_kid_set_key ON keys (
  kid,
  COALESCE(set_id, '00000000-0000-0000-0000-000000000000')
)

-- sqlite: the same
CREATE UNIQUE INDEX keys_kid_set_key ON keys (
  kid,
  COALESCE(set_id, x'')
)

CREATE INDEX keys_set_id_idx ON keys (set_id, id)
"#;

/// Children first.
const DROP: &[&str] = &["keys", "key_sets", "vaults"];

ddl::migration!(TABLES, drop_tables(DROP));
