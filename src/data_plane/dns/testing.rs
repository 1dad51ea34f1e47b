//! A name server of a test's own, over UDP.

use super::Dns;
use crate::settings::{Settings, Sources};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Answers until the process ends.
pub struct NameServer {
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    records: Mutex<Vec<Record>>,
    asked: AtomicUsize,
    /// It answers SERVFAIL.
    broken: AtomicBool,
}

/// Lifetime of every record, in seconds: longer than any test.
const LASTS: u32 = 3600;

pub fn a(name: &str, ip: &str) -> Record {
    let ip: IpAddr = ip.parse().expect("an address");
    Record::from_rdata(fqdn(name), LASTS, RData::from(ip))
}

pub fn srv(name: &str, priority: u16, weight: u16, port: u16, server: &str) -> Record {
    let data = SRV::new(priority, weight, port, fqdn(server));
    Record::from_rdata(fqdn(name), LASTS, RData::SRV(data))
}

pub fn cname(name: &str, other: &str) -> Record {
    Record::from_rdata(fqdn(name), LASTS, RData::CNAME(CNAME(fqdn(other))))
}

fn fqdn(name: &str) -> Name {
    Name::from_utf8(format!("{name}.")).expect("a name")
}

/// The node's resolver with these settings, which asks `server` and no search list.
pub fn resolver(server: &NameServer, settings: &[(&str, &str)]) -> Dns {
    let own = [("dns_resolver", server.address.to_string())];
    let own = own.iter().map(|(key, value)| (*key, value.as_str()));
    let given = own.chain(settings.iter().copied());
    let flags: Vec<_> = given
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let sources = Sources {
        flags: &flags,
        ..Sources::default()
    };
    let (settings, _) = Settings::load(&sources).expect("good settings");
    Dns::start(&settings.dns).expect("a thread")
}

impl Dns {
    /// The resolver of a node with no settings of its own.
    pub fn for_tests() -> Dns {
        let (settings, _) = Settings::load(&Sources::default()).expect("defaults are good");
        Dns::start(&settings.dns).expect("a thread")
    }
}

impl NameServer {
    pub fn start(records: &[Record]) -> NameServer {
        let socket = UdpSocket::bind((crate::loopback::own_address(), 0)).expect("a port");
        let state = Arc::new(State::default());
        let server = NameServer {
            address: socket.local_addr().expect("an address"),
            state: Arc::clone(&state),
        };
        server.set(records);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok((read, client)) = socket.recv_from(&mut bytes) {
                let Ok(question) = Message::from_vec(&bytes[..read]) else {
                    continue;
                };
                let answer = state.answer(&question).to_vec().expect("an answer");
                let _ = socket.send_to(&answer, client);
            }
        });
        server
    }

    pub fn set(&self, records: &[Record]) {
        *self.state.records.lock().expect("no panic") = records.to_vec();
    }

    pub fn break_down(&self, broken: bool) {
        self.state.broken.store(broken, Ordering::Relaxed);
    }

    /// How many questions there were.
    pub fn asked(&self) -> usize {
        self.state.asked.load(Ordering::Relaxed)
    }
}

impl State {
    fn answer(&self, question: &Message) -> Message {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let query = &question.queries[0];
        let mut answer = Message::response(question.id, question.op_code);
        answer.add_query(query.clone());
        if self.broken.load(Ordering::Relaxed) {
            answer.metadata.response_code = ResponseCode::ServFail;
            return answer;
        }
        let records = self.records.lock().expect("no panic");
        let mut name = query.name().to_lowercase();
        let of = |name: &Name, kind| {
            let of = |record: &&Record| record.name == *name && record.record_type() == kind;
            records.iter().filter(of).cloned().collect::<Vec<_>>()
        };
        for alias in of(&name, RecordType::CNAME) {
            if let RData::CNAME(other) = &alias.data {
                name = other.0.clone();
            }
            answer.add_answer(alias);
        }
        answer.add_answers(of(&name, query.query_type()));
        if !records.iter().any(|record| record.name == name) {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer
    }
}
