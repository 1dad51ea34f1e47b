//! Connections that begin with a header of the PROXY protocol.

use super::*;

const REPLY: &[u8] = b"GET /client HTTP/1.1\r\nHost: h\r\n\r\n";

fn proxied() -> Setup {
    let mut setup = setup(&[]);
    setup.config.listens = listens("127.0.0.1:0 proxy_protocol");
    setup
}

#[test]
fn trial_34_the_client_behind_a_balancer_is_known() {
    run(async {
        let gateway = proxied().start();
        let version_2 =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x10\x92\0\x50";
        for (header, expected) in [
            (
                &b"PROXY TCP4 1.2.3.4 5.6.7.8 4242 80\r\n"[..],
                "Some(1.2.3.4:4242)",
            ),
            (b"PROXY TCP6 ::1 ::2 4242 80\r\n", "Some([::1]:4242)"),
            (b"PROXY UNKNOWN\r\n", "None"),
            (version_2, "Some(1.2.3.4:4242)"),
        ] {
            // In one piece with the request, and byte by byte.
            let mut client = gateway.client().await;
            let response = client.ask([header, REPLY].concat()).await;
            assert_eq!(response.text(), expected);
            let mut client = gateway.client().await;
            for byte in header {
                client.send([*byte]).await;
            }
            assert_eq!(client.ask(REPLY).await.text(), expected);
            assert_eq!(client.ask(REPLY).await.text(), expected);
        }
    });
}

#[test]
fn trial_34_a_connection_without_the_header_is_closed() {
    run(async {
        let mut setup = proxied();
        setup.config.driver.header_timeout = SOON;
        let gateway = setup.start();
        let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
        let too_many = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec();
        for junk in [
            REPLY.to_vec(),
            long,
            too_many,
            b"PROXY TCP4 1.2".to_vec(),
            vec![],
        ] {
            let mut client = gateway.client().await;
            client.send(&junk).await;
            assert_eq!(client.rest().await, b"", "{junk:?}");
        }
    });
}
