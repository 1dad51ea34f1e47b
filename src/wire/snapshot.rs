//! A whole configuration in chunks.
//!
//! The chunks together are one zlib stream of rows, each a 32-bit little-endian length and
//! a MessagePack map. Rows are compressed while they are encoded and checked while they
//! are decompressed, so neither side holds the decompressed whole besides the configuration.

use super::frame::encode_ref;
use super::{Blob, DecodeError, EncodeError, Limits, Position, SnapshotChunk};
use crate::model::{Config, Kind, KindSet, Row};
use bytes::{Buf, Bytes};
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::Arc;
use uuid::Uuid;

/// Large enough to be cheap, small enough that every chunk is a prompt sign of life.
const CHUNK: usize = 256 << 10;
/// What a chunk's frame needs besides its bytes, generously.
const OVERHEAD: usize = 512;

#[derive(Serialize, Deserialize)]
struct SnapshotRow {
    kind: Kind,
    id: Uuid,
    row: Row,
}

/// The frames of a configuration, as far as a peer knows its kinds, in the order in which they
/// are sent.
///
/// # Errors
/// When the configuration is larger than a data plane would accept.
pub fn encode_snapshot(
    epoch: u64,
    config: &Config,
    kinds: KindSet,
    limits: &Limits,
) -> Result<Arc<[Bytes]>, EncodeError> {
    let failed = |reason: String| EncodeError::Body {
        message: "snapshot_chunk",
        reason,
    };
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    for (kind, id, row) in config.iter().filter(|(kind, ..)| kinds.contains(*kind)) {
        let bytes = rmp_serde::to_vec_named(&SnapshotRow {
            kind,
            id,
            row: row.clone(),
        })
        .map_err(|err| failed(err.to_string()))?;
        if bytes.len() > limits.row {
            return Err(EncodeError::TooLarge {
                message: "snapshot_chunk",
                size: bytes.len(),
                limit: limits.row,
            });
        }
        encoder
            .write_all(&(bytes.len() as u32).to_le_bytes())
            .and_then(|()| encoder.write_all(&bytes))
            .map_err(|err| failed(err.to_string()))?;
    }
    let whole = Bytes::from(encoder.finish().map_err(|err| failed(err.to_string()))?);
    if whole.len() > limits.snapshot {
        return Err(EncodeError::SnapshotTooLarge {
            size: whole.len(),
            limit: limits.snapshot,
        });
    }
    let size = CHUNK.min(limits.frame.saturating_sub(OVERHEAD).max(OVERHEAD));
    let of = whole.len().div_ceil(size) as u32;
    let position = Position::of_kinds(epoch, config, kinds);
    (0..of)
        .map(|index| {
            let start = index as usize * size;
            let chunk = SnapshotChunk {
                position,
                index,
                of,
                bytes: Blob(whole.slice(start..whole.len().min(start + size))),
            };
            encode_ref("snapshot_chunk", &chunk, limits)
        })
        .collect()
}

/// Chunks that do not form a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssemblyError {
    #[error("chunk {found} of the snapshot came where chunk {expected} was due")]
    OutOfOrder { expected: u32, found: u32 },
    #[error("chunks of two snapshots are mixed")]
    Mixed,
    #[error("a snapshot of {0} chunks")]
    Count(u32),
    #[error("the snapshot is larger than {limit} bytes")]
    TooLarge { limit: usize },
}

/// A snapshot on its way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembly {
    position: Position,
    of: u32,
    parts: Vec<Bytes>,
    size: usize,
}

/// All chunks of a snapshot. Decoding them takes a while; it belongs on a thread of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotParts {
    pub position: Position,
    parts: Vec<Bytes>,
}

