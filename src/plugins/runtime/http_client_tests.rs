//! The client against raw servers.

use super::*;
use crate::plugins::runtime::names::{Addresses, ResolveNames};
use rcgen::generate_simple_self_signed;
use rustls::pki_types::PrivateKeyDer;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::AtomicUsize;

/// Answers each request on a connection with this text; counts connections and keeps what was asked.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: &'static str, tls: Option<Arc<rustls::ServerConfig>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Server {
            address: listener.local_addr().expect("an address"),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let own = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                own.connections.fetch_add(1, Ordering::SeqCst);
                let (own, tls) = (own.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => own.serve(stream, answer),
                    Some(tls) => {
                        let session = rustls::ServerConnection::new(tls).expect("a session");
                        own.serve(rustls::StreamOwned::new(session, stream), answer);
                    }
                });
            }
        });
        server
    }

    fn serve(&self, mut stream: impl Read + Write, answer: &str) {
        let (mut text, mut piece) = (String::new(), [0; 4096]);
        loop {
            match stream.read(&mut piece) {
                Ok(0) | Err(_) => return,
                Ok(n) => text.push_str(&String::from_utf8_lossy(&piece[..n])),
            }
            // Every body here is `{}`.
            if text.ends_with("{}") {
                let request = std::mem::take(&mut text);
                self.requests.lock().expect("a list").push(request);
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        }
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok";

fn request(url: &str) -> HttpRequest {
    HttpRequest {
        method: "POST",
        url: url.parse().expect("a URL"),
        headers: vec![(
            HeaderName::from_static("x-custom"),
            HeaderValue::from_static("v"),
        )],
        body: Bytes::from_static(b"{}"),
        timeout: Duration::from_secs(20),
        response: ResponseBody::UpTo(1000),
    }
}

/// Every name is this machine.
struct Here;

impl ResolveNames for Here {
    fn resolve(&self, name: Arc<str>, port: u16) -> Addresses {
        let known = name.ends_with(".test");
        let here = SocketAddr::from(([127, 0, 0, 1], port));
        Box::pin(std::future::ready(match known {
            true => vec![here],
            false => Vec::new(),
        }))
    }
}

fn client(verify: bool, roots: RootCertStore) -> HttpClient {
    let options = HttpOptions {
        verify,
        keep_alive: Duration::from_secs(60),
    };
    let clients = HttpClients::new(Names::new(Here), Arc::new(roots));
    clients.client(options).expect("a client")
}

fn plain() -> HttpClient {
    client(false, RootCertStore::empty())
}

#[actix::test]
async fn requests_share_a_connection_and_say_what_they_are_told() {
    let server = Server::start(OK, None);
    let client = plain();
    for _ in 0..3 {
        let url = format!("http://log.test:{}/p?q=1&r=%20z", server.address.port());
        let response = client.send(request(&url)).await.expect("a response");
        assert_eq!((response.status, &*response.body), (200, &b"ok"[..]));
        assert!(response.headers.iter().any(|(name, _)| name == "x-a"));
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    let requests = server.requests.lock().expect("a list").clone();
    let head = requests[0].to_ascii_lowercase();
    for part in [
        "post /p?q=1&r=%20z http/1.1\r\n",
        &format!("host: log.test:{}\r\n", server.address.port()),
        "x-custom: v\r\n",
        "content-length: 2\r\n",
    ] {
        assert!(head.contains(part), "{part} is not in {head}");
    }
    assert!(!head.contains("user-agent"), "{head}");
}

#[actix::test]
async fn what_fails_says_why() {
    let closed = crate::loopback::closed_address();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = silent.local_addr().expect("an address");
    let large = Server::start(
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789",
        None,
    );
    let broken = Server::start("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", None);
    let redirect = Server::start(
        "HTTP/1.1 302 Found\r\nLocation: http://nowhere.invalid/\r\nContent-Length: 0\r\n\r\n",
        None,
    );
    let check = async |url: String, expected: Result<u16, &str>| {
        let mut request = request(&url);
        request.response = ResponseBody::UpTo(5);
        if expected == Err("no response within 50ms") {
            request.timeout = Duration::from_millis(50);
        }
        let found = plain().send(request).await.map(|response| response.status);
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(*found, expected, "{url}"),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{url}: {error}");
            }
            _ => panic!("{url}: {found:?}"),
        }
    };
    check(format!("http://{closed}/"), Err("refused")).await;
    check(
        "http://nowhere.invalid/".to_owned(),
        Err("the name 'nowhere.invalid' has no address"),
    )
    .await;
    check(format!("http://{silent}/"), Err("no response within 50ms")).await;
    check(
        format!("http://{}/", large.address),
        Err("larger than 5 bytes"),
    )
    .await;
    check(format!("http://{}/", broken.address), Err("")).await;
    check(format!("http://{}/", redirect.address), Ok(302)).await;
}

#[actix::test]
async fn certificates_are_verified_where_that_is_asked_for() {
    let own = generate_simple_self_signed(["log.test".to_owned()]).expect("a certificate");
    let certificate = own.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a configuration");
    let server = Server::start(OK, Some(Arc::new(tls)));
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate).expect("a root");
    let other = generate_simple_self_signed(["other.test".to_owned()]).expect("a certificate");
    let mut strangers = RootCertStore::empty();
    strangers.add(other.cert.der().clone()).expect("a root");
    let check = async |client: HttpClient, name: &str, expected: bool| {
        let url = format!("https://{name}:{}/", server.address.port());
        let found = client.send(request(&url)).await;
        assert_eq!(found.is_ok(), expected, "{name}: {found:?}");
    };
    check(client(true, trusted.clone()), "log.test", true).await;
    check(client(true, trusted), "wrong.test", false).await;
    check(client(true, strangers), "log.test", false).await;
    check(plain(), "log.test", true).await;
    let nobody = HttpClients::default();
    let options = HttpOptions {
        verify: true,
        keep_alive: Duration::ZERO,
    };
    assert!(nobody.client(options).is_err());
}
