//! The control planes of a data plane: found, reached, believed, of a fitting version, and of the
//! same time.

use super::finding::{Finding, Level};
use crate::cli::ask::{Deadlined, connect_tls, exchange, resolve};
use crate::settings::{HostPort, Settings};
use crate::tls::{self, ClusterTrust};
use crate::wire::check_version;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Clocks that differ by more seconds make logs and certificates misleading.
const SKEW_WARNING: u64 = 5;
/// Clocks that differ by more seconds are wrong.
const SKEW_ERROR: u64 = 60;

const CONFIGURATION: &str = "cluster_control_plane";
const TELEMETRY: &str = "cluster_telemetry_endpoint";

/// Every address of the settings, asked as a data plane would, except for the greeting: nothing
/// is registered. What is wrong with the own certificate is told elsewhere.
pub fn examine(settings: &Settings, patience: Duration) -> Vec<Finding> {
    let cluster = &settings.cluster;
    let (Ok(Some(identity)), Ok(trust)) = (
        cluster.identity(),
        cluster.trust_of_data_plane(&settings.certificates),
    ) else {
        return Vec::new();
    };
    let Ok(config) = tls::cluster_client_config(&identity, &trust) else {
        return Vec::new();
    };
    let config = Arc::new(config);
    let mut telemetry: Vec<HostPort> = Vec::new();
    let mut findings = Vec::new();
    for address in &cluster.control_planes {
        let name = cluster.server_name.as_deref();
        let peer = Peer {
            setting: CONFIGURATION,
            address,
            one_of_several: None,
            name,
            config: &config,
            trust: &trust,
            patience,
        };
        findings.extend(peer.examine());
        let endpoint = cluster.telemetry_endpoint(address);
        if !telemetry.contains(&endpoint) {
            telemetry.push(endpoint);
        }
    }
    for address in &telemetry {
        let name = cluster.telemetry_server_name.as_deref();
        let peer = Peer {
            setting: TELEMETRY,
            address,
            one_of_several: None,
            name: name.or(cluster.server_name.as_deref()),
            config: &config,
            trust: &trust,
            patience,
        };
        findings.extend(peer.examine());
    }
    findings
}

/// One address, and what it takes to speak to it.
struct Peer<'a> {
    setting: &'static str,
    address: &'a HostPort,
    one_of_several: Option<IpAddr>,
    name: Option<&'a str>,
    config: &'a Arc<ClientConfig>,
    trust: &'a ClusterTrust,
    patience: Duration,
}

impl Peer<'_> {
    /// What is called so: the address of the settings, and which one of several it stands for.
    fn place(&self) -> String {
        match self.one_of_several {
            Some(ip) => format!("{} ({ip})", self.address),
            None => self.address.to_string(),
        }
    }

    fn error(&self, text: &str, advice: &str) -> Finding {
        Finding::error(self.setting, format!("{}: {text}", self.place()), advice)
    }

    fn examine(&self) -> Vec<Finding> {
        match resolve(self.address) {
            Ok(addresses) => self.examine_all(&addresses),
            Err(error) => {
                let text = format!("the name is not found: {error}");
                let advice = "correct the name, or make it known to this machine's resolver";
                vec![self.error(&text, advice)]
            }
        }
    }

    /// All addresses of the name: a data plane tries one after the other, so that one that cannot
    /// be reached is an error only when no other can.
    fn examine_all(&self, addresses: &[SocketAddr]) -> Vec<Finding> {
        let (mut findings, mut lost) = (Vec::new(), Vec::new());
        for address in addresses {
            let peer = Peer {
                one_of_several: (addresses.len() > 1).then(|| address.ip()),
                ..*self
            };
            let deadline = Instant::now() + self.patience;
            match Deadlined::connect(*address, deadline) {
                Ok(stream) => findings.extend(peer.examine_one(stream)),
                Err(error) => {
                    let (text, advice) = unreachable(&error);
                    lost.push(peer.error(&text, advice));
                }
            }
        }
        if !findings.is_empty() {
            for one in &mut lost {
                one.level = Level::Warning;
            }
        }
        findings.extend(lost);
        findings
    }

    fn examine_one(&self, stream: Deadlined) -> Vec<Finding> {
        let name = match tls::server_name(self.trust, self.name, &self.address.host) {
            Ok(name) => name,
            Err(error) => {
                let advice = "set cluster_server_name to a name in its certificate";
                return vec![self.error(&error.to_string(), advice)];
            }
        };
        let answer = connect_tls(Arc::clone(self.config), name, stream)
            .and_then(|stream| exchange(stream, "/"));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let (text, advice) = not_believed(&error);
                return vec![self.error(&text, advice)];
            }
        };
        let mut findings = Vec::new();
        let server = answer.header("server").unwrap_or_default();
        findings.extend(self.version(server.strip_prefix("langur/")));
        let date = answer.header("date");
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        findings.extend(date.and_then(|date| self.clock(date, SystemTime::now())));
        if findings.is_empty() {
            let text = format!("{} answers and accepts the certificate", self.place());
            findings.push(Finding::ok(self.setting, text));
        }
        findings
    }

    /// What is to be said of its version; `None` where it says none.
    fn version(&self, theirs: Option<&str>) -> Option<Finding> {
        let Some(theirs) = theirs else {
            let advice = "name the cluster_listen of a control plane of Langur";
            return Some(self.error("what answers there is not Langur", advice));
        };
        let error = check_version(theirs, env!("CARGO_PKG_VERSION")).err()?;
        let advice = "upgrade the control plane first, then the data planes";
        Some(self.error(&error.to_string(), advice))
    }

    /// What is to be said of its clock.
    fn clock(&self, theirs: SystemTime, ours: SystemTime) -> Option<Finding> {
        let apart = match theirs.duration_since(ours) {
            Ok(ahead) => ahead,
            Err(behind) => behind.duration(),
        };
        let apart = apart.as_secs();
        let text = format!(
            "{}: its clock and this one are {apart} s apart",
            self.place()
        );
        let advice = "synchronise both clocks (NTP)";
        if apart > SKEW_ERROR {
            Some(Finding::error(self.setting, text, advice))
        } else if apart > SKEW_WARNING {
            Some(Finding::warning(self.setting, text, advice))
        } else {
            None
        }
    }
}

