//! Asking a node over HTTP: its own status or admin listener, as its settings describe them.
//! TLS listeners are verified by their certificate, not by name.

use super::CliError;
use crate::settings::{HostPort, Listen, Settings};
use crate::tls::{Identity, pinned_client_config};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 16 << 20;

/// Whom to ask.
pub struct Listener {
    /// What messages call it: the setting and the address.
    pub name: String,
    /// All that the name has, in the order in which they are tried.
    addresses: Vec<SocketAddr>,
    tls: Option<Tls>,
}

struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body; null when it is no JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The text `message` of a JSON body.
    pub fn message(&self) -> Option<String> {
        Some(self.json().get("message")?.as_str()?.to_owned())
    }
}

impl Listener {
    /// The status listener of a node; `None` when it is off.
    ///
    /// # Errors
    /// It speaks TLS and its certificate cannot be read.
    pub fn status(settings: &Settings) -> Result<Option<Listener>, CliError> {
        let listens = &settings.listeners.status;
        first(settings, "status_listen", listens)
    }

    /// The admin listener of a node; `None` when there is none.
    ///
    /// # Errors
    /// As for the status listener.
    pub fn admin(settings: &Settings) -> Result<Option<Listener>, CliError> {
        match settings.node.role.has_control_plane() {
            true => first(settings, "admin_listen", &settings.listeners.admin),
            false => Ok(None),
        }
    }

    /// Whatever listens at an address, without TLS.
    ///
    /// # Errors
    /// The name has no address.
    pub fn plain(address: &HostPort) -> io::Result<Listener> {
        Ok(Listener {
            name: address.to_string(),
            addresses: resolve(address)?,
            tls: None,
        })
    }

    /// `GET path`, answered before `deadline`.
    ///
    /// # Errors
    /// It is not reached, not in time, or what answers does not speak HTTP.
    pub fn get(&self, path: &str, deadline: Instant) -> io::Result<Answer> {
        let stream = self.connect(deadline)?;
        match &self.tls {
            None => exchange(stream, path),
            Some(tls) => exchange(
                connect_tls(tls.config.clone(), tls.name.clone(), stream)?,
                path,
            ),
        }
    }

    /// The first address that takes a connection.
    fn connect(&self, deadline: Instant) -> io::Result<Deadlined> {
        let mut result = Err(no_address());
        for address in &self.addresses {
            result = Deadlined::connect(*address, deadline);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// As [`Listener::get`], and the error says who did not answer.
    ///
    /// # Errors
    /// [`CliError::Unavailable`].
    pub fn ask(&self, path: &str, deadline: Instant) -> Result<Answer, CliError> {
        let failed = |error| CliError::Unavailable(format!("{}: {error}", self.name));
        self.get(path, deadline).map_err(failed)
    }
}

/// The first listen without TLS, or else the first.
fn first(
    settings: &Settings,
    key: &'static str,
    listens: &[Listen],
) -> Result<Option<Listener>, CliError> {
    let plain = listens.iter().find(|listen| !listen.ssl);
    let Some(listen) = plain.or_else(|| listens.first()) else {
        return Ok(None);
    };
    let tls = match listen.ssl {
        true => Some(pinned(&identities(settings, key)?)?),
        false => None,
    };
    let address = listen.local_address();
    Ok(Some(Listener {
        name: format!("{key} {address}"),
        addresses: vec![address],
        tls,
    }))
}

fn pinned(identities: &[Identity]) -> Result<Tls, CliError> {
    let name = ServerName::try_from("localhost").map_err(|e| CliError::Usage(e.to_string()))?;
    Ok(Tls {
        config: Arc::new(pinned_client_config(identities)?),
        name,
    })
}

/// The certificates a TLS listener must show; asking must not generate one.
fn identities(settings: &Settings, key: &str) -> Result<Vec<Identity>, CliError> {
    let (certificates, prefix) = (&settings.certificates, &settings.node.prefix);
    let (configured, default) = match key {
        "admin_listen" => (&certificates.admin, "ssl/admin-default.crt"),
        _ => (&certificates.status, "ssl/status-default.crt"),
    };
    if configured.is_empty() && !prefix.join(default).exists() {
        return Err(CliError::Unavailable(format!(
            "no node was ever started with prefix = {}",
            prefix.display()
        )));
    }
    let loaded = match key {
        "admin_listen" => certificates.admin_identities(prefix),
        _ => certificates.status_identities(prefix),
    };
    loaded.map_err(|e| CliError::Credentials(vec![e]))
}

/// The addresses of a name, each once; at least one.
///
/// # Errors
/// It has none.
pub fn resolve(address: &HostPort) -> io::Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    for one in (address.host.as_str(), address.port).to_socket_addrs()? {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    match found.is_empty() {
        true => Err(no_address()),
        false => Ok(found),
    }
}

fn no_address() -> io::Error {
    io::Error::other("the name has no address")
}

/// TLS over a connection, when the handshake is done.
///
/// # Errors
/// The handshake fails; an inner `rustls::Error` says why.
pub fn connect_tls<S: Read + Write>(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    mut stream: S,
) -> io::Result<StreamOwned<ClientConnection, S>> {
    let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(tls, stream))
}

/// HTTP/1.0, so that the answer ends with the connection and is never chunked.
///
/// # Errors
/// The connection breaks, or the answer is not HTTP, or [`ErrorKind::FileTooLarge`].
pub fn exchange(mut stream: impl Read + Write, path: &str) -> io::Result<Answer> {
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    stream.flush()?;
    let mut bytes = Vec::new();
    match stream.take(MAX_ANSWER + 1).read_to_end(&mut bytes) {
        // A peer that closes TLS without saying so has still sent its answer.
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    if bytes.len() as u64 > MAX_ANSWER {
        let text = format!("the answer has more than {} MiB", MAX_ANSWER >> 20);
        return Err(io::Error::new(ErrorKind::FileTooLarge, text));
    }
    parse(&bytes).ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    if !words.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let status = words.next()?.parse().ok()?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    Some(Answer {
        status,
        headers: lines.filter_map(header).collect(),
        body: bytes[end + 4..].to_vec(),
    })
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

/// A connection whose reads and writes all end at one deadline.
pub struct Deadlined {
    tcp: TcpStream,
    deadline: Instant,
}

impl Deadlined {
    /// Connects.
    ///
    /// # Errors
    /// It is refused, or not in time.
    pub fn connect(address: SocketAddr, deadline: Instant) -> io::Result<Deadlined> {
        let tcp = TcpStream::connect_timeout(&address, left(deadline)?)?;
        Ok(Deadlined { tcp, deadline })
    }
}

impl Read for Deadlined {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_read_timeout(Some(left(self.deadline)?))?;
        self.tcp.read(buffer)
    }
}

impl Write for Deadlined {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(Some(left(self.deadline)?))?;
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{SettingsFile, Sources};
    use crate::tls::{TlsVersions, listener_config};
    use std::net::TcpListener;
    use std::thread;

    fn settings(text: &str) -> Settings {
        let file = SettingsFile { name: "test", text };
        let sources = Sources {
            file: Some(file),
            ..Sources::default()
        };
        Settings::load(&sources).unwrap().0
    }

    /// Answers one connection with these bytes and returns what it was sent.
    fn serve(listener: TcpListener, answer: &'static str) -> thread::JoinHandle<String> {
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            answer_one(stream, answer)
        })
    }

