//! The link between control planes and data planes.

use super::address::HostPort;
use super::labels;
use super::listeners::Listeners;
use super::node::Role;
use super::problems::Problems;
use super::units;
use super::values::Values;
use crate::tls::Material;
use std::collections::BTreeMap;
use std::time::Duration;

/// How both ends prove themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterMtls {
    /// One certificate for all nodes, compared as a whole.
    Shared,
    /// Certificates signed by `cluster_ca_cert`.
    Pki,
}

/// Settings of the cluster link.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub mtls: ClusterMtls,
    pub cert: Option<Material>,
    pub cert_key: Option<Material>,
    pub ca_cert: Option<Material>,
    /// Expected name and SNI with `Pki`; `None` is the host of the address.
    pub server_name: Option<String>,
    /// At least one.
    pub control_planes: Vec<HostPort>,
    /// `None`: see [`Cluster::telemetry_endpoint`].
    pub telemetry_endpoint: Option<HostPort>,
    pub telemetry_server_name: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// After this long without a word a data plane is forgotten.
    pub purge_delay: Duration,
    /// Bytes of one message, compressed.
    pub max_payload: usize,
    /// Whether a restored database begins another history by itself.
    pub restores_itself: bool,
    /// Data planes that a control plane serves at once.
    pub max_data_planes: usize,
}

/// The port of telemetry where none is set.
pub const TELEMETRY_PORT: u16 = 8006;

const MIN_PURGE_DELAY: f64 = 60.0;
const MIN_MAX_PAYLOAD: f64 = 4_194_304.0;
/// Kong's frames end below 2^31 bytes.
const MAX_MAX_PAYLOAD: f64 = 2_147_483_647.0;

impl Cluster {
    /// Where a data plane connected to this control plane sends its telemetry.
    pub fn telemetry_endpoint(&self, control_plane: &HostPort) -> HostPort {
        self.telemetry_endpoint.clone().unwrap_or_else(|| HostPort {
            host: control_plane.host.clone(),
            port: TELEMETRY_PORT,
        })
    }

    pub(super) fn resolve(values: &Values, problems: &mut Problems) -> Cluster {
        let material = |key| values.text(key).map(Material::parse);
        let owned = |key| values.text(key).map(str::to_owned);
        Cluster {
            mtls: match values.text("cluster_mtls") {
                Some("pki") => ClusterMtls::Pki,
                _ => ClusterMtls::Shared,
            },
            cert: material("cluster_cert"),
            cert_key: material("cluster_cert_key"),
            ca_cert: material("cluster_ca_cert"),
            server_name: owned("cluster_server_name"),
            control_planes: endpoints("cluster_control_plane", values, problems),
            telemetry_endpoint: endpoints("cluster_telemetry_endpoint", values, problems)
                .into_iter()
                .next(),
            telemetry_server_name: owned("cluster_telemetry_server_name"),
            labels: dp_labels(values, problems),
            purge_delay: purge_delay(values, problems),
            max_payload: max_payload(values, problems),
            restores_itself: values.text("cluster_restore") == Some("auto"),
            max_data_planes: max_data_planes(values, problems),
        }
    }
}

fn endpoints(key: &str, values: &Values, problems: &mut Problems) -> Vec<HostPort> {
    let Some(text) = values.text(key) else {
        return Vec::new();
    };
    let mut endpoints = Vec::new();
    for entry in text.split(',').map(str::trim) {
        match entry.parse() {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(()) => {
                problems.violation(format!("{key} must be of form host:port, got '{entry}'"))
            }
        }
    }
    if key == "cluster_telemetry_endpoint" && endpoints.len() > 1 {
        problems.violation(format!("{key} takes one address, got '{text}'"));
    }
    endpoints
}

fn dp_labels(values: &Values, problems: &mut Problems) -> BTreeMap<String, String> {
    labels::parse(values.list("cluster_dp_labels")).unwrap_or_else(|sentence| {
        problems.violation(format!("cluster_dp_labels: {sentence}"));
        BTreeMap::new()
    })
}

