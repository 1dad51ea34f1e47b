//! What a write does and what it answers when it does not.

use super::journal::fold;
use super::support::{Database, delete, document, id, insert, on_both_engines, reference, upsert};
use crate::control_plane::config_store::integrity::MOST_UNIQUE_BYTES;
use crate::control_plane::config_store::{Key, StoreError, Write};
use crate::model::{Kind, Op, Revision, Row};
use serde_json::{Value, json};
use std::time::Duration;

on_both_engines!(a_document_comes_back_whole, async |database: &Database| {
    let store = &database.store;
    let fields = json!({
        "name": "é \" '", "retries": 5, "path": "/p", "tags": ["b", "a"],
        "tls_verify": true, "ca_certificates": [id(7)],
    });
    let committed = store.must(vec![insert(Kind::Services, 1, fields)]).await;
    assert_eq!(committed.revision, Revision(1));
    let expected = json!({
        "id": id(1), "created_at": 1_700_000_000, "updated_at": 1_700_000_000,
        "name": "é \" '", "retries": 5, "protocol": "http", "host": "h", "port": 80,
        "path": "/p", "connect_timeout": null, "write_timeout": null, "read_timeout": null,
        "tags": ["b", "a"], "client_certificate": null, "tls_verify": true,
        "tls_verify_depth": null, "ca_certificates": [id(7)], "enabled": true,
    });
    let stored = committed.documents[0].clone().expect("a document");
    assert_eq!(Value::Object(stored.clone()), expected);
    let read = store
        .entities()
        .get(Kind::Services, &Key::Id(id(1)))
        .await
        .expect("reads");
    assert_eq!(read, Some(stored.clone()));
    let row = Row::from_json(&stored);
    let put = Op::Put {
        kind: Kind::Services,
        id: id(1),
        row,
    };
    assert_eq!(committed.ops, [put]);
});

on_both_engines!(
    /// Every kind with every shape of column.
    all_kinds_are_stored,
    async |database: &Database| {
        let store = &database.store;
        let fields = |kind| match kind {
            Kind::Routes => json!({
                "service": reference(1), "headers": {"X-A": ["1", "2"]}, "regex_priority": -3,
                "sources": [{"ip": "10.0.0.0/8", "port": null}], "snis": [], "paths": ["/"],
            }),
            Kind::Plugins => json!({
                "route": reference(1), "service": reference(1), "consumer": reference(1),
                "config": {"n": 0.1, "e": 1e-7, "big": 9_007_199_254_740_991_i64, "none": null, "l": [1, {"x": "y"}]},
            }),
            Kind::Upstreams => json!({
                "healthchecks": {"active": {"healthy": {"interval": 2.5}}}, "client_certificate": reference(1),
            }),
            Kind::KeyauthCredentials | Kind::AcmeStorage => json!({"ttl": 1_800_000_000}),
            Kind::Sessions => json!({"ttl": 1_800_000_000, "expires": 5, "data": "d"}),
            Kind::Oauth2Tokens => json!({"ttl": 1_800_000_000, "service": reference(1)}),
            Kind::Vaults => json!({"config": {"prefix": null}, "description": "d"}),
            Kind::Keys => json!({
                "set": reference(1), "jwk": null, "pem": {"public_key": "p", "private_key": null},
            }),
            Kind::Oauth2Credentials => json!({"redirect_uris": ["http://a"], "hash_secret": true}),
            _ => json!({"tags": ["a"]}),
        };
        let writes = Kind::ALL.map(|kind| insert(kind, 1, fields(kind)));
        let committed = store.must(writes.to_vec()).await;
        for (kind, stored) in Kind::ALL.into_iter().zip(&committed.documents) {
            let stored = stored.as_ref().expect("a document");
            for (name, value) in document(kind, 1, fields(kind)) {
                assert_eq!(stored[&name], value, "{kind}.{name}");
            }
            let read = store.entities().get(kind, &Key::Id(id(1))).await.expect("reads");
            assert_eq!(read.as_ref(), Some(stored), "{kind}");
        }
        let target = committed.documents[Kind::Targets as usize].as_ref();
        let target = target.expect("a target");
        assert_eq!(target["created_at"], json!(1_700_000_000.123));
        assert_eq!(store.config().await.expect("reads").len(), Kind::ALL.len());
    }
);

