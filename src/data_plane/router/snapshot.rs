//! One immutable state of everything a request needs, shared by all workers.

use super::certificates::{CertificateTable, CompiledCaCertificate, CompiledCertificate};
use super::facts::{Facts, Scratch};
use super::hidden_dots;
use super::identity::{CompiledConsumer, KeyCredential};
use super::index::RouteIndex;
use super::matcher::{CompiledRoute, PathMatch, Paths};
use super::path;
use super::persistent_map::PersistentMap;
use super::plugin_table::{Plan, PluginTable, Scope};
use super::service::{CompiledService, CompiledUpstream, Destination};
use crate::data_plane::balancer::TargetAddress;
use crate::model::{Digest, Revision};
use std::ops::Range;
use std::sync::Arc;
use uuid::Uuid;

/// What is in effect at one revision. A request takes one and keeps it to its end.
#[derive(Clone, Default)]
pub struct Snapshot {
    pub(super) revision: Revision,
    pub(super) digest: Digest,
    pub(super) routes: RouteIndex,
    /// Enabled ones only.
    pub(super) services: PersistentMap<Uuid, Arc<CompiledService>>,
    pub(super) plugins: PluginTable,
    /// Routes that are found and refused: they cannot be served as configured, nor as they were.
    pub(super) closed_routes: PersistentMap<Uuid, ()>,
    pub(super) disabled_services: PersistentMap<Uuid, ()>,
    pub(super) consumers: PersistentMap<Uuid, Arc<CompiledConsumer>>,
    pub(super) usernames: PersistentMap<Arc<str>, Arc<CompiledConsumer>>,
    pub(super) credentials: PersistentMap<Arc<str>, Arc<KeyCredential>>,
    pub(super) upstreams: PersistentMap<Arc<str>, Arc<CompiledUpstream>>,
    pub(super) certificates: CertificateTable,
}

/// The route of a request.
#[derive(Clone, Debug)]
pub struct Matched {
    pub route: Arc<CompiledRoute>,
    /// `None` when the route has none.
    pub service: Option<Arc<CompiledService>>,
    path: PathMatch,
    /// Which part of the route has matched.
    part: usize,
}

impl Matched {
    /// The bytes of the normalised path that a path of the route matched; `None` when the
    /// route has no paths.
    pub fn matched_path(&self) -> Option<Range<usize>> {
        match self.path {
            PathMatch::None => None,
            PathMatch::Prefix(len) => Some(0..len),
            PathMatch::Regex { start, end, .. } => Some(start..end),
        }
    }

    /// The text that stripping takes away, which is what `X-Forwarded-Prefix` tells; `None` when
    /// that is nothing or the slash alone. `path` is the path the route was found with.
    pub fn stripped<'p>(&self, path: &'p str) -> Option<&'p str> {
        let range = self.matched_path().filter(|_| self.route.strip_path)?;
        path.get(range).filter(|text| !matches!(*text, "" | "/"))
    }

    /// The groups of the pattern that matched, by index and name; `None` when there are none.
    /// `path` is the path the route was found with. Runs the pattern once more.
    pub fn captures<'p>(&self, path: &'p str) -> Option<regex::Captures<'p>> {
        let regex = self.regex().filter(|regex| regex.captures_len() > 1)?;
        regex.captures(path)
    }

    /// The names of the groups that have one.
    pub fn capture_names(&self) -> impl Iterator<Item = &str> {
        self.regex()
            .into_iter()
            .flat_map(|regex| regex.capture_names().flatten())
    }

    /// Appends path and query of the request to the upstream; see [`Snapshot::upstream_uri`].
    pub fn upstream_uri(&self, path: &str, query: Option<&[u8]>, out: &mut Vec<u8>) {
        let service_path = self
            .service
            .as_ref()
            .and_then(|service| service.path.as_deref());
        let matched_len = self.matched_path().map(|range| range.len());
        path::join(
            service_path,
            self.route.strip_path,
            matched_len,
            path,
            query,
            out,
        );
    }

    fn regex(&self) -> Option<&regex::Regex> {
        let PathMatch::Regex { pattern, .. } = self.path else {
            return None;
        };
        let Paths::Regexes(regexes) = self.route.paths(self.part) else {
            return None;
        };
        Some(regexes.get(pattern)?.regex())
    }
}

impl Snapshot {
    /// The revision of the configuration; what of it is quarantined is at an earlier one.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The digest of the configuration.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The route a request belongs to, or `None`.
    pub fn find_route(&self, facts: &Facts<'_>, scratch: &mut Scratch) -> Option<Matched> {
        let mut service = None;
        let hit = self
            .routes
            .find(facts, scratch, |route| match &route.service {
                None => {
                    service = None;
                    true
                }
                // A service that is disabled takes its routes with it. One that is not in effect
                // for another reason leaves them closed.
                Some(id) => match self.services.get(id) {
                    None => {
                        service = None;
                        self.is_closed(route.id) && self.disabled_services.get(id).is_none()
                    }
                    found => {
                        service = found;
                        true
                    }
                },
            })?;
        Some(Matched {
            route: Arc::clone(hit.route),
            service: service.cloned(),
            path: hit.path,
            part: hit.part,
        })
    }

