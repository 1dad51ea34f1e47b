//! The pipeline as drivers see it, without sockets.
