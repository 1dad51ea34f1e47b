//! Where a body ends: incremental decoders over slices, without IO.

use super::write::is_token_byte;
use std::ops::Range;
use thiserror::Error;

/// How the end of a message's body is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// This many bytes.
    Length(u64),
    /// The chunked transfer coding (RFC 9112 7.1).
    Chunked,
    /// Until the peer closes; responses only.
    UntilClose,
}

/// Why a body cannot be read on.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    #[error("invalid chunk size")]
    ChunkSize,
    #[error("chunk is not followed by a line end")]
    ChunkEnd,
    #[error("malformed or oversized chunk extension")]
    Extension,
    #[error("malformed or oversized trailer section")]
    Trailer,
}

/// What one call of `decode` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The payload, as a range of the bytes that were passed in.
    pub data: Range<usize>,
    /// Bytes that belong to the body, payload and framing; whatever follows does not, when
    /// `done`, and must be passed in again, when not.
    pub consumed: usize,
    /// The body is complete.
    pub done: bool,
}

/// Extensions of one chunk, in bytes.
const MAX_EXTENSION: u32 = 256;
/// Extensions of all chunks of a body, in bytes: a body may not be mostly extensions.
const MAX_EXTENSIONS: u32 = 16 * 1024;
/// The trailer section, in bytes. It is read and dropped.
const MAX_TRAILERS: u32 = 8 * 1024;

/// Finds payload and end of one body.
#[derive(Clone, Debug)]
pub struct BodyDecoder {
    state: State,
    extensions: u32,
    trailers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    /// Before the first digit of a chunk size.
    Size,
    /// After a digit.
    SizeDigits(u64),
    /// After blanks that follow the size, this many bytes so far: only an extension or the
    /// line end may come.
    Blanks {
        size: u64,
        length: u32,
    },
    /// Within an extension, this many bytes so far.
    Extension {
        size: u64,
        length: u32,
    },
    /// After the carriage return of a size line.
    SizeEnd(u64),
    Data(u64),
    DataEnd,
    DataEndFeed,
    /// At the start of a trailer line.
    TrailerStart,
    /// Within the name of a trailer.
    TrailerName,
    /// After the colon of a trailer.
    Trailer,
    /// After the carriage return of a trailer line.
    TrailerFeed,
    /// After the carriage return of the blank line.
    LastFeed,
    Done,
}

