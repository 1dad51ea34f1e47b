//! Heads to bytes: the pieces from which drivers and the pipeline put heads together.

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
pub fn header(out: &mut Vec<u8>, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
    let (name, value) = (name.as_ref(), value.as_ref());
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Puts blanks in the place of bytes that would end a header line.
pub fn defuse(text: &mut [u8]) {
    let ends_line = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
    if text.iter().any(ends_line) {
        text.iter_mut()
            .filter(|byte| ends_line(byte))
            .for_each(|byte| *byte = b' ');
    }
}

/// Appends a number in decimal digits.
pub fn decimal(out: &mut Vec<u8>, value: u64) {
    digits::<10>(out, value);
}

/// Appends a number in hexadecimal digits.
pub fn hexadecimal(out: &mut Vec<u8>, value: u64) {
    digits::<16>(out, value);
}

fn digits<const RADIX: u64>(out: &mut Vec<u8>, mut value: u64) {
    let mut text = [0u8; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b"0123456789abcdef"[(value % RADIX) as usize];
        value /= RADIX;
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
    fn numbers_are_written_as_the_standard_library_does() {
        for value in [0, 7, 10, 15, 16, 4095, 65536, u64::MAX] {
            let mut out = Vec::new();
            decimal(&mut out, value);
            out.push(b' ');
            hexadecimal(&mut out, value);
            assert_eq!(out, format!("{value} {value:x}").as_bytes());
        }
    }

    #[test]
    fn a_head() {
        let mut out = Vec::new();
        status_line(&mut out, 404, b"Not Found");
        header(&mut out, "Server", "x");
        assert_eq!(out, b"HTTP/1.1 404 Not Found\r\nServer: x\r\n");
    }
}
