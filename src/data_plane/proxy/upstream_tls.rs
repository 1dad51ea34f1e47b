//! TLS towards upstreams: one client configuration per service, one profile per server name.

use super::settings::ProxySettings;
use crate::data_plane::exchange::UpstreamTls;
use crate::data_plane::router::{
    CompiledCaCertificate, CompiledCertificate, CompiledService, Snapshot,
};
use crate::data_plane::upstream::{Trust, client_config};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Server names remembered per service; clients choose them where `preserve_host` is set.
const MAX_NAMES: usize = 256;

/// So many services are kept without looking whether they are still there.
const FEW_SERVICES: usize = 32;

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

/// The profiles of one worker. A service's entry lives until what it was made of changes; those
/// of services that are gone go when there are twice as many as there were used ones.
#[derive(Default)]
pub struct TlsProfiles {
    services: HashMap<Uuid, Profile>,
    /// How many were used when that was last looked at.
    used: usize,
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

    /// Whom to trust: the service's authorities, or else the node's.
    fn roots(&self, settings: &ProxySettings) -> Result<Arc<RootCertStore>, TlsError> {
        if self.authorities.is_empty() {
            return Ok(Arc::clone(&settings.trusted_roots));
        }
        let mut roots = RootCertStore::empty();
        for authority in &self.authorities {
            roots
                .add(authority.certificate.clone())
                .map_err(|error| TlsError::Config(error.to_string()))?;
        }
        Ok(Arc::new(roots))
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
            if self.services.len() >= FEW_SERVICES.max(2 * self.used) {
                let is_there = |id: &Uuid| snapshot.service(*id).is_some();
                self.services.retain(|id, _| is_there(id));
                self.used = self.services.len();
            }
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
        let depth = parts.service.tls_verify_depth;
        let depth = depth.unwrap_or(settings.tls_verify_depth);
        let key = match &parts.certificate {
            Some(certificate) => certificate.keys.first(),
            None => settings.client_certificate.as_ref(),
        };
        let trust = match verify {
            true => Trust::Verify {
                roots: parts.roots(settings)?,
                depth: Some(depth),
            },
            false => Trust::Anyone,
        };
        let failed = |error: rustls::Error| TlsError::Config(error.to_string());
        let mut config = client_config(trust, key).map_err(failed)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let digest = digest_of(&parts, key, verify.then_some(depth));
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

/// What makes one profile unlike another, `depth` if it is verified; equal content gives equal digests on every worker.
fn digest_of(parts: &Parts, key: Option<&Arc<CertifiedKey>>, depth: Option<u32>) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update([u8::from(depth.is_some())]);
    digest.update(depth.unwrap_or_default().to_be_bytes());
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
