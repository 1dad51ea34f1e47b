//! What the system does for sockets that live long, and the end of those that will not end.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Weak;
use std::time::Duration;

/// How long a connection is silent before the system asks whether the other end is there.
const ASK_AFTER: Duration = Duration::from_secs(30);
/// The pause between two such questions.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Questions without an answer after which the other end is gone.
const QUESTIONS: u32 = 3;
/// How long what was sent may stay unacknowledged before the other end is gone.
const UNACKNOWLEDGED: Duration = Duration::from_secs(45);
/// How long a link that was closed may take to end before its socket is shut.
const CLOSING: Duration = Duration::from_secs(3);

/// Lets the system find out when the other end of a connection has vanished: by keepalive probes
/// while nothing is sent, and by what stays unacknowledged while something is.
///
/// # Errors
/// The system refuses.
pub fn watch_peer(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(ASK_AFTER)
        .with_interval(ASK_EVERY)
        .with_retries(QUESTIONS);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

/// A second handle to the socket of a connection whose owner cannot be told to let go of it.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// # Errors
    /// The process has no descriptor left.
    pub fn of(connection: &impl AsFd) -> io::Result<Socket> {
        connection.as_fd().try_clone_to_owned().map(Socket)
    }

    fn shut(&self) {
        // A connection that has ended by itself needs no end.
        let _ = SockRef::from(&self.0).shutdown(Shutdown::Both);
    }
}

/// Sees to it that a connection ends once its link has: at first by the closing handshake, then
/// whatever the peer does or does not do. Both halves of the link share it, and the last one that
/// is dropped sets the time.
pub(super) struct EndOfLink(pub Weak<Socket>);

impl Drop for EndOfLink {
    fn drop(&mut self) {
        let socket = self.0.clone();
        if socket.strong_count() == 0 {
            return;
        }
        // A runtime that is gone has closed its sockets.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            tokio::time::sleep(CLOSING).await;
            // The connection owns it: when that is gone, so is the socket.
            if let Some(socket) = socket.upgrade() {
                socket.shut();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap());
        let (here, there) = tokio::join!(here, listener.accept());
        (here.unwrap(), there.unwrap().0)
    }

    #[actix_rt::test]
    async fn trial_18_the_system_asks_for_the_peer() {
        let (here, _there) = pair().await;
        watch_peer(&here).unwrap();
        let socket = SockRef::from(&here);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), ASK_AFTER);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
    }

    #[actix_rt::test]
    async fn trial_17_a_connection_ends_after_its_link() {
        let (mut here, there) = pair().await;
        let socket = Arc::new(Socket::of(&there).unwrap());
        let halves = std::rc::Rc::new(EndOfLink(Arc::downgrade(&socket)));
        let other = std::rc::Rc::clone(&halves);
        drop(halves);
        drop(other);
        // Nobody drops `there`, as a connection that waits for its peer would not.
        assert_eq!(here.read(&mut [0; 1]).await.unwrap(), 0);
        drop(there);
    }
}