on_both_engines!(
    an_update_replaces_and_bumps_updated_at,
    async |database: &Database| {
        let store = &database.store;
        let fields = json!({"created_at": 5, "name": "a", "path": "/p"});
        store.must(vec![insert(Kind::Services, 1, fields)]).await;
        database.pass(Duration::from_secs(10));
        let new = document(Kind::Services, 1, json!({"created_at": 5, "name": "b"}));
        let update = Write::Update {
            kind: Kind::Services,
            document: new,
            read: None,
        };
        let committed = store.must(vec![update.clone()]).await;
        let stored = committed.documents[0].as_ref().expect("a document");
        assert_eq!(stored["created_at"], 5);
        assert_eq!(stored["updated_at"], 1_700_000_010);
        assert_eq!(
            (&stored["name"], &stored["path"]),
            (&json!("b"), &Value::Null)
        );

        database.pass(Duration::from_secs(1));
        let again = store.must(vec![update]).await;
        assert_eq!(again.revision, Revision(3));
        let stored = again.documents[0].as_ref().expect("a document");
        assert_eq!(stored["updated_at"], 1_700_000_011);
    }
);

on_both_engines!(
    an_update_can_insist_on_what_was_read,
    async |database: &Database| {
        let store = &database.store;
        let first = store.must(vec![insert(Kind::Services, 1, json!({}))]).await;
        let read = Row::from_json(first.documents[0].as_ref().expect("a document"));
        let update = |name: &str| Write::Update {
            kind: Kind::Services,
            document: document(Kind::Services, 1, json!({"created_at": 1, "name": name})),
            read: Some(read.clone()),
        };
        store.must(vec![update("mine")]).await;
        let late = store.write(vec![update("theirs")]).await;
        assert!(
            matches!(
                late,
                Err(StoreError::Conflict {
                    kind: Kind::Services,
                    ..
                })
            ),
            "{late:?}"
        );
        let kept = store
            .entities()
            .get(Kind::Services, &Key::Id(id(1)))
            .await
            .expect("reads");
        assert_eq!(kept.expect("is there")["name"], "mine");
    }
);

on_both_engines!(
    an_upsert_inserts_then_replaces,
    async |database: &Database| {
        let store = &database.store;
        store
            .must(vec![upsert(Kind::Consumers, 1, json!({"custom_id": "x"}))])
            .await;
        let second = store
            .must(vec![upsert(Kind::Consumers, 1, json!({"username": "u"}))])
            .await;
        let stored = second.documents[0].as_ref().expect("a document");
        assert_eq!(
            (&stored["username"], &stored["custom_id"]),
            (&json!("u"), &Value::Null)
        );
        assert_eq!(
            store
                .entities()
                .count(Kind::Consumers)
                .await
                .expect("counts"),
            1
        );
    }
);

on_both_engines!(
    /// Each refusal says exactly what is wrong, and leaves nothing behind.
    refusals_are_exact,
    async |database: &Database| {
        let store = &database.store;
        let setup = vec![
            insert(Kind::Certificates, 1, json!({})),
            insert(Kind::CaCertificates, 4, json!({})),
            insert(Kind::Services, 1, json!({"name": "s", "client_certificate": reference(1), "ca_certificates": [id(4)]})),
            insert(Kind::Routes, 1, json!({"service": reference(1)})),
            insert(Kind::Plugins, 1, json!({"name": "cors"})),
            insert(Kind::Plugins, 2, json!({"name": "cors", "service": reference(1)})),
            insert(Kind::Upstreams, 1, json!({})),
            insert(Kind::Targets, 1, json!({"target": "a:1"})),
        ];
        store.must(setup).await;
        let before = store.config().await.expect("reads");
        let fine = || insert(Kind::Consumers, 50, json!({}));
        let fails = async |write: Write| {
            let result = store.write(vec![fine(), write]).await;
            format!("{:?}", result.map(|_| ()).expect_err("is refused"))
        };
        let unique = async |write: Write, expected: Value| {
            match store.write(vec![fine(), write]).await {
                Err(StoreError::UniqueViolation { fields, .. }) => {
                    assert_eq!(Value::Object(fields), expected);
                }
                other => panic!("{other:?}"),
            }
        };
        unique(insert(Kind::Services, 9, json!({"name": "s"})), json!({"name": "s"})).await;
        unique(upsert(Kind::Services, 9, json!({"name": "s"})), json!({"name": "s"})).await;
        unique(
            insert(Kind::Targets, 9, json!({"target": "a:1"})),
            json!({"upstream": reference(1), "target": "a:1"}),
        ).await;
        unique(
            insert(Kind::Plugins, 9, json!({"name": "cors"})),
            json!({"name": "cors", "route": null, "service": null, "consumer": null}),
        ).await;
        unique(
            insert(Kind::Plugins, 9, json!({"name": "cors", "service": reference(1)})),
            json!({"name": "cors", "route": null, "service": reference(1), "consumer": null}),
        ).await;
        let missing = id(99);
        let update = |document| Write::Update { kind: Kind::Services, document, read: None };
        for (write, expected) in [
            (insert(Kind::Services, 1, json!({"name": "t"})), format!("services {} exists already", id(1))),
            (
                insert(Kind::Routes, 9, json!({"service": {"id": missing}})),
                format!("service of routes names services {missing}, which does not exist"),
            ),
            (
                upsert(Kind::Plugins, 9, json!({"name": "acl", "consumer": {"id": missing}})),
                format!("consumer of plugins names consumers {missing}, which does not exist"),
            ),
            (delete(Kind::Services, 1), format!("services {} is referenced by routes", id(1))),
            (delete(Kind::Certificates, 1), format!("certificates {} is referenced by services", id(1))),
            (delete(Kind::CaCertificates, 4), format!("ca_certificates {} is listed by services {}", id(4), id(1))),
            (update(document(Kind::Services, 9, json!({"created_at": 1}))), format!("services {} does not exist", id(9))),
            (insert(Kind::Services, 9, json!({"port": "secret"})), "services.port: expected i64".to_owned()),
            (insert(Kind::Services, 9, json!({"prot": 1})), "services.prot: unknown field".to_owned()),
            (insert(Kind::Services, 9, json!({"tags": ["a\0b"]})), "services.tags: must not contain a NUL character".to_owned()),
            (insert(Kind::Services, 9, json!({"id": "x"})), "services.id: expected an id".to_owned()),
            (update(document(Kind::Services, 1, json!({}))), "services.created_at: missing field".to_owned()),
        ] {
            assert_eq!(fails(write).await, expected);
        }
        let out_of_range = store.write(vec![insert(Kind::Services, 9, json!({"port": 70_000}))]).await;
        assert!(matches!(out_of_range, Err(StoreError::Refused(_))), "{out_of_range:?}");
        let after = store.config().await.expect("reads");
        assert_eq!(after, before);
    }
);

