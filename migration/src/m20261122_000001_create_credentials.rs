//! What consumers prove themselves with, and what plugins keep of clients.

use crate::ddl;

const TABLES: &str = r#"
CREATE TABLE basicauth_credentials (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  consumer_id UUID NOT NULL,
  username TEXT NOT NULL,
  password TEXT NOT NULL,
  tags JSONB,
  CONSTRAINT basicauth_credentials_username_key UNIQUE (username),
  CONSTRAINT basicauth_credentials_consumer_fkey FOREIGN KEY (consumer_id) REFERENCES consumers (id) ON DELETE CASCADE,
  CONSTRAINT basicauth_credentials_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE INDEX basicauth_credentials_consumer_id_idx ON basicauth_credentials (consumer_id, id)

CREATE TABLE hmacauth_credentials (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  consumer_id UUID NOT NULL,
  username TEXT NOT NULL,
  secret TEXT,
  tags JSONB,
  CONSTRAINT hmacauth_credentials_username_key UNIQUE (username),
  CONSTRAINT hmacauth_credentials_consumer_fkey FOREIGN KEY (consumer_id) REFERENCES consumers (id) ON DELETE CASCADE,
  CONSTRAINT hmacauth_credentials_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE INDEX hmacauth_credentials_consumer_id_idx ON hmacauth_credentials (consumer_id, id)

CREATE TABLE jwt_secrets (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  consumer_id UUID NOT NULL,
  key TEXT,
  secret TEXT,
  rsa_public_key TEXT,
  algorithm TEXT,
  tags JSONB,
  CONSTRAINT jwt_secrets_key_key UNIQUE (key),
  CONSTRAINT jwt_secrets_algorithm_check CHECK (algorithm IN ('HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'EdDSA')),
  CONSTRAINT jwt_secrets_consumer_fkey FOREIGN KEY (consumer_id) REFERENCES consumers (id) ON DELETE CASCADE,
  CONSTRAINT jwt_secrets_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE INDEX jwt_secrets_consumer_id_idx ON jwt_secrets (consumer_id, id)

CREATE TABLE acls (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  consumer_id UUID NOT NULL,
  "group" TEXT NOT NULL,
  tags JSONB,
  CONSTRAINT acls_consumer_group_key UNIQUE (consumer_id, "group"),
  CONSTRAINT acls_consumer_fkey FOREIGN KEY (consumer_id) REFERENCES consumers (id) ON DELETE CASCADE,
  CONSTRAINT acls_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE TABLE oauth2_credentials (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  consumer_id UUID NOT NULL,
  name TEXT NOT NULL,
  client_id TEXT,
  client_secret TEXT,
  hash_secret BOOLEAN NOT NULL,
  redirect_uris JSONB,
  client_type TEXT NOT NULL,
  tags JSONB,
  CONSTRAINT oauth2_credentials_client_id_key UNIQUE (client_id),
  CONSTRAINT oauth2_credentials_client_type_check CHECK (client_type IN ('confidential', 'public')),
  CONSTRAINT oauth2_credentials_redirect_uris_check CHECK (redirect_uris IS NULL OR jsonb_typeof(redirect_uris) = 'array'),
  CONSTRAINT oauth2_credentials_consumer_fkey FOREIGN KEY (consumer_id) REFERENCES consumers (id) ON DELETE CASCADE,
  CONSTRAINT oauth2_credentials_tags_check CHECK (tags IS NULL OR jsonb_typeof(tags) = 'array')
)

CREATE INDEX oauth2_credentials_consumer_id_idx ON oauth2_credentials (consumer_id, id)

CREATE TABLE oauth2_tokens (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  service_id UUID,
  credential_id UUID NOT NULL,
  token_type TEXT NOT NULL,
  expires_in BIGINT NOT NULL,
  access_token TEXT,
  refresh_token TEXT,
  authenticated_userid TEXT,
  scope TEXT,
  ttl BIGINT,
  CONSTRAINT oauth2_tokens_access_token_key UNIQUE (access_token),
  CONSTRAINT oauth2_tokens_refresh_token_key UNIQUE (refresh_token),
  CONSTRAINT oauth2_tokens_service_fkey FOREIGN KEY (service_id) REFERENCES services (id) ON DELETE CASCADE,
  CONSTRAINT oauth2_tokens_credential_fkey FOREIGN KEY (credential_id) REFERENCES oauth2_credentials (id) ON DELETE CASCADE
)

CREATE INDEX oauth2_tokens_service_id_idx ON oauth2_tokens (service_id, id)

CREATE INDEX oauth2_tokens_credential_id_idx ON oauth2_tokens (credential_id, id)

CREATE TABLE acme_storage (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  ttl BIGINT,
  CONSTRAINT acme_storage_key_key UNIQUE (key)
)

CREATE TABLE sessions (
  id UUID NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  session_id TEXT NOT NULL,
  expires BIGINT,
  data TEXT,
  ttl BIGINT,
  CONSTRAINT sessions_session_id_key UNIQUE (session_id)
)
"#;

/// Children first.
const DROP: &[&str] = &[
    "sessions",
    "acme_storage",
    "oauth2_tokens",
    "oauth2_credentials",
    "acls",
    "jwt_secrets",
    "hmacauth_credentials",
    "basicauth_credentials",
];

ddl::migration!(TABLES, drop_tables(DROP));
