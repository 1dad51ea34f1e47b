//! TLS towards upstreams: one client configuration per service, one profile per server name.

use super::settings::ProxySettings;
use crate::data_plane::listener::pipeline::UpstreamTls;
use crate::data_plane::router::{
    CompiledCaCertificate, CompiledCertificate, CompiledService, Snapshot,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, sign::SingleCertAndKey,
};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Server names remembered per service; clients choose them where `preserve_host` is set.
const MAX_NAMES: usize = 256;

/// Why a service has no TLS. The texts are shown to clients and name no secrets.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the client certificate is not in effect")]
    NoClientCertificate,
    #[error("a CA certificate is not in effect")]
    NoAuthority,
    #[error("the server name is not valid")]
    ServerName,
    #[error("{0}")]
    Config(String),
}

/// The profiles of one worker. A service's entry lives until what it was made of changes.
#[derive(Default)]
pub struct TlsProfiles {
    services: HashMap<Uuid, Profile>,
}

struct Profile {
    parts: Parts,
    config: Arc<ClientConfig>,
    /// The digest of everything but the server name.
    digest: [u8; 32],
    names: HashMap<Box<[u8]>, Arc<UpstreamTls>>,
}

/// What a profile is made of, kept alive so that pointers can be compared.
struct Parts {
    service: Arc<CompiledService>,
    certificate: Option<Arc<CompiledCertificate>>,
    authorities: Vec<Arc<CompiledCaCertificate>>,
}

impl Parts {
    fn of(service: &Arc<CompiledService>, snapshot: &Snapshot) -> Result<Parts, TlsError> {
        let upstream = || snapshot.upstream(&service.address.host);
        let id = service
            .client_certificate
            .or_else(|| upstream().and_then(|upstream| upstream.spec.client_certificate));
        let certificate = match id {
            Some(id) => {
                let found = snapshot.client_certificate(id);
                Some(Arc::clone(found.ok_or(TlsError::NoClientCertificate)?))
            }
            None => None,
        };
        let authorities = service.ca_certificates.iter().map(|id| {
            let found = snapshot.ca_certificate(*id);
            found.cloned().ok_or(TlsError::NoAuthority)
        });
        Ok(Parts {
            service: Arc::clone(service),
            certificate,
            authorities: authorities.collect::<Result<_, _>>()?,
        })
    }

    fn is(&self, other: &Parts) -> bool {
        let same_certificate = match (&self.certificate, &other.certificate) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            _ => false,
        };
        same_certificate
            && Arc::ptr_eq(&self.service, &other.service)
            && self.authorities.len() == other.authorities.len()
            && self
                .authorities
                .iter()
                .zip(&other.authorities)
                .all(|(ours, theirs)| Arc::ptr_eq(ours, theirs))
    }
}

impl TlsProfiles {
    /// The profile of a service for a server name.
    ///
    /// # Errors
    /// See [`TlsError`]: the request then fails; it never goes out with less protection.
    pub fn get(
        &mut self,
        service: &Arc<CompiledService>,
        snapshot: &Snapshot,
        settings: &ProxySettings,
        server_name: &[u8],
    ) -> Result<Arc<UpstreamTls>, TlsError> {
        let parts = Parts::of(service, snapshot)?;
        let known = self.services.get(&service.id);
        if known.is_none_or(|profile| !profile.parts.is(&parts)) {
            let profile = Profile::build(parts, settings)?;
            self.services.insert(service.id, profile);
        }
        match self.services.get_mut(&service.id) {
            Some(profile) => profile.named(server_name),
            None => Err(TlsError::NoClientCertificate),
        }
    }
}

impl Profile {
    fn build(parts: Parts, settings: &ProxySettings) -> Result<Profile, TlsError> {
        let verify = parts.service.tls_verify.unwrap_or(settings.tls_verify);
        let key = match &parts.certificate {
            Some(certificate) => certificate.keys.first(),
            None => settings.client_certificate.as_ref(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Config(error.to_string()))?;
        let verifier: Arc<dyn ServerCertVerifier> = match verify {
            true => verifier(&parts, settings, Arc::clone(&provider))?,
            false => Arc::new(AcceptAny(provider)),
        };
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match key {
            Some(key) => builder.with_client_cert_resolver(resolver(key)),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let digest = digest_of(&parts, key, verify);
        Ok(Profile {
            parts,
            config: Arc::new(config),
            digest,
            names: HashMap::new(),
        })
    }

    fn named(&mut self, server_name: &[u8]) -> Result<Arc<UpstreamTls>, TlsError> {
        if let Some(known) = self.names.get(server_name) {
            return Ok(Arc::clone(known));
        }
        let text = std::str::from_utf8(server_name).map_err(|_| TlsError::ServerName)?;
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let text = bare.unwrap_or(text);
        ServerName::try_from(text).map_err(|_| TlsError::ServerName)?;
        let digest = Sha256::new()
            .chain_update(self.digest)
            .chain_update(text)
            .finalize();
        let profile = digest
            .iter()
            .take(8)
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let tls = Arc::new(UpstreamTls {
            server_name: text.into(),
            config: Arc::clone(&self.config),
            profile,
        });
        if self.names.len() >= MAX_NAMES {
            self.names.clear();
        }
        self.names.insert(server_name.into(), Arc::clone(&tls));
        Ok(tls)
    }
}

fn verifier(
    parts: &Parts,
    settings: &ProxySettings,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let roots = match parts.authorities.is_empty() {
        true => Arc::clone(&settings.trusted_roots),
        false => {
            let mut roots = RootCertStore::empty();
            for authority in &parts.authorities {
                roots
                    .add(authority.certificate.clone())
                    .map_err(|error| TlsError::Config(error.to_string()))?;
            }
            Arc::new(roots)
        }
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
    verifier
        .map(|verifier| verifier as Arc<dyn ServerCertVerifier>)
        .map_err(|error| TlsError::Config(error.to_string()))
}

fn resolver(key: &Arc<CertifiedKey>) -> Arc<dyn ResolvesClientCert> {
    Arc::new(SingleCertAndKey::from(CertifiedKey::clone(key)))
}

/// What makes one profile unlike another; equal content gives equal digests on every worker.
fn digest_of(parts: &Parts, key: Option<&Arc<CertifiedKey>>, verify: bool) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update([u8::from(verify)]);
    let chain = key.map(|key| key.cert.as_slice()).unwrap_or_default();
    let authorities = parts.authorities.iter().map(|ca| &ca.certificate);
    for (kind, certificate) in chain
        .iter()
        .map(|certificate| (1u8, certificate))
        .chain(authorities.map(|certificate| (2u8, certificate)))
    {
        digest.update([kind]);
        digest.update((certificate.len() as u64).to_be_bytes());
        digest.update(certificate);
    }
    digest.finalize().into()
}

/// Kong's default: the connection is encrypted, the peer is not verified.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
