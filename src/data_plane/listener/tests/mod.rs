//! The driver with real sockets: a trivial pipeline, raw clients, scripted upstreams.

mod bodies;
mod connections;
mod proxy_protocol;
mod requests;
mod responses;
mod tls;
mod upgrades;
mod upstreams;

use super::{DriverSettings, Server, ServerConfig, ServerHandle};
use crate::data_plane::dns::Dns;
use crate::data_plane::exchange::*;
use crate::data_plane::upstream::{UpstreamClient, UpstreamSettings};
use crate::http::{HeaderEdits, RequestHead, ResponseHead, write};
use crate::plugins::BodyUse;
use crate::settings::{Listen, parse_listen};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What the pipeline of a test does.
#[derive(Clone)]
struct Plan {
    upstreams: Vec<Address>,
    tls: Option<Arc<UpstreamTls>>,
    retries: usize,
    request_buffering: bool,
    response_buffering: bool,
    timeout: Duration,
    connect_timeout: Duration,
    outcomes: mpsc::UnboundedSender<Outcome>,
}

#[derive(Default)]
struct TestExchange {
    request: RequestHead,
    tries: usize,
    seen: Option<Bytes>,
    client: Option<SocketAddr>,
}

struct TestPipeline(Plan);

fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    Reply {
        status,
        headers: vec![(Arc::from("X-Made-By"), Bytes::from_static(b"gateway"))],
        body: body.into(),
        close: false,
        stored: false,
    }
}

impl Pipeline for TestPipeline {
    type Exchange = TestExchange;

    fn begin(&self, exchange: &mut TestExchange, connection: &Connection, head: &mut RequestHead) {
        exchange.client = connection.client;
        std::mem::swap(&mut exchange.request, head);
        exchange.tries = 0;
        exchange.seen = None;
    }

