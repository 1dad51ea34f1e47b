//! From settings to usable certificates: the one part of settings, beside `identity`, that reads
//! files. Every error names the key.

use super::{CertificatePair, Certificates, Cluster, ClusterMtls, Settings, Trusted};
use crate::tls::{self, ClusterTrust, Identity, Material, TlsError, Validity};
use rustls::RootCertStore;
use std::path::Path;
use thiserror::Error;

/// A certificate that ends within this many seconds should be renewed.
pub const EXPIRES_SOON: i64 = 30 * 86_400;

/// A certificate, key or authority of the settings that cannot be used.
#[derive(Debug, Error)]
#[error("{key}: {source}")]
pub struct CredentialError {
    pub key: String,
    pub source: TlsError,
}

impl CredentialError {
    fn of(key: &str) -> impl FnOnce(TlsError) -> CredentialError {
        move |source| CredentialError {
            key: key.to_owned(),
            source,
        }
    }
}

impl Cluster {
    /// What this node shows on the cluster link; `None` where no certificate is set.
    pub fn identity(&self) -> Result<Option<Identity>, CredentialError> {
        let (Some(cert), Some(key)) = (&self.cert, &self.cert_key) else {
            return Ok(None);
        };
        identity("cluster_", "cert", cert, key).map(Some)
    }

    /// Whom a control plane believes.
    pub fn trust_of_control_plane(&self) -> Result<ClusterTrust, CredentialError> {
        match self.mtls {
            ClusterMtls::Shared => Ok(ClusterTrust::Shared),
            ClusterMtls::Pki => Ok(ClusterTrust::Pki(self.authority()?)),
        }
    }

    /// Whom a data plane believes: with `pki`, as in Kong, also `lua_ssl_trusted_certificate`.
    pub fn trust_of_data_plane(
        &self,
        certificates: &Certificates,
    ) -> Result<ClusterTrust, CredentialError> {
        if self.mtls == ClusterMtls::Shared {
            return Ok(ClusterTrust::Shared);
        }
        let mut roots = self.authority()?;
        match certificates.trusted_roots() {
            Ok(trusted) => roots.extend(trusted.roots),
            // A host without a bundle still has the cluster's own authority.
            Err(_) if !roots.is_empty() => {}
            Err(error) => return Err(error),
        }
        Ok(ClusterTrust::Pki(roots))
    }

    /// How the cluster certificate lies in time, in seconds since 1970: an error when it has
    /// expired, a sentence when it soon will or is not valid yet.
    ///
    /// # Errors
    /// It has expired: nobody would open a link to this node.
    pub fn check_validity(&self, now: i64) -> Result<Option<String>, CredentialError> {
        // What cannot be loaded is `check_credentials`' to say.
        let Ok(Some(identity)) = self.identity() else {
            return Ok(None);
        };
        match tls::validity(identity.leaf(), now) {
            Some(Validity::Expired { at }) => {
                Err(CredentialError::of("cluster_cert")(TlsError::Expired(at)))
            }
            // Clocks get right by themselves, so this stops no node.
            Some(Validity::NotYet { since }) => Ok(Some(format!(
                "cluster_cert: the certificate is valid only from {since}: until then no link is \
                 accepted"
            ))),
            Some(Validity::Valid) | None => {
                let left = identity.expiry().map(|at| at - now);
                let soon = left.filter(|left| *left < EXPIRES_SOON);
                Ok(soon.map(|left| {
                    format!(
                        "cluster_cert: the certificate expires in {} days: renew it on every node",
                        left / 86_400
                    )
                }))
            }
        }
    }

    fn authority(&self) -> Result<RootCertStore, CredentialError> {
        let mut roots = RootCertStore::empty();
        if let Some(material) = &self.ca_cert {
            tls::add_material(&mut roots, material)
                .map_err(CredentialError::of("cluster_ca_cert"))?;
        }
        Ok(roots)
    }
}

