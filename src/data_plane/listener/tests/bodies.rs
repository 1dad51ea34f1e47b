//! Bodies that wait in memory and in files, and what happens when they find no room.

use super::super::{BodyFiles, SpoolLimits};
use super::*;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

#[test]
fn trial_20_the_client_is_told_to_continue_before_an_upstream_is_asked() {
    run(async {
        let (address, connections) = upstream(echo).await;
        let gateway = setup(&[address]).start();
        let mut client = gateway.client().await;
        let head =
            "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 200000\r\n\r\n";
        client.send(head).await;
        assert_eq!(client.head().await.line, "HTTP/1.1 100 Continue");
        client.send(&pattern(199_999)).await;
        assert_eq!(connections.load(Ordering::Relaxed), 0);
        client.send(&pattern(200_000)[199_999..]).await;
        let response = client.message().await;
        assert!(response.body.ends_with(&pattern(200_000)));
        // What follows on the connection is the next request.
        let pair = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n";
        let get = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
        client
            .send([pair.as_bytes(), &pattern(100_000), get.as_bytes()].concat())
            .await;
        assert!(client.message().await.body.ends_with(&pattern(100_000)));
        assert!(client.message().await.text().starts_with("GET /next "));
        let usage = gateway.handle.files().usage();
        assert_eq!((usage.bytes, usage.opened, usage.refused), (0, 2, 0));
    });
}

#[test]
fn trial_20_a_body_without_room_is_answered_and_an_upstream_is_not_asked() {
    let nowhere = || BodyFiles::new(vec!["/nonexistent/for/langur".into()], 0);
    let small = || BodyFiles::new(vec![std::env::temp_dir()], 100_000);
    for (files, expected) in [(nowhere(), "Internal "), (small(), "NoRoom ")] {
        run(async {
            let (address, connections) = upstream(echo).await;
            let mut setup = setup(&[address]);
            setup.config.files = Arc::new(files);
            let mut gateway = setup.start();
            let mut client = gateway.client().await;
            let head = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n";
            client.send(head).await;
            let (mut reader, mut writer) = client.io.into_split();
            let sent = tokio::spawn(async move {
                // The gateway stops reading at some point.
                let _ = writer.write_all(&pattern(200_000)).await;
                writer
            });
            let mut client = Client::new(tokio::io::join(&mut reader, tokio::io::sink()));
            let response = client.message().await;
            assert_eq!(response.text(), expected);
            assert_eq!(response.header("connection"), Some("close"));
            assert_eq!(connections.load(Ordering::Relaxed), 0);
            assert!(gateway.outcome().await.refused.is_some());
            let usage = gateway.handle.files().usage();
            assert_eq!((usage.bytes, usage.refused), (0, 1));
            drop(sent);
            // A body that needs no file is served.
            let mut client = gateway.client().await;
            let small = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
            assert!(client.ask(small).await.text().ends_with("|abc"));
        });
    }
}

#[test]
fn trial_20_a_body_may_be_kept_in_memory() {
    run(async {
        let (address, _) = upstream(echo).await;
        let mut setup = setup(&[address]);
        setup.config.driver.request_spool.memory = 1 << 20;
        let gateway = setup.start();
        let mut client = gateway.client().await;
        client
            .send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n")
            .await;
        let response = client.ask(&pattern(300_000)).await;
        assert!(response.body.ends_with(&pattern(300_000)));
        assert_eq!(gateway.handle.files().usage().opened, 0);
    });
}

/// An upstream that sends a body of this length to each request and then says so.
async fn sends(length: usize, chunked: bool) -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
    let (sender, sent) = mpsc::unbounded_channel();
    let (address, _) = upstream(move |_, mut client| {
        let sender = sender.clone();
        async move {
            while !client.read.is_empty() || client.fill().await {
                client.message().await;
                let body = pattern(length);
                if chunked {
                    client
                        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                        .await;
                    for piece in body.chunks(99_991) {
                        client.send(format!("{:x}\r\n", piece.len())).await;
                        client.send(piece).await;
                        client.send("\r\n").await;
                    }
                    client.send("0\r\n\r\n").await;
                } else {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    client.send(head).await;
                    client.send(&body).await;
                }
                let _ = sender.send(());
            }
        }
    })
    .await;
    (address, sent)
}

