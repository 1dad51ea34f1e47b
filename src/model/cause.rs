//! Which requests of the Admin API a change came from: what links the logs of both planes.

use super::Revision;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The id of an Admin API request; 32 lower-case hex digits as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub Uuid);

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// A revision and the request that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub revision: Revision,
    pub request_id: RequestId,
}

impl Cause {
    /// Most causes that travel with one change: of a long difference, the latest.
    pub const MOST: usize = 64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_32_hex_digits() {
        let id = RequestId(Uuid::from_u128(0xABC));
        assert_eq!(id.to_string(), "00000000000000000000000000000abc");
    }
}
