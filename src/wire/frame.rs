//! One binary WebSocket message: a small header and one MessagePack body.
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | frame version, 1 |
//! | 1 | flags: bit 0 = the body is compressed (zlib); the others must be 0 |
//! | 1 + n | the message's name, ASCII, 1 to 32 bytes |
//! | rest | the body: a MessagePack map with named fields |
//!
//! The name stands outside the body, so that a message this version does not know is
//! recognised and skipped without being decoded. Unknown fields of a known message are
//! ignored. So the dialect grows by adding; what would break an older peer needs a new
//! subprotocol.

use bytes::Bytes;
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use serde::Serialize;
use std::io::{Read, Write};

const VERSION: u8 = 1;
const COMPRESSED: u8 = 1;
const LONGEST_NAME: usize = 32;
/// Bodies below this many bytes are not worth the processor time of compressing them.
const COMPRESS_FROM: usize = 4096;

/// Up to here it does not matter how well a body is compressed.
const ANY_RATIO: usize = 64 << 10;

/// The sizes a peer accepts, in bytes. What is larger is refused before memory is spent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One frame (`cluster_max_payload`).
    pub frame: usize,
    /// The body of one frame once decompressed.
    pub body: usize,
    /// Whether a body may be compressed at all.
    pub compression: bool,
    /// How many times its size a compressed body may grow to, once that is more than
    /// [`ANY_RATIO`] bytes.
    pub ratio: usize,
    /// All chunks of a snapshot together, compressed.
    pub snapshot: usize,
    /// One entity of a snapshot.
    pub row: usize,
    /// All entities of a snapshot together, decompressed.
    pub rows: u64,
}

impl Limits {
    /// Limits around a given `cluster_max_payload`.
    #[must_use]
    pub fn for_payload(cluster_max_payload: usize) -> Limits {
        Limits {
            frame: cluster_max_payload.max(4096),
            body: cluster_max_payload.max(4096).saturating_mul(8),
            compression: true,
            ratio: usize::MAX,
            snapshot: 512 << 20,
            row: 16 << 20,
            rows: 4 << 30,
        }
    }
}

impl Limits {
    /// What a data plane may send before its hello was accepted: anybody with the certificate of
    /// the cluster gets this far.
    #[must_use]
    pub fn of_hello() -> Limits {
        Limits {
            frame: 16 << 10,
            body: 16 << 10,
            compression: false,
            ratio: 1,
            ..Limits::default()
        }
    }

    /// What a data plane may send: acknowledgements, of which the largest lists what is
    /// quarantined. See [`super::Applied::MOST_BYTES`].
    #[must_use]
    pub fn of_data_plane() -> Limits {
        Limits {
            frame: 1 << 20,
            body: 4 << 20,
            compression: true,
            ratio: 128,
            ..Limits::default()
        }
    }

    /// The most that so many compressed bytes may become.
    fn inflated(&self, compressed: usize) -> usize {
        let by_ratio = compressed.saturating_mul(self.ratio).max(ANY_RATIO);
        self.body.min(by_ratio)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::for_payload(16 << 20)
    }
}

/// One direction's set of messages.
pub trait Message: Sized {
    /// The name in the frame's header.
    fn name(&self) -> &'static str;

    /// The body as MessagePack with named fields.
    ///
    /// # Errors
    /// When a value cannot be represented.
    fn encode_body(&self) -> Result<Vec<u8>, rmp_serde::encode::Error>;

    /// The message of that name, or `None` when this version has no such message.
    ///
    /// # Errors
    /// When the body is not what the name says.
    fn decode_body(name: &str, body: &[u8]) -> Result<Option<Self>, rmp_serde::decode::Error>;
}

/// A decoded frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming<M> {
    Known(M),
    /// A message of a newer version: to be logged and skipped.
    Unknown(String),
}

