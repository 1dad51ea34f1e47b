//! Connections and the server around them: counters, panics, drain, ports.

use super::super::{ListenError, Phase};
use super::*;
use std::io::{Read as _, Write as _};

const REPLY: &str = "GET /reply HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn trial_29_a_panic_is_answered_finished_and_ends_its_connection_only() {
    run(async {
        let mut gateway = setup(&[]).start();
        let mut other = gateway.client().await;
        other.ask(REPLY).await;
        assert_eq!(gateway.outcome().await.refused, None);
        let mut client = gateway.client().await;
        let response = client.ask("GET /panic HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(response.text(), "Internal ");
        assert_eq!(client.rest().await, b"");
        let outcome = gateway.outcome().await;
        assert_eq!(
            (outcome.refused, outcome.aborted),
            (Some(Refusal::Internal), false)
        );
        assert_eq!(other.ask(REPLY).await.text(), "hello");
        drop(other);
        assert!(gateway.handle.drain(NEVER).await);
        let counts = gateway.handle.counters().read();
        assert_eq!((counts.active, counts.writing, counts.requests), (0, 0, 3));
    });
}

#[test]
fn a_connection_serves_a_bounded_number_of_requests() {
    run(async {
        let mut setup = setup(&[]);
        setup.config.driver.keep_alive_requests = 2;
        let gateway = setup.start();
        let mut client = gateway.client().await;
        assert_eq!(
            client.ask(REPLY).await.header("connection"),
            Some("keep-alive")
        );
        assert_eq!(client.ask(REPLY).await.header("connection"), Some("close"));
        assert_eq!(client.rest().await, b"");
    });
}

#[test]
fn a_drain_finishes_what_is_in_flight() {
    run(async {
        let (arrived, mut requests) = mpsc::unbounded_channel();
        let (go, gone) = tokio::sync::watch::channel(());
        let (address, _) = upstream(move |_, mut client| {
            let (arrived, mut gone) = (arrived.clone(), gone.clone());
            async move {
                client.message().await;
                arrived.send(()).unwrap();
                gone.changed().await.unwrap();
                client
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
                    .await;
            }
        })
        .await;
        let gateway = setup(&[address]).of_its_own().start();
        let mut idle = gateway.client().await;
        idle.ask(REPLY).await;
        let mut busy = gateway.client().await;
        busy.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        requests.recv().await.unwrap();
        let handle = gateway.handle.clone();
        let drain = tokio::spawn(async move { handle.drain(NEVER).await });
        assert_eq!(idle.rest().await, b"");
        go.send(()).unwrap();
        let response = busy.message().await;
        assert_eq!(response.text(), "done");
        assert_eq!(response.header("connection"), Some("close"));
        assert_eq!(busy.rest().await, b"");
        assert!(drain.await.unwrap());
        assert_eq!(gateway.handle.phase(), Phase::Draining);
        let refused = TcpStream::connect(gateway.handle.addresses()[0]).await;
        assert!(refused.is_err());
    });
}

#[test]
fn a_drain_has_an_end_and_a_stop_is_one() {
    run(async {
        for stop in [false, true] {
            let (arrived, mut requests) = mpsc::unbounded_channel();
            let (address, _) = upstream(move |_, mut client| {
                let arrived = arrived.clone();
                async move {
                    client.message().await;
                    arrived.send(()).unwrap();
                    std::future::pending::<()>().await;
                }
            })
            .await;
            let mut gateway = setup(&[address]).of_its_own().start();
            let mut client = gateway.client().await;
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
            requests.recv().await.unwrap();
            match stop {
                true => gateway.handle.stop().await,
                false => assert!(!gateway.handle.drain(SOON).await),
            }
            gateway.handle.ended().await;
            assert_eq!(client.rest().await, b"");
            assert!(gateway.outcome().await.aborted);
            assert!(
                TcpStream::connect(gateway.handle.addresses()[0])
                    .await
                    .is_err()
            );
        }
    });
}

#[test]
fn several_addresses_share_the_workers() {
    run(async {
        let mut setup = setup(&[]);
        setup.config.workers = 2;
        setup
            .config
            .listens
            .extend(listens("127.0.0.1:0 reuseport backlog=16"));
        let gateway = setup.start();
        let addresses = gateway.handle.addresses().to_vec();
        assert_ne!(addresses[0].port(), addresses[1].port());
        for address in addresses.iter().cycle().take(6) {
            let mut client = Client::new(TcpStream::connect(address).await.unwrap());
            assert_eq!(client.ask(REPLY).await.text(), "hello");
        }
        assert_eq!(gateway.handle.counters().read().handled, 6);
    });
}

/// A caller that does not let its own thread go on cannot keep clients waiting.
#[test]
fn workers_serve_when_the_start_returns() {
    run(async {
        let gateway = setup(&[]).start();
        let mut client = std::net::TcpStream::connect(gateway.handle.addresses()[0]).unwrap();
        let patience = Some(Duration::from_secs(30));
        client.set_read_timeout(patience).unwrap();
        client.write_all(REPLY.as_bytes()).unwrap();
        let mut status = [0; 12];
        client.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
    });
}

#[test]
fn errors_name_the_address() {
    run(async {
        let taken = TcpListener::bind(LOCAL).await.unwrap();
        let address = taken.local_addr().unwrap();
        let start = |flags: &str| {
            let Setup {
                plan, mut config, ..
            } = setup(&[]);
            config.listens = listens(&format!("{address}{flags}"));
            Server::start(config, parts(plan, UpstreamSettings::default()), None).err()
        };
        let error = start("").unwrap();
        assert!(matches!(error, ListenError::Bind { address: named, .. } if named == address));
        assert!(error.to_string().contains(&address.to_string()));
        let error = start(" ssl").unwrap();
        assert!(
            matches!(error, ListenError::NoCertificates { address: named } if named == address)
        );
    });
}
