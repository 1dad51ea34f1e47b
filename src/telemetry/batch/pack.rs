//! MessagePack as far as records need it. Every request has a record, and an encoder for whatever
//! there may be takes four times as long for one.

/// The beginning of a map of fewer than 16 pairs.
pub fn map(out: &mut Vec<u8>, pairs: u8) {
    debug_assert!(pairs < 16);
    out.push(0x80 | pairs);
}

/// The beginning of a list.
pub fn list(out: &mut Vec<u8>, len: usize) {
    match len {
        0..16 => out.push(0x90 | len as u8),
        16..=0xffff => number(out, 0xdc, &(len as u16).to_be_bytes()),
        _ => number(out, 0xdd, &(len as u32).to_be_bytes()),
    }
}

/// A text of fewer than 32 bytes.
pub fn short_text(out: &mut Vec<u8>, text: &str) {
    debug_assert!(text.len() < 32);
    out.push(0xa0 | text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// Fewer than 256 bytes.
pub fn short_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() < 256);
    out.extend_from_slice(&[0xc4, bytes.len() as u8]);
    out.extend_from_slice(bytes);
}

/// A number in the fewest bytes.
pub fn uint(out: &mut Vec<u8>, value: u64) {
    match value {
        0..0x80 => out.push(value as u8),
        0x80..0x100 => number(out, 0xcc, &[value as u8]),
        0x100..0x1_0000 => number(out, 0xcd, &(value as u16).to_be_bytes()),
        0x1_0000..0x1_0000_0000 => number(out, 0xce, &(value as u32).to_be_bytes()),
        _ => number(out, 0xcf, &value.to_be_bytes()),
    }
}

/// A number, or that there is none.
pub fn optional(out: &mut Vec<u8>, value: Option<u32>) {
    match value {
        Some(value) => uint(out, u64::from(value)),
        None => out.push(0xc0),
    }
}

fn number<const N: usize>(out: &mut Vec<u8>, kind: u8, bytes: &[u8; N]) {
    out.push(kind);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_general_encoder_writes() {
        let edges = [
            0,
            1,
            0x7f,
            0x80,
            0xff,
            0x100,
            0xffff,
            0x1_0000,
            0xffff_ffff,
            1 << 32,
            u64::MAX,
        ];
        for value in edges {
            let mut out = Vec::new();
            uint(&mut out, value);
            assert_eq!(out, rmp_serde::to_vec(&value).expect("encodes"), "{value}");
        }
        for value in [None, Some(0), Some(u32::MAX)] {
            let mut out = Vec::new();
            optional(&mut out, value);
            assert_eq!(
                out,
                rmp_serde::to_vec(&value).expect("encodes"),
                "{value:?}"
            );
        }
        for len in [0, 15, 16, 0xffff, 0x1_0000] {
            let mut out = Vec::new();
            list(&mut out, len);
            out.resize(out.len() + len, 0);
            assert_eq!(
                out,
                rmp_serde::to_vec(&vec![0u8; len]).expect("encodes"),
                "{len}"
            );
        }
        let mut out = Vec::new();
        map(&mut out, 1);
        short_text(&mut out, "routes");
        uint(&mut out, 7);
        let expected = std::collections::BTreeMap::from([("routes", 7)]);
        assert_eq!(out, rmp_serde::to_vec_named(&expected).expect("encodes"));
    }
}