/// More than the sockets between an upstream and a client hold.
const LARGE: usize = 20_000_000;

#[test]
fn trial_34_a_slow_reader_gets_everything_whatever_may_be_kept() {
    let limits = |memory, file| SpoolLimits { memory, file };
    // In a file; in memory and a small file, then the upstream waits; in memory alone.
    for (limits, chunked) in [
        (limits(32 * 1024, 1 << 30), true),
        (limits(32 * 1024, 1 << 30), false),
        (limits(10_000, 1_000_000), true),
        (limits(32 * 1024, 0), false),
        (limits(32 * 1024, 0), true),
    ] {
        run(async {
            let (address, mut sent) = sends(LARGE, chunked).await;
            let mut setup = setup(&[address]);
            setup.config.driver.response_spool = limits;
            let mut gateway = setup.start();
            let mut client = gateway.client().await;
            for _ in 0..2 {
                client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
                if limits.file > LARGE as u64 {
                    // The client has read nothing.
                    sent.recv().await.unwrap();
                }
                let response = client.message().await;
                assert!(response.body == pattern(LARGE), "{limits:?} {chunked}");
                let outcome = gateway.outcome().await;
                assert!(!outcome.client_closed && outcome.response_bytes as usize > LARGE);
            }
            assert_eq!(gateway.handle.files().usage().bytes, 0);
            assert_eq!(gateway.handle.files().usage().opened > 0, limits.file > 0);
        });
    }
}

#[test]
fn trial_34_a_response_that_cannot_go_to_disk_waits_for_its_client() {
    for files in [
        BodyFiles::new(vec!["/nonexistent/for/langur".into()], 0),
        BodyFiles::new(vec![std::env::temp_dir()], 500_000),
    ] {
        run(async {
            let (address, _sent) = sends(LARGE, true).await;
            let mut setup = setup(&[address]);
            setup.config.files = Arc::new(files);
            let gateway = setup.start();
            let mut client = gateway.client().await;
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
            while gateway.handle.files().usage().refused == 0 {
                tokio::task::yield_now().await;
            }
            assert!(client.message().await.body == pattern(LARGE));
        });
    }
}

#[test]
fn trial_34_a_response_that_was_cut_is_delivered_as_far_as_it_came() {
    run(async {
        let (address, _) = upstream(|_, mut client| async move {
            client.message().await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", LARGE + 1);
            client.send(head).await;
            client.send(&pattern(LARGE)).await;
        })
        .await;
        let mut gateway = setup(&[address]).start();
        let mut client = gateway.client().await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.head().await;
        assert!(client.rest().await == pattern(LARGE));
        assert!(!gateway.outcome().await.client_closed);
    });
}

#[test]
fn trial_34_a_client_that_reads_nothing_is_given_up_and_one_that_leaves_too() {
    run(async {
        let (address, mut sent) = sends(LARGE, false).await;
        let mut setup = setup(&[address]);
        setup.config.driver.send_timeout = SOON;
        let mut gateway = setup.start();
        let mut silent = gateway.client().await;
        silent.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(gateway.outcome().await.client_closed);
        sent.recv().await.unwrap();
        let mut leaving = gateway.client().await;
        leaving.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        leaving.head().await;
        drop(leaving);
        assert!(gateway.outcome().await.client_closed);
        assert_eq!(gateway.handle.files().usage().bytes, 0);
    });
}

#[test]
fn trial_34_unbuffered_responses_use_no_file() {
    run(async {
        let (address, _sent) = sends(LARGE, true).await;
        let mut setup = setup(&[address]);
        setup.plan.response_buffering = false;
        let gateway = setup.start();
        let mut client = gateway.client().await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(client.message().await.body == pattern(LARGE));
        assert_eq!(gateway.handle.files().usage().opened, 0);
    });
}