impl Assembly {
    /// Takes one chunk; `slot` holds what came before it. A first chunk starts anew.
    ///
    /// # Errors
    /// When the chunk does not continue what is there; the slot is empty then.
    pub fn push(
        slot: &mut Option<Assembly>,
        chunk: SnapshotChunk,
        limits: &Limits,
    ) -> Result<Option<SnapshotParts>, AssemblyError> {
        let mut assembly = match slot.take() {
            Some(assembly) if chunk.index > 0 => assembly,
            _ => Assembly {
                position: chunk.position,
                of: chunk.of,
                parts: Vec::new(),
                size: 0,
            },
        };
        let expected = assembly.parts.len() as u32;
        if chunk.index != expected {
            return Err(AssemblyError::OutOfOrder {
                expected,
                found: chunk.index,
            });
        }
        if chunk.position != assembly.position || chunk.of != assembly.of {
            return Err(AssemblyError::Mixed);
        }
        if chunk.of == 0 || chunk.of as usize > limits.snapshot / 1024 + 1 {
            return Err(AssemblyError::Count(chunk.of));
        }
        assembly.size += chunk.bytes.0.len();
        if assembly.size > limits.snapshot {
            return Err(AssemblyError::TooLarge {
                limit: limits.snapshot,
            });
        }
        assembly.parts.push(chunk.bytes.0);
        if assembly.parts.len() as u32 == assembly.of {
            return Ok(Some(SnapshotParts {
                position: assembly.position,
                parts: assembly.parts,
            }));
        }
        *slot = Some(assembly);
        Ok(None)
    }
}

impl SnapshotParts {
    /// The configuration, checked against the digest that was announced.
    ///
    /// # Errors
    /// When the rows are malformed, too large or not the announced ones.
    pub fn decode(&self, limits: &Limits) -> Result<Config, DecodeError> {
        let inflate = |err: std::io::Error| DecodeError::Inflate(err.to_string());
        let mut reader = ZlibDecoder::new(Chain(self.parts.iter().cloned().collect()));
        let mut rows = Vec::new();
        let mut total = 0u64;
        let mut buffer = Vec::new();
        loop {
            let mut length = [0u8; 4];
            let mut got = 0;
            while got < length.len() {
                match reader.read(&mut length[got..]).map_err(inflate)? {
                    0 => break,
                    n => got += n,
                }
            }
            match got {
                0 => break,
                4 => {}
                _ => return Err(DecodeError::Inflate("a row ends early".into())),
            }
            let size = u32::from_le_bytes(length) as usize;
            if size > limits.row {
                return Err(DecodeError::RowTooLarge {
                    size,
                    limit: limits.row,
                });
            }
            total += size as u64;
            if total > limits.rows {
                return Err(DecodeError::RowsTooLarge { limit: limits.rows });
            }
            buffer.resize(size, 0);
            reader.read_exact(&mut buffer).map_err(inflate)?;
            let row: SnapshotRow =
                rmp_serde::from_slice(&buffer).map_err(|err| DecodeError::Body {
                    message: "snapshot_chunk".into(),
                    reason: err.to_string(),
                })?;
            rows.push((row.kind, row.id, row.row));
        }
        let config = Config::from_rows(self.position.revision, rows);
        if config.digest() != self.position.digest {
            return Err(DecodeError::SnapshotDigest {
                expected: self.position.digest.to_string(),
                found: config.digest().to_string(),
            });
        }
        Ok(config)
    }
}

/// Several runs of bytes read as one.
struct Chain(VecDeque<Bytes>);

impl Read for Chain {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while let Some(front) = self.0.front_mut() {
            if front.is_empty() {
                self.0.pop_front();
                continue;
            }
            let n = front.len().min(buf.len());
            front.split_to(n).copy_to_slice(&mut buf[..n]);
            return Ok(n);
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Op, Revision};
    use crate::wire::{FromControlPlane, Incoming, decode};

    fn config(entities: u64) -> Config {
        let mut config = Config::default();
        let ops = (0..entities).map(|n| {
            let noise: String = (0..40)
                .map(|i| Uuid::from_u128(u128::from(n * 1_000_003 + i).wrapping_pow(7)).to_string())
                .collect();
            Op::Put {
                kind: Kind::ALL[n as usize % Kind::ALL.len()],
                id: Uuid::from_u128(u128::from(n)),
                row: Row::from_json(
                    serde_json::json!({ "noise": noise })
                        .as_object()
                        .expect("an object"),
                ),
            }
        });
        config.commit(Revision(3), ops.collect());
        config
    }

    fn narrow() -> Limits {
        Limits::for_payload(4096)
    }

