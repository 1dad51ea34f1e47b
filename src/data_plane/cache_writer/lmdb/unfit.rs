//! Why a cache is not opened or not read.

use crate::data_plane::cache_writer::CacheError;

/// Why a cache did not open for writing.
pub(super) enum OpenError {
    /// Nothing can be written here.
    ReadOnly(String),
    /// A person has to look at it.
    Fatal(CacheError),
}

impl From<CacheError> for OpenError {
    fn from(err: CacheError) -> OpenError {
        OpenError::Fatal(err)
    }
}

/// Why a cache that is there was not read.
pub(super) enum Unfit {
    /// Its content shows that it cannot be used.
    Damaged(String),
    /// That says nothing of its content.
    Unopened(OpenError),
    /// LMDB met an error of the system.
    System(std::io::Error),
}

impl From<heed::Error> for Unfit {
    fn from(err: heed::Error) -> Unfit {
        match err {
            heed::Error::Io(err) => Unfit::System(err),
            err => Unfit::Damaged(err.to_string()),
        }
    }
}

impl From<OpenError> for Unfit {
    fn from(err: OpenError) -> Unfit {
        Unfit::Unopened(err)
    }
}