    fn request_id<'a>(&self, _: &'a TestExchange) -> &'a str {
        "a test's"
    }

    fn body_limit(&self, exchange: &TestExchange) -> Option<usize> {
        (exchange.request.path() == b"/reverse").then_some(10)
    }

    fn body(&self, exchange: &mut TestExchange, body: Bytes) {
        exchange.seen = Some(body);
    }

    fn new_body(&self, exchange: &mut TestExchange) -> Option<Bytes> {
        let seen = exchange.seen.take()?;
        Some(seen.iter().rev().copied().collect())
    }

    async fn access(&self, exchange: &mut TestExchange) -> Verdict {
        match exchange.request.path() {
            b"/reply" => Verdict::Respond(reply(200, "hello")),
            b"/client" => Verdict::Respond(reply(200, format!("{:?}", exchange.client))),
            b"/empty" => Verdict::Respond(reply(204, "")),
            b"/close" => Verdict::Respond(Reply {
                close: true,
                ..reply(200, "bye")
            }),
            b"/panic" => panic!("a test plugin fails"),
            _ => Verdict::Forward,
        }
    }

    fn buffering(&self, _: &TestExchange) -> Buffering {
        Buffering {
            request: self.0.request_buffering,
            response: self.0.response_buffering,
        }
    }

    fn attempt(
        &self,
        exchange: &mut TestExchange,
        failed: Option<AttemptError>,
    ) -> Result<Attempt, Reply> {
        if let Some(error) = failed {
            let again = match error {
                AttemptError::BadResponse | AttemptError::Resolve => false,
                AttemptError::Reset { sent } | AttemptError::Timeout { sent } => {
                    !sent || exchange.request.method() != b"POST"
                }
                AttemptError::Connect | AttemptError::ConnectTimeout => true,
            };
            if !again || exchange.tries > self.0.retries {
                return Err(reply(502, format!("{error:?}")));
            }
        }
        let index = exchange.tries % self.0.upstreams.len();
        exchange.tries += 1;
        Ok(Attempt {
            address: self.0.upstreams[index].clone(),
            tls: self.0.tls.clone(),
            connect_timeout: self.0.connect_timeout,
            write_timeout: self.0.timeout,
            read_timeout: self.0.timeout,
        })
    }

    fn write_request_head(&self, exchange: &TestExchange, out: &mut Vec<u8>) {
        let request = &exchange.request;
        out.extend_from_slice(request.method());
        out.push(b' ');
        out.extend_from_slice(request.target());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let upgrade = self.upgrade(exchange) != Upgrade::None;
        for (name, value) in request.headers.iter() {
            let name_text = String::from_utf8_lossy(name).to_lowercase();
            match &*name_text {
                "connection" | "content-length" | "transfer-encoding" | "expect" => {}
                "upgrade" if !upgrade => {}
                _ => write::header(out, name, value),
            }
        }
        if upgrade {
            write::header(out, "Connection", "keep-alive, Upgrade");
        }
    }

    fn upgrade(&self, exchange: &TestExchange) -> Upgrade {
        match exchange.request.headers.get("upgrade") {
            Some(value) if value.eq_ignore_ascii_case(b"websocket") => Upgrade::WebSocket,
            _ => Upgrade::None,
        }
    }

    fn response(
        &self,
        _: &mut TestExchange,
        head: &mut ResponseHead,
        edits: &mut HeaderEdits,
    ) -> Result<BodyUse, Reply> {
        edits.add("Via", "1.1 test");
        if head.headers.get("x-set-status").is_some() {
            head.status = 418;
        }
        match head.headers.get("x-withheld") {
            Some(_) => Err(reply(500, "withheld")),
            None => Ok(BodyUse::None),
        }
    }

    fn respond(&self, _: &mut TestExchange, reply: &mut Reply) {
        reply
            .headers
            .push((Arc::from("Via"), Bytes::from_static(b"1.1 test")));
    }

    fn refuse(
        &self,
        _: &mut TestExchange,
        _: &Connection,
        refused: RefusedRequest<'_>,
        refusal: Refusal,
    ) -> Reply {
        let path = refused
            .head
            .map(|head| String::from_utf8_lossy(head.path()).into_owned());
        reply(400, format!("{refusal:?} {}", path.unwrap_or_default()))
    }

    fn refuse_body(&self, _: &mut TestExchange, refusal: Refusal) -> Reply {
        reply(400, format!("{refusal:?} "))
    }

    fn finish(&self, _: &mut TestExchange, outcome: Outcome) {
        let _ = self.0.outcomes.send(outcome);
    }
}

/// A running gateway.
struct Gateway {
    handle: ServerHandle,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
}

struct Setup {
    plan: Plan,
    config: ServerConfig,
    upstream: UpstreamSettings,
    tls: Option<rustls::ServerConfig>,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
}

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Longer than any test: a limit that is not to be met.
const NEVER: Duration = Duration::from_secs(300);
/// Shorter than patience: a limit that is to be met, though not before a busy machine has come as far
/// as the test means.
const SOON: Duration = Duration::from_secs(1);

fn setup(upstreams: &[SocketAddr]) -> Setup {
    let (sender, outcomes) = mpsc::unbounded_channel();
    let address = |address: &SocketAddr| Address {
        host: Arc::from(address.ip().to_string()),
        port: address.port(),
        ip: None,
    };
    Setup {
        plan: Plan {
            upstreams: upstreams.iter().map(address).collect(),
            tls: None,
            retries: 0,
            request_buffering: true,
            response_buffering: true,
            timeout: NEVER,
            connect_timeout: NEVER,
            outcomes: sender,
        },
        config: ServerConfig {
            listens: listens("127.0.0.1:0"),
            driver: DriverSettings {
                header_timeout: NEVER,
                body_timeout: NEVER,
                access_timeout: NEVER,
                send_timeout: NEVER,
                keep_alive_timeout: NEVER,
                ..DriverSettings::default()
            },
            ..ServerConfig::default()
        },
        upstream: UpstreamSettings::default(),
        tls: None,
        outcomes,
    }
}

