//! TLS on both sides.

use super::*;
use rustls::crypto::ring::default_provider;
use rustls::server::ClientHello;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Mutex;
use tokio_rustls::{TlsAcceptor, TlsConnector};

struct Identity {
    certificate: CertificateDer<'static>,
    key: Arc<CertifiedKey>,
}

fn identity(name: &str) -> Identity {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let key = default_provider()
        .key_provider
        .load_private_key(key)
        .unwrap();
    let key = Arc::new(CertifiedKey::new(vec![certificate.clone()], key));
    Identity { certificate, key }
}

fn trusting(certificate: &CertificateDer<'static>) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// One certificate for all names; remembers the names that were asked for.
#[derive(Debug)]
struct Resolver {
    key: Arc<CertifiedKey>,
    asked: Mutex<Vec<Option<String>>>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_owned);
        self.asked.lock().unwrap().push(name);
        Some(self.key.clone())
    }
}

/// What a node makes of its certificates.
fn tls(resolver: Arc<Resolver>) -> rustls::ServerConfig {
    crate::tls::resolving_config(resolver, crate::tls::TlsVersions::ALL, false).unwrap()
}

#[test]
fn clients_may_speak_tls() {
    run(async {
        let (address, _) = upstream(echo).await;
        let identity = identity("gateway.test");
        let resolver = Arc::new(Resolver {
            key: identity.key,
            asked: Mutex::default(),
        });
        let mut setup = setup(&[address]);
        setup.config.listens[0].ssl = true;
        setup.tls = Some(tls(resolver.clone()));
        let gateway = setup.start();
        let mut config = (*trusting(&identity.certificate)).clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let stream = TcpStream::connect(gateway.handle.addresses()[0])
            .await
            .unwrap();
        let name = ServerName::try_from("gateway.test").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut client = Client::new(stream);
        let body = "z".repeat(200_000);
        for _ in 0..2 {
            let head = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n";
            let response = client.ask(format!("{head}{body}")).await;
            assert!(response.text().ends_with(&body));
        }
        let request = "GET /close HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!(client.ask(request).await.text(), "bye");
        // A TLS connection is closed in order, not cut.
        assert_eq!(client.io.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(
            *resolver.asked.lock().unwrap(),
            [Some("gateway.test".to_owned())]
        );
    });
}

#[test]
fn a_client_that_speaks_no_tls_is_dropped() {
    run(async {
        let mut setup = setup(&[]);
        setup.config.listens[0].ssl = true;
        setup.config.driver.header_timeout = SOON;
        setup.tls = Some(tls(Arc::new(Resolver {
            key: identity("gateway.test").key,
            asked: Mutex::default(),
        })));
        let gateway = setup.start();
        let mut silent = gateway.client().await;
        assert_eq!(silent.rest().await, b"");
        let mut plain = gateway.client().await;
        plain.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let got = plain.rest().await;
        assert!(!got.starts_with(b"HTTP"), "{got:?}");
    });
}

/// An upstream that speaks TLS and echoes.
async fn tls_upstream(identity: &Identity) -> (SocketAddr, Arc<AtomicUsize>) {
    let resolver = Resolver {
        key: identity.key.clone(),
        asked: Mutex::default(),
    };
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    upstream(move |_, client| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(client.io).await else {
                return;
            };
            let mut client = Client::new(stream);
            while !client.read.is_empty() || client.fill().await {
                let request = client.message().await;
                let length = request.body.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                client.send(head).await;
                client.send(request.body).await;
            }
        }
    })
    .await
}

#[test]
fn upstreams_may_speak_tls_and_are_verified() {
    run(async {
        let (good, bad) = (identity("upstream.test"), identity("upstream.test"));
        let (address, connections) = tls_upstream(&good).await;
        let profile = |trusted: &Identity, profile| {
            Some(Arc::new(UpstreamTls {
                server_name: Arc::from("upstream.test"),
                config: trusting(&trusted.certificate),
                profile,
            }))
        };
        let body = "w".repeat(150_000);
        let request = format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 150000\r\n\r\n{body}");
        let mut trusted = setup(&[address]);
        trusted.plan.tls = profile(&good, 1);
        let gateway = trusted.start();
        let mut client = gateway.client().await;
        for _ in 0..3 {
            assert_eq!(client.ask(&request).await.text(), body);
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1);
        let mut untrusted = setup(&[address]);
        untrusted.plan.tls = profile(&bad, 2);
        let gateway = untrusted.start();
        let response = gateway
            .client()
            .await
            .ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .await;
        assert_eq!(response.text(), "Connect");
    });
}
