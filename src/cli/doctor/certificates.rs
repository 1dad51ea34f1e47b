//! Certificates and keys: readable, fitting, valid, meant for what they are used for, and private.

use super::finding::Finding;
use crate::settings::{
    CertificatePair, ClusterMtls, CredentialError, EXPIRES_SOON, Role, Settings,
};
use crate::tls::{self, CertificateFacts, ClusterTrust, Identity, LoadError, Material, TlsError};
use std::os::unix::fs::PermissionsExt as _;

/// What a certificate is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// By both ends of the cluster link, compared as a whole.
    Shared,
    /// By a control plane, verified by data planes.
    Server,
    /// By a data plane, verified by control planes.
    Client,
    /// By a listener for the public.
    Listener,
}

/// Everything the role needs; `now` in epoch seconds.
pub fn examine(settings: &Settings, now: i64) -> Vec<Finding> {
    let errors = settings.check_credentials();
    let mut findings: Vec<_> = errors.iter().map(unusable).collect();
    let role = settings.node.role;
    let cluster = &settings.cluster;
    if let (true, Ok(Some(identity))) = (role != Role::Traditional, cluster.identity()) {
        let used = match (cluster.mtls, role) {
            (ClusterMtls::Shared, _) => Use::Shared,
            (ClusterMtls::Pki, Role::ControlPlane) => Use::Server,
            (ClusterMtls::Pki, _) => Use::Client,
        };
        findings.extend(judge_identity("cluster_cert", &identity, used, now));
        findings.extend(signed(settings, &identity, used));
        findings.extend(
            cluster
                .cert_key
                .iter()
                .flat_map(|key| private("cluster_cert_key", key)),
        );
    }
    let certificates = &settings.certificates;
    for (name, pairs) in [
        ("ssl_cert", &certificates.proxy),
        ("admin_ssl_cert", &certificates.admin),
        ("status_ssl_cert", &certificates.status),
    ] {
        findings.extend(pairs.iter().flat_map(|pair| listener(name, pair, now)));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("certificates", "none is configured"));
    }
    findings
}

fn listener(name: &str, pair: &CertificatePair, now: i64) -> Vec<Finding> {
    let loaded = Identity::load(&pair.cert, &pair.key);
    let judge = |identity| judge_identity(name, &identity, Use::Listener, now);
    let mut findings: Vec<_> = loaded.into_iter().flat_map(judge).collect();
    findings.extend(private(&format!("{name}_key"), &pair.key));
    findings
}

fn unusable(error: &CredentialError) -> Finding {
    let advice = match &error.source {
        TlsError::KeyMismatch => {
            "name the key that the certificate was made with, or make both anew"
        }
        TlsError::Load(LoadError::Certificate { reason, .. } | LoadError::Key { reason, .. })
            if reason.contains("Permission denied") =>
        {
            "let the user that Langur runs as own the file"
        }
        TlsError::Load(_) if error.key.starts_with("cluster_") => {
            "`langur hybrid gen_cert` makes a certificate and a key; copy both to every node"
        }
        _ => "name a file of PEM, or give its text",
    };
    Finding::error(&error.key, error.source.to_string(), advice)
}

fn judge_identity(name: &str, identity: &Identity, used: Use, now: i64) -> Vec<Finding> {
    match tls::facts(identity.leaf()) {
        Some(facts) => judge(name, &facts, used, now),
        None => Vec::new(),
    }
}

/// What is to be said of a certificate.
fn judge(name: &str, facts: &CertificateFacts, used: Use, now: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let renew = match used {
        Use::Shared => "make a new one with `langur hybrid gen_cert`, and copy it to every node",
        _ => "have it renewed",
    };
    let days = |seconds: i64| seconds / 86_400;
    if now < facts.not_before {
        let text = format!(
            "is valid only in {} days",
            days(facts.not_before - now).max(1)
        );
        findings.push(Finding::error(name, text, "check the clock, or wait"));
    } else if now >= facts.not_after {
        let text = format!("expired {} days ago", days(now - facts.not_after));
        findings.push(Finding::error(name, text, renew));
    } else if facts.not_after - now < EXPIRES_SOON {
        let text = format!("expires in {} days", days(facts.not_after - now));
        findings.push(Finding::warning(name, text, renew));
    }
    let wrong_use = match used {
        Use::Shared => None,
        Use::Server | Use::Listener => (!facts.for_servers).then_some("serverAuth"),
        Use::Client => (!facts.for_clients).then_some("clientAuth"),
    };
    if let Some(missing) = wrong_use {
        let text = format!("its extended key usage lacks {missing}");
        let advice = format!("have it issued with {missing}");
        findings.push(Finding::error(name, text, advice));
    }
    if used == Use::Server && facts.names.is_empty() {
        let advice = "have it issued for the name or address that data planes connect to";
        findings.push(Finding::error(name, "it is valid for no name", advice));
    }
    if findings.is_empty() {
        let left = days(facts.not_after - now);
        findings.push(Finding::ok(name, format!("is good for {left} more days")));
    }
    findings
}

