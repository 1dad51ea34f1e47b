//! Brings an actix server from its sockets to its workers.

use actix_server::Server;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Starts the workers of a server and the thread that accepts for them. The caller awaits the server
/// afterwards, which runs until it is stopped.
///
/// actix does this when the server is first polled. Whoever only spawns it has sockets that take
/// connections and answer none until its thread is free, and learns too late that there are no threads.
///
/// # Errors
/// What kept a worker or the accepting thread from starting.
pub fn begin(server: &mut Server) -> io::Result<()> {
    match Pin::new(server).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => Ok(()),
        Poll::Ready(Ok(())) => Err(io::Error::other("it ended at once")),
        Poll::Ready(Err(error)) => Err(error),
    }
}