fn purge_delay(values: &Values, problems: &mut Problems) -> Duration {
    let seconds = values
        .number("cluster_data_plane_purge_delay")
        .unwrap_or(0.0);
    if seconds < MIN_PURGE_DELAY {
        problems.violation("cluster_data_plane_purge_delay must be 60 or greater");
    }
    units::seconds(seconds)
}

fn max_payload(values: &Values, problems: &mut Problems) -> usize {
    let bytes = values.number("cluster_max_payload").unwrap_or(0.0);
    if bytes < MIN_MAX_PAYLOAD {
        problems.violation("cluster_max_payload must be 4194304 (4MB) or greater");
    }
    if bytes > MAX_MAX_PAYLOAD {
        problems.violation("cluster_max_payload must be 2147483647 or less");
    }
    bytes as usize
}

fn max_data_planes(values: &Values, problems: &mut Problems) -> usize {
    let most = values.number("cluster_max_data_planes").unwrap_or(0.0);
    if most < 1.0 {
        problems.violation("cluster_max_data_planes must be 1 or greater");
    }
    most as usize
}

/// Contradictions between the role and everything else. The sentences are Kong's; one that does
/// not name its key has the key in front.
pub(super) fn check_role(
    role: Role,
    database: &str,
    listeners: &Listeners,
    values: &Values,
    problems: &mut Problems,
) {
    let is_set = |key| values.text(key).is_some();
    let has_labels = !values.list("cluster_dp_labels").is_empty();
    let certificate = ["cluster_cert", "cluster_cert_key"];
    let missing: Vec<&str> = certificate.into_iter().filter(|key| !is_set(key)).collect();
    if role != Role::Traditional && !missing.is_empty() {
        problems.violation(format!(
            "{}: cluster certificate and key must be provided to use Hybrid mode",
            missing.join(", ")
        ));
    }
    let listen_is_off = |key: &str| values.list(key).first().is_none_or(|entry| entry == "off");
    let rules: &[(bool, &str)] = match role {
        Role::ControlPlane => &[
            (
                listen_is_off("admin_listen"),
                "admin_listen must be specified when role = \"control_plane\"",
            ),
            (
                values.text("cluster_mtls") == Some("pki") && !is_set("cluster_ca_cert"),
                "cluster_ca_cert must be specified when cluster_mtls = \"pki\"",
            ),
            (
                listen_is_off("cluster_listen"),
                "cluster_listen must be specified when role = \"control_plane\"",
            ),
            (
                database == "off",
                "database: in-memory storage can not be used when role = \"control_plane\"",
            ),
            (
                values.boolean("cluster_use_proxy"),
                "cluster_use_proxy can not be used when role = \"control_plane\"",
            ),
            (
                has_labels,
                "cluster_dp_labels can not be used when role = \"control_plane\"",
            ),
        ],
        Role::DataPlane => &[
            (
                listen_is_off("proxy_listen"),
                "proxy_listen must be specified when role = \"data_plane\"",
            ),
            (
                database != "off",
                "database: only in-memory storage can be used when role = \"data_plane\" \
                 (hint: set database = off in your langur.conf)",
            ),
            (
                values.boolean("cluster_use_proxy") && !is_set("proxy_server"),
                "cluster_use_proxy is turned on but no proxy_server is configured",
            ),
        ],
        Role::Traditional => &[(
            has_labels,
            "cluster_dp_labels can only be used when role = \"data_plane\"",
        )],
    };
    for (broken, sentence) in rules {
        if *broken {
            problems.violation(*sentence);
        }
    }
    // Silence here would leave a fleet without the check its operator asked for.
    let is_pki = role != Role::Traditional && values.text("cluster_mtls") == Some("pki");
    if is_pki && values.text("cluster_ocsp") != Some("off") {
        problems.violation("cluster_ocsp must be off: revocation checks are not available");
    }
    if values.boolean("cluster_incremental_sync") && !values.boolean("cluster_rpc") {
        problems.warning(
            "Cluster incremental sync has been forcibly disabled, please enable cluster RPC.",
        );
    }
    listeners.check_distinct(role, problems);
}
