//! An upstream that can be stopped, started again, and made to answer with another status; over
//! TLS if it is given a certificate.

use super::{eventually, free_address, unique_loopback};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Answers requests with its name, on an address that it keeps.
pub struct Backend {
    pub address: SocketAddr,
    name: String,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
    running: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    status: AtomicU16,
    requests: AtomicU64,
    probes: AtomicU64,
    last_probe: Mutex<String>,
    stopping: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Backend {
    pub fn start(name: &str) -> Backend {
        let mut backend = Backend::stopped(name);
        backend.resume();
        backend
    }

    pub fn start_tls(name: &str, config: ServerConfig) -> Backend {
        let mut backend = Backend::stopped(name);
        backend.tls = Some(Arc::new(config));
        backend.resume();
        backend
    }

    /// Nobody listens yet.
    pub fn stopped(name: &str) -> Backend {
        let shared = Shared::default();
        shared.status.store(200, Ordering::SeqCst);
        Backend {
            address: free_address(unique_loopback()),
            name: name.to_owned(),
            tls: None,
            shared: Arc::new(shared),
            running: None,
        }
    }

    pub fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).expect("its own address");
        self.shared.stopping.store(false, Ordering::SeqCst);
        let (shared, name) = (Arc::clone(&self.shared), self.name.clone());
        let tls = self.tls.clone();
        self.running = Some(std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let copy = stream.try_clone().expect("a second handle");
                shared.open.lock().expect("the list").push(copy);
                let (shared, name, tls) = (Arc::clone(&shared), name.clone(), tls.clone());
                std::thread::spawn(move || {
                    match tls {
                        None => serve(&stream, &name, &shared),
                        Some(config) => {
                            let session = ServerConnection::new(config).expect("a session");
                            serve(StreamOwned::new(session, &stream), &name, &shared);
                        }
                    }
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                });
            }
        }));
    }

    /// Closes the listener and every connection.
    pub fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        running.join().expect("the thread ends");
        for stream in self.shared.open.lock().expect("the list").drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// The status of all further answers.
    pub fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// Requests of clients so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Requests in HTTP/1.0 so far, which only health checks send.
    pub fn probes(&self) -> u64 {
        self.shared.probes.load(Ordering::SeqCst)
    }

    /// Waits until this many probes more have come.
    pub fn wait_for_probes(&self, more: u64) {
        let from = self.probes();
        eventually("probes come", || match self.probes() {
            n if n >= from + more => Ok(()),
            n => Err(n.to_string()),
        });
    }

    /// The head of the last probe.
    pub fn last_probe(&self) -> String {
        self.shared.last_probe.lock().expect("the text").clone()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(stream: impl Read + Write, name: &str, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let is_probe = head.lines().next().unwrap_or("").ends_with("HTTP/1.0");
        if is_probe {
            *shared.last_probe.lock().expect("the text") = head;
            shared.probes.fetch_add(1, Ordering::SeqCst);
        } else {
            shared.requests.fetch_add(1, Ordering::SeqCst);
        }
        let status = shared.status.load(Ordering::SeqCst);
        let length = name.len();
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{name}");
        let stream = reader.get_mut();
        let written = stream.write_all(answer.as_bytes());
        if written.and_then(|()| stream.flush()).is_err() || is_probe {
            return;
        }
    }
}

/// A listener that lets clients connect and never answers.
pub fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((unique_loopback(), 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}
