//! `langur health`: asks the node that the settings describe, over its own status or admin
//! listener. TLS listeners are verified by their certificate, not by name.

use super::CliError;
use super::args::SettingsArgs;
use crate::settings::{Listen, Settings};
use crate::tls::{Identity, pinned_client_config};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,

    /// Seconds to wait for the answer.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 64 << 10;

/// Prints `ready`, or fails with what the node says.
pub fn command(args: &Args) -> Result<(), CliError> {
    let (settings, _) = args.settings.load()?;
    let question = Question::of(&settings)?;
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let address = question.listen.local_address();
    let answer = question
        .ask(deadline)
        .map_err(|e| CliError::Unavailable(format!("{} {address}: {e}", question.key)))?;
    match answer.status {
        200 => {
            println!("{}", answer.message.as_deref().unwrap_or("ready"));
            Ok(())
        }
        status => Err(CliError::Unavailable(format!(
            "{} {address} answers {status}: {}",
            question.key,
            answer.message.as_deref().unwrap_or("no message")
        ))),
    }
}

/// Whom to ask what.
struct Question<'a> {
    /// The setting the listener comes from.
    key: &'static str,
    listen: &'a Listen,
    path: &'static str,
    /// The listener's certificates if it speaks TLS.
    identities: Vec<Identity>,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    message: Option<String>,
}

impl<'a> Question<'a> {
    /// The status listener if there is one, else the admin listener; without TLS if possible.
    fn of(settings: &'a Settings) -> Result<Question<'a>, CliError> {
        let listeners = &settings.listeners;
        let admin: &[Listen] = match settings.node.role.has_control_plane() {
            true => &listeners.admin,
            false => &[],
        };
        let groups = [
            ("status_listen", &listeners.status[..], "/status/ready"),
            ("admin_listen", admin, "/status"),
        ];
        let (key, listens, path) = groups
            .into_iter()
            .find(|(_, listens, _)| !listens.is_empty())
            .ok_or_else(|| {
                CliError::Unavailable("status_listen is off: there is nobody to ask".to_owned())
            })?;
        let plain = listens.iter().find(|listen| !listen.ssl);
        let listen = plain.unwrap_or(&listens[0]);
        let identities = match listen.ssl {
            true => identities(settings, key)?,
            false => Vec::new(),
        };
        Ok(Question {
            key,
            listen,
            path,
            identities,
        })
    }

    fn ask(&self, deadline: Instant) -> io::Result<Answer> {
        let mut tcp = TcpStream::connect_timeout(&self.listen.local_address(), left(deadline)?)?;
        if self.listen.proxy_protocol {
            tcp.write_all(b"PROXY UNKNOWN\r\n")?;
        }
        let stream = Deadlined { tcp, deadline };
        if !self.listen.ssl {
            return exchange(stream, self.path);
        }
        let config = pinned_client_config(&self.identities).map_err(io::Error::other)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        exchange(StreamOwned::new(tls, stream), self.path)
    }
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

/// HTTP/1.0, so that the answer ends with the connection and is never chunked.
fn exchange(mut stream: impl Read + Write, path: &str) -> io::Result<Answer> {
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    stream.flush()?;
    let mut bytes = Vec::new();
    match stream.take(MAX_ANSWER).read_to_end(&mut bytes) {
        // A peer that closes TLS without saying so has still sent its answer.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    parse(&bytes).ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.lines().next()?.split(' ');
    if !words.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let status = words.next()?.parse().ok()?;
    let body: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let message = body.and_then(|body| Some(body.get("message")?.as_str()?.to_owned()));
    Some(Answer { status, message })
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

/// A connection whose reads and writes all end at one deadline.
struct Deadlined {
    tcp: TcpStream,
    deadline: Instant,
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
        Question::of(settings).unwrap().ask(deadline)
    }

    #[test]
    fn asks_the_status_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let settings = settings(&format!("status_listen = 127.0.0.1:1 ssl, {address}"));
        let server = serve(listener, "HTTP/1.1 503 x\r\n\r\n{\"message\":\"draining\"}");
        let answer = ask(&settings).unwrap();
        assert_eq!(answer.status, 503);
        assert_eq!(answer.message.as_deref(), Some("draining"));
        let request = server.join().unwrap();
        assert!(
            request.starts_with("GET /status/ready HTTP/1.0\r\n"),
            "{request}"
        );
    }

    #[test]
    fn asks_the_admin_listener_where_there_is_no_other() {
        let settings = settings("status_listen = off");
        let question = Question::of(&settings).unwrap();
        assert_eq!((question.key, question.path), ("admin_listen", "/status"));
        let node = "role = data_plane\ncluster_cert = a\ncluster_cert_key = b\n";
        let settings = self::settings(&format!("{node}status_listen = off"));
        assert!(Question::of(&settings).is_err());
    }

    #[test]
    fn speaks_tls_and_the_proxy_protocol() {
        let prefix = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let settings = settings(&format!(
            "prefix = {}\nstatus_listen = {address} ssl proxy_protocol",
            prefix.path().display()
        ));
        assert!(Question::of(&settings).is_err(), "never started");
        let identities = settings
            .certificates
            .status_identities(prefix.path())
            .unwrap();
        let config = listener_config(&identities, TlsVersions::ALL, false).unwrap();
        let server = thread::spawn(move || {
            let (mut tcp, _) = listener.accept().unwrap();
            let mut header = [0; 15];
            tcp.read_exact(&mut header).unwrap();
            assert_eq!(&header, b"PROXY UNKNOWN\r\n");
            let tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            answer_one(StreamOwned::new(tls, tcp), "HTTP/1.1 200 OK\r\n\r\n{}")
        });
        let answer = ask(&settings).unwrap();
        assert_eq!((answer.status, answer.message), (200, None));
        server.join().unwrap();
    }

    #[test]
    fn nobody_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let settings = settings(&format!("status_listen = {address}"));
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
            let found = found.as_ref().map(|a| (a.status, a.message.as_deref()));
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
