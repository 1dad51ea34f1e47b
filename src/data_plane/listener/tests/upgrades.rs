//! WebSocket upgrades.

use super::*;

const UPGRADE: &str =
    "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const ACCEPTED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX: 1\r\n\r\n";

#[test]
fn an_accepted_upgrade_is_a_tunnel() {
    run(async {
        let (address, _) = upstream(|_, mut client| async move {
            let request = client.head().await;
            assert_eq!(request.header("upgrade"), Some("websocket"));
            client.send(format!("{ACCEPTED}first")).await;
            while client.fill().await {
                let bytes = std::mem::take(&mut client.read);
                client.send(bytes).await;
            }
            client.send("end").await;
        })
        .await;
        let mut gateway = setup(&[address]).start();
        let mut client = gateway.client().await;
        // Bytes that come with the request belong to the tunnel, whatever they look like.
        let early = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";
        client.send(format!("{UPGRADE}{early}")).await;
        let response = client.head().await;
        assert_eq!(response.line, "HTTP/1.1 101 Switching Protocols");
        assert_eq!(response.header("connection"), Some("upgrade"));
        assert_eq!(response.header("upgrade"), Some("websocket"));
        assert_eq!(response.header("x"), Some("1"));
        assert_eq!(client.take(5).await, b"first");
        assert_eq!(client.take(early.len()).await, early.as_bytes());
        let large = vec![7; 300_000];
        let (reader, mut writer) = client.io.into_split();
        let sent = large.clone();
        tokio::spawn(async move {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut reader = Client::new(tokio::io::join(reader, tokio::io::sink()));
        assert_eq!(reader.take(large.len()).await, large);
        // One direction was closed; the other one still works.
        assert_eq!(reader.rest().await, b"end");
        let outcome = gateway.outcome().await;
        assert_eq!(
            outcome.request_bytes as usize,
            UPGRADE.len() + early.len() + large.len()
        );
        assert!(!outcome.client_closed);
    });
}

#[test]
fn after_a_refused_upgrade_early_bytes_are_not_a_request() {
    run(async {
        let (address, connections) = upstream(echo).await;
        let gateway = setup(&[address]).start();
        for path in ["/ws", "/reply"] {
            let upgrade = UPGRADE.replace("/ws", path);
            let mut client = gateway.client().await;
            client
                .send(format!("{upgrade}GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"))
                .await;
            let response = client.message().await;
            assert_eq!(response.header("connection"), Some("close"), "{path}");
            client.io.shutdown().await.unwrap();
            assert_eq!(client.rest().await, b"");
            // Without such bytes the connection goes on.
            let mut client = gateway.client().await;
            let response = client.ask(&upgrade).await;
            assert_eq!(response.header("connection"), Some("keep-alive"), "{path}");
            assert_eq!(client.ask(&upgrade).await.line, "HTTP/1.1 200 OK");
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn an_unverified_101_is_no_upgrade() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    ] {
        run(async {
            let (address, _) = upstream(move |_, mut client| async move {
                client.head().await;
                client.send(answer).await;
                client.fill().await;
            })
            .await;
            let gateway = setup(&[address]).start();
            let response = gateway.client().await.ask(UPGRADE).await;
            assert_eq!(response.text(), "BadResponse", "{answer:?}");
        });
    }
}

#[test]
fn an_idle_tunnel_ends() {
    run(async {
        let (address, _) = upstream(|_, mut client| async move {
            client.head().await;
            client.send(ACCEPTED).await;
            assert!(!client.fill().await);
        })
        .await;
        let mut setup = setup(&[address]);
        setup.plan.timeout = SOON;
        let gateway = setup.start();
        let mut client = gateway.client().await;
        client.send(UPGRADE).await;
        client.head().await;
        assert_eq!(client.rest().await, b"");
    });
}