    /// Whether a server that sees [`hidden_dots`] would understand another request than the one
    /// that was routed: one of another route, or one outside of the service's path.
    pub fn misleads(&self, matched: &Matched, facts: &Facts<'_>, scratch: &mut Scratch) -> bool {
        if !hidden_dots::are_possible(facts.path) {
            return false;
        }
        let Some(resolved) = hidden_dots::resolve(facts.path) else {
            return true;
        };
        if matched.route.strip_path {
            let len = matched.matched_path().map_or(1, |range| range.len());
            let sent = path::stripped(facts.path.as_bytes(), len);
            let sent = std::str::from_utf8(sent).unwrap_or_default();
            if hidden_dots::resolve(sent).is_none() {
                return true;
            }
        }
        if resolved == facts.path {
            return false;
        }
        let seen = Facts {
            path: &resolved,
            ..*facts
        };
        let found = self.find_route(&seen, scratch);
        found.is_none_or(|found| found.route.id != matched.route.id)
    }

    /// Appends path and query of the request to the upstream. `path` is the normalised path,
    /// `query` what followed the `?`, if there was one.
    pub fn upstream_uri(
        &self,
        matched: &Matched,
        path: &str,
        query: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) {
        matched.upstream_uri(path, query, out);
    }

    /// The plugins that run for a request, in order; see [`PluginTable::plan`].
    pub fn plugins_for(
        &self,
        route: Option<Uuid>,
        service: Option<Uuid>,
        consumer: Option<Uuid>,
    ) -> Plan {
        let scope = Scope {
            route,
            service,
            consumer,
        };
        self.plugins.plan(scope)
    }

    /// Whether the plugins of a request may be others once its consumer is known.
    pub fn plugins_depend_on_consumer(&self) -> bool {
        self.plugins.has_consumers()
    }

    /// Whether every request of a route is refused.
    pub fn is_closed(&self, route: Uuid) -> bool {
        !self.closed_routes.is_empty() && self.closed_routes.get(&route).is_some()
    }

    pub fn service(&self, id: Uuid) -> Option<&Arc<CompiledService>> {
        self.services.get(&id)
    }

    pub fn consumer(&self, id: Uuid) -> Option<&Arc<CompiledConsumer>> {
        self.consumers.get(&id)
    }

    pub fn consumer_by_username(&self, username: &str) -> Option<&Arc<CompiledConsumer>> {
        self.usernames.get(username)
    }

    pub fn credential_by_key(&self, key: &str) -> Option<&Arc<KeyCredential>> {
        self.credentials.get(key)
    }

    /// Visits every upstream, in no particular order.
    pub fn for_each_upstream(&self, visit: impl FnMut(&Arc<CompiledUpstream>)) {
        self.upstreams.for_each(visit);
    }

    /// Whether the upstreams and their targets are those of another snapshot.
    pub fn has_upstreams_of(&self, other: &Snapshot) -> bool {
        self.upstreams.is(&other.upstreams)
    }

    pub fn upstream(&self, name: &str) -> Option<&Arc<CompiledUpstream>> {
        self.upstreams.get(name)
    }

    /// Where the requests of a service go: an IP address is used as it is, the name of an
    /// upstream stands for its targets, any other name is a host.
    pub fn destination<'a>(&'a self, service: &'a CompiledService) -> Destination<'a> {
        self.destination_of(&service.address)
    }

    /// Likewise, of an address that is no service's own.
    pub fn destination_of<'a>(&'a self, address: &'a TargetAddress) -> Destination<'a> {
        match address.ip {
            Some(_) => Destination::Host(address),
            None => match self.upstreams.get(&*address.host) {
                Some(upstream) => Destination::Balanced(upstream),
                None => Destination::Host(address),
            },
        }
    }

    /// The certificate for a TLS server name; see [`CertificateTable::find`]. Without a server
    /// name the listener's own certificate is used.
    pub fn certificate(&self, sni: &str) -> Option<&Arc<CompiledCertificate>> {
        self.certificates.find(sni)
    }

    /// A certificate by its id, for connections to upstreams.
    pub fn client_certificate(&self, id: Uuid) -> Option<&Arc<CompiledCertificate>> {
        self.certificates.certificates.get(&id)
    }

    pub fn ca_certificate(&self, id: Uuid) -> Option<&Arc<CompiledCaCertificate>> {
        self.certificates.authorities.get(&id)
    }
}

// All workers share one.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Snapshot>();
};
