//! How a value is written into a line, so that a line stays one line.

/// What `log_format … escape=` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// Control bytes, quotation marks, backslashes and everything that is not ASCII as `\xHH`.
    #[default]
    Default,
    /// As JSON strings want it.
    Json,
    /// As it is; line ends in a value would make it several lines, so these alone are written as
    /// `\xHH`.
    None,
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

impl Escape {
    pub fn parse(word: &str) -> Option<Escape> {
        Some(match word {
            "default" => Escape::Default,
            "json" => Escape::Json,
            "none" => Escape::None,
            _ => return None,
        })
    }

    /// Appends a value.
    pub fn write(self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Escape::Default => {
                write_default(
                    value,
                    out,
                    |byte| matches!(byte, 0..=0x1f | b'"' | b'\\' | 0x7f..),
                );
            }
            Escape::Json => write_json(value, out),
            Escape::None => write_default(value, out, |byte| matches!(byte, b'\n' | b'\r')),
        }
    }

    /// Appends what stands for a value that there is not.
    pub fn write_missing(self, out: &mut Vec<u8>) {
        if self == Escape::Default {
            out.push(b'-');
        }
    }
}

fn write_default(value: &[u8], out: &mut Vec<u8>, special: impl Fn(u8) -> bool) {
    let mut plain = 0;
    for (at, byte) in value.iter().enumerate() {
        if special(*byte) {
            out.extend_from_slice(&value[plain..at]);
            out.extend_from_slice(b"\\x");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            plain = at + 1;
        }
    }
    out.extend_from_slice(&value[plain..]);
}

/// Bytes that are no UTF-8 are written as the characters of their numbers: a line is valid JSON
/// whatever a client sends.
fn write_json(value: &[u8], out: &mut Vec<u8>) {
    for chunk in value.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                8 => out.extend_from_slice(b"\\b"),
                12 => out.extend_from_slice(b"\\f"),
                0..=0x1f => write_code(byte, out),
                _ => out.push(byte),
            }
        }
        for byte in chunk.invalid() {
            write_code(*byte, out);
        }
    }
}

fn write_code(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\u00");
    out.push(HEX[usize::from(byte >> 4)]);
    out.push(HEX[usize::from(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(escape: Escape, value: &[u8]) -> String {
        let mut out = Vec::new();
        escape.write(value, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn values_are_escaped_as_nginx_does() {
        for (escape, value, expected) in [
            (Escape::Default, &b"plain /path?x=1"[..], "plain /path?x=1"),
            (
                Escape::Default,
                b"a\"b\\c\nd\x7f\xff\x00",
                r"a\x22b\x5Cc\x0Ad\x7F\xFF\x00",
            ),
            (Escape::Default, "\u{e9}".as_bytes(), r"\xC3\xA9"),
            (
                Escape::Json,
                b"a\"b\\c\nd\r\t\x08\x0c\x01\x1f",
                r#"a\"b\\c\nd\r\t\b\f\u0001\u001F"#,
            ),
            (Escape::Json, "\u{e9}".as_bytes(), "\u{e9}"),
            (Escape::Json, b"\xff/\xc3", r"\u00FF/\u00C3"),
            (Escape::None, b"a\"b\\c\tx", "a\"b\\c\tx"),
            (Escape::None, b"a\r\nb", r"a\x0D\x0Ab"),
        ] {
            assert_eq!(written(escape, value), expected, "{escape:?} {value:?}");
        }
        assert_eq!(Escape::parse("json"), Some(Escape::Json));
        assert_eq!(Escape::parse("JSON"), None);
    }

    proptest! {
        #[test]
        fn the_default_escape_leaves_printable_ascii_alone(value: Vec<u8>) {
            let text = written(Escape::Default, &value);
            prop_assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'"'));
        }

        #[test]
        fn the_json_escape_gives_a_json_string(value: Vec<u8>) {
            let text = format!("\"{}\"", written(Escape::Json, &value));
            let read: String = serde_json::from_str(&text).expect("a JSON string");
            if let Ok(valid) = std::str::from_utf8(&value) {
                prop_assert_eq!(read, valid);
            }
        }

        #[test]
        fn no_escape_lets_a_line_end_through(value: Vec<u8>) {
            for escape in [Escape::Default, Escape::Json, Escape::None] {
                let mut out = Vec::new();
                escape.write(&value, &mut out);
                prop_assert!(!out.contains(&b'\n') && !out.contains(&b'\r'));
            }
        }
    }
}