    fn answer_one(mut stream: impl Read + Write, answer: &str) -> String {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        stream.flush().unwrap();
        String::from_utf8(request).unwrap()
    }

    fn ask(settings: &Settings) -> io::Result<Answer> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let listener = Listener::status(settings).unwrap().unwrap();
        listener.get("/status/ready", deadline)
    }

    #[test]
    fn asks_the_status_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let settings = settings(&format!("status_listen = 127.0.0.1:1 ssl, {address}"));
        let server = serve(listener, "HTTP/1.1 503 x\r\n\r\n{\"message\":\"draining\"}");
        let answer = ask(&settings).unwrap();
        assert_eq!(answer.status, 503);
        assert_eq!(answer.message().as_deref(), Some("draining"));
        let request = server.join().unwrap();
        assert!(
            request.starts_with("GET /status/ready HTTP/1.0\r\n"),
            "{request}"
        );
    }

    #[test]
    fn speaks_tls() {
        let prefix = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let settings = settings(&format!(
            "prefix = {}\nstatus_listen = {address} ssl",
            prefix.path().display()
        ));
        assert!(Listener::status(&settings).is_err(), "never started");
        let identities = settings
            .certificates
            .status_identities(prefix.path())
            .unwrap();
        let config = listener_config(&identities, TlsVersions::ALL, false).unwrap();
        let server = thread::spawn(move || {
            let (tcp, _) = listener.accept().unwrap();
            let tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            answer_one(StreamOwned::new(tls, tcp), "HTTP/1.1 200 OK\r\n\r\n{}")
        });
        let answer = ask(&settings).unwrap();
        assert_eq!((answer.status, answer.message()), (200, None));
        server.join().unwrap();
    }

    #[test]
    fn nobody_answers() {
        let closed = crate::loopback::closed_address();
        let settings = settings(&format!("status_listen = {closed}"));
        assert!(ask(&settings).is_err());
    }

    #[test]
    fn answers() {
        for (text, expected) in [
            ("HTTP/1.0 200 OK\r\n\r\n", Some((200, None))),
            (
                "HTTP/1.1 200 OK\r\na: b\r\n\r\n{\"message\":\"ready\"}",
                Some((200, Some("ready"))),
            ),
            ("HTTP/1.1 200 OK\r\n\r\n{\"message\":7}", Some((200, None))),
            ("SSH-2.0\r\n\r\n", None),
            ("HTTP/1.1 ok\r\n\r\n", None),
            ("HTTP/1.1 200 OK", None),
            ("", None),
        ] {
            let found = parse(text.as_bytes());
            let found = found.map(|a| (a.status, a.message()));
            let expected = expected
                .map(|(status, text): (u16, Option<&str>)| (status, text.map(str::to_owned)));
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
