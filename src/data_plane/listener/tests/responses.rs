//! Responses on their way to the client.

use super::*;
use crate::http::parse::Limits;

/// Sends a request to an upstream that answers with the given bytes and closes.
async fn proxied(answer: &'static [u8], request: &str) -> (Vec<u8>, Outcome) {
    let (address, _) = upstream(move |_, mut client| async move {
        client.message().await;
        client.send(answer).await;
    })
    .await;
    let mut gateway = setup(&[address]).start();
    let mut client = gateway.client().await;
    client.send(request).await;
    let outcome = gateway.outcome().await;
    client.io.shutdown().await.unwrap();
    (client.rest().await, outcome)
}

fn without_date(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let lines = text
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("Date: "));
    lines.collect()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
const OLD: &str = "GET / HTTP/1.0\r\n\r\n";
const OLD_KEPT: &str = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";

#[test]
fn framing_towards_the_client() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;e\r\nabcde\r\n5\r\nfghij\r\n0\r\nT: 1\r\n\r\n";
    let length = b"HTTP/1.1 200 Fine\r\nContent-Length: 3\r\nX: 1\r\nConnection: X\r\nKeep-Alive: 5\r\n\r\nabc";
    let until_close = b"HTTP/1.0 200 OK\r\n\r\nabc";
    let rows: &[(&'static [u8], &str, &str)] = &[
        (length, GET, "200 Fine\r\nX: 1\r\nVia: 1.1 test\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc"),
        (length, OLD, "200 Fine\r\nX: 1\r\nVia: 1.1 test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"),
        (length, OLD_KEPT, "200 Fine\r\nX: 1\r\nVia: 1.1 test\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc"),
        (chunked, GET, "200 OK\r\nVia: 1.1 test\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\na\r\nabcdefghij\r\n0\r\n\r\n"),
        (chunked, OLD, "200 OK\r\nVia: 1.1 test\r\nConnection: close\r\n\r\nabcdefghij"),
        (chunked, OLD_KEPT, "200 OK\r\nVia: 1.1 test\r\nConnection: close\r\n\r\nabcdefghij"),
        (until_close, OLD, "200 OK\r\nVia: 1.1 test\r\nConnection: close\r\n\r\nabc"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            HEAD,
            "200 OK\r\nVia: 1.1 test\r\nContent-Length: 9\r\nConnection: keep-alive\r\n\r\n",
        ),
        (
            b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
            GET,
            "204 No Content\r\nVia: 1.1 test\r\nConnection: keep-alive\r\n\r\n",
        ),
        (
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            GET,
            "304 Not Modified\r\nVia: 1.1 test\r\nContent-Length: 9\r\nConnection: keep-alive\r\n\r\n",
        ),
        (
            b"HTTP/1.1 200 OK\r\nX-Set-Status: 1\r\nContent-Length: 0\r\n\r\n",
            GET,
            "418 I'm a teapot\r\nX-Set-Status: 1\r\nVia: 1.1 test\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            GET,
            "103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nVia: 1.1 test\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
        ),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            OLD,
            "200 OK\r\nVia: 1.1 test\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        ),
    ];
    for (answer, request, expected) in rows {
        run(async {
            let (got, outcome) = proxied(answer, request).await;
            assert_eq!(
                without_date(&got),
                format!("HTTP/1.1 {expected}"),
                "{request:?}"
            );
            assert_eq!(outcome.response_bytes as usize, got.len());
            assert_eq!(outcome.request_bytes as usize, request.len());
        });
    }
}

#[test]
fn an_answer_that_ends_with_the_connection_is_chunked() {
    run(async {
        let (got, _) = proxied(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil close",
            GET,
        )
        .await;
        let mut client = Client::new(tokio::io::join(&got[..], tokio::io::sink()));
        let message = client.message().await;
        assert_eq!(message.header("connection"), Some("keep-alive"));
        assert_eq!(message.text(), "until close");
    });
}