/// Why a message cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("the {message} message needs {size} bytes, more than the limit of {limit}")]
    TooLarge {
        message: &'static str,
        size: usize,
        limit: usize,
    },
    #[error("the snapshot needs {size} bytes, more than {limit}")]
    SnapshotTooLarge { size: usize, limit: usize },
    #[error("cannot encode the {message} message: {reason}")]
    Body {
        message: &'static str,
        reason: String,
    },
}

/// Why received bytes are no message. Any of these ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the frame ends after {0} bytes, within its header")]
    Truncated(usize),
    #[error("the frame has {size} bytes, more than the limit of {limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("frame version {0} is not known")]
    Version(u8),
    #[error("the body is compressed, which is not accepted before the hello is")]
    Compressed,
    #[error("frame flags {0:#04x} are not known")]
    Flags(u8),
    #[error("the message name is empty, too long or not printable")]
    Name,
    #[error("the body does not decompress: {0}")]
    Inflate(String),
    #[error("the body is larger than {limit} bytes once decompressed")]
    BodyTooLarge { limit: usize },
    #[error("the body of {message} is malformed: {reason}")]
    Body { message: String, reason: String },
    #[error("a snapshot row has {size} bytes, more than {limit}")]
    RowTooLarge { size: usize, limit: usize },
    #[error("the rows of the snapshot take more than {limit} bytes")]
    RowsTooLarge { limit: u64 },
    #[error("the rows hash to {found}, the snapshot says {expected}")]
    SnapshotDigest { expected: String, found: String },
}

/// The frame of one message.
///
/// # Errors
/// When the message does not fit the limits.
pub fn encode<M: Message>(message: &M, limits: &Limits) -> Result<Bytes, EncodeError> {
    let name = message.name();
    let body = message.encode_body().map_err(|err| EncodeError::Body {
        message: name,
        reason: err.to_string(),
    })?;
    frame(name, &body, limits)
}

/// The frame of a body that is only borrowed.
pub(super) fn encode_ref<T: Serialize>(
    name: &'static str,
    body: &T,
    limits: &Limits,
) -> Result<Bytes, EncodeError> {
    let body = rmp_serde::to_vec_named(body).map_err(|err| EncodeError::Body {
        message: name,
        reason: err.to_string(),
    })?;
    frame(name, &body, limits)
}

fn frame(name: &'static str, body: &[u8], limits: &Limits) -> Result<Bytes, EncodeError> {
    let too_large = |size, limit| EncodeError::TooLarge {
        message: name,
        size,
        limit,
    };
    if body.len() > limits.body {
        return Err(too_large(body.len(), limits.body));
    }
    let mut out = Vec::with_capacity(3 + name.len() + body.len());
    out.extend([VERSION, 0, name.len() as u8]);
    out.extend_from_slice(name.as_bytes());
    if body.len() < COMPRESS_FROM || !limits.compression {
        out.extend_from_slice(body);
    } else {
        out[1] = COMPRESSED;
        let mut encoder = ZlibEncoder::new(out, Compression::fast());
        // Writing to a Vec does not fail.
        out = encoder
            .write_all(body)
            .and_then(|()| encoder.finish())
            .map_err(|err| EncodeError::Body {
                message: name,
                reason: err.to_string(),
            })?;
    }
    if out.len() > limits.frame {
        return Err(too_large(out.len(), limits.frame));
    }
    Ok(out.into())
}