impl Certificates {
    /// The certificates of the proxy's TLS listeners; one is generated where none is set.
    pub fn proxy_identities(&self, prefix: &Path) -> Result<Vec<Identity>, CredentialError> {
        identities(&self.proxy, "", prefix, "default")
    }

    /// The certificates of the Admin API; one is generated where none is set.
    pub fn admin_identities(&self, prefix: &Path) -> Result<Vec<Identity>, CredentialError> {
        identities(&self.admin, "admin_", prefix, "admin-default")
    }

    /// The certificates of the status API; one is generated where none is set.
    pub fn status_identities(&self, prefix: &Path) -> Result<Vec<Identity>, CredentialError> {
        identities(&self.status, "status_", prefix, "status-default")
    }

    /// What is shown to upstreams that ask for a certificate.
    pub fn client_identity(&self) -> Result<Option<Identity>, CredentialError> {
        let pair = self.client.as_ref();
        pair.map(|pair| identity("client_ssl_", "cert", &pair.cert, &pair.key))
            .transpose()
    }

    /// `lua_ssl_trusted_certificate`.
    pub fn trusted_roots(&self) -> Result<RootCertStore, CredentialError> {
        let mut roots = RootCertStore::empty();
        for entry in &self.trusted {
            match entry {
                Trusted::System => tls::add_system(&mut roots),
                Trusted::Material(material) => tls::add_material(&mut roots, material),
            }
            .map_err(CredentialError::of("lua_ssl_trusted_certificate"))?;
        }
        Ok(roots)
    }
}

fn identities(
    pairs: &[CertificatePair],
    key_prefix: &str,
    prefix: &Path,
    default: &str,
) -> Result<Vec<Identity>, CredentialError> {
    if pairs.is_empty() {
        let generated = tls::default_identity(prefix, default);
        return Ok(vec![generated.map_err(CredentialError::of("prefix"))?]);
    }
    configured(pairs, key_prefix)
}

fn configured(
    pairs: &[CertificatePair],
    key_prefix: &str,
) -> Result<Vec<Identity>, CredentialError> {
    let load = |pair: &CertificatePair| identity(key_prefix, "ssl_cert", &pair.cert, &pair.key);
    pairs.iter().map(load).collect()
}

fn identity(
    key_prefix: &str,
    name: &str,
    cert: &Material,
    key: &Material,
) -> Result<Identity, CredentialError> {
    let loaded = Identity::load(cert, key);
    loaded.map_err(|source| {
        let of_key = matches!(
            source,
            TlsError::Load(tls::LoadError::Key { .. }) | TlsError::KeyMismatch
        );
        let suffix = if of_key { "_key" } else { "" };
        CredentialError {
            key: format!("{key_prefix}{name}{suffix}"),
            source,
        }
    })
}

impl Settings {
    /// What the cluster certificate's dates say, at a moment in seconds since 1970; see
    /// [`Cluster::check_validity`]. A node without links has nothing to say.
    ///
    /// # Errors
    /// It has expired.
    pub fn check_cluster_validity(&self, now: i64) -> Result<Option<String>, CredentialError> {
        match self.node.role {
            super::Role::Traditional => Ok(None),
            super::Role::ControlPlane | super::Role::DataPlane => self.cluster.check_validity(now),
        }
    }

    /// Tries every certificate the role needs and nothing else; all errors at once. Reads files,
    /// writes none.
    pub fn check_credentials(&self) -> Vec<CredentialError> {
        let certificates = &self.certificates;
        let mut results = vec![
            configured(&certificates.proxy, "").map(drop),
            configured(&certificates.admin, "admin_").map(drop),
            configured(&certificates.status, "status_").map(drop),
            certificates.client_identity().map(drop),
        ];
        match self.node.role {
            super::Role::Traditional => {}
            super::Role::ControlPlane => {
                results.push(self.cluster.identity().map(drop));
                results.push(self.cluster.trust_of_control_plane().map(drop));
            }
            super::Role::DataPlane => {
                results.push(self.cluster.identity().map(drop));
                results.push(self.cluster.trust_of_data_plane(certificates).map(drop));
            }
        }
        let named: Vec<_> = certificates
            .trusted
            .iter()
            .filter(|entry| matches!(entry, Trusted::Material(_)))
            .collect();
        if !named.is_empty() {
            results.push(certificates.trusted_roots().map(drop));
        }
        results.into_iter().filter_map(Result::err).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use std::path::Path;

    /// A directory with a certificate of the cluster.
    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let pair = crate::tls::cluster_certificate(1, std::time::SystemTime::now()).unwrap();
        std::fs::write(directory.path().join("cluster.crt"), pair.certificate).unwrap();
        std::fs::write(directory.path().join("cluster.key"), pair.key).unwrap();
        directory
    }

