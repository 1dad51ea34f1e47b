//! The Admin API: HTTP in, `schema` for validity, `config_store` for truth.
