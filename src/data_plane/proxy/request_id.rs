//! Ids of requests: 32 lower-case hex digits, new for each.

/// The id of a request. Its text is kept, and its memory used again by later requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// Becomes a new id.
    pub fn renew(&mut self) {
        self.set(rand::random());
    }

    fn set(&mut self, bits: u128) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bits.to_be_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        self.0.clear();
        self.0
            .push_str(std::str::from_utf8(&text).unwrap_or_default());
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case_hex() {
        let check = |bits: u128, text: &str| {
            let mut id = RequestId::default();
            id.set(bits);
            assert_eq!(id.as_str(), text);
        };
        check(0, "00000000000000000000000000000000");
        check(0xABC, "00000000000000000000000000000abc");
        check(u128::MAX, "ffffffffffffffffffffffffffffffff");
    }

    #[test]
    fn each_is_another() {
        let mut id = RequestId::default();
        id.renew();
        let before = id.clone();
        id.renew();
        assert_ne!(id, before);
    }
}
