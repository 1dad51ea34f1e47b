//! Heads to bytes: the pieces from which drivers and the pipeline put heads together.

use std::io::Write;
use std::net::IpAddr;

/// Appends `HTTP/1.1 STATUS REASON` and the line end. Responses always say 1.1, also to
/// older clients (RFC 9110 2.5).
pub fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Appends `NAME: VALUE` and the line end.
#[inline]
pub fn header(out: &mut Vec<u8>, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
    let (name, value) = (name.as_ref(), value.as_ref());
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// What a header name may consist of (RFC 9110 5.6.2).
pub const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// What a header value may consist of: everything but control bytes other than a tab.
const fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

const fn table(of_names: bool) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match of_names {
            true => is_token_byte(byte as u8),
            false => is_value_byte(byte as u8),
        };
        byte += 1;
    }
    table
}

/// By byte, whether a header name may have it.
pub(super) static LEGAL_IN_NAMES: [bool; 256] = table(true);
static LEGAL_IN_VALUES: [bool; 256] = table(false);

/// Appends a header name. Bytes that no name may have are percent-encoded, as Kong does: what
/// comes from a configuration cannot break a message, and still shows what was meant.
pub fn header_name(out: &mut Vec<u8>, name: &[u8]) {
    encode(out, name, &LEGAL_IN_NAMES);
}

/// Appends a header value; control bytes are percent-encoded, see [`header_name`].
pub fn header_value(out: &mut Vec<u8>, value: &[u8]) {
    encode(out, value, &LEGAL_IN_VALUES);
}

fn encode(out: &mut Vec<u8>, text: &[u8], legal: &[bool; 256]) {
    // Nearly always all of it is legal, and copied at once.
    if text.iter().all(|byte| legal[usize::from(*byte)]) {
        out.extend_from_slice(text);
        return;
    }
    for byte in text {
        match legal[usize::from(*byte)] {
            true => out.push(*byte),
            false => {
                let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
                out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}

/// Appends a number in decimal digits.
pub fn decimal(out: &mut Vec<u8>, mut value: u64) {
    if value < 10 {
        return out.push(b'0' + value as u8);
    }
    let mut text = [0u8; 20];
    let mut at = text.len();
    // Two digits at a time: half as many divisions.
    while value >= 10 {
        let pair = 2 * (value % 100) as usize;
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        value /= 100;
    }
    if value > 0 {
        at -= 1;
        text[at] = b'0' + value as u8;
    }
    out.extend_from_slice(&text[at..]);
}

/// `00` to `99`.
static PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut at = 0;
    while at < 100 {
        pairs[2 * at] = b'0' + (at / 10) as u8;
        pairs[2 * at + 1] = b'0' + (at % 10) as u8;
        at += 1;
    }
    pairs
};

/// Appends an IP address as [`IpAddr`] is displayed.
pub fn ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (at, octet) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                decimal(out, u64::from(octet));
            }
        }
        // Writing to a vector cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

/// Frames a piece of a chunked body of so many bytes: appends what goes before it, returns what goes after it.
/// After the last piece the body ends, without trailers.
pub fn chunk(out: &mut Vec<u8>, length: usize, last: bool) -> &'static [u8] {
    if length > 0 {
        hexadecimal(out, length as u64);
        out.extend_from_slice(b"\r\n");
    }
    match (length > 0, last) {
        (true, true) => b"\r\n0\r\n\r\n",
        (true, false) => b"\r\n",
        (false, true) => b"0\r\n\r\n",
        (false, false) => b"",
    }
}

/// Appends a number in hexadecimal digits.
pub fn hexadecimal(out: &mut Vec<u8>, mut value: u64) {
    let mut text = [0u8; 16];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b"0123456789abcdef"[(value % 16) as usize];
        value /= 16;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        for text in ["0.0.0.0", "127.0.0.1", "255.10.0.99", "::1", "2001:db8::7"] {
            let mut out = Vec::new();
            ip(&mut out, text.parse().expect("an address"));
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        for value in [
            0,
            7,
            9,
            10,
            15,
            16,
            99,
            100,
            101,
            999,
            1000,
            4095,
            65536,
            u64::MAX,
        ] {
            let mut out = Vec::new();
            decimal(&mut out, value);
            out.push(b' ');
            hexadecimal(&mut out, value);
            assert_eq!(out, format!("{value} {value:x}").as_bytes());
        }
    }

    #[test]
    fn trial_26_names_and_values_are_made_legal() {
        let check = |name: &[u8], value: &[u8], expected: &[u8]| {
            let mut out = Vec::new();
            header_name(&mut out, name);
            out.push(b'=');
            header_value(&mut out, value);
            assert_eq!(
                String::from_utf8_lossy(&out),
                String::from_utf8_lossy(expected)
            );
        };
        check(
            b"X-a_b.c~",
            b"a b\tc\xc3\xa9\"%",
            b"X-a_b.c~=a b\tc\xc3\xa9\"%",
        );
        check(
            b"my header: x",
            b"a\r\nb\0\x1b\x7f",
            b"my%20header%3A%20x=a%0D%0Ab%00%1B%7F",
        );
        check(b"\xc3(\"", b"", b"%C3%28%22=");
        let legal = |byte: &u8| is_value_byte(*byte);
        assert_eq!((0..=255u8).filter(legal).count(), 256 - 32);
        assert_eq!((0..=255u8).filter(|byte| is_token_byte(*byte)).count(), 77);
    }

    #[test]
    fn a_head() {
        let mut out = Vec::new();
        status_line(&mut out, 404, b"Not Found");
        header(&mut out, "Server", "x");
        assert_eq!(out, b"HTTP/1.1 404 Not Found\r\nServer: x\r\n");
    }
}
