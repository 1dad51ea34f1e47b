//! A TCP relay between two nodes that can hold back what one side answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// Forwards connections; sees only ciphertext.
pub struct Relay {
    pub address: SocketAddr,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Relay {
    pub fn start(target: &str) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let gate = Arc::new((Mutex::new(true), Condvar::new()));
        let (target, open) = (target.to_owned(), Arc::clone(&gate));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&target) else {
                    continue;
                };
                let halves = (client.try_clone(), server.try_clone());
                let (Ok(client_again), Ok(server_again)) = halves else {
                    continue;
                };
                let always = Arc::new((Mutex::new(true), Condvar::new()));
                let open = Arc::clone(&open);
                std::thread::spawn(move || copy(client, server, &always));
                std::thread::spawn(move || copy(server_again, client_again, &open));
            }
        });
        Relay { address, gate }
    }

    /// From now on nothing that the target sends arrives.
    pub fn hold_answers(&self) {
        *self.gate.0.lock().expect("the gate") = false;
    }

    /// Lets answers pass again; what was held belongs to dead connections by then.
    pub fn resume(&self) {
        *self.gate.0.lock().expect("the gate") = true;
        self.gate.1.notify_all();
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, gate: &(Mutex<bool>, Condvar)) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(n) = from.read(&mut buffer) {
        let open = gate.0.lock().expect("the gate");
        let held = !*open;
        drop(gate.1.wait_while(open, |open| !*open).expect("the gate"));
        // What was held back while the gate was shut never arrives.
        if n == 0 || held || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
