//! `cluster_mtls = shared`: the peer's certificate is ours, byte for byte.
//!
//! No chain is built and no name is looked at: equality with our own certificate says more. The
//! handshake signature then proves that the peer also holds the key.

use super::certificate::{Validity, fingerprint, validity};
use super::signature::handshake_signatures;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error};

/// Accepts the peers that show one of these certificates.
#[derive(Debug)]
pub(super) struct PinnedVerifier {
    fingerprints: Vec<[u8; 32]>,
}

impl PinnedVerifier {
    pub(super) fn new(fingerprints: Vec<[u8; 32]>) -> PinnedVerifier {
        PinnedVerifier { fingerprints }
    }

    fn check(&self, end_entity: &CertificateDer<'_>) -> Result<(), Error> {
        match self.fingerprints.contains(&fingerprint(end_entity)) {
            true => Ok(()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }
}

impl ServerCertVerifier for PinnedVerifier {
    /// As Kong's data plane, refuses a control plane whose certificate is out of date.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity)?;
        check_validity(end_entity, now)?;
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!();
}

impl ClientCertVerifier for PinnedVerifier {
    /// No hints: a Kong data plane sends its certificate whatever we list.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    /// Unlike Kong's control plane, looks at the dates too: one whose certificate has expired
    /// while it runs lets nobody new in, as its data planes would not either.
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity)?;
        check_validity(end_entity, now)?;
        Ok(ClientCertVerified::assertion())
    }

    handshake_signatures!();
}

fn check_validity(der: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    match validity(der, now) {
        Some(Validity::Valid) => Ok(()),
        Some(Validity::NotYet { .. }) => Err(CertificateError::NotValidYet.into()),
        Some(Validity::Expired { .. }) => Err(CertificateError::Expired.into()),
        None => Err(CertificateError::BadEncoding.into()),
    }
}
