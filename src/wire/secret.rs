//! What a node proves itself by where its certificate does not name it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A random secret that a data plane keeps in its prefix and shows on each of its links. It never
/// appears in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeSecret([u8; NodeSecret::BYTES]);

/// What control planes keep of a secret: its SHA-256. Enough to know it again, not to show it.
pub type SecretHash = [u8; 32];

impl NodeSecret {
    /// How long a secret is.
    pub const BYTES: usize = 32;
    /// The header of a telemetry link's request that shows it, in hexadecimal digits.
    pub const HEADER: &'static str = "x-langur-node-secret";

    #[must_use]
    pub fn new(bytes: [u8; NodeSecret::BYTES]) -> NodeSecret {
        NodeSecret(bytes)
    }

    /// What control planes keep of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        Sha256::digest(self.0).into()
    }

    /// Hexadecimal digits, as files and headers have it.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The secret of so many hexadecimal digits; `None` of anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<NodeSecret> {
        let digits = text.as_bytes();
        if digits.len() != 2 * NodeSecret::BYTES {
            return None;
        }
        let mut bytes = [0; NodeSecret::BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
        }
        Some(NodeSecret(bytes))
    }
}

impl std::fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeSecret(******)")
    }
}

impl Serialize for NodeSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Binary;
        impl serde::de::Visitor<'_> for Binary {
            type Value = NodeSecret;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{} bytes", NodeSecret::BYTES)
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<NodeSecret, E> {
                let bytes = bytes.try_into();
                bytes
                    .map(NodeSecret)
                    .map_err(|_| E::custom(format!("a secret has {} bytes", NodeSecret::BYTES)))
            }
        }
        deserializer.deserialize_bytes(Binary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trial_15_a_secret_is_known_again_and_never_shown() {
        let secret = NodeSecret::new([0xa5; NodeSecret::BYTES]);
        assert_eq!(NodeSecret::from_hex(&secret.to_hex()), Some(secret.clone()));
        assert_eq!(NodeSecret::from_hex(&secret.to_hex()[1..]), None);
        assert_eq!(NodeSecret::from_hex(&"x".repeat(64)), None);
        assert_ne!(secret.hash(), NodeSecret::new([0; 32]).hash());
        assert!(!format!("{secret:?}").contains("a5"));
        let bytes = rmp_serde::to_vec(&secret).expect("encodes");
        assert_eq!(
            rmp_serde::from_slice::<NodeSecret>(&bytes).expect("decodes"),
            secret
        );
    }
}
