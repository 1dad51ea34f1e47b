//! Names of services and targets: a name server of the test's own, the settings `dns_*`.

use crate::harness::{Both, Upstream, eventually, get, post, unique_loopback};
use serde_json::json;
use std::net::{SocketAddr, UdpSocket};

const A: u16 = 1;
const SRV: u16 = 33;

/// Answers A questions with 127.0.0.1, and SRV questions for names that begin with `srv` with
/// this port of the name `host.test`; no other name exists.
fn name_server(port: u16) -> SocketAddr {
    let socket = UdpSocket::bind((unique_loopback(), 0)).expect("a port");
    let address = socket.local_addr().expect("an address");
    std::thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((read, client)) = socket.recv_from(&mut bytes) {
            let answer = answer(&bytes[..read], port);
            let _ = socket.send_to(&answer, client);
        }
    });
    address
}

/// RFC 1035: a head of 12 bytes, the question as it came, and one record or none.
fn answer(question: &[u8], port: u16) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|b| *b == 0).expect("a name") + 1;
    let kind = u16::from_be_bytes([question[end], question[end + 1]]);
    let first_label = question[13..13 + usize::from(question[12])].to_ascii_lowercase();
    let data: Option<Vec<u8>> = match (kind, &first_label[..]) {
        (A, b"host" | b"plain") => Some(vec![127, 0, 0, 1]),
        (SRV, label) if label.starts_with(b"srv") => {
            let mut data = vec![0, 1, 0, 1];
            data.extend(port.to_be_bytes());
            data.extend(b"\x04host\x04test\x00");
            Some(data)
        }
        _ => None,
    };
    let exists = data.is_some() || [&b"host"[..], b"plain"].contains(&&first_label[..]);
    let mut out = question[..2].to_vec();
    out.extend([0x81, if exists { 0x80 } else { 0x83 }]);
    out.extend([0, 1, 0, u8::from(data.is_some()), 0, 0, 0, 0]);
    out.extend(&question[12..end + 4]);
    if let Some(data) = data {
        out.extend([0xC0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 14, 16]);
        out.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        out.extend(data);
    }
    out
}

#[test]
fn trial_11_names_are_resolved_as_the_dns_settings_say() {
    let upstream = Upstream::start("named");
    let port = upstream.address.port();
    let server = name_server(port);
    for (order, srv_is_served) in [("LAST,SRV,A,CNAME", true), ("A", false)] {
        let node = Both::start_with(|_| {
            let settings = [
                ("dns_resolver", server.to_string()),
                ("dns_order", order.into()),
            ];
            settings.map(|(key, value)| (key.to_owned(), value)).into()
        });
        let write = |path: &str, body| {
            post(&node.admin(path), &body)
                .expect("an answer")
                .expect(201);
        };
        let service = |name: &str, host: &str, port: u16| {
            write(
                "/services",
                json!({ "name": name, "host": host, "port": port }),
            );
            let paths = [format!("/{name}")];
            write(
                &format!("/services/{name}/routes"),
                json!({ "paths": paths }),
            );
        };
        // The port of an SRV record wins over the service's; a name without one keeps its own.
        service("srv", "srv1.test", 1);
        service("plain", "plain.test", port);
        service("gone", "gone.test", port);
        service("pool", "pool", 80);
        write("/upstreams", json!({ "name": "pool" }));
        write(
            "/upstreams/pool/targets",
            json!({ "target": "srv2.test:1" }),
        );
        node.settle();
        let status = |path: &str| get(&node.url("proxy_listen", path)).map(|reply| reply.status);
        let is = |path: &str, expected: &[u16]| {
            eventually(&format!("{order} {path}"), || match status(path)? {
                found if expected.contains(&found) => Ok(()),
                other => Err(other.to_string()),
            });
        };
        is("/plain", &[200]);
        is("/gone", &[503]);
        match srv_is_served {
            true => {
                is("/srv", &[200]);
                is("/pool", &[200]);
                let health = get(&node.admin("/upstreams/pool/health")).expect("an answer");
                let data = &health.json()["data"][0]["data"];
                assert_eq!(data["dns"], "SRV");
                assert_eq!(data["addresses"][0]["port"], port);
            }
            false => {
                is("/srv", &[503]);
                is("/pool", &[503]);
            }
        }
    }
}
