//! TLS as a client of upstreams.

use crate::tls::{AnyServerVerifier, provider};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::sync::Arc;
use webpki::VerifiedPath;

/// Which upstreams are believed to be who they say.
pub enum Trust {
    /// Those with a certificate from one of these authorities, for the server name.
    Verify {
        roots: Arc<RootCertStore>,
        /// Most intermediate certificates between the upstream's own and the authority's.
        depth: Option<u32>,
    },
    /// Kong's default.
    Anyone,
}

/// A configuration that shows the certificate, if there is one, to upstreams that ask.
///
/// # Errors
/// There are no authorities to verify with.
pub fn client_config(
    trust: Trust,
    certificate: Option<&Arc<CertifiedKey>>,
) -> Result<ClientConfig, Error> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Verify { roots, depth } => verifier(roots, depth, provider)?,
        Trust::Anyone => Arc::new(AnyServerVerifier),
    };
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(match certificate {
        Some(key) => builder.with_client_cert_resolver(resolver(key)),
        None => builder.with_no_client_auth(),
    })
}

fn verifier(
    roots: Arc<RootCertStore>,
    depth: Option<u32>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let algorithms = provider.signature_verification_algorithms;
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider)
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    Ok(match depth {
        None => chain,
        Some(depth) => Arc::new(DepthVerifier {
            chain,
            roots,
            algorithms,
            depth: usize::try_from(depth).unwrap_or(usize::MAX),
        }),
    })
}

/// Verifies a chain as usual, and that it is short enough.
#[derive(Debug)]
struct DepthVerifier {
    chain: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    depth: usize,
}

impl ServerCertVerifier for DepthVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chain.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        // Fewer certificates than allowed cannot make a chain that is too long.
        if intermediates.len() <= self.depth {
            return Ok(verified);
        }
        let too_long = |_| Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let short_enough = |path: &VerifiedPath<'_>| match path.intermediate_certificates().count()
            <= self.depth
        {
            true => Ok(()),
            false => Err(webpki::Error::MaximumPathDepthExceeded),
        };
        webpki::EndEntityCert::try_from(end_entity)
            .map_err(too_long)?
            .verify_for_usage(
                self.algorithms.all,
                &self.roots.roots,
                intermediates,
                now,
                webpki::KeyUsage::server_auth(),
                None,
                Some(&short_enough),
            )
            .map_err(too_long)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

fn resolver(key: &Arc<CertifiedKey>) -> Arc<dyn ResolvesClientCert> {
    Arc::new(SingleCertAndKey::from(CertifiedKey::clone(key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    fn authority() -> CertificateParams {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    #[test]
    fn trial_34_a_chain_may_have_so_many_intermediate_certificates() {
        let key = || KeyPair::generate().unwrap();
        let named = |name: &str| {
            let mut params = authority();
            params
                .distinguished_name
                .push(rcgen::DnType::CommonName, name);
            params
        };
        let root = CertifiedIssuer::self_signed(named("root"), key()).unwrap();
        let first = CertifiedIssuer::signed_by(named("first"), key(), &root).unwrap();
        let second = CertifiedIssuer::signed_by(named("second"), key(), &first).unwrap();
        let leaf = |issuer: &CertifiedIssuer<'_, KeyPair>| {
            let params = CertificateParams::new(vec!["upstream.test".to_owned()]).unwrap();
            params.signed_by(&key(), issuer).unwrap().der().clone()
        };
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let roots = Arc::new(roots);
        let name = ServerName::try_from("upstream.test").unwrap();
        let check = |leaf: &CertificateDer<'_>,
                     intermediates: &[CertificateDer<'_>],
                     depth: Option<u32>,
                     expected: bool| {
            let verifier = verifier(Arc::clone(&roots), depth, provider()).unwrap();
            let now = UnixTime::now();
            let found = verifier.verify_server_cert(leaf, intermediates, &name, &[], now);
            let sent = intermediates.len();
            assert_eq!(found.is_ok(), expected, "{sent} of at most {depth:?}");
        };
        let (one, two) = (first.der().clone(), second.der().clone());
        let direct = leaf(&root);
        check(&direct, &[], Some(0), true);
        // What is sent and not needed makes no chain longer.
        check(&direct, &[two.clone(), one.clone()], Some(0), true);
        let short = leaf(&first);
        check(&short, std::slice::from_ref(&one), Some(0), false);
        check(&short, std::slice::from_ref(&one), Some(1), true);
        let long = leaf(&second);
        for (depth, expected) in [
            (Some(0), false),
            (Some(1), false),
            (Some(2), true),
            (None, true),
        ] {
            check(&long, &[two.clone(), one.clone()], depth, expected);
        }
        // A chain that is short enough must still be one.
        check(&long, &[], Some(5), false);
    }
}
