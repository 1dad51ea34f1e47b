//! What a TLS session is called in logs.

/// The version and the cipher of a session, by the names of nginx and OpenSSL; empty where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsSession {
    pub version: &'static str,
    pub cipher: &'static str,
}
