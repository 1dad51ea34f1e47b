//! Which certificate a TLS client is shown: by SNI from the configuration in effect, else the
//! node's own.

use crate::data_plane::router::Snapshot;
use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;

/// Resolves from the current snapshot. A client without SNI, or with one that nothing is
/// configured for, gets one of the node's own certificates.
pub struct CertificateResolver {
    snapshots: Arc<ArcSwap<Snapshot>>,
    own: Vec<Arc<CertifiedKey>>,
}

impl CertificateResolver {
    pub fn new(
        snapshots: Arc<ArcSwap<Snapshot>>,
        own: Vec<Arc<CertifiedKey>>,
    ) -> CertificateResolver {
        CertificateResolver { snapshots, own }
    }
}

impl fmt::Debug for CertificateResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateResolver")
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let snapshot = self.snapshots.load();
        let configured = hello
            .server_name()
            .and_then(|name| snapshot.certificate(name));
        let keys = configured.map_or(&self.own, |certificate| &certificate.keys);
        let offered = hello.signature_schemes();
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(offered).is_some();
        keys.iter().find(fits).or_else(|| keys.first()).cloned()
    }
}