    fn check(directory: &Path, text: &str, expected: &[&str]) {
        let text = text.replace("DIR", &directory.display().to_string());
        let errors = settings(&text).check_credentials();
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), expected.len(), "{errors:?}");
        for (error, expected) in errors.iter().zip(expected) {
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn every_credential_that_cannot_be_used_is_named() {
        let directory = directory();
        let path = directory.path();
        let node = "role = data_plane\ncluster_cert = DIR/cluster.crt\n";
        check(path, "", &[]);
        check(
            path,
            &format!("{node}cluster_cert_key = DIR/cluster.key"),
            &[],
        );
        check(
            path,
            &format!(
                "{node}cluster_cert_key = DIR/none\nssl_cert = DIR/none\nssl_cert_key = DIR/none"
            ),
            &[
                "ssl_cert: failed loading certificate from ",
                "cluster_cert_key: failed loading key from ",
            ],
        );
        check(
            path,
            &format!(
                "{node}cluster_cert_key = DIR/cluster.key\ncluster_mtls = pki\ncluster_ca_cert = DIR/none"
            ),
            &["cluster_ca_cert: failed loading certificate from "],
        );
        check(
            path,
            "lua_ssl_trusted_certificate = DIR/none",
            &["lua_ssl_trusted_certificate: failed loading certificate from "],
        );
    }

    #[test]
    fn trial_23_an_expired_cluster_certificate_is_named_with_its_date() {
        let directory = tempfile::tempdir().unwrap();
        const DAY: u64 = 86_400;
        let made = 20_000 * DAY;
        let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(made);
        let pair = crate::tls::cluster_certificate(100, then).unwrap();
        std::fs::write(directory.path().join("cluster.crt"), pair.certificate).unwrap();
        std::fs::write(directory.path().join("cluster.key"), pair.key).unwrap();
        let check = |role: &str, days: u64| {
            let text = format!(
                "role = {role}\ncluster_cert = DIR/cluster.crt\ncluster_cert_key = DIR/cluster.key"
            );
            let text = text.replace("DIR", &directory.path().display().to_string());
            let now = i64::try_from(made + days * DAY).unwrap();
            match settings(&text).check_cluster_validity(now) {
                Ok(warning) => warning.unwrap_or_else(|| "good".to_owned()),
                Err(error) => format!("refused: {error}"),
            }
        };
        for role in [
            "control_plane\ndatabase = sqlite",
            "data_plane\ndatabase = off",
        ] {
            assert_eq!(check(role, 69), "good");
            assert_eq!(
                check(role, 71),
                "cluster_cert: the certificate expires in 29 days: renew it on every node"
            );
            assert_eq!(
                check(role, 101),
                "refused: cluster_cert: the certificate expired on Sun, 12 Jan 2025 00:00:00 \
                 +0000: renew it, nobody would accept it"
            );
        }
        assert_eq!(check("traditional", 101), "good");
    }

    #[test]
    fn a_listener_without_a_certificate_gets_one() {
        let prefix = tempfile::tempdir().unwrap();
        let settings = settings("");
        let identities = settings
            .certificates
            .admin_identities(prefix.path())
            .unwrap();
        assert_eq!(identities.len(), 1);
        assert!(prefix.path().join("ssl/admin-default.crt").is_file());
        assert!(settings.cluster.identity().unwrap().is_none());
    }
}