/// What each worker of a test's server is made of.
fn parts(
    plan: Plan,
    upstream: UpstreamSettings,
) -> impl Fn(usize) -> (TestPipeline, UpstreamClient) + Send + Clone + 'static {
    let dns = Dns::for_tests();
    move |_| {
        let upstreams = UpstreamClient::new(upstream, dns.clone());
        (TestPipeline(plan.clone()), upstreams)
    }
}

/// Listens as the setting writes them.
fn listens(text: &str) -> Vec<Listen> {
    parse_listen(&[text.to_owned()]).unwrap()
}

impl Setup {
    /// Listens where nobody else will when it has ended.
    fn of_its_own(mut self) -> Setup {
        self.config.listens = listens(&format!("{}:0", crate::loopback::own_address()));
        self
    }

    fn start(self) -> Gateway {
        let plan = self.plan;
        let handle = Server::start(self.config, parts(plan, self.upstream), self.tls).unwrap();
        Gateway {
            handle,
            outcomes: self.outcomes,
        }
    }
}

impl Gateway {
    async fn client(&self) -> Client<TcpStream> {
        let stream = TcpStream::connect(self.handle.addresses()[0])
            .await
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Client::new(stream)
    }

    async fn outcome(&mut self) -> Outcome {
        self.outcomes.recv().await.unwrap()
    }
}

/// One message as it came over the wire.
#[derive(Debug)]
struct Message {
    /// Request or status line.
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Either end of a connection, as a test plays it.
struct Client<S> {
    io: S,
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    fn new(io: S) -> Client<S> {
        Client {
            io,
            read: Vec::new(),
        }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        let count = self.io.read(&mut chunk).await.unwrap_or(0);
        self.read.extend_from_slice(&chunk[..count]);
        count > 0
    }

    async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.fill().await, "closed after {:?}", self.read);
        }
        self.read.drain(..count).collect()
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.take(end + 2).await;
                return String::from_utf8(line[..end].to_vec()).unwrap();
            }
            assert!(self.fill().await, "closed after {:?}", self.read);
        }
    }

    async fn head(&mut self) -> Message {
        let line = self.line().await;
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap();
            headers.push((name.to_owned(), value.to_owned()));
        }
        Message {
            line,
            headers,
            body: Vec::new(),
        }
    }

    /// A whole message; without a length it has no body.
    async fn message(&mut self) -> Message {
        let mut message = self.head().await;
        if message.header("transfer-encoding").is_some() {
            loop {
                let size = usize::from_str_radix(&self.line().await, 16).unwrap();
                let chunk = self.take(size).await;
                assert_eq!(self.line().await, "");
                if size == 0 {
                    break;
                }
                message.body.extend(chunk);
            }
        } else if let Some(length) = message.header("content-length") {
            let length = length.parse().unwrap();
            message.body = self.take(length).await;
        }
        message
    }

    async fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).await;
        self.message().await
    }

    /// Everything up to the end.
    async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.read)
    }
}

/// An upstream: `script` plays each connection; the number of connections is counted.
async fn upstream<F, R>(script: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(usize, Client<TcpStream>) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let index = counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(script(index, Client::new(stream)));
        }
    });
    (address, count)
}

/// Answers every request with what it saw of it.
async fn echo(_: usize, mut client: Client<TcpStream>) {
    while !client.read.is_empty() || client.fill().await {
        let request = client.message().await;
        let lines: String = request
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={value};"))
            .collect();
        let body = format!("{}|{lines}|", request.line);
        let head = format!(
            "HTTP/1.1 200 OK\r\nServer: echo\r\nContent-Length: {}\r\n\r\n{body}",
            body.len() + request.body.len(),
        );
        client.send(head).await;
        client.send(request.body).await;
    }
}

/// Runs a test; a test that hangs fails instead.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let bounded = async { tokio::time::timeout(Duration::from_secs(60), test).await };
    runtime.block_on(bounded).expect("the test hangs");
}