impl BodyDecoder {
    pub fn new(framing: Framing) -> BodyDecoder {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::UntilClose,
        };
        BodyDecoder {
            state,
            extensions: 0,
            trailers: 0,
        }
    }

    /// The body has been read to its end.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the body is complete when the peer closes now.
    pub fn may_end_here(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// The rest of the length, where the framing names one.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// Takes the next bytes of the body. The payload of several chunks is moved together
    /// within `bytes`, so that it can be written in one piece.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, BodyError> {
        match self.state {
            State::Done => Ok(Decoded {
                data: 0..0,
                consumed: 0,
                done: true,
            }),
            State::UntilClose => Ok(Decoded {
                data: 0..bytes.len(),
                consumed: bytes.len(),
                done: false,
            }),
            State::Length(left) => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                self.state = match left - taken as u64 {
                    0 => State::Done,
                    left => State::Length(left),
                };
                Ok(Decoded {
                    data: 0..taken,
                    consumed: taken,
                    done: self.is_done(),
                })
            }
            _ => self.decode_chunks(bytes),
        }
    }

    fn decode_chunks(&mut self, bytes: &mut [u8]) -> Result<Decoded, BodyError> {
        let mut data = 0..0;
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if let State::Data(left) = self.state {
                let taken = usize::try_from(left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len() - at);
                if data.is_empty() {
                    data = at..at;
                } else if data.end != at {
                    bytes.copy_within(at..at + taken, data.end);
                }
                data.end += taken;
                at += taken;
                self.state = match left - taken as u64 {
                    0 => State::DataEnd,
                    left => State::Data(left),
                };
                continue;
            }
            self.state = self.step(bytes[at])?;
            at += 1;
        }
        Ok(Decoded {
            data,
            consumed: at,
            done: self.is_done(),
        })
    }

    /// One byte of chunk framing.
    fn step(&mut self, byte: u8) -> Result<State, BodyError> {
        let digit = char::from(byte).to_digit(16).map(u64::from);
        match (self.state, byte) {
            (State::Size, _) => digit.map(State::SizeDigits).ok_or(BodyError::ChunkSize),
            (
                State::SizeDigits(size)
                | State::Blanks { size, .. }
                | State::Extension { size, .. },
                b'\r',
            ) => Ok(State::SizeEnd(size)),
            (State::SizeDigits(size), b';') => self.extension(size, 1),
            (State::SizeDigits(size), b' ' | b'\t') => self.blanks(size, 1),
            (State::Blanks { size, length }, b';') => self.extension(size, length + 1),
            (State::Blanks { size, length }, b' ' | b'\t') => self.blanks(size, length + 1),
            (State::Blanks { .. }, _) => Err(BodyError::ChunkSize),
            (State::SizeDigits(size), _) => {
                let digit = digit.ok_or(BodyError::ChunkSize)?;
                // Leading zeros stay harmless; a size above 64 bits does not fit.
                let fits = size <= u64::MAX >> 4;
                fits.then_some(State::SizeDigits(size << 4 | digit))
                    .ok_or(BodyError::ChunkSize)
            }
            (State::Extension { size, length }, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extension(size, length + 1)
            }
            (State::Extension { .. }, _) => Err(BodyError::Extension),
            (State::SizeEnd(0), b'\n') => Ok(State::TrailerStart),
            (State::SizeEnd(size), b'\n') => Ok(State::Data(size)),
            (State::SizeEnd(_), _) => Err(BodyError::ChunkSize),
            (State::DataEnd, b'\r') => Ok(State::DataEndFeed),
            (State::DataEndFeed, b'\n') => Ok(State::Size),
            (State::DataEnd | State::DataEndFeed, _) => Err(BodyError::ChunkEnd),
            (State::TrailerStart, b'\r') => Ok(State::LastFeed),
            (State::Trailer, b'\r') => Ok(State::TrailerFeed),
            (State::TrailerStart | State::TrailerName, _) if is_token_byte(byte) => {
                self.trailer(State::TrailerName)
            }
            (State::TrailerName, b':') => self.trailer(State::Trailer),
            (State::Trailer, b'\t' | b' '..=b'~' | 0x80..) => self.trailer(State::Trailer),
            (State::TrailerFeed, b'\n') => Ok(State::TrailerStart),
            (State::LastFeed, b'\n') => Ok(State::Done),
            (
                State::TrailerStart
                | State::TrailerName
                | State::Trailer
                | State::TrailerFeed
                | State::LastFeed,
                _,
            ) => Err(BodyError::Trailer),
            (State::Length(_) | State::UntilClose | State::Data(_) | State::Done, _) => {
                Ok(self.state)
            }
        }
    }

    fn extension(&mut self, size: u64, length: u32) -> Result<State, BodyError> {
        self.count_extension(length)?;
        Ok(State::Extension { size, length })
    }

    /// Some old servers pad their chunk sizes with blanks; they count as an extension.
    fn blanks(&mut self, size: u64, length: u32) -> Result<State, BodyError> {
        self.count_extension(length)?;
        Ok(State::Blanks { size, length })
    }

    fn count_extension(&mut self, length: u32) -> Result<(), BodyError> {
        self.extensions += 1;
        match length > MAX_EXTENSION || self.extensions > MAX_EXTENSIONS {
            true => Err(BodyError::Extension),
            false => Ok(()),
        }
    }

    fn trailer(&mut self, state: State) -> Result<State, BodyError> {
        self.trailers += 1;
        let fits = self.trailers <= MAX_TRAILERS;
        fits.then_some(state).ok_or(BodyError::Trailer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes the bytes as they come in reads of the given sizes; payload, end, and what
    /// the body left over.
    fn decode(
        framing: Framing,
        bytes: &[u8],
        reads: &[usize],
    ) -> Result<(Vec<u8>, bool, usize), BodyError> {
        let mut decoder = BodyDecoder::new(framing);
        let mut payload = Vec::new();
        let mut at = 0;
        let mut reads = reads.iter().copied().chain(std::iter::repeat(usize::MAX));
        while at < bytes.len() && !decoder.is_done() {
            let size = reads.next().unwrap_or(1).clamp(1, bytes.len() - at);
            let mut read = bytes[at..at + size].to_vec();
            let decoded = decoder.decode(&mut read)?;
            payload.extend_from_slice(&read[decoded.data]);
            assert!(decoded.done || decoded.consumed == size);
            at += decoded.consumed;
        }
        Ok((payload, decoder.is_done(), bytes.len() - at))
    }

    #[test]
    fn bodies() {
        use Framing::{Chunked, Length};
        type Expected = Result<(&'static str, bool, usize), BodyError>;
        let rows: &[(Framing, &str, Expected)] = &[
            (Framing::None, "x", Ok(("", true, 1))),
            (Length(0), "x", Ok(("", true, 1))),
            (Length(3), "abcx", Ok(("abc", true, 1))),
            (Length(3), "ab", Ok(("ab", false, 0))),
            (Framing::UntilClose, "abc", Ok(("abc", false, 0))),
            (Chunked, "0\r\n\r\nx", Ok(("", true, 1))),
            (
                Chunked,
                "3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n",
                Ok(("abcdefgh", true, 0)),
            ),
            (Chunked, "00003\r\nabc\r\n0\r\n\r\n", Ok(("abc", true, 0))),
            (
                Chunked,
                "A\r\n0123456789\r\n000\r\n\r\n",
                Ok(("0123456789", true, 0)),
            ),
            (
                Chunked,
                "3;a=b\r\nabc\r\n0 ;x\r\n\r\n",
                Ok(("abc", true, 0)),
            ),
            (
                Chunked,
                "3\r\nabc\r\n0\r\nX-T: 1\r\nY: 2\r\n\r\nz",
                Ok(("abc", true, 1)),
            ),
            (Chunked, "3\r\nab", Ok(("ab", false, 0))),
            (Chunked, "3\r\nabc\r\n", Ok(("abc", false, 0))),
            (Chunked, "zz\r\n", Err(BodyError::ChunkSize)),
            (Chunked, "\r\n", Err(BodyError::ChunkSize)),
            (Chunked, " 3\r\nabc", Err(BodyError::ChunkSize)),
            (Chunked, "-3\r\nabc", Err(BodyError::ChunkSize)),
            (Chunked, "0x3\r\nabc", Err(BodyError::ChunkSize)),
            (Chunked, "3\nabc\n0\n\n", Err(BodyError::ChunkSize)),
            (Chunked, "3\r\rabc", Err(BodyError::ChunkSize)),
            (Chunked, "fffffffffffffffff\r\n", Err(BodyError::ChunkSize)),
            (Chunked, "10000000000000000\r\n", Err(BodyError::ChunkSize)),
            (Chunked, "3\r\nabcd\r\n", Err(BodyError::ChunkEnd)),
            (Chunked, "3\r\nabc\n0\r\n", Err(BodyError::ChunkEnd)),
            (Chunked, "3;a\nabc", Err(BodyError::Extension)),
            (Chunked, "3;\0\r\nabc", Err(BodyError::Extension)),
            (Chunked, "3 \t\r\nabc\r\n0\r\n\r\n", Ok(("abc", true, 0))),
            (Chunked, "0\r\nX: 1\n\r\n", Err(BodyError::Trailer)),
            (Chunked, "0\r\nX: 1\rY\r\n", Err(BodyError::Trailer)),
            (Chunked, "0\r\n\n", Err(BodyError::Trailer)),
        ];
        for (framing, bytes, expected) in rows {
            let expected =
                expected.map(|(data, done, rest)| (data.as_bytes().to_vec(), done, rest));
            assert_eq!(
                decode(*framing, bytes.as_bytes(), &[]),
                expected,
                "{bytes:?}"
            );
            let single = vec![1; bytes.len()];
            assert_eq!(
                decode(*framing, bytes.as_bytes(), &single),
                expected,
                "{bytes:?} singly"
            );
        }
    }

    #[test]
    fn trial_25_chunk_lines_and_trailers_are_read_strictly() {
        let refused = |bytes: &[u8], expected: BodyError| {
            let found = decode(Framing::Chunked, bytes, &[]);
            assert_eq!(found, Err(expected), "{}", String::from_utf8_lossy(bytes));
        };
        for line in ["5 x", "5\tx", "5 \t x", "5 5", "5 x;y"] {
            refused(
                format!("{line}\r\nhello\r\n").as_bytes(),
                BodyError::ChunkSize,
            );
        }
        for line in [
            "nocolon", "x(y: 1", "\"x\": 1", "x y: 1", "x : 1", " x: 1", ": 1", "x\0: 1",
        ] {
            refused(
                format!("0\r\n{line}\r\n\r\n").as_bytes(),
                BodyError::Trailer,
            );
        }
        refused(b"0\r\nx\x80: 1\r\n\r\n", BodyError::Trailer);
        let blanks = format!("3{}\r\nabc\r\n", " ".repeat(300));
        refused(blanks.as_bytes(), BodyError::Extension);
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let extension = format!("3;{}\r\nabc\r\n", "x".repeat(300));
        let many = format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(100);
        let trailer = format!("0\r\n{}\r\n", "X: yyyyyyyyyy\r\n".repeat(1000));
        let rows = [
            (extension, BodyError::Extension),
            (many, BodyError::Extension),
            (trailer, BodyError::Trailer),
        ];
        for (bytes, expected) in rows {
            assert_eq!(
                decode(Framing::Chunked, bytes.as_bytes(), &[]),
                Err(expected)
            );
        }
    }

    #[test]
    fn the_end_of_input_completes_only_what_lasts_until_close() {
        let ends = |framing| BodyDecoder::new(framing).may_end_here();
        assert!(ends(Framing::None));
        assert!(ends(Framing::UntilClose));
        assert!(!ends(Framing::Length(1)));
        assert!(!ends(Framing::Chunked));
    }

    proptest! {
        #[test]
        fn reads_of_any_size_give_the_same_body(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            reads in prop::collection::vec(1usize..30, 0..40),
        ) {
            let mut bytes = Vec::new();
            for chunk in &chunks {
                bytes.extend_from_slice(format!("{:x};e\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\nT: x\r\n\r\nnext");
            let expected = Ok((chunks.concat(), true, 4));
            prop_assert_eq!(decode(Framing::Chunked, &bytes, &reads), expected);
        }

        #[test]
        fn any_bytes_are_judged_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            reads in prop::collection::vec(1usize..30, 0..40),
        ) {
            let whole = decode(Framing::Chunked, &bytes, &[]);
            prop_assert_eq!(decode(Framing::Chunked, &bytes, &reads), whole);
        }
    }
}
