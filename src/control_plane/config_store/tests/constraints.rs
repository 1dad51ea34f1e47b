//! What the database refuses by itself, whoever asks.

use super::support::{Database, id, insert, on_both_engines, reference};
use crate::control_plane::config_store::integrity::explain;
use crate::control_plane::config_store::{Document, StoreError, Write};
use crate::model::Kind;
use serde_json::{Value, json};

async fn refused(database: &Database, sql: &str) {
    match database.sql(sql).await {
        Err(StoreError::Refused(_)) => {}
        other => panic!("{sql}: {other:?}"),
    }
}

on_both_engines!(
    /// Raw SQL cannot break the configuration.
    raw_sql_is_refused,
    async |database: &Database| {
        database
            .store
            .must(vec![
                insert(Kind::Certificates, 1, json!({})),
                insert(Kind::Services, 1, json!({"name": "s", "client_certificate": reference(1)})),
                insert(Kind::Routes, 1, json!({"name": "r", "service": reference(1)})),
                insert(Kind::Upstreams, 1, json!({"name": "u"})),
                insert(Kind::Targets, 1, json!({"target": "a:1"})),
                insert(Kind::Consumers, 1, json!({"username": "c", "custom_id": "x"})),
                insert(Kind::KeyauthCredentials, 1, json!({"key": "k"})),
                insert(Kind::Snis, 1, json!({"name": "n"})),
                insert(Kind::CaCertificates, 1, json!({"cert_digest": "d"})),
                insert(Kind::Plugins, 1, json!({"name": "cors"})),
                insert(Kind::Plugins, 2, json!({"name": "cors", "route": reference(1)})),
                insert(Kind::Plugins, 3, json!({"name": "jwt", "instance_name": "i"})),
                insert(Kind::BasicauthCredentials, 1, json!({"username": "u"})),
                insert(Kind::HmacauthCredentials, 1, json!({"username": "u"})),
                insert(Kind::JwtSecrets, 1, json!({"key": "k", "algorithm": "HS256"})),
                insert(Kind::Acls, 1, json!({"group": "g"})),
                insert(Kind::Oauth2Credentials, 1, json!({"client_id": "i"})),
                insert(Kind::Oauth2Tokens, 1, json!({"access_token": "a", "refresh_token": "r"})),
                insert(Kind::AcmeStorage, 1, json!({"key": "k"})),
                insert(Kind::Sessions, 1, json!({"session_id": "s"})),
                insert(Kind::Vaults, 1, json!({"prefix": "v"})),
                insert(Kind::KeySets, 1, json!({"name": "n"})),
                insert(Kind::Keys, 1, json!({"name": "n", "kid": "k"})),
                insert(Kind::Keys, 2, json!({"kid": "k", "set": reference(1)})),
            ])
            .await;
        let service = "INSERT INTO services (id, created_at, updated_at, name, protocol, host, port, enabled, client_certificate_id) VALUES";
        let plugin = "INSERT INTO plugins (id, created_at, updated_at, name, instance_name, route_id, service_id, consumer_id, protocols, enabled) VALUES";
        let application = "INSERT INTO oauth2_credentials (id, created_at, consumer_id, name, client_id, hash_secret, client_type) VALUES";
        let token = "INSERT INTO oauth2_tokens (id, created_at, credential_id, token_type, expires_in, access_token, refresh_token) VALUES";
        let key = "INSERT INTO keys (id, created_at, updated_at, set_id, name, kid, jwk, pem) VALUES";
        for row in [
            // Duplicates.
            format!("{service} (uuid(9), 0, 0, 's', 'http', 'h', 80, true, NULL)"),
            format!("{service} (uuid(1), 0, 0, 't', 'http', 'h', 80, true, NULL)"),
            "INSERT INTO consumers (id, created_at, updated_at, username) VALUES (uuid(9), 0, 0, 'c')".to_owned(),
            "INSERT INTO consumers (id, created_at, updated_at, custom_id) VALUES (uuid(9), 0, 0, 'x')".to_owned(),
            "INSERT INTO keyauth_credentials (id, created_at, consumer_id, key) VALUES (uuid(9), 0, uuid(1), 'k')".to_owned(),
            "INSERT INTO targets (id, created_at, updated_at, upstream_id, target) VALUES (uuid(9), 0.5, 0.5, uuid(1), 'a:1')".to_owned(),
            "INSERT INTO snis (id, created_at, updated_at, name, certificate_id) VALUES (uuid(9), 0, 0, 'n', uuid(1))".to_owned(),
            "INSERT INTO ca_certificates (id, created_at, updated_at, cert, cert_digest) VALUES (uuid(9), 0, 0, 'c', 'd')".to_owned(),
            // A second global plugin of a name, and a second one on a route.
            format!("{plugin} (uuid(9), 0, 0, 'cors', NULL, NULL, NULL, NULL, '[]', true)"),
            format!("{plugin} (uuid(9), 0, 0, 'cors', NULL, uuid(1), NULL, NULL, '[]', true)"),
            format!("{plugin} (uuid(9), 0, 0, 'acl', 'i', NULL, NULL, NULL, '[]', true)"),
            "INSERT INTO basicauth_credentials (id, created_at, consumer_id, username, password) VALUES (uuid(9), 0, uuid(1), 'u', 'p')".to_owned(),
            "INSERT INTO hmacauth_credentials (id, created_at, consumer_id, username) VALUES (uuid(9), 0, uuid(1), 'u')".to_owned(),
            "INSERT INTO jwt_secrets (id, created_at, consumer_id, key) VALUES (uuid(9), 0, uuid(1), 'k')".to_owned(),
            "INSERT INTO acls (id, created_at, consumer_id, \"group\") VALUES (uuid(9), 0, uuid(1), 'g')".to_owned(),
            format!("{application} (uuid(9), 0, uuid(1), 'a', 'i', true, 'public')"),
            format!("{token} (uuid(9), 0, uuid(1), 'bearer', 1, 'a', NULL)"),
            format!("{token} (uuid(9), 0, uuid(1), 'bearer', 1, NULL, 'r')"),
            "INSERT INTO acme_storage (id, created_at, key, value) VALUES (uuid(9), 0, 'k', 'v')".to_owned(),
            "INSERT INTO sessions (id, created_at, session_id) VALUES (uuid(9), 0, 's')".to_owned(),
            "INSERT INTO vaults (id, created_at, updated_at, prefix, name) VALUES (uuid(9), 0, 0, 'v', 'env')".to_owned(),
            "INSERT INTO key_sets (id, created_at, updated_at, name) VALUES (uuid(9), 0, 0, 'n')".to_owned(),
            format!("{key} (uuid(9), 0, 0, NULL, 'n', 'x', 'j', NULL)"),
            // A second key of an id outside of all sets, and a second one in a set.
            format!("{key} (uuid(9), 0, 0, NULL, NULL, 'k', 'j', NULL)"),
            format!("{key} (uuid(9), 0, 0, uuid(1), NULL, 'k', 'j', NULL)"),
            // Dangling keys.
            "UPDATE basicauth_credentials SET consumer_id = uuid(9)".to_owned(),
            "UPDATE hmacauth_credentials SET consumer_id = uuid(9)".to_owned(),
            "UPDATE jwt_secrets SET consumer_id = uuid(9)".to_owned(),
            "UPDATE acls SET consumer_id = uuid(9)".to_owned(),
            "UPDATE oauth2_credentials SET consumer_id = uuid(9)".to_owned(),
            "UPDATE oauth2_tokens SET credential_id = uuid(9)".to_owned(),
            "UPDATE oauth2_tokens SET service_id = uuid(9)".to_owned(),
            "UPDATE keys SET set_id = uuid(9)".to_owned(),
            format!("{service} (uuid(9), 0, 0, 't', 'http', 'h', 80, true, uuid(9))"),
            "UPDATE routes SET service_id = uuid(9)".to_owned(),
            "UPDATE targets SET upstream_id = uuid(9)".to_owned(),
            "UPDATE snis SET certificate_id = uuid(9)".to_owned(),
            "UPDATE keyauth_credentials SET consumer_id = uuid(9)".to_owned(),
            format!("{plugin} (uuid(9), 0, 0, 'acl', NULL, uuid(9), NULL, NULL, '[]', true)"),
            format!("{plugin} (uuid(9), 0, 0, 'acl', NULL, NULL, uuid(9), NULL, '[]', true)"),
            format!("{plugin} (uuid(9), 0, 0, 'acl', NULL, NULL, NULL, uuid(9), '[]', true)"),
            // Parents that are needed.
            "DELETE FROM services".to_owned(),
            "DELETE FROM certificates".to_owned(),
            // Wrong values.
            "UPDATE jwt_secrets SET algorithm = 'none'".to_owned(),
            "UPDATE oauth2_credentials SET client_type = 'x'".to_owned(),
            "UPDATE oauth2_credentials SET redirect_uris = '{}'".to_owned(),
            "UPDATE keys SET pem = '{}'".to_owned(),
            "UPDATE keys SET jwk = NULL".to_owned(),
            "UPDATE vaults SET config = '[]'".to_owned(),
            "UPDATE acls SET \"group\" = NULL".to_owned(),
            "UPDATE basicauth_credentials SET password = NULL".to_owned(),
            "UPDATE services SET port = 65536".to_owned(),
            "UPDATE services SET protocol = 'gopher'".to_owned(),
            "UPDATE routes SET protocols = '{}'".to_owned(),
            "UPDATE services SET host = NULL".to_owned(),
            "UPDATE consumers SET username = NULL, custom_id = NULL".to_owned(),
            "UPDATE certificates SET cert_alt = 'x'".to_owned(),
            "INSERT INTO config_revision (id, revision) VALUES (2, 0)".to_owned(),
        ] {
            refused(database, &row).await;
        }
        let kept = database.store.config().await.expect("reads");
        assert_eq!(kept.len(), 24);
    }
);

