//! Databases to test on, and documents to write.

use crate::control_plane::config_store::{
    Committed, DatabaseSettings, Document, PostgresSettings, SqliteSettings, Store, StoreError,
    Tempo, Write,
};
use crate::model::Kind;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use uuid::Uuid;

/// A test body that runs on both engines, as `name::sqlite` and `name::postgres`.
macro_rules! on_both_engines {
    ($(#[$doc:meta])* $name:ident, $body:expr) => {
        $(#[$doc])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            #[test]
            fn sqlite() {
                $crate::control_plane::config_store::tests::support::run_on_sqlite($body);
            }

            #[test]
            fn postgres() {
                $crate::control_plane::config_store::tests::support::run_on_postgres($body);
            }
        }
    };
}
pub(super) use on_both_engines;

/// One empty, migrated database. Its clock stands still until it is moved.
pub(super) struct Database {
    pub settings: DatabaseSettings,
    pub store: Store,
    clock: Arc<AtomicU64>,
    _directory: Option<tempfile::TempDir>,
}

impl Database {
    async fn open(settings: DatabaseSettings, directory: Option<tempfile::TempDir>) -> Database {
        let clock = Arc::new(AtomicU64::new(1_700_000_000_123));
        let store = connect(&settings, &clock).await;
        let database = Database {
            settings,
            store,
            clock,
            _directory: directory,
        };
        database.store.migrate().await.expect("migrates");
        database
    }

    /// Another control plane on the same database.
    pub async fn another_store(&self) -> Store {
        connect(&self.settings, &self.clock).await
    }

    pub fn pass(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).expect("a short time");
        self.clock.fetch_add(time, Ordering::SeqCst);
    }

    pub fn settings_are_postgres(&self) -> bool {
        matches!(self.settings, DatabaseSettings::Postgres(_))
    }

    /// Runs SQL past the store; `sql` is written for PostgreSQL with `uuid(n)` for an id.
    pub async fn sql(&self, sql: &str) -> Result<(), StoreError> {
        let sqlite = !self.settings_are_postgres();
        let mut sql = sql.to_owned();
        for n in 0..100 {
            let id = id(n);
            let literal = match sqlite {
                true => format!("x'{}'", id.simple()),
                false => format!("'{id}'"),
            };
            sql = sql.replace(&format!("uuid({n})"), &literal);
        }
        let result = self.store.db().execute_unprepared(&sql).await;
        Ok(result.map(|_| ())?)
    }
}

async fn connect(settings: &DatabaseSettings, clock: &Arc<AtomicU64>) -> Store {
    let clock = Arc::clone(clock);
    let tempo = Tempo {
        now: Arc::new(move || UNIX_EPOCH + Duration::from_millis(clock.load(Ordering::SeqCst))),
        poll: match settings {
            DatabaseSettings::Sqlite(_) => Duration::from_millis(5),
            // Never: what is noticed came by notification.
            DatabaseSettings::Postgres(_) => Duration::from_secs(3600),
        },
    };
    Store::connect_with(settings, tempo)
        .await
        .expect("connects")
}

pub(super) fn run_on_sqlite(body: impl AsyncFn(&Database)) {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = SqliteSettings::new(directory.path().join("langur.db"));
        let database = Database::open(DatabaseSettings::Sqlite(settings), Some(directory)).await;
        body(&database).await;
        database.store.close().await;
    });
}

pub(super) fn run_on_postgres(body: impl AsyncFn(&Database)) {
    let Ok(url) = std::env::var("LANGUR_TEST_POSTGRES") else {
        eprintln!("skipped: LANGUR_TEST_POSTGRES is not set");
        return;
    };
    block_on(async {
        let schema = format!("test_{}", Uuid::new_v4().simple());
        let settings = PostgresSettings {
            schema: Some(schema.clone()),
            max_connections: 4,
            connect_timeout: Duration::from_secs(30),
            ..postgres_settings(&url)
        };
        let settings = DatabaseSettings::Postgres(Box::new(settings));
        let clock = Arc::new(AtomicU64::new(0));
        let outside = connect(&settings, &clock).await;
        let run = |sql: String| {
            let db = outside.0.db.clone();
            async move { db.execute_unprepared(&sql).await.expect("runs") }
        };
        run(format!("CREATE SCHEMA {schema}")).await;
        let database = Database::open(settings.clone(), None).await;
        body(&database).await;
        database.store.close().await;
        run(format!("DROP SCHEMA {schema} CASCADE")).await;
        outside.close().await;
    });
}

pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// `postgres://user[:password]@host[:port]/database`.
fn postgres_settings(url: &str) -> PostgresSettings {
    let rest = url.split_once("://").expect("a URL").1;
    let (login, place) = rest.split_once('@').expect("a user");
    let (server, database) = place.split_once('/').expect("a database");
    let (host, port) = server.split_once(':').unwrap_or((server, "5432"));
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password.to_owned())),
        None => (login, None),
    };
    PostgresSettings {
        port: port.parse().expect("a port"),
        password,
        ..PostgresSettings::new(host, user, database)
    }
}

pub(super) fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// A valid entity of the kind with this id; `fields` are put over it.
pub(super) fn document(kind: Kind, n: u128, fields: Value) -> Document {
    let base = match kind {
        Kind::Certificates => json!({"cert": "c", "key": "k"}),
        Kind::CaCertificates => json!({"cert": "c"}),
        Kind::Snis => json!({"name": format!("sni-{n}"), "certificate": reference(1)}),
        Kind::Services => {
            json!({"protocol": "http", "host": "h", "port": 80, "enabled": true})
        }
        Kind::Upstreams => json!({"name": format!("upstream-{n}"), "healthchecks": {}}),
        Kind::Targets => json!({"upstream": reference(1), "target": format!("t-{n}:80")}),
        Kind::Routes => json!({
            "protocols": ["http"], "https_redirect_status_code": 426, "strip_path": true,
            "preserve_host": false, "request_buffering": true, "response_buffering": true,
        }),
        Kind::Consumers => json!({"username": format!("consumer-{n}")}),
        Kind::KeyauthCredentials | Kind::JwtSecrets => {
            json!({"consumer": reference(1), "key": format!("key-{n}")})
        }
        Kind::BasicauthCredentials => {
            json!({"consumer": reference(1), "username": format!("user-{n}"), "password": "p"})
        }
        Kind::HmacauthCredentials => {
            json!({"consumer": reference(1), "username": format!("user-{n}")})
        }
        Kind::Acls => json!({"consumer": reference(1), "group": format!("group-{n}")}),
        Kind::Oauth2Credentials => json!({
            "consumer": reference(1), "name": "app", "client_id": format!("client-{n}"),
            "hash_secret": false, "client_type": "confidential",
        }),
        Kind::Oauth2Tokens => {
            json!({"credential": reference(1), "token_type": "bearer", "expires_in": 5})
        }
        Kind::AcmeStorage => json!({"key": format!("key-{n}"), "value": "v"}),
        Kind::Sessions => json!({"session_id": format!("session-{n}")}),
        Kind::Vaults => json!({"prefix": format!("prefix-{n}"), "name": "env"}),
        Kind::KeySets => json!({"name": format!("set-{n}")}),
        Kind::Keys => json!({"kid": format!("kid-{n}"), "jwk": "{}"}),
        Kind::Plugins => {
            json!({"name": "key-auth", "protocols": ["http"], "enabled": true, "config": {}})
        }
    };
    let mut document = base.as_object().expect("an object").clone();
    document.insert("id".to_owned(), json!(id(n)));
    document.extend(fields.as_object().expect("an object").clone());
    document
}

/// How a document points to its parent.
pub(super) fn reference(n: u128) -> Value {
    json!({"id": id(n)})
}

pub(super) fn insert(kind: Kind, n: u128, fields: Value) -> Write {
    Write::Insert {
        kind,
        document: document(kind, n, fields),
    }
}

pub(super) fn upsert(kind: Kind, n: u128, fields: Value) -> Write {
    Write::Upsert {
        kind,
        document: document(kind, n, fields),
    }
}

pub(super) fn delete(kind: Kind, n: u128) -> Write {
    Write::Delete { kind, id: id(n) }
}

impl Store {
    /// A write that must succeed.
    pub(super) async fn must(&self, writes: Vec<Write>) -> Committed {
        self.write(writes).await.expect("is written")
    }
}
