//! HTTP requests of plugins to the outside.
//!
//! An [`HttpClient`] may be used on the thread of the plugin host and on workers alike. What it keeps of a thread
//! (connections) is made on first use there, and goes with the last clone of the client.

use super::names::Names;
use crate::tls::{AnyServerVerifier, provider};
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::http::header::{HeaderName, HeaderValue};
use awc::http::{Method, Uri};
use bytes::Bytes;
use futures_util::StreamExt;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::{ClientConfig, RootCertStore};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// A connection is used for so long at most, so that changes of names are noticed.
const LIFETIME: Duration = Duration::from_secs(3600);

/// How long one of the addresses of a server may take to accept a connection.
const PER_ADDRESS: Duration = Duration::from_secs(10);

/// So much of a body that nobody wants is read, in bytes, to keep the connection.
const MOST_IGNORED: usize = 64 * 1024;

/// Each request has a limit of its own for all that it does.
const NO_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// What makes connections of one client unlike those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HttpOptions {
    /// Verify the certificates of servers, with the authorities that the node trusts.
    pub verify: bool,
    /// How long a connection without requests is kept.
    pub keep_alive: Duration,
}

/// One request.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    pub method: &'static str,
    /// Absolute, without user info; it may be logged.
    pub url: Uri,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
    /// For all of it: connection, request, response.
    pub timeout: Duration,
    pub response: ResponseBody,
}

/// What is done with the body of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// It is read; a larger one, in bytes, is an error.
    UpTo(usize),
    /// Only the head counts; the connection is used again where the body is small.
    Ignored,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

/// Why there is no response. The texts name no secrets.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("no response within {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Failed(String),
    #[error("the response is larger than {0} bytes")]
    TooLarge(usize),
}

/// Sends requests. Clones share connections, on each thread.
#[derive(Clone, Debug)]
pub struct HttpClient(Arc<Profile>);

#[derive(Debug)]
struct Profile {
    id: u64,
    options: HttpOptions,
    names: Names,
    tls: Arc<ClientConfig>,
}

/// The clients of a node: one for all who ask with the same options.
#[derive(Clone)]
pub struct HttpClients(Arc<Shared>);

struct Shared {
    names: Names,
    roots: Arc<RootCertStore>,
    known: Mutex<HashMap<HttpOptions, Weak<Profile>>>,
}

impl Default for HttpClients {
    fn default() -> HttpClients {
        HttpClients::new(Names::default(), Arc::new(RootCertStore::empty()))
    }
}

impl std::fmt::Debug for HttpClients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpClients")
    }
}

static IDS: AtomicU64 = AtomicU64::new(0);

impl HttpClients {
    /// `roots` are the authorities that verified servers must have their certificate from.
    pub fn new(names: Names, roots: Arc<RootCertStore>) -> HttpClients {
        HttpClients(Arc::new(Shared {
            names,
            roots,
            known: Mutex::default(),
        }))
    }

    /// The client with these options. Ask while a plugin is built.
    ///
    /// # Errors
    /// Certificates are to be verified and the node trusts no authority.
    pub fn client(&self, options: HttpOptions) -> Result<HttpClient, rustls::Error> {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(profile) = known.get(&options).and_then(Weak::upgrade) {
            return Ok(HttpClient(profile));
        }
        let profile = Arc::new(Profile {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            options,
            names: self.0.names.clone(),
            tls: Arc::new(tls_config(options.verify, &self.0.roots)?),
        });
        known.retain(|_, profile| profile.strong_count() > 0);
        known.insert(options, Arc::downgrade(&profile));
        Ok(HttpClient(profile))
    }
}

/// TLS as a client of servers that plugins talk to.
///
/// # Errors
/// Certificates are to be verified and there is no authority to verify with.
pub fn tls_config(verify: bool, roots: &Arc<RootCertStore>) -> Result<ClientConfig, rustls::Error> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let verifier: Arc<dyn ServerCertVerifier> = match verify {
        true => WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider)
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?,
        false => Arc::new(AnyServerVerifier),
    };
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

thread_local! {
    /// The connections of this thread, by profile. An entry goes when its profile is gone and another one is made.
    static CLIENTS: RefCell<HashMap<u64, (Weak<Profile>, awc::Client)>> = RefCell::default();
}

impl HttpClient {
    /// Sends a request. Redirects are not followed. On actix threads only: workers, and the plugin host.
    ///
    /// # Errors
    /// There is no complete response: see [`HttpError`]. Every status is a response.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let timeout = request.timeout;
        match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(HttpError::Timeout(timeout)),
        }
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|error| HttpError::Failed(error.to_string()))?;
        let mut outgoing = self
            .of_this_thread()
            .request(method, request.url)
            .no_decompress();
        for header in request.headers {
            outgoing = outgoing.append_header(header);
        }
        let mut response = outgoing
            .send_body(request.body)
            .await
            .map_err(|error| HttpError::Failed(error.to_string()))?;
        let body = match request.response {
            ResponseBody::UpTo(limit) => {
                let body = response.body().limit(limit).await;
                body.map_err(|error| match error {
                    awc::error::PayloadError::Overflow => HttpError::TooLarge(limit),
                    error => HttpError::Failed(error.to_string()),
                })?
            }
            ResponseBody::Ignored => {
                let mut seen = 0;
                while let Some(Ok(piece)) = response.next().await
                    && seen <= MOST_IGNORED
                {
                    seen += piece.len();
                }
                Bytes::new()
            }
        };
        Ok(HttpResponse {
            status: response.status().as_u16(),
            headers: response
                .headers()
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            body,
        })
    }

    fn of_this_thread(&self) -> awc::Client {
        CLIENTS.with_borrow_mut(|clients| {
            if let Some((_, client)) = clients.get(&self.0.id) {
                return client.clone();
            }
            clients.retain(|_, (profile, _)| profile.strong_count() > 0);
            let client = self.0.new_client();
            clients.insert(self.0.id, (Arc::downgrade(&self.0), client.clone()));
            client
        })
    }
}

impl Profile {
    fn new_client(&self) -> awc::Client {
        let names = self.names.clone();
        let connect = actix_service::fn_service(move |info: ConnectInfo<Uri>| {
            let names = names.clone();
            async move {
                let uri = info.request().clone();
                let implied = match uri.scheme_str() {
                    Some("https") => 443,
                    _ => 80,
                };
                let port = uri.port_u16().unwrap_or(implied);
                let host = uri.host().unwrap_or_default();
                let connecting = names.connect(host, port, PER_ADDRESS);
                let io = connecting.await.map_err(ConnectError::Io)?;
                Ok::<_, ConnectError>(Connection::new(uri, io))
            }
        });
        let connector = awc::Connector::new()
            .connector(connect)
            .timeout(NO_LIMIT)
            .handshake_timeout(NO_LIMIT)
            // Not a hundred at a time, which is awc's default.
            .limit(0)
            .conn_keep_alive(self.options.keep_alive)
            .conn_lifetime(LIFETIME)
            .rustls_0_23(Arc::clone(&self.tls));
        awc::Client::builder()
            .connector(connector)
            .disable_timeout()
            .disable_redirects()
            .no_default_headers()
            .finish()
    }
}

#[cfg(test)]
#[path = "http_client_tests.rs"]
mod tests;
