//! All listeners of a node.

use super::address::PortMap;
use super::listen::{self, Listen};
use super::node::Role;
use super::problems::Problems;
use super::values::Values;

/// The addresses to listen on; empty is off.
#[derive(Debug, Clone)]
pub struct Listeners {
    pub proxy: Vec<Listen>,
    pub admin: Vec<Listen>,
    pub status: Vec<Listen>,
    /// Always TLS, whatever the flags say.
    pub cluster: Vec<Listen>,
    /// Always TLS, whatever the flags say.
    pub cluster_telemetry: Vec<Listen>,
    pub port_maps: Vec<PortMap>,
}

impl Listeners {
    pub(super) fn resolve(values: &Values, problems: &mut Problems) -> Listeners {
        let mut listens = |key| match listen::parse(values.list(key)) {
            Ok(listens) => listens,
            Err(sentence) => {
                problems.violation(format!("{key} {sentence}"));
                Vec::new()
            }
        };
        Listeners {
            proxy: listens("proxy_listen"),
            admin: listens("admin_listen"),
            status: listens("status_listen"),
            cluster: listens("cluster_listen"),
            cluster_telemetry: listens("cluster_telemetry_listen"),
            port_maps: port_maps(values, problems),
        }
    }

    /// The listeners that a role opens, each with the name of its key.
    pub fn of_role(&self, role: Role) -> Vec<(&'static str, &[Listen])> {
        let mut open: Vec<(&'static str, &[Listen])> = Vec::new();
        if role.has_data_plane() {
            open.push(("proxy_listen", &self.proxy));
        }
        if role.has_control_plane() {
            open.push(("admin_listen", &self.admin));
        }
        open.push(("status_listen", &self.status));
        if role == Role::ControlPlane {
            open.push(("cluster_listen", &self.cluster));
            open.push(("cluster_telemetry_listen", &self.cluster_telemetry));
        }
        open
    }

    /// Reports an address that two listeners of the role would both open.
    pub(super) fn check_distinct(&self, role: Role, problems: &mut Problems) {
        let mut taken: Vec<(&'static str, &Listen)> = Vec::new();
        for (key, listens) in self.of_role(role) {
            for listen in listens.iter().filter(|listen| listen.port != 0) {
                let address = listen.address();
                let other = taken.iter().find(|(_, other)| other.address() == address);
                if let Some((other, _)) = other {
                    problems.violation(format!("{key}: {address} is already taken by {other}"));
                }
                taken.push((key, listen));
            }
        }
    }
}

fn port_maps(values: &Values, problems: &mut Problems) -> Vec<PortMap> {
    let mut maps = Vec::new();
    for entry in values.list("port_maps") {
        match entry.parse() {
            Ok(map) => maps.push(map),
            Err(()) => {
                problems.violation(format!("invalid port mapping (`port_maps`): {entry}"));
            }
        }
    }
    maps
}
