//! The crypto provider: the one place that chooses it.

use rustls::crypto::{CryptoProvider, ring};
use std::sync::{Arc, LazyLock};

/// The provider every TLS configuration is built with.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(ring::default_provider()));
    Arc::clone(&PROVIDER)
}

/// Makes it the default of the process, for libraries that do not ask. A second call does nothing.
pub fn install_provider() {
    // The error only says that a default is already there.
    let _ = ring::default_provider().install_default();
}
