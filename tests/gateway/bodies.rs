//! Slow bodies, large response heads, a load balancer in front: what a node does with its own
//! settings and files.

use crate::harness::{Both, eventually, get, post};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);
const LENGTH: usize = 100_000;

/// Plays each connection by `script`; the connections are counted.
fn upstream(script: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let script = Arc::new(script);
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().flatten().enumerate() {
            let script = Arc::clone(&script);
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            std::thread::spawn(move || script(n, stream));
        }
    });
    address
}

/// The next request, with as much of a body as its Content-Length names.
fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut seen = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(end) = seen.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
            if seen.len() >= end + 4 + length {
                return Some(seen);
            }
        }
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => seen.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}

/// A node with a route `/r` to the upstream.
fn node(upstream: SocketAddr, settings: &[(&str, &str)]) -> Both {
    let both = Both::start_with(|_| {
        let pairs = settings.iter();
        let mut all: BTreeMap<String, String> = pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        if let Some(flags) = all.remove("proxy_flags") {
            let ip = crate::harness::unique_loopback();
            let address = crate::harness::free_address(ip);
            all.insert("proxy_listen".to_owned(), format!("{address} {flags}"));
        }
        all
    });
    let service = json!({"name": "s", "url": format!("http://{upstream}")});
    post(&both.admin("/services"), &service)
        .expect("an answer")
        .expect(201);
    let route = json!({"name": "r", "paths": ["/r"]});
    post(&both.admin("/services/s/routes"), &route)
        .expect("an answer")
        .expect(201);
    both
}

fn proxy_address(both: &Both) -> SocketAddr {
    let listen = both.node.setting("proxy_listen");
    let address = listen.split(' ').next().expect("an address");
    address.parse().expect("an address")
}

fn client(both: &Both) -> TcpStream {
    let stream = TcpStream::connect(proxy_address(both)).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// The answer to a request that ends its connection.
fn ask(both: &Both, request: &str) -> String {
    let mut stream = client(both);
    stream.write_all(request.as_bytes()).expect("writes");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn wait_for_200(both: &Both, request: &str) -> String {
    eventually("the route is in effect", || {
        let answer = ask(both, request);
        match answer.starts_with("HTTP/1.1 200 ") {
            true => Ok(answer),
            false => Err(answer),
        }
    })
}

const GET: &str = "GET /r HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn trial_20_two_hundred_slow_bodies_hold_no_upstream_connection() {
    const CLIENTS: usize = 200;
    // Clients that were allowed to send their last byte; the first connection is the probe's.
    let finished = Arc::new(AtomicUsize::new(1));
    let early = Arc::new(AtomicUsize::new(0));
    let (seen, count) = (Arc::clone(&finished), Arc::clone(&early));
    let upstream = upstream(move |n, mut stream| {
        if n >= seen.load(Ordering::SeqCst) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        while let Some(request) = read_request(&mut stream) {
            let sound = request.iter().filter(|byte| **byte == 0xAA).count() == LENGTH;
            let body = if sound { "sound" } else { "other" };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}");
            let _ = stream.write_all(head.as_bytes());
        }
    });
    let both = node(upstream, &[]);
    wait_for_200(&both, GET);
    let requests = || -> Result<u64, String> {
        let status = get(&both.url("status_listen", "/status"))?.json();
        let total = &status["server"]["total_requests"];
        total.as_u64().ok_or_else(|| status.to_string())
    };
    let before = requests().expect("a number");
    let body = vec![0xAA; LENGTH];
    let mut clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let mut client = client(&both);
            let head = "POST /r HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
            let head = format!("{head}Content-Length: {LENGTH}\r\n\r\n");
            client.write_all(head.as_bytes()).expect("writes");
            client.write_all(&body[1..]).expect("writes");
            client
        })
        .collect();
    eventually("all heads were read", || {
        let now = requests()?;
        (now >= before + CLIENTS as u64)
            .then_some(())
            .ok_or_else(|| now.to_string())
    });
    for client in &mut clients {
        finished.fetch_add(1, Ordering::SeqCst);
        client.write_all(&body[..1]).expect("writes");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("reads");
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("sound"),
            "{answer}"
        );
    }
    assert_eq!(
        early.load(Ordering::SeqCst),
        0,
        "connections before a body was complete"
    );
    // The files had no names.
    let names = std::fs::read_dir(both.node.prefix()).expect("the prefix");
    let left: Vec<_> = names
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".tmp"))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn trial_08_a_response_head_of_9000_bytes_passes_with_the_setting_of_compose_files() {
    let upstream = upstream(|_, mut stream| {
        while read_request(&mut stream).is_some() {
            let value = "x".repeat(9_000);
            let head =
                format!("HTTP/1.1 200 OK\r\nX-Large: {value}\r\nContent-Length: 2\r\n\r\nok");
            let _ = stream.write_all(head.as_bytes());
        }
    });
    let settings = [
        ("nginx_proxy_proxy_buffer_size", "160k"),
        ("nginx_proxy_proxy_buffers", "64 160k"),
    ];
    for settings in [&settings[..], &[]] {
        let both = node(upstream, settings);
        let answer = wait_for_200(&both, GET);
        assert!(answer.contains(&"x".repeat(9_000)), "{}", answer.len());
    }
}

#[test]
fn trial_34_a_balancer_in_front_says_who_the_client_is() {
    let upstream = upstream(|_, mut stream| {
        while let Some(request) = read_request(&mut stream) {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                request.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &request].concat());
        }
    });
    let settings = [
        ("proxy_flags", "proxy_protocol"),
        ("real_ip_header", "proxy_protocol"),
        ("trusted_ips", "127.0.0.0/8"),
    ];
    let both = node(upstream, &settings);
    let answer = wait_for_200(
        &both,
        &format!("PROXY TCP4 9.8.7.6 1.2.3.4 5000 80\r\n{GET}"),
    );
    assert!(answer.contains("X-Real-IP: 9.8.7.6\r\n"), "{answer}");
    // Without the header nothing is answered.
    assert_eq!(ask(&both, GET), "");
}