/// The message in a frame.
///
/// # Errors
/// See [`DecodeError`]; nothing larger than the limits is ever held in memory.
pub fn decode<M: Message>(bytes: &[u8], limits: &Limits) -> Result<Incoming<M>, DecodeError> {
    if bytes.len() > limits.frame {
        return Err(DecodeError::TooLarge {
            size: bytes.len(),
            limit: limits.frame,
        });
    }
    let [version, flags, length, rest @ ..] = bytes else {
        return Err(DecodeError::Truncated(bytes.len()));
    };
    if *version != VERSION {
        return Err(DecodeError::Version(*version));
    }
    if flags & !COMPRESSED != 0 {
        return Err(DecodeError::Flags(*flags));
    }
    let length = usize::from(*length);
    if length == 0 || length > LONGEST_NAME {
        return Err(DecodeError::Name);
    }
    let (name, body) = rest
        .split_at_checked(length)
        .ok_or(DecodeError::Truncated(bytes.len()))?;
    let name = std::str::from_utf8(name)
        .ok()
        .filter(|name| name.bytes().all(|b| b.is_ascii_graphic()))
        .ok_or(DecodeError::Name)?;
    let inflated;
    let body = if flags & COMPRESSED == 0 {
        body
    } else {
        if !limits.compression {
            return Err(DecodeError::Compressed);
        }
        inflated = inflate(body, limits.inflated(body.len()))?;
        &inflated
    };
    match M::decode_body(name, body) {
        Ok(Some(message)) => Ok(Incoming::Known(message)),
        Ok(None) => Ok(Incoming::Unknown(name.to_owned())),
        Err(err) => Err(DecodeError::Body {
            message: name.to_owned(),
            reason: err.to_string(),
        }),
    }
}

/// Whether decoding a frame takes so long that it is to be done where nobody else waits.
#[must_use]
pub fn is_costly(bytes: &[u8]) -> bool {
    bytes.len() >= COMPRESS_FROM && bytes.get(1).is_some_and(|flags| flags & COMPRESSED != 0)
}

fn inflate(body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::new();
    ZlibDecoder::new(body)
        .take(limit as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|err| DecodeError::Inflate(err.to_string()))?;
    if out.len() > limit {
        return Err(DecodeError::BodyTooLarge { limit });
    }
    Ok(out)
}

