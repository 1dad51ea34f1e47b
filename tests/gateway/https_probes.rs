//! Active health checks over TLS: who is believed, and what is shown.

use crate::harness::{Backend, Both, active, add_target, balanced, merge, post};
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::{ResolvesServerCertUsingSni, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use std::sync::Arc;

/// An authority whose certificate every node trusts, and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    fn sign(&self, name: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate, key)
    }

    fn key(&self, name: &str) -> CertifiedKey {
        let (certificate, key) = self.sign(name);
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let provider = rustls::crypto::ring::default_provider();
        CertifiedKey::from_der(vec![certificate.der().clone()], key, &provider).expect("a pair")
    }

    /// A server that shows its certificate to clients that ask for its name; with `to_all` to
    /// others, too.
    fn server(&self, name: &str, to_all: bool) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth();
        if to_all {
            let key = Arc::new(SingleCertAndKey::from(self.key(name)));
            return config.with_cert_resolver(key);
        }
        let mut resolver = ResolvesServerCertUsingSni::new();
        resolver.add(name, self.key(name)).expect("its name");
        config.with_cert_resolver(Arc::new(resolver))
    }
}

#[test]
fn https_probes_believe_whom_they_are_told_to() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let both = Both::start_with(|folder| {
        let file = folder.join("ca.pem");
        std::fs::write(&file, authority.0.pem()).expect("written");
        let file = file.to_string_lossy().into_owned();
        [("lua_ssl_trusted_certificate".to_owned(), file)].into()
    });
    let known = Backend::start_tls("known", authority.server("a.test", true));
    let by_name = Backend::start_tls("by name", authority.server("a.test", false));
    let unknown = Backend::start_tls("unknown", stranger.server("a.test", true));
    let plain = Backend::start("plain");
    let blind = |fields: Value| {
        let mut all = json!({"https_verify_certificate": false});
        merge(&mut all, fields);
        all
    };
    let sni = || json!({"https_sni": "a.test"});
    for (n, (fields, host, backend, healthy)) in [
        (sni(), None, &known, true),
        (json!({}), Some("a.test"), &known, true),
        (sni(), Some("b.test"), &known, true),
        // The certificate is not for the address, nor for another name.
        (json!({}), None, &known, false),
        (
            json!({"https_sni": "b.test"}),
            Some("a.test"),
            &known,
            false,
        ),
        (blind(json!({})), None, &known, true),
        (sni(), None, &unknown, false),
        (blind(sni()), None, &unknown, true),
        // The name is sent, whether it is verified or not.
        (sni(), None, &by_name, true),
        (blind(sni()), None, &by_name, true),
        (blind(json!({"https_sni": "b.test"})), None, &by_name, false),
        (
            blind(json!({"https_sni": "a.test", "timeout": 0.2})),
            None,
            &plain,
            false,
        ),
        (json!({"type": "http"}), None, &known, false),
    ]
    .into_iter()
    .enumerate()
    {
        let mut checks = json!({"type": "https"});
        merge(&mut checks, fields.clone());
        let name = format!("u{n}");
        balanced(|path| both.admin(path), &name, &active(checks), &[]);
        let header = json!({ "host_header": host });
        both.patch(&format!("/upstreams/{name}"), &header);
        both.patch(&format!("/services/{name}"), &json!({"protocol": "https"}));
        add_target(&both, &name, backend.address);
        let state = if healthy { "HEALTHY" } else { "UNHEALTHY" };
        let case = format!("{fields} {host:?} {}", backend.address);
        both.wait_for_health(&name, &backend.address.to_string(), state);
        // The probe alone decides: a request that is sent may still fail.
        let (status, _) = both.proxy(&format!("/{name}"));
        assert_eq!(status == 503, !healthy, "{case}");
    }
}

#[test]
fn https_probes_show_the_certificate_of_the_upstream() {
    let authority = Authority::new();
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(roots);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(authority.key("a.test"))));
    let (both, target) = (Both::start(), Backend::start_tls("one", config));
    let checks = active(json!({"type": "https", "https_verify_certificate": false}));
    balanced(|path| both.admin(path), "pool", &checks, &[&target]);
    let address = target.address.to_string();
    both.wait_for_health("pool", &address, "UNHEALTHY");
    let (certificate, key) = authority.sign("client.test");
    let pair = json!({"cert": certificate.pem(), "key": key.serialize_pem()});
    let pair = post(&both.admin("/certificates"), &pair).expect("an answer");
    let shown = json!({"client_certificate": {"id": pair.expect(201)["id"]}});
    both.patch("/upstreams/pool", &shown);
    both.wait_for_health("pool", &address, "HEALTHY");
}