on_both_engines!(
    /// Deleting a parent past the store takes its children along.
    raw_deletes_cascade,
    async |database: &Database| {
        database
            .store
            .must(vec![
                insert(Kind::Routes, 1, json!({})),
                insert(Kind::Plugins, 1, json!({"route": reference(1)})),
                insert(Kind::Upstreams, 1, json!({})),
                insert(Kind::Targets, 1, json!({})),
                insert(Kind::Consumers, 1, json!({})),
                insert(Kind::KeyauthCredentials, 1, json!({})),
                insert(Kind::Plugins, 2, json!({"consumer": reference(1)})),
                insert(Kind::Certificates, 1, json!({})),
                insert(Kind::Snis, 1, json!({})),
                insert(Kind::BasicauthCredentials, 1, json!({})),
                insert(Kind::HmacauthCredentials, 1, json!({})),
                insert(Kind::JwtSecrets, 1, json!({})),
                insert(Kind::Acls, 1, json!({})),
                insert(Kind::Oauth2Credentials, 1, json!({})),
                insert(Kind::Oauth2Tokens, 1, json!({})),
                insert(Kind::KeySets, 1, json!({})),
                insert(Kind::Keys, 1, json!({"set": reference(1)})),
            ])
            .await;
        for parent in ["routes", "upstreams", "consumers", "certificates", "key_sets"] {
            database.sql(&format!("DELETE FROM {parent}")).await.expect("deletes");
        }
        assert!(database.store.config().await.expect("reads").is_empty());
    }
);