/// Declares one direction: an enum with a variant per message and its name on the wire.
macro_rules! messages {
    ($(#[$doc:meta])* $set:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $set { $($variant($variant)),+ }

        impl $crate::wire::Message for $set {
            fn name(&self) -> &'static str {
                match self { $($set::$variant(_) => $name),+ }
            }
            fn encode_body(&self) -> Result<Vec<u8>, rmp_serde::encode::Error> {
                match self { $($set::$variant(body) => rmp_serde::to_vec_named(body)),+ }
            }
            fn decode_body(
                name: &str,
                body: &[u8],
            ) -> Result<Option<Self>, rmp_serde::decode::Error> {
                match name {
                    $($name => rmp_serde::from_slice(body).map($set::$variant).map(Some),)+
                    _ => Ok(None),
                }
            }
        }

        $(impl From<$variant> for $set {
            fn from(body: $variant) -> $set { $set::$variant(body) }
        })+
    };
}
pub(super) use messages;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Note {
        text: String,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Other {
        #[serde(default)]
        later: u8,
    }
    messages! { Set { Note = "note", Other = "other" } }

    fn small() -> Limits {
        Limits {
            frame: 10_000,
            body: 20_000,
            ..Limits::default()
        }
    }

    fn note(length: usize) -> Set {
        Set::Note(Note {
            text: "n".repeat(length),
        })
    }

    #[test]
    fn frames_survive_with_and_without_compression() {
        for length in [0, 10, COMPRESS_FROM - 20, COMPRESS_FROM + 1, 15_000] {
            let bytes = encode(&note(length), &small()).expect("encodes");
            assert_eq!(bytes[1] & COMPRESSED == 1, length > COMPRESS_FROM);
            assert_eq!(decode(&bytes, &small()), Ok(Incoming::Known(note(length))));
        }
    }

    #[test]
    fn every_malformed_frame_has_its_own_answer() {
        let check = |bytes: &[u8], expected: DecodeError| {
            assert_eq!(decode::<Set>(bytes, &small()), Err(expected), "{bytes:?}");
        };
        check(&[], DecodeError::Truncated(0));
        check(&[1, 0], DecodeError::Truncated(2));
        check(&[1, 0, 4, b'n'], DecodeError::Truncated(4));
        check(&[2, 0, 1, b'n'], DecodeError::Version(2));
        check(&[1, 2, 1, b'n'], DecodeError::Flags(2));
        check(&[1, 0, 0], DecodeError::Name);
        check(&[1, 0, 33], DecodeError::Name);
        check(&[1, 0, 1, 7], DecodeError::Name);
        check(&[1, 0, 1, 0xff], DecodeError::Name);
        check(
            &vec![0; 10_001],
            DecodeError::TooLarge {
                size: 10_001,
                limit: 10_000,
            },
        );
        assert!(matches!(
            decode::<Set>(b"\x01\x00\x04note\xc0", &small()),
            Err(DecodeError::Body { message, .. }) if message == "note"
        ));
        assert!(matches!(
            decode::<Set>(b"\x01\x01\x04notegarbage", &small()),
            Err(DecodeError::Inflate(_))
        ));
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let wide = Limits {
            body: 50 << 20,
            ..small()
        };
        let bomb = encode(&note(2 << 20), &wide).expect("encodes");
        assert!(bomb.len() < small().frame);
        assert_eq!(
            decode::<Set>(&bomb, &small()),
            Err(DecodeError::BodyTooLarge { limit: 20_000 })
        );
    }

    #[test]
    fn trial_17_a_stranger_may_not_compress() {
        let bytes = encode(&note(COMPRESS_FROM + 1), &small()).expect("encodes");
        let strict = Limits::of_hello();
        assert_eq!(decode::<Set>(&bytes, &strict), Err(DecodeError::Compressed));
        assert!(is_costly(
            &encode(&note(2 << 20), &Limits::default()).expect("encodes")
        ));
        // Who keeps to it does not compress either.
        let bytes = encode(&note(COMPRESS_FROM + 1), &strict).expect("encodes");
        let read = decode(&bytes, &strict);
        assert_eq!(read, Ok(Incoming::Known(note(COMPRESS_FROM + 1))));
        assert!(!is_costly(&bytes));
    }

    #[test]
    fn trial_17_a_body_grows_only_so_many_times() {
        let limits = Limits::of_data_plane();
        // A megabyte of one letter is a kilobyte: within the body's limit, beyond the ratio.
        let bytes = encode(&note(1 << 20), &Limits::default()).expect("encodes");
        assert!(bytes.len() < 8192, "{}", bytes.len());
        assert!(matches!(
            decode::<Set>(&bytes, &limits),
            Err(DecodeError::BodyTooLarge { limit }) if limit < 1 << 20
        ));
        // As much text that says something is read.
        let text: String = (0..40_000u64)
            .map(|n| format!("{:x} ", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect();
        let note = Set::Note(Note { text });
        let bytes = encode(&note, &limits).expect("encodes");
        assert_eq!(decode(&bytes, &limits), Ok(Incoming::Known(note)));
    }

    #[test]
    fn what_does_not_fit_is_not_sent() {
        assert!(matches!(
            encode(&note(20_001), &small()),
            Err(EncodeError::TooLarge {
                message: "note",
                limit: 20_000,
                ..
            })
        ));
    }

    #[test]
    fn unknown_messages_and_fields_are_tolerated() {
        assert_eq!(
            decode::<Set>(b"\x01\x00\x06rumour\x80", &small()),
            Ok(Incoming::Unknown("rumour".to_owned()))
        );
        #[derive(Serialize)]
        struct Newer {
            text: &'static str,
            colour: u8,
        }
        let bytes = encode_ref(
            "note",
            &Newer {
                text: "nn",
                colour: 3,
            },
            &small(),
        )
        .expect("encodes");
        assert_eq!(decode(&bytes, &small()), Ok(Incoming::Known(note(2))));
        let older = decode::<Set>(b"\x01\x00\x05other\x80", &small());
        assert_eq!(older, Ok(Incoming::Known(Set::Other(Other { later: 0 }))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Set>(&bytes, &small());
            let mut framed = b"\x01\x00\x04note".to_vec();
            framed.extend(bytes);
            let _ = decode::<Set>(&framed, &small());
        }
    }
}