    fn chunks(config: &Config, limits: &Limits) -> Vec<SnapshotChunk> {
        encode_snapshot(5, config, KindSet::ALL, limits)
            .expect("encodes")
            .iter()
            .map(|bytes| match decode(bytes, limits) {
                Ok(Incoming::Known(FromControlPlane::SnapshotChunk(chunk))) => chunk,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn assemble(
        chunks: impl IntoIterator<Item = SnapshotChunk>,
        limits: &Limits,
    ) -> Result<Option<SnapshotParts>, AssemblyError> {
        let mut slot = None;
        let mut last = None;
        for chunk in chunks {
            last = Assembly::push(&mut slot, chunk, limits)?;
        }
        Ok(last)
    }

    #[test]
    fn a_configuration_survives_in_many_chunks() {
        for entities in [0, 1, 300] {
            let config = config(entities);
            let chunks = chunks(&config, &narrow());
            assert_eq!(chunks.len() > 5, entities == 300);
            let parts = assemble(chunks, &narrow())
                .expect("fits together")
                .expect("is complete");
            assert_eq!(parts.position, Position::of(5, &config));
            assert_eq!(parts.decode(&narrow()), Ok(config));
        }
    }

    #[test]
    fn kinds_the_peer_does_not_know_are_left_out() {
        let (config, limits) = (config(40), Limits::default());
        let frames = encode_snapshot(5, &config, KindSet::FIRST, &limits).expect("encodes");
        let chunks = frames.iter().map(|bytes| match decode(bytes, &limits) {
            Ok(Incoming::Known(FromControlPlane::SnapshotChunk(chunk))) => chunk,
            other => panic!("{other:?}"),
        });
        let parts = assemble(chunks, &limits).expect("fits").expect("complete");
        assert_eq!(
            parts.position,
            Position::of_kinds(5, &config, KindSet::FIRST)
        );
        let held = parts.decode(&limits).expect("agrees with its digest");
        let known = config
            .iter()
            .filter(|(kind, ..)| KindSet::FIRST.contains(*kind));
        assert_eq!(held.len(), known.count());
        assert!(held.len() < config.len());
    }

    #[test]
    fn chunks_that_do_not_fit_are_refused() {
        let good = chunks(&config(300), &narrow());
        let check = |chunks: Vec<SnapshotChunk>, expected: AssemblyError| {
            assert_eq!(assemble(chunks, &narrow()), Err(expected));
        };
        check(
            vec![good[0].clone(), good[2].clone()],
            AssemblyError::OutOfOrder {
                expected: 1,
                found: 2,
            },
        );
        check(
            vec![good[1].clone()],
            AssemblyError::OutOfOrder {
                expected: 0,
                found: 1,
            },
        );
        let mut other = good[1].clone();
        other.position.revision = Revision(9);
        check(vec![good[0].clone(), other], AssemblyError::Mixed);
        let mut none = good[0].clone();
        none.of = 0;
        check(vec![none], AssemblyError::Count(0));
        let tight = Limits {
            snapshot: 5000,
            ..narrow()
        };
        assert_eq!(
            assemble(good[..2].to_vec(), &tight),
            Err(AssemblyError::Count(good[0].of))
        );
        let mut few = good[..2].to_vec();
        few.iter_mut().for_each(|chunk| chunk.of = 3);
        assert_eq!(
            assemble(few, &tight),
            Err(AssemblyError::TooLarge { limit: 5000 })
        );
        // A snapshot that is begun anew replaces the one that was under way.
        let restarted = good[..2].iter().chain(&good).cloned();
        assert!(assemble(restarted, &narrow()).expect("fits").is_some());
    }

    #[test]
    fn damaged_snapshots_are_refused() {
        let decode_with = |change: fn(&mut SnapshotParts), limits: Limits| {
            let mut parts = assemble(chunks(&config(300), &narrow()), &narrow())
                .expect("fits")
                .expect("complete");
            change(&mut parts);
            parts.decode(&limits).expect_err("is damaged")
        };
        assert!(matches!(
            decode_with(|parts| drop(parts.parts.pop()), narrow()),
            DecodeError::Inflate(_)
        ));
        assert!(matches!(
            decode_with(|parts| parts.position.digest = Digest::default(), narrow()),
            DecodeError::SnapshotDigest { .. }
        ));
        let row = Limits { row: 8, ..narrow() };
        assert!(matches!(
            decode_with(|_| (), row),
            DecodeError::RowTooLarge { limit: 8, .. }
        ));
        let rows = Limits {
            rows: 9000,
            ..narrow()
        };
        assert_eq!(
            decode_with(|_| (), rows),
            DecodeError::RowsTooLarge { limit: 9000 }
        );
    }

    #[test]
    fn a_row_nobody_would_accept_is_not_sent() {
        let limits = Limits {
            row: 100,
            ..narrow()
        };
        assert!(matches!(
            encode_snapshot(0, &config(1), KindSet::ALL, &limits),
            Err(EncodeError::TooLarge { limit: 100, .. })
        ));
    }
}
