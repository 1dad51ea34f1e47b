//! Questions to a real name server, and what is remembered of the answers.

use super::testing::{NameServer, a, cname, resolver, srv};
use super::*;
use crate::data_plane::balancer::LookupError;
use std::sync::Arc;

async fn ask(dns: &Dns, name: &str) -> Result<Vec<String>, LookupError> {
    let found = dns.resolve(&Arc::from(name)).await.found?;
    let text = found.iter().map(|address| {
        let port = address.srv.and_then(|srv| srv.port);
        port.map_or_else(
            || address.ip.to_string(),
            |port| format!("{}:{port}", address.ip),
        )
    });
    Ok(text.collect())
}

fn found(addresses: &[&str]) -> Result<Vec<String>, LookupError> {
    Ok(addresses
        .iter()
        .map(|address| (*address).to_owned())
        .collect())
}

/// trial 11: `dns_order` has an effect.
#[tokio::test]
async fn trial_11_the_order_of_kinds_decides() {
    let records = [
        srv("both.test", 1, 1, 8080, "one.test"),
        a("both.test", "10.0.0.2"),
        a("both.test", "::2"),
        a("one.test", "10.0.0.1"),
        cname("alias.test", "one.test"),
        a("six.test", "::6"),
    ];
    for (order, name, expected) in [
        ("LAST,SRV,A,CNAME", "both.test", found(&["10.0.0.1:8080"])),
        ("A,SRV", "both.test", found(&["10.0.0.2"])),
        ("AAAA,A", "both.test", found(&["::2"])),
        ("SRV,A", "one.test", found(&["10.0.0.1"])),
        ("A", "alias.test", found(&["10.0.0.1"])),
        ("LAST,SRV,A,CNAME", "six.test", Err(LookupError::NameError)),
        ("A,AAAA", "six.test", found(&["::6"])),
        ("SRV", "one.test", Err(LookupError::NameError)),
        ("A", "none.test", Err(LookupError::NameError)),
        ("A", "any.invalid", Err(LookupError::NameError)),
    ] {
        let server = NameServer::start(&records);
        let dns = resolver(&server, &[("dns_order", order)]);
        assert_eq!(ask(&dns, name).await, expected, "{order} {name}");
    }
}

/// trial 36: a name that is gone is told from a name server that is down by its code, not by a text.
#[tokio::test]
async fn trial_36_failures_are_told_apart_by_their_code() {
    let server = NameServer::start(&[a("a.test", "10.0.0.1")]);
    let dns = resolver(&server, &[("dns_order", "A")]);
    assert_eq!(ask(&dns, "gone.test").await, Err(LookupError::NameError));
    server.break_down(true);
    assert_eq!(ask(&dns, "a.test").await, Err(LookupError::ServerFailure));
    server.break_down(false);
    // The failure is remembered for a second.
    let mut last = ask(&dns, "a.test").await;
    while last.is_err() {
        tokio::task::yield_now().await;
        last = ask(&dns, "a.test").await;
    }
    assert_eq!(last, found(&["10.0.0.1"]));
}

#[tokio::test]
async fn the_kind_that_answered_before_is_asked_for_first() {
    let server = NameServer::start(&[a("a.test", "10.0.0.1")]);
    let dns = resolver(&server, &[("dns_valid_ttl", "1")]);
    assert_eq!(ask(&dns, "a.test").await, found(&["10.0.0.1"]));
    let first = server.asked();
    assert!(first >= 2, "SRV, then A: {first}");
    // Once the answer is outdated, A alone is asked for.
    while server.asked() == first {
        assert_eq!(ask(&dns, "a.test").await, found(&["10.0.0.1"]));
    }
    server.set(&[]);
    assert_eq!(server.asked(), first + 1);
}

#[tokio::test]
async fn many_who_ask_at_once_are_one_question() {
    let server = NameServer::start(&[a("a.test", "10.0.0.1")]);
    let dns = resolver(&server, &[("dns_order", "A")]);
    let all = futures_util::future::join_all((0..20).map(|_| ask(&dns, "a.test"))).await;
    assert!(all.into_iter().all(|answer| answer == found(&["10.0.0.1"])));
    assert_eq!(server.asked(), 1);
    assert_eq!(ask(&dns, "none.test").await, Err(LookupError::NameError));
    assert_eq!(ask(&dns, "none.test").await, Err(LookupError::NameError));
    assert_eq!(server.asked(), 2, "a failure is remembered");
}

#[tokio::test]
async fn the_hosts_file_wins_and_may_change() {
    let dir = tempfile::tempdir().expect("a folder");
    let hosts = dir.path().join("hosts");
    std::fs::write(
        &hosts,
        "10.1.0.1 A.test other.test # a comment\n::9 six.test\n",
    )
    .expect("written");
    let server = NameServer::start(&[a("a.test", "10.0.0.1")]);
    let path = hosts.to_str().expect("a path");
    let dns = resolver(&server, &[("dns_order", "A"), ("dns_hostsfile", path)]);
    assert_eq!(ask(&dns, "a.TEST").await, found(&["10.1.0.1"]));
    assert_eq!(ask(&dns, "six.test").await, found(&["::9"]));
    assert_eq!(server.asked(), 0);
    std::fs::write(&hosts, "10.1.0.22 new.test\n").expect("written");
    assert_eq!(ask(&dns, "new.test").await, found(&["10.1.0.22"]));
}