#[test]
fn the_date_is_the_upstreams() {
    run(async {
        let dated = b"HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 0\r\n\r\n";
        let (got, _) = proxied(dated, GET).await;
        assert!(
            String::from_utf8(got)
                .unwrap()
                .contains("\r\nDate: then\r\n")
        );
        let (got, _) = proxied(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", GET).await;
        assert!(!String::from_utf8(got).unwrap().contains("Date"));
    });
}

#[test]
fn a_body_that_breaks_off_is_seen_to_be_broken() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n",
    ] {
        run(async {
            let (got, outcome) = proxied(answer, GET).await;
            let text = without_date(&got);
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
            assert!(!text.ends_with("0\r\n\r\n"), "{text}");
            assert!(!outcome.client_closed);
        });
    }
}

#[test]
fn large_answers_pass_in_every_framing() {
    const SIZE: usize = 3_000_000;
    run(async {
        let body: Vec<u8> = (0..SIZE).map(|index| (index % 253) as u8).collect();
        let expected = body.clone();
        let (address, _) = upstream(move |_, mut client| {
            let body = body.clone();
            async move {
                while !client.read.is_empty() || client.fill().await {
                    let request = client.message().await;
                    if request.line.contains("/length") {
                        client
                            .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"))
                            .await;
                        client.send(&body).await;
                    } else {
                        client
                            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                            .await;
                        for chunk in body.chunks(100_000) {
                            client.send(format!("{:x}\r\n", chunk.len())).await;
                            client.send(chunk).await;
                            client.send("\r\n").await;
                        }
                        client.send("0\r\n\r\n").await;
                    }
                }
            }
        })
        .await;
        let gateway = setup(&[address]).start();
        let mut client = gateway.client().await;
        for path in ["/length", "/chunks", "/length"] {
            let response = client
                .ask(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"))
                .await;
            assert_eq!(response.body, expected, "{path}");
        }
    });
}

#[test]
fn an_early_answer_stops_the_upload() {
    run(async {
        let (address, connections) = upstream(|_, mut client| async move {
            client.head().await;
            client
                .send("HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno")
                .await;
            // Neither reads on nor closes.
            std::future::pending::<()>().await;
        })
        .await;
        let mut setup = setup(&[address]);
        setup.plan.request_buffering = false;
        let mut gateway = setup.start();
        let mut client = gateway.client().await;
        client
            .send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
            .await;
        client.send(vec![b'x'; 100_000]).await;
        let response = client.message().await;
        assert_eq!(response.line, "HTTP/1.1 413 Too Much");
        assert_eq!(response.text(), "no");
        assert_eq!(response.header("connection"), Some("close"));
        client.io.shutdown().await.unwrap();
        assert_eq!(client.rest().await, b"");
        assert!(gateway.outcome().await.request_bytes < 1_000_000);
        // The connection to the upstream is in an unknown state: it is not used again.
        let mut client = gateway.client().await;
        client.send(GET).await;
        client.message().await;
        assert_eq!(connections.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn the_head_does_not_wait_for_the_body() {
    run(async {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
        let (address, _) = upstream(move |_, mut client| {
            let receiver = receiver.lock().unwrap().take().unwrap();
            async move {
                client.message().await;
                client
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
                    .await;
                receiver.await.unwrap();
                client.send("later").await;
            }
        })
        .await;
        let gateway = setup(&[address]).start();
        let mut client = gateway.client().await;
        client.send(GET).await;
        assert_eq!(client.head().await.line, "HTTP/1.1 200 OK");
        sender.send(()).unwrap();
        assert_eq!(client.take(5).await, b"later");
    });
}

#[test]
fn replies_of_the_gateway() {
    run(async {
        let mut gateway = setup(&[]).start();
        let mut client = gateway.client().await;
        let rows = [
            ("GET /reply", "", "200 OK|hello|keep-alive|5"),
            ("HEAD /reply", "", "200 OK||keep-alive|5"),
            ("GET /empty", "", "204 No Content||keep-alive|-"),
            (
                "POST /reply",
                "Content-Length: 3\r\n\r\nabc",
                "200 OK|hello|keep-alive|5",
            ),
            (
                "POST /reply",
                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                "200 OK|hello|keep-alive|5",
            ),
            ("GET /close", "", "200 OK|bye|close|3"),
        ];
        for (line, rest, expected) in rows {
            let rest = if rest.is_empty() { "\r\n" } else { rest };
            client
                .send(format!("{line} HTTP/1.1\r\nHost: h\r\n{rest}"))
                .await;
            let mut response = client.head().await;
            let length = response.header("content-length").unwrap_or("-").to_owned();
            if !line.starts_with("HEAD") && length != "-" {
                response.body = client.take(length.parse().unwrap()).await;
            }
            let connection = response.header("connection").unwrap();
            let got = format!(
                "{}|{}|{connection}|{length}",
                &response.line[9..],
                response.text()
            );
            assert_eq!(got, expected, "{line}");
            assert!(response.header("date").is_some() && response.header("via").is_some());
            assert!(!gateway.outcome().await.client_closed);
        }
        assert_eq!(client.rest().await, b"");
        // An unwanted body that is too long to read away costs the connection.
        let mut client = gateway.client().await;
        let request = "POST /reply HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\nabc";
        assert_eq!(
            client.ask(request).await.header("connection"),
            Some("close")
        );
    });
}

#[test]
fn trial_29_a_response_that_must_not_pass_is_replaced() {
    run(async {
        let (address, connections) = upstream(|_, mut client| async move {
            while !client.read.is_empty() || client.fill().await {
                client.message().await;
                let head =
                    "HTTP/1.1 200 OK\r\nX-Withheld: 1\r\nSecret: 1\r\nContent-Length: 2\r\n\r\nno";
                client.send(head).await;
            }
        })
        .await;
        let gateway = setup(&[address]).start();
        let mut client = gateway.client().await;
        for expected in 1..=2 {
            let response = client
                .ask("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
                .await;
            assert_eq!(response.line, "HTTP/1.1 500 Internal Server Error");
            assert_eq!(
                (response.text(), response.header("secret")),
                ("withheld", None)
            );
            // What was withheld must not be read as the next response.
            assert_eq!(connections.load(Ordering::Relaxed), expected);
        }
    });
}

#[test]
fn trial_08_the_settings_say_how_large_a_response_head_may_be() {
    // nginx's proxy_buffer_size from compose files, the default, and what the default refuses.
    for (limit, size, status) in [
        (160 * 1024, 9_000, "200 OK"),
        (160 * 1024, 150_000, "200 OK"),
        (160 * 1024, 164_000, "502 Bad Gateway"),
        (32 * 1024, 9_000, "200 OK"),
        (32 * 1024, 33_000, "502 Bad Gateway"),
    ] {
        run(async {
            let (address, _) = upstream(move |_, mut client| async move {
                client.message().await;
                let value = "x".repeat(size);
                let head = format!("HTTP/1.1 200 OK\r\nX: {value}\r\nContent-Length: 2\r\n\r\nok");
                client.send(head).await;
                client.fill().await;
            })
            .await;
            let mut setup = setup(&[address]);
            setup.upstream.response_head = Limits::whole(limit);
            let gateway = setup.start();
            let mut client = gateway.client().await;
            let response = client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
            assert_eq!(
                response.line,
                format!("HTTP/1.1 {status}"),
                "{size} of {limit}"
            );
            if status == "200 OK" {
                assert_eq!(response.header("x").map(str::len), Some(size));
            }
        });
    }
}

#[test]
fn trial_08_a_request_head_may_be_larger_than_one_buffer_where_settings_allow_it() {
    run(async {
        let (address, _) = upstream(echo).await;
        let mut setup = setup(&[address]);
        // large_client_header_buffers 4 64k
        setup.config.driver.head = Limits {
            line: 64 * 1024,
            head: 256 * 1024,
        };
        let gateway = setup.start();
        let mut client = gateway.client().await;
        let line = |name: &str| format!("{name}: {}\r\n", "x".repeat(60_000));
        let lines = [line("A"), line("B"), line("C")].concat();
        for _ in 0..2 {
            let response = client
                .ask(format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n"))
                .await;
            assert_eq!(response.line, "HTTP/1.1 200 OK");
            assert!(response.body.len() > 180_000);
        }
    });
}
