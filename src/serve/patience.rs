//! How long a client may keep a connection without doing anything with it.
//!
//! The server library limits the first request head and idle connections. What it does not limit is
//! done here: a later head that never ends, a body that stops coming, and what a client still owes
//! of a body that nobody reads.

use crate::settings::Patience;
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::Extensions;
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, web::Data};
use futures_util::StreamExt as _;
use std::any::Any;
use std::net::{Shutdown, TcpStream as Socket};
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// After which an answer that the client does not take is given up.
const LONGEST_ANSWER: Duration = Duration::from_secs(600);
/// For the answer to reach a client that has been given up.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBody {
    TooLarge,
    /// The client has paused for too long; the connection ends with the answer.
    TooSlow,
    /// It is not what its head says, or the client is gone.
    Broken,
}

/// Reads a body whole.
///
/// # Errors
/// See [`NoBody`].
pub async fn read_body(
    request: &HttpRequest,
    mut payload: Payload,
    limit: usize,
) -> Result<Vec<u8>, NoBody> {
    let patience = request.app_data::<Data<Patience>>();
    let patience = patience.map(|data| *data.get_ref()).unwrap_or_default();
    let mut bytes = Vec::new();
    loop {
        let Ok(read) = timeout(patience.body, payload.next()).await else {
            if let Some(watched) = request.conn_data::<Watched>() {
                watched.give_up();
            }
            return Err(NoBody::TooSlow);
        };
        let Some(chunk) = read else {
            return Ok(bytes);
        };
        let chunk = chunk.map_err(|_| NoBody::Broken)?;
        if bytes.len() + chunk.len() > limit {
            return Err(NoBody::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// One connection, from outside of the library that serves it.
struct Connection {
    /// A second handle to the socket, by which it can be closed; none once the connection is no
    /// longer HTTP.
    socket: Mutex<Option<Socket>>,
    /// Requests being answered, until their answers are sent.
    answering: AtomicUsize,
    /// Since the number of those last changed.
    since: Mutex<Instant>,
    given_up: AtomicBool,
}

impl Connection {
    fn changed(&self) {
        // No code that can panic runs under these locks.
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long the connection may still stay as it is; `None` is forever.
    fn left(&self, patience: Duration) -> Option<Duration> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.as_ref()?;
        let busy = self.answering.load(Ordering::Acquire) > 0;
        let limit = match (busy, self.given_up.load(Ordering::Acquire)) {
            (true, _) => LONGEST_ANSWER,
            (false, true) => FAREWELL,
            (false, false) => patience,
        };
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let left = limit.saturating_sub(since.elapsed());
        if left.is_zero()
            && let Some(socket) = socket.take()
        {
            // One that is closed already needs nothing.
            let _ = socket.shutdown(Shutdown::Both);
        }
        Some(left)
    }
}

/// Kept with a connection: closes it when the client does nothing with it for too long.
pub struct Watched {
    connection: Arc<Connection>,
    wake: Arc<Notify>,
    watching: JoinHandle<()>,
}

impl Watched {
    /// Remembers the watch in what is kept with the connection, and starts it on this thread.
    pub fn remember(patience: Patience, connection: &dyn Any, extensions: &mut Extensions) {
        let plain = connection.downcast_ref::<TcpStream>();
        let tls = connection.downcast_ref::<TlsStream<TcpStream>>();
        let Some(stream) = plain.or_else(|| Some(tls?.get_ref().0)) else {
            return;
        };
        // Without a descriptor to spare the connection goes unwatched; it may soon be refused
        // for the same reason.
        let Ok(again) = stream.as_fd().try_clone_to_owned() else {
            return;
        };
        let connection = Arc::new(Connection {
            socket: Mutex::new(Some(Socket::from(again))),
            answering: AtomicUsize::new(0),
            since: Mutex::new(Instant::now()),
            given_up: AtomicBool::new(false),
        });
        let wake = Arc::new(Notify::new());
        // The library answers a first head that is late; this must not come before.
        let limit = patience.head + FAREWELL;
        let watching = watch(Arc::downgrade(&connection), Arc::clone(&wake), limit);
        extensions.insert(Watched {
            connection,
            wake,
            watching: tokio::task::spawn_local(watching),
        });
    }

    /// A request of this connection is being answered until the guard is dropped.
    pub fn answering(&self) -> Answering {
        self.connection.answering.fetch_add(1, Ordering::AcqRel);
        self.connection.changed();
        Answering(Arc::clone(&self.connection))
    }

    /// The connection has become a link that has deadlines of its own.
    pub fn let_go(&self) {
        let socket = &self.connection.socket;
        drop(socket.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The connection ends soon after the answer.
    fn give_up(&self) {
        self.connection.given_up.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn watch(connection: Weak<Connection>, wake: Arc<Notify>, patience: Duration) {
    loop {
        let left = connection.upgrade().and_then(|now| now.left(patience));
        let Some(left) = left.filter(|left| !left.is_zero()) else {
            return;
        };
        // Looked at anew when it ends, and soon when somebody has been given up.
        let pause = match connection
            .upgrade()
            .map(|now| now.given_up.load(Ordering::Acquire))
        {
            Some(true) => left.min(FAREWELL),
            _ => left.min(patience),
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = wake.notified() => {}
        }
    }
}

/// A request that is being answered.
pub struct Answering(Arc<Connection>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::AcqRel);
        self.0.changed();
    }
}

/// The body of an answer, which is being answered until it is sent.
pub struct Sent<B> {
    body: B,
    _answering: Option<Answering>,
}

impl<B> Sent<B> {
    pub fn new(body: B, answering: Option<Answering>) -> Sent<B> {
        Sent {
            body,
            _answering: answering,
        }
    }
}

impl<B: MessageBody + Unpin> MessageBody for Sent<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
