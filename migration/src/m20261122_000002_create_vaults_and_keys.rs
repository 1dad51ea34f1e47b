//! Vaults, and keys in sets.

use crate::ddl;
use sea_orm_migration::prelude::*;

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

-- postgres: containment is how tags are looked for
CREATE INDEX vaults_tags_idx ON vaults USING GIN (tags jsonb_path_ops)

CREATE TABLE key_sets (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  name TEXT,
  tags JSONB,
  CONSTRAINT key_sets_name_key UNIQUE (name),
  CONSTRAINT key_sets_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

-- postgres: containment is how tags are looked for
CREATE INDEX key_sets_tags_idx ON key_sets USING GIN (tags jsonb_path_ops)

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

-- postgres: containment is how tags are looked for
CREATE INDEX keys_tags_idx ON keys USING GIN (tags jsonb_path_ops)

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

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, TABLES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::drop_tables(manager, DROP).await
    }
}
