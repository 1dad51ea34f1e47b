//! The id of a request: 32 lower-case hex digits.

/// Text of an id, without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId([u8; 32]);

impl Default for RequestId {
    fn default() -> RequestId {
        RequestId([b'0'; 32])
    }
}

impl RequestId {
    /// A new id from the thread's random generator: no system call, not guessable.
    pub fn random() -> RequestId {
        RequestId::from_bits(rand::random())
    }

    pub fn from_bits(bits: u128) -> RequestId {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bits.to_be_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        RequestId(text)
    }

    pub fn as_str(&self) -> &str {
        // Only hex digits are ever stored.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case_hex() {
        let check = |bits: u128, text: &str| assert_eq!(RequestId::from_bits(bits).as_str(), text);
        check(0, "00000000000000000000000000000000");
        check(0xABC, "00000000000000000000000000000abc");
        check(u128::MAX, "ffffffffffffffffffffffffffffffff");
        assert_ne!(RequestId::random(), RequestId::random());
    }
}
