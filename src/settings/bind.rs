//! Opening a listening socket as a `*_listen` entry asks for it.

use super::Listen;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::TcpListener;

/// nginx's backlog where none is given, in connections.
const DEFAULT_BACKLOG: u32 = 511;

impl Listen {
    /// Binds and listens; the socket does not block.
    ///
    /// Every address is bound once and shared by all workers, so `reuseport` is not passed on:
    /// with it a second process could take half of the connections where it should be told that
    /// the port is taken. `deferred` and `bind` change nothing either.
    ///
    /// # Errors
    /// What the system says, such as that the address is in use.
    pub fn bind(&self) -> io::Result<TcpListener> {
        let address = self.address();
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // A restart shall not wait for old connections to be forgotten.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // nginx's default.
            socket.set_only_v6(self.ipv6only.unwrap_or(true))?;
        }
        if let Some(on) = self.so_keepalive {
            socket.set_keepalive(on)?;
        }
        socket.bind(&address.into())?;
        let backlog = self.backlog.unwrap_or(DEFAULT_BACKLOG);
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::listen::parse;
    use std::io;

    #[test]
    fn a_taken_port_is_an_error_even_with_reuseport() {
        let own = crate::loopback::own_address();
        let free = &parse(&[format!("{own}:0 reuseport backlog=7")]).unwrap()[0];
        let first = free.bind().unwrap();
        let address = first.local_addr().unwrap();
        let same = &parse(&[format!("{address} reuseport")]).unwrap()[0];
        assert_eq!(same.bind().unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        same.bind().unwrap();
    }
}
