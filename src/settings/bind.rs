//! Opening a listening socket as a `*_listen` entry asks for it.

use super::Listen;
use super::listen::KeepAlive;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
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
        match self.so_keepalive {
            None => {}
            Some(KeepAlive::Off) => socket.set_keepalive(false)?,
            Some(KeepAlive::On {
                idle,
                interval,
                count,
            }) => {
                socket.set_keepalive(true)?;
                let mut probes = TcpKeepalive::new();
                if let Some(idle) = idle {
                    probes = probes.with_time(idle);
                }
                if let Some(interval) = interval {
                    probes = probes.with_interval(interval);
                }
                if let Some(count) = count {
                    probes = probes.with_retries(count);
                }
                socket.set_tcp_keepalive(&probes)?;
            }
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
    fn probes_are_set() {
        let listen = &parse(&["127.0.0.1:0 so_keepalive=60:5:3".to_owned()]).unwrap()[0];
        let socket = listen.bind().unwrap();
        let socket = socket2::SockRef::from(&socket);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 60);
        assert_eq!(socket.tcp_keepalive_interval().unwrap().as_secs(), 5);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    }

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
