//! Requests on their way to the upstream.

use super::*;

const LARGE: usize = 5 * 1024 * 1024;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// Sends each request on one connection and compares what the upstream saw of it.
fn check(rows: &[(&str, &str)]) {
    run(async {
        let (address, _) = upstream(echo).await;
        let gateway = setup(&[address]).start();
        let mut client = gateway.client().await;
        for (request, expected) in rows {
            let response = client.ask(request).await;
            assert_eq!(response.line, "HTTP/1.1 200 OK", "{request:?}");
            assert_eq!(response.text(), *expected, "{request:?}");
        }
    });
}

#[test]
fn what_the_upstream_sees() {
    check(&[
        (
            "GET /a?b HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n",
            "GET /a?b HTTP/1.1|Host=h;X=1;|",
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
            "POST / HTTP/1.1|Host=h;Content-Length=5;|hello",
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
            "POST / HTTP/1.1|Host=h;Content-Length=0;|",
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n5\r\ndefgh\r\n0\r\nT: 1\r\n\r\n",
            "POST / HTTP/1.1|Host=h;Content-Length=8;|abcdefgh",
        ),
        (
            "GET http://other/p HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /p HTTP/1.1|Host=other;|",
        ),
    ]);
}

#[test]
fn plugins_may_see_a_body_and_send_another() {
    check(&[
        (
            "PUT /reverse HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
            "PUT /reverse HTTP/1.1|Host=h;Content-Length=3;|cba",
        ),
        (
            "PUT /reverse HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n",
            "PUT /reverse HTTP/1.1|Host=h;Content-Length=10;|9876543210",
        ),
        (
            "GET /reverse HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /reverse HTTP/1.1|Host=h;Content-Length=0;|",
        ),
        // Above the limit it is not shown, and goes as it came.
        (
            "PUT /reverse HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n0123456789x",
            "PUT /reverse HTTP/1.1|Host=h;Content-Length=11;|0123456789x",
        ),
        (
            "PUT /reverse HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789x\r\n0\r\n\r\n",
            "PUT /reverse HTTP/1.1|Host=h;Content-Length=11;|0123456789x",
        ),
    ]);
}

#[test]
fn refused_requests_get_a_reply_and_a_closed_connection() {
    run(async {
        let gateway = setup(&[]).start();
        let rows = [
            ("GET /x HTTP/1.1\r\n\r\n", "BadRequest /x"),
            ("get /x HTTP/1.1\r\n", "BadRequest "),
            ("\u{16}\u{3}\u{1}", "BadRequest "),
            (
                "TRACE /x HTTP/1.1\r\nHost: h\r\n\r\n",
                "MethodNotAllowed /x",
            ),
            ("GET /x HTTP/2.0\r\nHost: h\r\n\r\n", "VersionNotSupported "),
            (
                "PUT /x HTTP/1.1\r\nHost: h\r\nExpect: y\r\n\r\n",
                "ExpectationFailed /x",
            ),
            (
                "PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\n\r\n",
                "NotImplemented /x",
            ),
        ];
        for (request, expected) in rows {
            let mut client = gateway.client().await;
            // What follows a refused request is not a request.
            client.send(request).await;
            let response = client.message().await;
            assert_eq!(response.text(), expected);
            assert_eq!(response.header("connection"), Some("close"));
            let _ = client
                .io
                .write_all(b"GET /reply HTTP/1.1\r\nHost: h\r\n\r\n")
                .await;
            let _ = client.io.shutdown().await;
            assert_eq!(client.rest().await, b"");
        }
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000));
        assert_eq!(
            gateway.client().await.ask(&long).await.text(),
            "UriTooLong "
        );
        let long = format!("GET /x HTTP/1.1\r\nX: {}\r\n", "a".repeat(9000));
        assert_eq!(
            gateway.client().await.ask(&long).await.text(),
            "HeaderTooLarge /x"
        );
    });
}

