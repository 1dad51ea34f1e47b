//! Attempts: reuse, retries, failures.

use super::*;
use crate::loopback::closed_address;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn connections_are_kept_and_shared_by_clients() {
    run(async {
        let (address, connections) = upstream(echo).await;
        let mut gateway = setup(&[address]).start();
        for _ in 0..3 {
            let mut client = gateway.client().await;
            for _ in 0..3 {
                for request in [GET, POST] {
                    client.ask(request).await;
                    gateway.outcome().await;
                }
            }
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn connections_that_cannot_be_kept_are_not() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more",
        "HTTP/1.1 204 No Content\r\n\r\nbody",
    ] {
        run(async {
            let (address, connections) = upstream(move |_, mut client| async move {
                client.message().await;
                client.send(answer).await;
                std::future::pending::<()>().await;
            })
            .await;
            let gateway = setup(&[address]).start();
            let mut client = gateway.client().await;
            for _ in 0..3 {
                let response = client.ask(GET).await;
                assert!(matches!(response.text(), "ok" | ""), "{response:?}");
            }
            assert_eq!(connections.load(Ordering::Relaxed), 3, "{answer:?}");
        });
    }
}

#[test]
fn a_dead_kept_connection_costs_nothing() {
    run(async {
        // Each connection answers once, waits for the next request and closes on it: no
        // readiness check can know that before.
        let (address, connections) = upstream(|_, mut client| async move {
            client.message().await;
            client.send(OK).await;
            client.fill().await;
        })
        .await;
        let mut gateway = setup(&[address]).start();
        let mut client = gateway.client().await;
        for expected in [1, 2, 3] {
            assert_eq!(client.ask(GET).await.text(), "ok");
            assert!(gateway.outcome().await.refused.is_none());
            assert_eq!(connections.load(Ordering::Relaxed), expected);
        }
        // A POST may have been acted upon: it is not sent twice.
        let response = client.ask(POST).await;
        assert_eq!(response.text(), "Reset { sent: true }");
        assert_eq!(connections.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn a_kept_connection_that_was_closed_is_not_used() {
    run(async {
        let (sender, mut closed) = mpsc::unbounded_channel();
        let (address, connections) = upstream(move |_, mut client| {
            let sender = sender.clone();
            async move {
                client.message().await;
                client.send(OK).await;
                drop(client);
                sender.send(()).unwrap();
            }
        })
        .await;
        let gateway = setup(&[address]).start();
        let mut client = gateway.client().await;
        for expected in [1, 2, 3] {
            assert_eq!(client.ask(POST).await.text(), "ok");
            closed.recv().await.unwrap();
            assert_eq!(connections.load(Ordering::Relaxed), expected);
        }
    });
}

#[test]
fn refused_connections_lead_to_the_next_address() {
    run(async {
        let (address, _) = upstream(echo).await;
        let mut setup = setup(&[closed_address(), address]);
        setup.plan.retries = 1;
        let gateway = setup.start();
        let mut client = gateway.client().await;
        assert_eq!(client.ask(GET).await.line, "HTTP/1.1 200 OK");
        assert!(client.ask(POST).await.text().ends_with("|abc"));
    });
}

#[test]
fn failures_have_names() {
    type Script = fn(Client<TcpStream>) -> futures_util::future::BoxFuture<'static, ()>;
    let rows: &[(Script, &str, usize, &str)] = &[
        (
            |client| Box::pin(async move { drop(client) }),
            GET,
            3,
            "Reset { sent: ",
        ),
        (
            |mut client| {
                Box::pin(async move {
                    client.message().await;
                })
            },
            POST,
            1,
            "Reset { sent: true }",
        ),
        (
            |mut client| {
                Box::pin(async move {
                    client.message().await;
                    client.send("HTTP/1.1 200 OK\r\nContent-").await;
                })
            },
            GET,
            3,
            "Reset { sent: true }",
        ),
        (
            |mut client| {
                Box::pin(async move {
                    client.message().await;
                    client.send("GARBAGE\r\n\r\n").await;
                })
            },
            GET,
            1,
            "BadResponse",
        ),
        (
            |mut client| {
                Box::pin(async move {
                    client.message().await;
                    client.send("HTTP/1.1 101 No\r\n\r\n").await;
                })
            },
            GET,
            1,
            "BadResponse",
        ),
        (
            |mut client| {
                Box::pin(async move {
                    client.message().await;
                    client.send("HTTP/1.1 103 Hints\r\n\r\n".repeat(17)).await;
                    client.fill().await;
                })
            },
            "GET / HTTP/1.0\r\n\r\n",
            1,
            "BadResponse",
        ),
        (
            |mut client| {
                Box::pin(async move {
                    client.message().await;
                    client
                        .send(format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(33_000)))
                        .await;
                    client.fill().await;
                })
            },
            GET,
            1,
            "BadResponse",
        ),
    ];
    for (script, request, attempts, expected) in rows {
        run(async {
            let (address, connections) = upstream(|_, client| script(client)).await;
            let mut setup = setup(&[address]);
            setup.plan.retries = 2;
            let gateway = setup.start();
            let mut client = gateway.client().await;
            let response = client.ask(request).await;
            assert!(response.text().starts_with(expected), "{response:?}");
            assert_eq!(connections.load(Ordering::Relaxed), *attempts, "{expected}");
        });
    }
}

#[test]
fn unreachable_upstreams_have_names_too() {
    run(async {
        let gateway = setup(&[closed_address()]).start();
        assert_eq!(gateway.client().await.ask(GET).await.text(), "Connect");
        let mut setup = setup(&[closed_address()]);
        setup.plan.upstreams[0].host = Arc::from("name.invalid");
        let gateway = setup.start();
        assert_eq!(gateway.client().await.ask(GET).await.text(), "Resolve");
    });
}

#[test]
fn silent_upstreams_time_out() {
    run(async {
        let (address, connections) = upstream(|_, mut client| async move {
            client.message().await;
            std::future::pending::<()>().await;
        })
        .await;
        let mut setup = setup(&[address]);
        setup.plan.timeout = SOON;
        setup.plan.retries = 1;
        let gateway = setup.start();
        let mut client = gateway.client().await;
        // The gateway gives up without the upstream, which may be the later one to know.
        for (request, expected) in [(GET, 2), (POST, 3)] {
            assert_eq!(client.ask(request).await.text(), "Timeout { sent: true }");
            while connections.load(Ordering::Relaxed) < expected {
                tokio::task::yield_now().await;
            }
            assert_eq!(connections.load(Ordering::Relaxed), expected);
        }
    });
}

#[test]
fn an_upstream_that_stalls_in_the_body_is_given_up() {
    run(async {
        let (address, _) = upstream(|_, mut client| async move {
            client.message().await;
            client
                .send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
                .await;
            std::future::pending::<()>().await;
        })
        .await;
        let mut setup = setup(&[address]);
        setup.plan.timeout = SOON;
        let gateway = setup.start();
        let mut client = gateway.client().await;
        client.send(GET).await;
        assert!(client.rest().await.ends_with(b"half"));
    });
}

#[test]
fn an_upstream_that_does_not_read_is_given_up() {
    run(async {
        let (address, _) = upstream(|_, client| async move {
            let _client = client;
            std::future::pending::<()>().await;
        })
        .await;
        let mut setup = setup(&[address]);
        setup.plan.timeout = SOON;
        setup.plan.request_buffering = false;
        let gateway = setup.start();
        let client = gateway.client().await;
        let (reader, mut writer) = client.io.into_split();
        tokio::spawn(async move {
            let head = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n";
            let _ = writer.write_all(head.as_bytes()).await;
            let _ = writer.write_all(&vec![0; 100_000_000]).await;
        });
        let mut reader = Client::new(tokio::io::join(reader, tokio::io::sink()));
        let response = reader.message().await;
        // Part of the body is gone, so nothing is tried again.
        assert_eq!(response.text(), "Timeout { sent: true }");
        assert_eq!(response.header("connection"), Some("close"));
    });
}

#[test]
fn buffered_bodies_are_sent_again_however_large_they_are() {
    run(async {
        let (address, connections) = upstream(|index, mut client| async move {
            let request = client.head().await;
            let length: usize = request.header("content-length").unwrap().parse().unwrap();
            let body = client.take(length).await;
            if index % 2 == 1 {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                client.send(head).await;
                client.send(body).await;
                client.fill().await;
            }
        })
        .await;
        let mut setup = setup(&[address]);
        setup.plan.retries = 1;
        let gateway = setup.start();
        let mut client = gateway.client().await;
        let body = "y".repeat(65_536);
        let request = format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n\r\n{body}");
        assert_eq!(client.ask(request).await.text(), body);
        assert_eq!(connections.load(Ordering::Relaxed), 2);
        drop(client);
        // The kept connection ends, the third one fails, and the fourth gets all of it again.
        for length in [65_537, 1_000_000] {
            let mut client = gateway.client().await;
            let body = "y".repeat(length);
            let head = format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
            client.send(format!("{head}{body}")).await;
            let response = client.message().await;
            assert_eq!(response.line, "HTTP/1.1 200 OK");
            assert!(response.text() == body);
        }
        assert_eq!(gateway.handle.files().usage().bytes, 0);
        assert_eq!(gateway.handle.files().usage().opened, 2);
    });
}

#[test]
fn a_client_that_leaves_ends_the_attempt() {
    run(async {
        let (sender, mut ended) = mpsc::unbounded_channel();
        let (address, _) = upstream(move |_, mut client| {
            let sender = sender.clone();
            async move {
                let request = client.message().await;
                if request.line.contains("/stream") {
                    client
                        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                        .await;
                }
                assert!(!client.fill().await);
                sender.send(()).unwrap();
            }
        })
        .await;
        let mut gateway = setup(&[address]).start();
        let mut client = gateway.client().await;
        client.send(GET).await;
        drop(client);
        ended.recv().await.unwrap();
        assert!(gateway.outcome().await.client_closed);
        let mut client = gateway.client().await;
        client.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.head().await;
        drop(client);
        ended.recv().await.unwrap();
        assert!(gateway.outcome().await.client_closed);
    });
}
