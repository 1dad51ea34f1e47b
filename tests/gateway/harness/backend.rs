//! An upstream that can be stopped, started again, and made to answer with another status.

use super::{free_address, unique_loopback};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Answers requests with its name, on an address that it keeps.
pub struct Backend {
    pub address: SocketAddr,
    name: String,
    shared: Arc<Shared>,
    running: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    status: AtomicU16,
    requests: AtomicU64,
    probes: AtomicU64,
    stopping: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Backend {
    pub fn start(name: &str) -> Backend {
        let mut backend = Backend::stopped(name);
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
            shared: Arc::new(shared),
            running: None,
        }
    }

    pub fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).expect("its own address");
        self.shared.stopping.store(false, Ordering::SeqCst);
        let (shared, name) = (Arc::clone(&self.shared), self.name.clone());
        self.running = Some(std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let copy = stream.try_clone().expect("a second handle");
                shared.open.lock().expect("the list").push(copy);
                let (shared, name) = (Arc::clone(&shared), name.clone());
                std::thread::spawn(move || serve(&stream, &name, &shared));
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
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(stream: &TcpStream, name: &str, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut line = first.clone();
        while !line.trim_end().is_empty() {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
        }
        let is_probe = first.trim_end().ends_with("HTTP/1.0");
        let counter = if is_probe {
            &shared.probes
        } else {
            &shared.requests
        };
        counter.fetch_add(1, Ordering::SeqCst);
        let status = shared.status.load(Ordering::SeqCst);
        let length = name.len();
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{name}");
        let mut writer = stream;
        if writer.write_all(answer.as_bytes()).is_err() || is_probe {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}