#[test]
fn smuggled_requests_do_not_reach_the_upstream() {
    run(async {
        let (address, connections) = upstream(echo).await;
        let gateway = setup(&[address]).start();
        let hidden = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";
        for framing in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Content-Length: 5\r\nContent-Length: 0",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding : chunked",
            "Content-Length: 0\r\n\tContent-Length: 5",
        ] {
            let mut client = gateway.client().await;
            let request =
                format!("POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n0\r\n\r\n{hidden}");
            let response = client.ask(request).await;
            assert_eq!(response.line, "HTTP/1.1 400 Bad Request", "{framing}");
            client.io.shutdown().await.unwrap();
            assert_eq!(client.rest().await, b"", "{framing}");
        }
        assert_eq!(connections.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn bytes_may_come_one_by_one() {
    run(async {
        let (address, _) = upstream(echo).await;
        let gateway = setup(&[address]).start();
        let mut client = gateway.client().await;
        let request = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        for byte in request.bytes() {
            client.send([byte]).await;
        }
        let response = client.message().await;
        assert_eq!(
            response.text(),
            "POST /x HTTP/1.1|Host=h;Content-Length=3;|abc"
        );
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    run(async {
        let (address, connections) = upstream(echo).await;
        let gateway = setup(&[address]).start();
        let mut client = gateway.client().await;
        client
            .send(
                "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n\
                 POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\
                 GET /reply HTTP/1.1\r\nHost: h\r\n\r\n\
                 POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\
                 GET /4 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n\
                 GET /5 HTTP/1.1\r\nHost: h\r\n\r\n",
            )
            .await;
        for expected in ["GET /1 ", "POST /2 ", "hello", "POST /3 ", "GET /4 "] {
            let response = client.message().await;
            assert!(response.text().starts_with(expected), "{response:?}");
        }
        assert_eq!(client.rest().await, b"");
        assert_eq!(connections.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn large_bodies_arrive_whole() {
    run(async {
        let (address, _) = upstream(echo).await;
        for request_buffering in [true, false] {
            let mut setup = setup(&[address]);
            setup.plan.request_buffering = request_buffering;
            let mut gateway = setup.start();
            let body = pattern(LARGE);
            let client = gateway.client().await;
            let (reader, mut writer) = client.io.into_split();
            let mut reader = Client::new(tokio::io::join(reader, tokio::io::sink()));
            let head = format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {LARGE}\r\n\r\n");
            let sent = body.clone();
            tokio::spawn(async move {
                writer.write_all(head.as_bytes()).await.unwrap();
                writer.write_all(&sent).await.unwrap();
                let head = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
                writer.write_all(head).await.unwrap();
                for chunk in sent.chunks(70_001) {
                    let size = format!("{:x}\r\n", chunk.len());
                    writer.write_all(size.as_bytes()).await.unwrap();
                    writer.write_all(chunk).await.unwrap();
                    writer.write_all(b"\r\n").await.unwrap();
                }
                writer.write_all(b"0\r\n\r\n").await.unwrap();
                std::future::pending::<()>().await;
            });
            // Chunks of a body that is complete before it is sent get a length.
            let chunks = match request_buffering {
                true => "Content-Length=5242880",
                false => "Transfer-Encoding=chunked",
            };
            for framing in ["Content-Length=5242880", chunks] {
                let response = reader.message().await;
                let text = format!("PUT / HTTP/1.1|Host=h;{framing};|");
                assert!(response.body.starts_with(text.as_bytes()));
                assert_eq!(response.body[text.len()..], body, "{framing}");
                let outcome = gateway.outcome().await;
                assert!(outcome.request_bytes as usize > LARGE);
                assert!(outcome.response_bytes as usize > LARGE);
            }
        }
    });
}

#[test]
fn bodies_around_the_buffer_size() {
    run(async {
        let (address, _) = upstream(echo).await;
        let gateway = setup(&[address]).start();
        let mut client = gateway.client().await;
        for length in [65_535, 65_536, 65_537, 131_072] {
            let body = pattern(length);
            client
                .send(format!(
                    "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n"
                ))
                .await;
            client.send(&body).await;
            let response = client.message().await;
            assert!(response.body.ends_with(&body), "{length}");
            client
                .send("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            client.send(format!("{length:x}\r\n")).await;
            client.send(&body).await;
            client.send("\r\n0\r\n\r\n").await;
            let response = client.message().await;
            assert!(response.body.ends_with(&body), "{length} in chunks");
        }
    });
}

#[test]
fn chunks_of_an_unbuffered_request_stay_chunks_when_they_are_many() {
    run(async {
        let (address, _) = upstream(echo).await;
        let mut setup = setup(&[address]);
        setup.plan.request_buffering = false;
        let gateway = setup.start();
        let mut client = gateway.client().await;
        for (length, expected) in [
            (3, "Content-Length=3"),
            (20_000, "Transfer-Encoding=chunked"),
        ] {
            let body = "x".repeat(length);
            let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
            let response = client
                .ask(format!("{head}{length:x}\r\n{body}\r\n0\r\n\r\n"))
                .await;
            let expected = format!("POST / HTTP/1.1|Host=h;{expected};|{body}");
            assert_eq!(response.text(), expected);
        }
    });
}

#[test]
fn a_client_that_asks_is_told_to_continue() {
    run(async {
        let (address, _) = upstream(echo).await;
        let gateway = setup(&[address]).start();
        let mut client = gateway.client().await;
        let head = "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n";
        client.send(head).await;
        assert_eq!(client.head().await.line, "HTTP/1.1 100 Continue");
        let response = client.ask("expect").await;
        assert_eq!(
            response.text(),
            "PUT / HTTP/1.1|Host=h;Content-Length=6;|expect"
        );
        // Who sends the body at once needs no answer; who is refused may not send it at all.
        let response = client.ask(format!("{head}second")).await;
        assert_eq!(
            response.text(),
            "PUT / HTTP/1.1|Host=h;Content-Length=6;|second"
        );
        let response = client.ask(head.replace("PUT /", "PUT /reply")).await;
        assert_eq!(response.text(), "hello");
        assert_eq!(response.header("connection"), Some("close"));
    });
}

#[test]
fn bodies_that_break_off_or_break_the_rules() {
    run(async {
        let (address, _) = upstream(echo).await;
        let mut gateway = setup(&[address]).start();
        for buffering in ["", "/streamed"] {
            // Above the buffer size the request is on its way before the fault is seen.
            let padding = match buffering {
                "" => String::new(),
                _ => format!("18000\r\n{}\r\n", "x".repeat(0x18000)),
            };
            let mut client = gateway.client().await;
            client
                .send(format!("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{padding}zz\r\n"))
                .await;
            let response = client.message().await;
            assert_eq!(response.text(), "BadRequest ", "{buffering}");
            assert_eq!(response.header("connection"), Some("close"));
            let outcome = gateway.outcome().await;
            assert_eq!(outcome.refused, Some(Refusal::BadRequest));
        }
        // An answer that does not need the body is given whatever the body is worth.
        let mut client = gateway.client().await;
        client
            .send("POST /reply HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
            .await;
        let response = client.message().await;
        assert_eq!(response.text(), "hello");
        assert_eq!(response.header("connection"), Some("close"));
        assert_eq!(gateway.outcome().await.refused, None);
        let mut client = gateway.client().await;
        client
            .send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
            .await;
        client.io.shutdown().await.unwrap();
        assert_eq!(client.rest().await, b"");
        assert!(gateway.outcome().await.client_closed);
    });
}

#[test]
fn the_body_limit_holds_for_lengths_and_for_chunks() {
    run(async {
        let (address, _) = upstream(echo).await;
        let mut setup = setup(&[address]);
        setup.config.driver.max_body = 100_000;
        let gateway = setup.start();
        let head = "POST /x HTTP/1.1\r\nHost: h\r\n";
        let mut client = gateway.client().await;
        let response = client
            .ask(format!("{head}Content-Length: 100001\r\n\r\n"))
            .await;
        assert_eq!(response.text(), "BodyTooLarge /x");
        for size in [50_000, 90_000] {
            let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
            let mut client = gateway.client().await;
            let request = format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}1\r\nx\r\n0\r\n\r\n"
            );
            let response = client.ask(request).await;
            assert_eq!(response.text(), "BodyTooLarge ", "{size}");
        }
    });
}

#[test]
fn slow_clients_are_given_up() {
    run(async {
        let (address, _) = upstream(echo).await;
        let mut setup = setup(&[address]);
        setup.config.driver.header_timeout = SOON;
        setup.config.driver.body_timeout = SOON;
        setup.config.driver.keep_alive_timeout = SOON;
        let mut gateway = setup.start();
        let mut silent = gateway.client().await;
        assert_eq!(silent.rest().await, b"");
        let mut half_head = gateway.client().await;
        assert_eq!(
            half_head.ask("GET /x HTTP/1.1\r\nHo").await.text(),
            "Timeout /x"
        );
        let mut half_body = gateway.client().await;
        let request = "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc";
        assert_eq!(half_body.ask(request).await.text(), "Timeout ");
        assert_eq!(gateway.outcome().await.refused, Some(Refusal::Timeout));
        let mut idle = gateway.client().await;
        idle.ask("GET /reply HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(idle.rest().await, b"");
    });
}
