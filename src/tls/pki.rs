//! `cluster_mtls = pki`: the control plane's certificate verified against an authority.
//!
//! The chain is the TLS library's work. The name may stand in the subject alternative names or,
//! when there are none, in the common name: what Kong's data planes accept.

use super::signature::handshake_signatures;
use super::{Identity, TlsError, certificate, provider};
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{Error, RootCertStore};
use std::sync::Arc;
use x509_parser::extensions::GeneralName;

/// Accepts control planes whose certificate an authority signed for the expected name.
#[derive(Debug)]
pub(super) struct PkiServerVerifier {
    roots: RootCertStore,
}

impl PkiServerVerifier {
    pub(super) fn new(roots: RootCertStore) -> PkiServerVerifier {
        PkiServerVerifier { roots }
    }
}

impl ServerCertVerifier for PkiServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = provider().signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms.all,
        )?;
        match verify_server_name(&parsed, server_name) {
            Err(_) if common_name_matches(end_entity, server_name) => {}
            result => result?,
        }
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!();
}

/// Whether peers that trust these authorities accept this node now: as a client, or else as a
/// server of whatever name.
///
/// # Errors
/// Why they refuse it.
pub fn verify_chain(
    identity: &Identity,
    roots: &RootCertStore,
    as_client: bool,
) -> Result<(), TlsError> {
    let (leaf, intermediates) = (identity.leaf(), &identity.chain()[1..]);
    let now = UnixTime::now();
    if as_client {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider())
                .build()
                .map_err(|e| TlsError::Authority(e.to_string()))?;
        verifier.verify_client_cert(leaf, intermediates, now)?;
        return Ok(());
    }
    let parsed = ParsedCertificate::try_from(leaf)?;
    let algorithms = provider().signature_verification_algorithms;
    let verified = verify_server_cert_signed_by_trust_anchor(
        &parsed,
        roots,
        intermediates,
        now,
        algorithms.all,
    );
    Ok(verified?)
}

/// The old rule for certificates without alternative DNS names: the common name is the host.
fn common_name_matches(der: &CertificateDer<'_>, server_name: &ServerName<'_>) -> bool {
    let ServerName::DnsName(expected) = server_name else {
        return false;
    };
    let Ok(certificate) = certificate::parse(der) else {
        return false;
    };
    // An extension that cannot be read must not look like one that is absent.
    let Ok(alternative) = certificate.subject_alternative_name() else {
        return false;
    };
    let has_dns_name = alternative.is_some_and(|extension| {
        let names = &extension.value.general_names;
        names.iter().any(|n| matches!(n, GeneralName::DNSName(_)))
    });
    let mut common_names = certificate.subject().iter_common_name();
    !has_dns_name
        && common_names.any(|name| {
            name.as_str()
                .is_ok_and(|name| name.eq_ignore_ascii_case(expected.as_ref()))
        })
}
