//! A gateway of the real driver and the real pipeline, on a loopback port, for tests that play
//! the client and the upstreams with sockets.

use super::super::{Proxy, ProxySettings, Recorder};
use crate::data_plane::dns::Dns;
use crate::data_plane::listener::{Server, ServerConfig, ServerHandle};
use crate::data_plane::router::{Options, PluginFactory, RouterState};
use crate::data_plane::upstream::{UpstreamClient, UpstreamSettings};
use crate::model::{Config, Kind, Revision, Row};
use crate::settings::parse_listen;
use crate::telemetry::record::Record;
use arc_swap::ArcSwap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use uuid::Uuid;

/// Longer than any test takes: a test that hangs fails instead.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Sent(mpsc::Sender<Record>);

impl Recorder for Sent {
    fn record(&self, record: Record) {
        // A test that is over does not listen any more.
        let _ = self.0.send(record);
    }
}

/// A gateway that runs until it is dropped.
pub struct Running {
    pub server: ServerHandle,
    records: mpsc::Receiver<Record>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn start(entities: Vec<(Kind, Uuid, Row)>) -> Running {
        let factory = Arc::new(crate::plugins::Factory::default());
        let settings = ProxySettings::default();
        Running::with(entities, factory, settings, ServerConfig::default())
    }

    /// With plugins and settings of the test's own.
    pub fn with(
        entities: Vec<(Kind, Uuid, Row)>,
        factory: Arc<dyn PluginFactory>,
        settings: ProxySettings,
        config: ServerConfig,
    ) -> Running {
        let mut state = RouterState::new(factory, Options::default());
        let outcome = state.replace(Config::from_rows(Revision(1), entities), 0.0);
        assert!(outcome.quarantined.is_empty(), "{:?}", outcome.quarantined);
        let snapshots = Arc::new(ArcSwap::from(outcome.snapshot));
        let (sender, records) = mpsc::channel();
        let config = ServerConfig {
            listens: parse_listen(&["127.0.0.1:0".to_owned()]).expect("an address"),
            ..config
        };
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (started, server) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let settings = Arc::new(settings);
                let parts = move |_| {
                    let recorder = Sent(sender.clone());
                    let proxy = Proxy::new(Arc::clone(&settings), Arc::clone(&snapshots), recorder);
                    let upstreams =
                        UpstreamClient::new(UpstreamSettings::default(), Dns::for_tests());
                    (proxy, upstreams)
                };
                let server = Server::start(config, parts, None).expect("starts");
                started.send(server.clone()).expect("the test waits");
                let _ = stopped.await;
                server.stop().await;
            });
        });
        Running {
            server: server.recv().expect("it has started"),
            records,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    pub fn client(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Sends a request that ends its connection; the whole answer.
    pub fn ask(&self, request: &str) -> String {
        let mut stream = self.client();
        stream.write_all(request.as_bytes()).expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reads");
        answer
    }

    /// The record of the next request that ends.
    pub fn record(&self) -> Record {
        self.records.recv_timeout(PATIENCE).expect("a record")
    }

    /// Records that came and were not taken.
    pub fn more_records(&self) -> Vec<Record> {
        self.records.try_iter().collect()
    }
}

impl Running {
    /// Stops without waiting for requests.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What an upstream of a test saw, and how often it was connected to.
pub struct Upstream {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
}

impl Upstream {
    /// Plays each connection by `script`, one thread each.
    pub fn start(script: impl Fn(TcpStream) + Send + Sync + 'static) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, script) = (Arc::clone(&connections), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let script = Arc::clone(&script);
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                std::thread::spawn(move || script(stream));
            }
        });
        Upstream {
            address,
            connections,
        }
    }

    /// Answers every request with its text, as `text/plain`.
    pub fn echo() -> Upstream {
        Upstream::start(|mut stream| {
            while let Some(seen) = read_request(&mut stream) {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                    seen.len()
                );
                if stream
                    .write_all(&[head.as_bytes(), &seen].concat())
                    .is_err()
                {
                    return;
                }
            }
        })
    }

    /// Reads a request and closes without an answer.
    pub fn closing() -> Upstream {
        Upstream::start(|mut stream| {
            read_request(&mut stream);
            let _ = stream.shutdown(Shutdown::Both);
        })
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A head and as much of a body as its Content-Length names; `None` when the client closes
/// before.
pub fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut seen = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(head) = seen.windows(4).position(|end| end == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&seen[..head]).to_lowercase();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
            if seen.len() >= head + 4 + length {
                return Some(seen);
            }
        }
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => seen.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}