on_both_engines!(
    /// Columns have types, and what has another is refused.
    columns_are_typed,
    async |database: &Database| {
        database.store.must(vec![insert(Kind::Services, 1, json!({}))]).await;
        for set in ["port = 'x'", "created_at = 'x'", "tags = '{'", "enabled = 'x'", "id = 'x'"] {
            let result = database.sql(&format!("UPDATE services SET {set}")).await;
            assert!(result.is_err(), "{set}");
        }
    }
);

on_both_engines!(
    /// Should something else write to the tables, its collisions with our writes still have names.
    the_databases_words_are_understood,
    async |database: &Database| {
        database
            .store
            .must(vec![
                insert(Kind::Services, 1, json!({"name": "s"})),
                insert(Kind::Upstreams, 1, json!({})),
                insert(Kind::Targets, 1, json!({"target": "a:1"})),
                insert(Kind::Plugins, 1, json!({"name": "cors"})),
            ])
            .await;
        let explained = async |sql: &str, write: Write| {
            let refusal = database.sql(sql).await.expect_err("is refused");
            match explain(&write, refusal) {
                StoreError::UniqueViolation { fields, .. } => Value::Object(fields),
                other => panic!("{sql}: {other:?}"),
            }
        };
        let service = "INSERT INTO services (id, created_at, updated_at, name, protocol, host, port, enabled) VALUES (uuid(9), 0, 0, 's', 'http', 'h', 80, true)";
        let write = insert(Kind::Services, 9, json!({"name": "s"}));
        assert_eq!(explained(service, write).await, json!({"name": "s"}));

        let target = "INSERT INTO targets (id, created_at, updated_at, upstream_id, target) VALUES (uuid(9), 0.5, 0.5, uuid(1), 'a:1')";
        let write = insert(Kind::Targets, 9, json!({"target": "a:1"}));
        let fields = json!({"upstream": reference(1), "target": "a:1"});
        assert_eq!(explained(target, write).await, fields);

        let plugin = "INSERT INTO plugins (id, created_at, updated_at, name, protocols, enabled) VALUES (uuid(9), 0, 0, 'cors', '[]', true)";
        let write = insert(Kind::Plugins, 9, json!({"name": "cors"}));
        let fields = json!({"name": "cors", "route": null, "service": null, "consumer": null});
        assert_eq!(explained(plugin, write).await, fields);

        database.store.must(vec![
            insert(Kind::Consumers, 1, json!({})),
            insert(Kind::Acls, 1, json!({"group": "g"})),
            insert(Kind::Keys, 1, json!({"kid": "k"})),
        ]).await;
        let group = "INSERT INTO acls (id, created_at, consumer_id, \"group\") VALUES (uuid(9), 0, uuid(1), 'g')";
        let write = insert(Kind::Acls, 9, json!({"group": "g"}));
        let fields = json!({"consumer": reference(1), "group": "g"});
        assert_eq!(explained(group, write).await, fields);

        let key = "INSERT INTO keys (id, created_at, updated_at, kid, jwk) VALUES (uuid(9), 0, 0, 'k', 'j')";
        let write = insert(Kind::Keys, 9, json!({"kid": "k"}));
        assert_eq!(explained(key, write).await, json!({"kid": "k", "set": null}));

        let check = "UPDATE services SET port = -1";
        let refusal = database.sql(check).await.expect_err("is refused");
        let write = Write::Upsert { kind: Kind::Services, document: Document::new() };
        assert!(matches!(explain(&write, refusal), StoreError::Refused(_)));
        let left = database.store.entities().get(Kind::Services, &id(9).into()).await.expect("reads");
        assert_eq!(left, None);
    }
);