on_both_engines!(
    /// A name used twice within one write is found too.
    duplicates_within_a_write_are_refused,
    async |database: &Database| {
        let twice = vec![
            insert(Kind::Services, 1, json!({"name": "s"})),
            insert(Kind::Services, 2, json!({"name": "s"})),
        ];
        let result = database.store.write(twice).await;
        assert!(matches!(result, Err(StoreError::UniqueViolation { .. })), "{result:?}");
        assert_eq!(database.store.latest_revision().await.expect("reads"), Revision(0));
    }
);

on_both_engines!(
    deletes_cascade_within_their_revision,
    async |database: &Database| {
        let store = &database.store;
        store
            .must(vec![
                insert(Kind::Certificates, 1, json!({})),
                insert(Kind::Snis, 2, json!({})),
                insert(Kind::Consumers, 1, json!({})),
                insert(Kind::KeyauthCredentials, 3, json!({})),
                insert(Kind::KeyauthCredentials, 4, json!({})),
                insert(Kind::Routes, 5, json!({})),
                insert(
                    Kind::Plugins,
                    6,
                    json!({"consumer": reference(1), "route": reference(5)}),
                ),
                insert(Kind::Plugins, 7, json!({})),
            ])
            .await;
        let consumer = store.must(vec![delete(Kind::Consumers, 1)]).await;
        let gone: Vec<_> = consumer.ops.iter().map(Op::key).collect();
        assert_eq!(
            gone,
            [
                (Kind::Consumers, id(1)),
                (Kind::KeyauthCredentials, id(3)),
                (Kind::KeyauthCredentials, id(4)),
                (Kind::Plugins, id(6)),
            ]
        );
        assert_eq!(consumer.documents, [None]);
        let certificate = store.must(vec![delete(Kind::Certificates, 1)]).await;
        assert_eq!(certificate.ops.len(), 2);
        assert_eq!(certificate.revision, Revision(3));
        let left: Vec<_> = store
            .config()
            .await
            .expect("reads")
            .iter()
            .map(|(k, id, _)| (k, id))
            .collect();
        assert_eq!(left, [(Kind::Routes, id(5)), (Kind::Plugins, id(7))]);
    }
);

on_both_engines!(
    a_delete_of_nothing_is_no_revision,
    async |database: &Database| {
        let store = &database.store;
        store.must(vec![insert(Kind::Routes, 1, json!({}))]).await;
        let nothing = store
            .must(vec![delete(Kind::Routes, 2), delete(Kind::Plugins, 1)])
            .await;
        assert_eq!((nothing.revision, nothing.ops.len()), (Revision(1), 0));
        assert_eq!(nothing.documents, [None, None]);
        let empty = store.must(Vec::new()).await;
        assert_eq!((empty.revision, empty.ops.len()), (Revision(1), 0));
        assert_eq!(store.latest_revision().await.expect("reads"), Revision(1));
    }
);

