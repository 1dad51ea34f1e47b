//! The health of upstreams for pages and people.

use super::{Progress, Source, note};
use crate::actor::Slot;
use crate::data_plane::balancer::{Address, Host, Pool, Resolution};
use crate::data_plane::router::{CompiledUpstream, GetTargets, Published, Router, SnapshotCell};
use crate::link::LocalFuture;
use crate::telemetry::status::{
    AddressHealth, HostHealth, SetHealth, SetHealthError, TargetDocuments, UpstreamHealth,
    Upstreams,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// How long a page waits for what was just written.
const PATIENCE: Duration = Duration::from_secs(3);

/// What there is to see.
#[derive(Clone)]
pub struct View {
    pub router: Slot<Router>,
    pub snapshots: SnapshotCell,
    pub published: Published,
    pub progress: Progress,
}

impl View {
    /// The upstream, once the revision is in effect.
    async fn at(
        &self,
        id: Uuid,
        revision: u64,
        deadline: Instant,
    ) -> Option<Arc<CompiledUpstream>> {
        let mut published = self.published.subscribe();
        let there = published.wait_for(|published| published.0 >= revision);
        // What is not there in time is answered from what is.
        let _ = timeout_at(deadline, there).await;
        let mut found = None;
        let snapshot = self.snapshots.load();
        snapshot.for_each_upstream(|upstream| {
            if upstream.spec.id == id {
                found = Some(Arc::clone(upstream));
            }
        });
        found
    }

    /// Waits until every new target had its first lookup and probe.
    async fn settled(&self, upstream: &CompiledUpstream) {
        loop {
            let progress = self.progress.notified();
            let mut progress = std::pin::pin!(progress);
            progress.as_mut().enable();
            if is_settled(upstream, &upstream.pool()) {
                return;
            }
            progress.await;
        }
    }
}

fn is_settled(upstream: &CompiledUpstream, pool: &Pool) -> bool {
    let active = upstream.spec.checks.active.as_ref();
    let probed = active.is_some_and(|checks| checks.healthy_interval.is_some());
    let hosts = pool.hosts();
    hosts
        .iter()
        .all(|host| host.resolution != Resolution::Pending)
        && (!probed || pool.peers().iter().all(|peer| peer.health.is_probed()))
}

/// An upstream as it balances now.
pub fn shown(upstream: &CompiledUpstream) -> UpstreamHealth {
    let pool = upstream.pool();
    UpstreamHealth {
        id: upstream.spec.id,
        name: upstream.spec.name.to_string(),
        checked: upstream.spec.checks.on,
        healthy: pool.is_healthy(),
        hosts: pool.hosts().iter().map(shown_host).collect(),
    }
}

fn shown_host(host: &Host) -> HostHealth {
    let address = &host.target.address;
    let peers = host.peers.iter();
    HostHealth {
        target: address.id,
        host: address.host.to_string(),
        port: address.port,
        weight: host.target.weight,
        dns: match &host.resolution {
            Resolution::Pending => "unresolved".to_owned(),
            Resolution::Found(found) => match found.first() {
                Some(Address { srv: Some(_), .. }) => "SRV".to_owned(),
                Some(address) if address.ip.is_ipv6() => "AAAA".to_owned(),
                _ => "A".to_owned(),
            },
            Resolution::Failed(error) => error.to_string(),
        },
        resolved: host.resolution != Resolution::Pending,
        addresses: peers
            .filter_map(|peer| {
                Some(AddressHealth {
                    address: peer.socket()?,
                    weight: peer.weight,
                    healthy: peer.health.is_healthy(),
                })
            })
            .collect(),
    }
}

impl Upstreams for View {
    fn upstream(&self, id: Uuid, revision: u64) -> LocalFuture<'_, Option<UpstreamHealth>> {
        Box::pin(async move {
            let deadline = Instant::now() + PATIENCE;
            let upstream = self.at(id, revision, deadline).await?;
            let _ = timeout_at(deadline, self.settled(&upstream)).await;
            Some(shown(&upstream))
        })
    }

    fn targets(&self, upstream: String) -> LocalFuture<'_, Option<TargetDocuments>> {
        Box::pin(async move {
            // A router that is being restarted knows nothing for a moment.
            self.router.ask(GetTargets(upstream)).await.ok().flatten()
        })
    }

    fn set_health(&self, setting: SetHealth) -> LocalFuture<'_, Result<(), SetHealthError>> {
        Box::pin(async move {
            let deadline = Instant::now() + PATIENCE;
            let upstream = self.at(setting.upstream, setting.revision, deadline).await;
            let upstream = upstream.ok_or(SetHealthError::NoBalancer(setting.upstream))?;
            let name = &upstream.spec.name;
            if !upstream.spec.checks.on {
                return Err(SetHealthError::NoHealthchecker(name.to_string()));
            }
            let _ = timeout_at(deadline, self.settled(&upstream)).await;
            let pool = upstream.pool();
            let hosts = pool.hosts().iter();
            let host = hosts.filter(|host| host.target.address.id == setting.target);
            let peers = host.flat_map(|host| &host.peers);
            let meant = |address| setting.address.is_none_or(|wanted| Some(wanted) == address);
            let mut found = setting.address.is_none();
            for peer in peers.filter(|peer| meant(peer.socket())) {
                found = true;
                let changed = peer.health.set(setting.healthy);
                note(name, peer, changed, Source::Admin);
            }
            found.then_some(()).ok_or(SetHealthError::NoAddress)
        })
    }
}