/// Why there is no connection, and what to do.
fn unreachable(error: &io::Error) -> (String, &'static str) {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => (
            "nothing listens there".to_owned(),
            "start the control plane, or compare with its cluster_listen and cluster_telemetry_listen",
        ),
        io::ErrorKind::TimedOut => (
            "no answer in time".to_owned(),
            "look for a firewall between this machine and the control plane",
        ),
        _ => (
            format!("cannot be reached: {error}"),
            "look at routes and firewalls between this machine and the control plane",
        ),
    }
}

/// Why there is no link, and what to do.
fn not_believed(error: &io::Error) -> (String, &'static str) {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let Some(error) = inner else {
        return (
            format!("TLS fails: {error}"),
            "make sure that the address is the cluster_listen of a control plane",
        );
    };
    match error {
        rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => (
            "the control plane shows another certificate than this node's".to_owned(),
            "with cluster_mtls = shared all nodes have the same cluster_cert: copy it",
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => (
            "the control plane's certificate has expired".to_owned(),
            "renew it, on every node with cluster_mtls = shared",
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => (
            "the control plane's certificate is valid for another name".to_owned(),
            "set cluster_server_name to a name in it, or have it issued for this address",
        ),
        // A bad signature is what another authority of the same name leaves.
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => (
            "another authority has signed the control plane's certificate".to_owned(),
            "set cluster_ca_cert to the authority of the control plane's certificate",
        ),
        rustls::Error::InvalidCertificate(other) => (
            format!("the control plane's certificate is refused: {other:?}"),
            "have it issued anew",
        ),
        rustls::Error::AlertReceived(alert) if is_about_certificates(*alert) => (
            format!("the control plane refuses this node's certificate ({alert:?})"),
            "with cluster_mtls = shared copy the control plane's; with pki have it signed by its cluster_ca_cert",
        ),
        rustls::Error::InvalidMessage(_) => (
            "what listens there does not speak TLS".to_owned(),
            "name the cluster_listen of a control plane, not its admin_listen",
        ),
        other => (
            format!("TLS fails: {other}"),
            "make sure that the address is the cluster_listen of a control plane",
        ),
    }
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::{closed_address, own_address};
    use std::net::TcpListener;
    use std::{io::Write as _, thread};

    fn judged<T>(judge: impl FnOnce(&Peer<'_>) -> T) -> T {
        let address: HostPort = "cp:8005".parse().unwrap();
        let pair = tls::cluster_certificate(1, SystemTime::now()).unwrap();
        let material = |text: String| tls::Material::parse(&text);
        let identity =
            tls::Identity::load(&material(pair.certificate), &material(pair.key)).unwrap();
        let trust = ClusterTrust::Shared;
        let config = Arc::new(tls::cluster_client_config(&identity, &trust).unwrap());
        judge(&Peer {
            setting: CONFIGURATION,
            address: &address,
            one_of_several: None,
            name: None,
            config: &config,
            trust: &trust,
            patience: Duration::from_secs(60),
        })
    }

    #[test]
    fn every_address_of_a_name() {
        let listener = TcpListener::bind((own_address(), 0)).unwrap();
        let there = listener.local_addr().unwrap();
        let nobody = closed_address();
        let said = |address: SocketAddr, text: &str| format!("cp:8005 ({}): {text}", address.ip());
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"SSH-2.0-and-no-TLS\r\n").unwrap();
        });
        let check = |addresses: &[SocketAddr], expected: &[(Level, String)]| {
            let found = judged(|peer| peer.examine_all(addresses));
            let found: Vec<_> = found.iter().map(|one| (one.level, &*one.text)).collect();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for ((level, text), (expected, part)) in found.iter().zip(expected) {
                assert_eq!(level, expected, "{text}");
                assert!(text.contains(part), "{text}");
            }
        };
        check(
            &[nobody, there],
            &[
                (
                    Level::Error,
                    said(there, "what listens there does not speak TLS"),
                ),
                (Level::Warning, said(nobody, "nothing listens there")),
            ],
        );
        served.join().unwrap();
        check(
            &[nobody, there],
            &[
                (Level::Error, said(nobody, "nothing listens there")),
                (Level::Error, said(there, "nothing listens there")),
            ],
        );
        let alone = "cp:8005: nothing listens there".to_owned();
        check(&[nobody], &[(Level::Error, alone)]);
    }

    #[test]
    fn versions() {
        let check = |theirs: Option<&str>, expected: Option<&str>| {
            let found = judged(|peer| peer.version(theirs)).map(|found| found.text);
            match expected {
                None => assert_eq!(found, None),
                Some(part) => assert!(
                    found.as_ref().is_some_and(|text| text.contains(part)),
                    "{found:?}"
                ),
            }
        };
        check(Some(env!("CARGO_PKG_VERSION")), None);
        check(Some("99.0.0"), Some("differ in major"));
        check(Some("0.0.1"), Some("is newer than control plane version"));
        check(None, Some("is not Langur"));
    }

    #[test]
    fn clocks() {
        let now = SystemTime::now();
        let check = |seconds: i64, expected: Option<Level>| {
            let apart = Duration::from_secs(seconds.unsigned_abs());
            let theirs = if seconds < 0 {
                now - apart
            } else {
                now + apart
            };
            let found = judged(|peer| peer.clock(theirs, now)).map(|found| found.level);
            assert_eq!(found, expected, "{seconds}");
        };
        check(0, None);
        check(5, None);
        check(-5, None);
        check(6, Some(Level::Warning));
        check(-60, Some(Level::Warning));
        check(61, Some(Level::Error));
        check(-86_400, Some(Level::Error));
    }

    #[test]
    fn what_a_failed_handshake_means() {
        let check = |error: rustls::Error, expected: &str| {
            let (text, advice) = not_believed(&io::Error::other(error));
            assert!(text.contains(expected), "{text}");
            assert!(!advice.is_empty());
        };
        let invalid = rustls::Error::InvalidCertificate;
        check(
            invalid(CertificateError::ApplicationVerificationFailure),
            "another certificate than this node's",
        );
        check(invalid(CertificateError::Expired), "has expired");
        check(invalid(CertificateError::NotValidForName), "another name");
        check(
            invalid(CertificateError::UnknownIssuer),
            "another authority",
        );
        check(invalid(CertificateError::BadSignature), "another authority");
        check(invalid(CertificateError::BadEncoding), "is refused");
        check(
            rustls::Error::AlertReceived(AlertDescription::UnknownCA),
            "refuses this node's certificate",
        );
        check(rustls::Error::DecryptError, "TLS fails");
        let plain = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        check(plain, "does not speak TLS");
        let (text, _) = not_believed(&io::ErrorKind::UnexpectedEof.into());
        assert!(text.contains("TLS fails"), "{text}");
    }

    #[test]
    fn connections_that_fail() {
        for (kind, expected) in [
            (io::ErrorKind::ConnectionRefused, "nothing listens there"),
            (io::ErrorKind::TimedOut, "no answer in time"),
            (io::ErrorKind::HostUnreachable, "cannot be reached"),
        ] {
            let (text, _) = unreachable(&kind.into());
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