on_both_engines!(
    what_has_expired_is_hidden_then_deleted,
    async |database: &Database| {
        let store = &database.store;
        let expiry = 1_700_000_100;
        store
            .must(vec![
                insert(Kind::Consumers, 1, json!({})),
                insert(Kind::KeyauthCredentials, 1, json!({"ttl": expiry})),
                insert(Kind::KeyauthCredentials, 2, json!({})),
            ])
            .await;
        let by_key = Key::Unique("key", json!("key-1"));
        let kind = Kind::KeyauthCredentials;
        let is_seen = async || {
            let found = store.entities().get(kind, &by_key).await;
            found.expect("reads").is_some()
        };
        assert!(is_seen().await);
        assert_eq!(store.delete_expired().await.expect("deletes"), None);
        database.pass(Duration::from_secs(100));
        assert!(!is_seen().await);
        assert_eq!(store.entities().count(kind).await.expect("counts"), 1);
        assert_eq!(store.config().await.expect("reads").len(), 3);
        let (revision, ops) = store
            .delete_expired()
            .await
            .expect("deletes")
            .expect("something");
        assert_eq!((revision, ops.len()), (Revision(2), 1));
        assert_eq!(store.config().await.expect("reads").len(), 2);
    }
);

on_both_engines!(
    /// It is hidden: nothing may seem to be in the way that nobody can see.
    what_has_expired_is_in_nobodys_way,
    async |database: &Database| {
        let store = &database.store;
        let kind = Kind::KeyauthCredentials;
        let expiry = 1_700_000_100;
        let key = |n: u128| insert(kind, n, json!({"key": "k", "ttl": expiry}));
        store.must(vec![insert(Kind::Consumers, 1, json!({})), key(1)]).await;
        let refused = store.write(vec![key(2)]).await.expect_err("is taken");
        assert!(matches!(refused, StoreError::UniqueViolation { .. }), "{refused:?}");
        database.pass(Duration::from_secs(100));
        let made = store.must(vec![insert(kind, 2, json!({"key": "k"}))]).await;
        let keys: Vec<_> = made.ops.iter().map(Op::key).collect();
        assert_eq!(keys, [(kind, id(1)), (kind, id(2))]);
        assert!(matches!(made.ops[0], Op::Delete { .. }));
        // By its id, too.
        store.must(vec![insert(kind, 3, json!({"ttl": expiry}))]).await;
        let again = store.must(vec![insert(kind, 3, json!({"key": "other"}))]).await;
        assert_eq!(again.ops.len(), 1);
        assert_eq!(fold(store).await, store.config().await.expect("reads"));
    }
);

on_both_engines!(
    /// PostgreSQL refuses to index more.
    a_unique_value_is_limited,
    async |database: &Database| {
        let store = &database.store;
        // Not to be compressed.
        let long = |bytes: usize| -> String {
            (0..).flat_map(|n: u128| id(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).simple().to_string().into_bytes()).map(char::from).take(bytes).collect()
        };
        store.must(vec![insert(Kind::Services, 1, json!({"name": long(MOST_UNIQUE_BYTES)}))]).await;
        let plugin = json!({"name": long(MOST_UNIQUE_BYTES)});
        store.must(vec![insert(Kind::Plugins, 1, plugin)]).await;
        let kid = json!({"kid": long(MOST_UNIQUE_BYTES)});
        store.must(vec![insert(Kind::Keys, 1, kid)]).await;
        let name = json!({"name": long(MOST_UNIQUE_BYTES + 1)});
        let refused = store.write(vec![insert(Kind::Services, 2, name)]).await;
        match refused.expect_err("is too long") {
            StoreError::Malformed { field, reason, .. } => assert_eq!(
                (field.as_str(), reason.as_str()),
                ("name", "length must be at most 2500"),
            ),
            other => panic!("{other:?}"),
        }
    }
);

on_both_engines!(
    /// More rows than one statement takes.
    a_large_write_is_one_revision,
    async |database: &Database| {
        let store = &database.store;
        let writes = (1..=1_201).map(|n| insert(Kind::Routes, n, json!({"name": format!("r{n}")})));
        let committed = store.must(writes.collect()).await;
        assert_eq!(committed.revision, Revision(1));
        assert_eq!(committed.documents[700].as_ref().expect("a document")["name"], "r701");
        let config = store.config().await.expect("reads");
        assert_eq!(config.len(), 1_201);
    }
);
