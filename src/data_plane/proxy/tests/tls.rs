//! TLS towards upstreams: which certificate, whom to trust, which name.

use super::super::ProxySettings;
use super::super::testing::{Harness, entity, reference};
use crate::data_plane::exchange::UpstreamTls;
use crate::model::{Kind, Row};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

fn certificate(n: u128) -> (Kind, Uuid, Row) {
    let names = vec!["client.test".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let fields = json!({"cert": made.cert.pem(), "key": made.signing_key.serialize_pem()});
    entity(Kind::Certificates, n, fields)
}

fn authority(n: u128) -> (Kind, Uuid, Row) {
    let mut params = rcgen::CertificateParams::new(vec![]).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let cert = params.self_signed(&key).expect("a certificate");
    entity(Kind::CaCertificates, n, json!({"cert": cert.pem()}))
}

/// The profile for a service with these fields.
fn profile(proxy: &mut Harness, request: &str) -> Arc<UpstreamTls> {
    proxy.access(request).expect("forwarded");
    let attempt = proxy.attempt(None).expect("an address");
    proxy.finish();
    attempt.tls.expect("TLS")
}

fn proxy(service: Value, others: Vec<(Kind, Uuid, Row)>) -> Harness {
    let mut fields = json!({"protocol": "https", "host": "svc.test", "port": 443});
    let service = service.as_object().expect("an object").clone();
    fields.as_object_mut().expect("an object").extend(service);
    let mut entities = vec![
        entity(Kind::Services, 1, fields),
        entity(
            Kind::Routes,
            2,
            json!({"paths": ["/r"], "service": reference(1)}),
        ),
        entity(
            Kind::Routes,
            3,
            json!({"paths": ["/p"], "service": reference(1), "preserve_host": true}),
        ),
    ];
    entities.extend(others);
    Harness::new(entities)
}

const REQUEST: &str = "GET /r HTTP/1.1\r\nHost: a\r\n";

#[test]
fn names_come_from_the_host() {
    let check = |service: Value, request: &str, expected: &str| {
        let mut proxy = proxy(service, vec![]);
        assert_eq!(&*profile(&mut proxy, request).server_name, expected);
    };
    check(json!({}), REQUEST, "svc.test");
    check(json!({"port": 8443}), REQUEST, "svc.test");
    check(json!({"host": "10.0.0.1"}), REQUEST, "10.0.0.1");
    check(json!({"host": "::1"}), REQUEST, "::1");
    check(
        json!({}),
        "GET /p HTTP/1.1\r\nHost: Client.Test:99\r\n",
        "Client.Test",
    );
}

#[test]
fn equal_profiles_are_shared_and_others_are_not() {
    let mut one = proxy(json!({}), vec![]);
    let first = profile(&mut one, REQUEST);
    assert!(Arc::ptr_eq(&first, &profile(&mut one, REQUEST)));
    let other_name = profile(&mut one, "GET /p HTTP/1.1\r\nHost: b\r\n");
    assert_ne!(first.profile, other_name.profile);
    assert!(Arc::ptr_eq(&first.config, &other_name.config));

    // Another worker, another process: the same content is the same profile.
    let mut again = proxy(json!({"tls_verify": false}), vec![]);
    assert_eq!(first.profile, profile(&mut again, REQUEST).profile);

    let ca = authority(8);
    let verified = json!({"tls_verify": true, "ca_certificates": [Uuid::from_u128(8)]});
    let mut verified = proxy(verified, vec![ca.clone()]);
    let verified = profile(&mut verified, REQUEST);
    assert_ne!(first.profile, verified.profile);

    // A chain that is long enough for one service may be too long for another.
    let deeper =
        json!({"tls_verify": true, "tls_verify_depth": 3, "ca_certificates": [Uuid::from_u128(8)]});
    let mut deeper = proxy(deeper, vec![ca.clone()]);
    assert_ne!(verified.profile, profile(&mut deeper, REQUEST).profile);

    let client = json!({"client_certificate": reference(9)});
    let mut client = proxy(client, vec![certificate(9)]);
    let client = profile(&mut client, REQUEST);
    assert_ne!(first.profile, client.profile);
    assert!(client.config.client_auth_cert_resolver.has_certs());
    assert!(!first.config.client_auth_cert_resolver.has_certs());
}

#[test]
fn an_upstream_may_bring_the_certificate() {
    let others = vec![
        certificate(9),
        entity(
            Kind::Upstreams,
            10,
            json!({"name": "svc.test", "client_certificate": reference(9)}),
        ),
        entity(
            Kind::Targets,
            11,
            json!({"upstream": reference(10), "target": "t.test:443"}),
        ),
    ];
    let mut proxy = proxy(json!({}), others);
    let tls = profile(&mut proxy, REQUEST);
    assert_eq!(&*tls.server_name, "t.test");
    assert!(tls.config.client_auth_cert_resolver.has_certs());
}

#[test]
fn without_anyone_to_trust_nothing_is_sent() {
    let mut proxy = proxy(json!({"tls_verify": true}), vec![]);
    proxy.access(REQUEST).expect("forwarded");
    let reply = proxy.attempt(None).expect_err("no authorities");
    assert_eq!(reply.status, 500);
    let body = super::super::testing::body(&reply);
    assert!(
        body.contains("failed the initial dns/balancer resolve for 'svc.test' with:"),
        "{body}"
    );
    assert!(ProxySettings::default().trusted_roots.is_empty());
}

#[test]
fn a_server_name_must_be_one() {
    let mut proxy = proxy(json!({}), vec![]);
    let request = "GET /p HTTP/1.1\r\nHost: a_b!\r\n";
    proxy.access(request).expect("forwarded");
    assert_eq!(
        proxy
            .attempt(None)
            .map(|_| ())
            .map_err(|reply| reply.status),
        Err(500)
    );
}

#[test]
fn what_is_kept_goes_with_its_service() {
    let mut proxy = proxy(json!({}), vec![]);
    let served = |n: u128| {
        let service = json!({"protocol": "https", "host": "svc.test", "port": 443});
        let route = json!({"paths": ["/r"], "service": reference(n)});
        let entities = vec![
            entity(Kind::Services, n, service),
            entity(Kind::Routes, 2, route),
        ];
        Harness::new(entities).snapshots.load_full()
    };
    let mut used = Vec::new();
    for n in 1000..1200 {
        proxy.snapshots.store(served(n));
        used.push(Arc::downgrade(&profile(&mut proxy, REQUEST)));
    }
    let kept = used.iter().filter(|tls| tls.strong_count() > 0).count();
    assert!(kept < 100, "{kept}");
}