/// With `pki`: whether this node's own authority signed its certificate, as its peers expect.
fn signed(settings: &Settings, identity: &Identity, used: Use) -> Option<Finding> {
    let trust = settings.cluster.trust_of_control_plane().ok()?;
    let ClusterTrust::Pki(roots) = trust else {
        return None;
    };
    let error = tls::verify_chain(identity, &roots, used == Use::Client).err()?;
    Some(Finding::warning(
        "cluster_cert",
        format!("does not lead to cluster_ca_cert: {error}"),
        "peers that have the same cluster_ca_cert refuse it: have it signed by that authority",
    ))
}

/// Whether others may read a key.
fn private(name: &str, key: &Material) -> Option<Finding> {
    let Material::Path(path) = key else {
        return None;
    };
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    readable_by_others(mode).then(|| {
        let text = format!(
            "{} may be read by others (mode {:o})",
            path.display(),
            mode & 0o777
        );
        Finding::warning(name, text, format!("chmod 600 {}", path.display()))
    })
}

fn readable_by_others(mode: u32) -> bool {
    mode & 0o077 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    const DAY: i64 = 86_400;

    fn facts(from: i64, to: i64) -> CertificateFacts {
        CertificateFacts {
            not_before: from * DAY,
            not_after: to * DAY,
            for_servers: true,
            for_clients: true,
            names: vec!["cp".to_owned()],
        }
    }

    #[test]
    fn validity_purpose_and_names() {
        let check = |facts: CertificateFacts, used: Use, expected: &[(Level, &str)]| {
            let found = judge("c", &facts, used, 100 * DAY);
            let found: Vec<_> = found
                .iter()
                .map(|one| (one.level, one.text.as_str()))
                .collect();
            assert_eq!(found, expected, "{facts:?} {used:?}");
        };
        let good = [(Level::Ok, "is good for 300 more days")];
        check(facts(0, 400), Use::Shared, &good);
        check(facts(0, 400), Use::Server, &good);
        check(
            facts(0, 110),
            Use::Shared,
            &[(Level::Warning, "expires in 10 days")],
        );
        check(
            facts(0, 90),
            Use::Listener,
            &[(Level::Error, "expired 10 days ago")],
        );
        check(
            facts(103, 400),
            Use::Shared,
            &[(Level::Error, "is valid only in 3 days")],
        );
        let only_client = || CertificateFacts {
            for_servers: false,
            ..facts(0, 400)
        };
        let lacks = "its extended key usage lacks serverAuth";
        check(only_client(), Use::Shared, &good);
        check(only_client(), Use::Client, &good);
        check(only_client(), Use::Server, &[(Level::Error, lacks)]);
        let only_server = CertificateFacts {
            for_clients: false,
            ..facts(0, 400)
        };
        let lacks = "its extended key usage lacks clientAuth";
        check(only_server, Use::Client, &[(Level::Error, lacks)]);
        let nameless = CertificateFacts {
            names: Vec::new(),
            ..facts(0, 400)
        };
        check(nameless.clone(), Use::Shared, &good);
        check(
            nameless,
            Use::Server,
            &[(Level::Error, "it is valid for no name")],
        );
    }

    #[test]
    fn modes() {
        for (mode, expected) in [
            (0o100600, false),
            (0o100400, false),
            (0o100640, true),
            (0o100604, true),
            (0o100644, true),
        ] {
            assert_eq!(readable_by_others(mode), expected, "{mode:o}");
        }
    }

    #[test]
    fn a_generated_certificate_is_good() {
        let pair = tls::cluster_certificate(90, std::time::SystemTime::now()).unwrap();
        let material = |text: String| Material::parse(&text);
        let identity = Identity::load(&material(pair.certificate), &material(pair.key)).unwrap();
        for used in [Use::Shared, Use::Server, Use::Client] {
            let found = judge_identity("c", &identity, used, crate::cli::doctor::now() + 60);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].level, Level::Ok, "{found:?}");
        }
    }
}
