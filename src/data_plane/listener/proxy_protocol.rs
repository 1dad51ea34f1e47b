//! The header of the PROXY protocol, versions 1 and 2, which a load balancer sends before
//! anything else on a connection: who the client is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Bytes of a header of version 1, with its line end, at most.
const MAX_LINE: usize = 107;
/// Bytes after the first 16 of a header of version 2, at most: addresses and what nginx, too,
/// accepts of additional fields.
const MAX_FIELDS: usize = 4096 - 16;
/// The beginning of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Why a connection is closed before anything was read of it.
#[derive(Debug, Error)]
pub enum ProxyProtocolError {
    #[error("no PROXY protocol header: {0}")]
    Malformed(&'static str),
    #[error(transparent)]
    Io(#[from] io::Error),
}

use ProxyProtocolError::Malformed;

/// Reads the header, and not a byte more. `None`: the balancer speaks for itself, or for a
/// client that it cannot name.
pub async fn read(socket: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyProtocolError> {
    let mut start = [0; 16];
    // Both versions are longer than the signature.
    socket.read_exact(&mut start[..SIGNATURE.len()]).await?;
    if &start[..SIGNATURE.len()] == SIGNATURE {
        socket.read_exact(&mut start[SIGNATURE.len()..]).await?;
        let length = usize::from(u16::from_be_bytes([start[14], start[15]]));
        if length > MAX_FIELDS {
            return Err(Malformed("too long"));
        }
        let mut fields = vec![0; length];
        socket.read_exact(&mut fields).await?;
        return version_2(start[12], start[13], &fields);
    }
    if !start.starts_with(b"PROXY ") {
        return Err(Malformed("neither version 1 nor version 2"));
    }
    let mut line = [0; MAX_LINE];
    let mut length = SIGNATURE.len();
    line[..length].copy_from_slice(&start[..length]);
    while line[length - 1] != b'\n' {
        if length == MAX_LINE {
            return Err(Malformed("too long"));
        }
        // What follows the line is not ours to read.
        let seen = socket.peek(&mut line[length..]).await?;
        let ours = match line[length..length + seen]
            .iter()
            .position(|byte| *byte == b'\n')
        {
            _ if seen == 0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Some(feed) => feed + 1,
            None => seen,
        };
        socket.read_exact(&mut line[length..length + ours]).await?;
        length += ours;
    }
    version_1(&line[..length])
}

/// `PROXY TCP4 SOURCE DESTINATION PORT PORT\r\n`, or `PROXY UNKNOWN` and whatever.
fn version_1(line: &[u8]) -> Result<Option<SocketAddr>, ProxyProtocolError> {
    let text = line
        .strip_suffix(b"\r\n")
        .and_then(|line| std::str::from_utf8(line).ok())
        .ok_or(Malformed("no line of text"))?;
    let mut words = text.split(' ');
    let mut word = || words.next().unwrap_or_default();
    if word() != "PROXY" {
        return Err(Malformed("not PROXY"));
    }
    let family = word();
    if family == "UNKNOWN" {
        return Ok(None);
    }
    let (source, destination) = (word().parse(), word().parse());
    let (source_port, destination_port) = (port(word()), port(word()));
    let (Ok(source), Ok(destination)) = (source, destination) else {
        return Err(Malformed("an address is not one"));
    };
    let (Some(source_port), Some(_)) = (source_port, destination_port) else {
        return Err(Malformed("a port is not one"));
    };
    let of_family = |ip: &IpAddr| match family {
        "TCP4" => ip.is_ipv4(),
        "TCP6" => ip.is_ipv6(),
        _ => false,
    };
    if !of_family(&source) || !of_family(&destination) || words.next().is_some() {
        return Err(Malformed("addresses of another family, or more words"));
    }
    Ok(Some(SocketAddr::new(source, source_port)))
}

/// Decimal digits and nothing else.
fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn version_2(
    version_and_command: u8,
    family_and_protocol: u8,
    fields: &[u8],
) -> Result<Option<SocketAddr>, ProxyProtocolError> {
    match version_and_command {
        0x21 => {}
        // The balancer's own connection, such as a health check.
        0x20 => return Ok(None),
        _ => return Err(Malformed("neither LOCAL nor PROXY of version 2")),
    }
    let short = Malformed("too short for its addresses");
    match family_and_protocol {
        0x11 => {
            let (ip, rest) = fields.split_first_chunk::<4>().ok_or(short)?;
            // The destination's address comes between the source's and the ports.
            let port = rest
                .get(4..8)
                .ok_or(Malformed("too short for its addresses"))?;
            let port = u16::from_be_bytes([port[0], port[1]]);
            Ok(Some(SocketAddr::new(Ipv4Addr::from(*ip).into(), port)))
        }
        0x21 => {
            let (ip, rest) = fields.split_first_chunk::<16>().ok_or(short)?;
            let port = rest
                .get(16..20)
                .ok_or(Malformed("too short for its addresses"))?;
            let port = u16::from_be_bytes([port[0], port[1]]);
            Ok(Some(SocketAddr::new(Ipv6Addr::from(*ip).into(), port)))
        }
        // Unspecified, UDP and sockets of a file system: no client that could be named.
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_version_1() {
        let check = |line: &str, expected: Result<Option<&str>, ()>| {
            let found = version_1(line.as_bytes()).map_err(|_| ());
            let expected = expected.map(|found| found.map(|text| text.parse().unwrap()));
            assert_eq!(found, expected, "{line:?}");
        };
        check(
            "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n",
            Ok(Some("1.2.3.4:1000")),
        );
        check("PROXY TCP6 ::1 ::2 65535 443\r\n", Ok(Some("[::1]:65535")));
        check("PROXY UNKNOWN\r\n", Ok(None));
        check("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Ok(None));
        for wrong in [
            "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1000\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80 9\r\n",
            "PROXY TCP4 ::1 ::2 1000 80\r\n",
            "PROXY TCP6 1.2.3.4 5.6.7.8 1000 80\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 65536 80\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 +1 80\r\n",
            "PROXY TCP4 client 5.6.7.8 1 80\r\n",
            "PROXY UDP4 1.2.3.4 5.6.7.8 1 80\r\n",
            "GET / HTTP/1.1\r\n",
        ] {
            check(wrong, Err(()));
        }
    }

    #[test]
    fn headers_of_version_2() {
        let ipv4 = [1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0x92, 0, 80];
        let mut ipv6 = [0; 36];
        (ipv6[15], ipv6[31], ipv6[32], ipv6[33]) = (1, 2, 0x10, 0x92);
        let check = |command: u8, family: u8, fields: &[u8], expected: Result<Option<&str>, ()>| {
            let found = version_2(command, family, fields).map_err(|_| ());
            let expected = expected.map(|found| found.map(|text| text.parse().unwrap()));
            assert_eq!(found, expected, "{command:x} {family:x}");
        };
        check(0x21, 0x11, &ipv4, Ok(Some("1.2.3.4:4242")));
        check(
            0x21,
            0x11,
            &[&ipv4[..], &[4, 0, 1, 9]].concat(),
            Ok(Some("1.2.3.4:4242")),
        );
        check(0x21, 0x21, &ipv6, Ok(Some("[::1]:4242")));
        check(0x20, 0x11, &ipv4, Ok(None));
        check(0x21, 0x00, &[], Ok(None));
        check(0x21, 0x12, &ipv4, Ok(None));
        check(0x21, 0x31, &[0; 216], Ok(None));
        check(0x21, 0x11, &ipv4[..7], Err(()));
        check(0x21, 0x21, &ipv6[..19], Err(()));
        check(0x22, 0x11, &ipv4, Err(()));
        check(0x11, 0x11, &ipv4, Err(()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(
            command: u8,
            family in prop_oneof![Just(0x11u8), Just(0x21u8), any::<u8>()],
            fields in prop::collection::vec(any::<u8>(), 0..60),
            line in "(PROXY )?(TCP4|TCP6|UNKNOWN)?[ -~]{0,60}\r?\n?",
        ) {
            let _ = version_2(command, family, &fields);
            let _ = version_2(0x21, family, &fields);
            let _ = version_1(line.as_bytes());
        }
    }
}
