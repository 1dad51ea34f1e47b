//! An Admin API to ask, and what it answered.

use crate::actor::Registry;
use crate::control_plane::admin_api::{self, AnswerHeaders, Api, Description, Node, Shared};
use crate::control_plane::cluster_registry::{Fleet, history};
use crate::control_plane::config_store::{
    ConfigStoreHandle, DatabaseSettings, Retention, SqliteSettings, Store,
};
use crate::control_plane::session::Feed;
use crate::declared::Rules;
use crate::link::LocalFuture;
use crate::schema::{PLUGINS, Role, RouterFlavor};
use crate::settings::{LogControl, LogLevel, Pages};
use crate::telemetry::metrics::{MetricOptions, Metrics, NodeIdentity};
use crate::telemetry::status::{NodeState, NodeStatus, StatusContext};
use crate::wire::Limits;
use actix_web::App;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::{Method, header::HeaderMap};
use actix_web::test::{TestRequest, init_service, read_body};
use actix_web::web::Data;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use uuid::Uuid;

/// Bytes of a body that the tested API reads.
pub const MAX_BODY: usize = 64 * 1024;

struct Reachable;

impl NodeStatus for Reachable {
    fn state(&self) -> LocalFuture<'_, NodeState> {
        Box::pin(std::future::ready(NodeState {
            database_reachable: Some(true),
            ..NodeState::default()
        }))
    }
}

/// Sends a request to the service, whose type nobody can write down.
type Send = dyn Fn(TestRequest) -> LocalFuture<'static, ServiceResponse>;

/// A control plane's Admin API with an empty database of its own.
#[derive(Clone)]
pub struct Admin {
    send: Rc<Send>,
    pub store: Store,
    pub fleet: Arc<Fleet>,
    pub database: PathBuf,
    _directory: Rc<tempfile::TempDir>,
}

/// The fleet of a control plane that holds no data planes itself.
async fn fleet(store: &Store) -> Arc<Fleet> {
    let history = history(store).await.expect("reads");
    let feed = Arc::new(Feed::new(history, Limits::for_payload(4096)));
    let purge = Duration::from_secs(3600);
    Fleet::start(store.clone(), feed, Uuid::from_u128(1), purge)
}

/// An answer. The body is null when there is none, and text when it is no JSON.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("text"))
    }

    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    pub fn id(&self) -> &str {
        self.body["id"].as_str().expect("an id")
    }

    /// Whether it is an entity that was given so many seconds; some may have passed meanwhile.
    pub fn expires_within(&self, seconds: i64) -> bool {
        let left = self.body["ttl"].as_i64();
        left.is_some_and(|left| (1..=seconds).contains(&left))
    }

    /// The field of each entity of a list.
    pub fn each(&self, field: &str) -> Vec<&Value> {
        let data = self.body["data"].as_array().expect("a list");
        data.iter().map(|entity| &entity[field]).collect()
    }
}

impl Admin {
    pub async fn start() -> Admin {
        let headers = AnswerHeaders {
            server: true,
            latency: true,
        };
        Admin::start_with(Role::ControlPlane, headers, Pages::default()).await
    }

    pub async fn start_with(role: Role, headers: AnswerHeaders, pages: Pages) -> Admin {
        let directory = tempfile::tempdir().expect("a directory");
        let database = directory.path().join("langur.db");
        let settings = DatabaseSettings::Sqlite(SqliteSettings::new(&database));
        let store = Store::connect(&settings, Duration::from_secs(5))
            .await
            .expect("connects");
        store.migrate().await.expect("migrates");
        let fleet = fleet(&store).await;
        let shared = Shared {
            api: Api {
                fleet: Arc::clone(&fleet),
                store: ConfigStoreHandle::start(
                    store.clone(),
                    Retention::default(),
                    &Metrics::new(),
                    &Registry::default(),
                ),
                document: None,
                rules: Arc::new(Rules {
                    role,
                    router_flavor: RouterFlavor::TraditionalCompatible,
                    plugins: PLUGINS.map(|plugin| plugin.name.to_owned()).into(),
                }),
            },
            node: Node {
                id: Uuid::from_u128(1),
                hostname: "cp-1".to_owned(),
                configuration: Arc::new(json!({"database": "sqlite"})),
            },
            hybrid: true,
            status: Data::new(StatusContext {
                identity: NodeIdentity {
                    node_id: Uuid::from_u128(1),
                    hostname: "cp-1".into(),
                    role: "control_plane",
                    version: "3.9.3".into(),
                },
                counters: Arc::default(),
                metrics: Arc::new(Metrics::new()),
                metric_options: MetricOptions::default(),
                actors: Registry::default(),
                node: Arc::new(Reachable),
                upstreams: None,
                draining: AtomicBool::new(false),
            }),
            log: LogControl::new(LogLevel::Notice, |_| {}),
            openapi: Description::default(),
            headers,
            max_body: MAX_BODY,
        };
        let app = App::new().app_data(Data::new(pages));
        let service = init_service(app.configure(admin_api::configure(shared))).await;
        Admin {
            send: Rc::new(move |request| {
                let answer = service.call(request.to_request());
                Box::pin(async { answer.await.expect("an answer") })
            }),
            store,
            fleet,
            database,
            _directory: Rc::new(directory),
        }
    }

    pub async fn send(&self, request: TestRequest) -> Seen {
        let answer = (self.send)(request).await;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = read_body(answer).await;
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))),
        };
        Seen {
            status,
            headers,
            body,
        }
    }

    /// A request with a JSON body, or without one.
    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Seen {
        let request = request(method, path);
        let request = match body {
            Some(body) => request.set_json(body),
            None => request,
        };
        self.send(request).await
    }

    pub async fn get(&self, path: &str) -> Seen {
        self.ask("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Seen {
        self.ask("POST", path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Seen {
        self.ask("PUT", path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Seen {
        self.ask("PATCH", path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Seen {
        self.ask("DELETE", path, None).await
    }
}

pub fn request(method: &str, path: &str) -> TestRequest {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    TestRequest::with_uri(path).method(method)
}
