//! What plugins do with the body of a response.

use bytes::Bytes;

/// What a plugin instance does with the pieces of a response's body, from the least to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum BodyUse {
    /// It does not look at them.
    #[default]
    None,
    /// It looks at them and changes nothing.
    Watch,
    /// It may change them, and with them the length of the body.
    Transform,
}

/// A piece of the body of a response. Pieces have any size; the last one is often empty.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Changes are sent on where the instance transforms, and forgotten where it watches.
    pub data: Bytes,
    /// Nothing follows. A response that is cut short has no last piece.
    pub last: bool,
}
