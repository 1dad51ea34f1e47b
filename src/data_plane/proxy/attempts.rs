//! Attempts: which address, which Host, which TLS, and when to stop trying.

use super::errors::{Asked, engine, negotiated};
use super::exchange::{Current, Exchange};
use super::facts::raw_host;
use super::retry::{Attempted, Next, next, status_of};
use super::settings::ProxySettings;
use super::upstream_tls::TlsProfiles;
use crate::data_plane::balancer::{Peer, TargetAddress};
use crate::data_plane::exchange::{Address, Attempt, AttemptError, UpstreamTls};
use crate::data_plane::router::{
    CompiledService, CompiledUpstream, Destination, Matched, Protocol, Snapshot,
};
use crate::http::{Reply, host_without_port, write};
use crate::plugins::{Scheme, Timeouts, UpstreamRequest};
use std::sync::Arc;
use std::time::Duration;

/// Attempts belong to requests whose access phase said `Forward`.
const UNEXPECTED: &str = "An unexpected error occurred";
const NO_PEER: &str = "failure to get a peer from the ring-balancer";

/// The next attempt of a request, or the answer that ends it.
///
/// # Errors
/// The reply for the client. Whether it counts as proxied is left in the exchange.
pub fn next_attempt(
    exchange: &mut Exchange,
    failed: Option<AttemptError>,
    settings: &ProxySettings,
    profiles: &mut TlsProfiles,
) -> Result<Attempt, Reply> {
    exchange
        .with_current(|exchange, current| {
            attempt_with(exchange, current, failed, settings, profiles)
        })
        .unwrap_or_else(|| Err(own_error(exchange, 500, UNEXPECTED)))
}

fn attempt_with(
    exchange: &mut Exchange,
    current: &Current,
    failed: Option<AttemptError>,
    settings: &ProxySettings,
    profiles: &mut TlsProfiles,
) -> Result<Attempt, Reply> {
    exchange.proxied = exchange.tries.count > 0;
    let matched = current.matched.as_ref();
    let (Some(matched), Some(service)) =
        (matched, matched.and_then(|found| found.service.as_ref()))
    else {
        return Err(own_error(exchange, 500, UNEXPECTED));
    };
    let snapshot = &*current.snapshot;
    // Where a plugin sends the request, if it does.
    let elsewhere = elsewhere(&exchange.upstream, &service.address);
    let own = elsewhere.as_ref().unwrap_or(&service.address);
    let upstream = match snapshot.destination_of(own) {
        Destination::Balanced(upstream) => Some(upstream),
        Destination::Host(_) => None,
    };
    let is_tls = match exchange.upstream.scheme {
        Some(scheme) => scheme == Scheme::Https,
        None => service.is_tls(),
    };
    // A target without an address was never tried: it costs none of the retries.
    let passed_over = upstream.is_some() && failed == Some(AttemptError::Resolve);
    match failed {
        Some(_) if passed_over => exchange.tries.count -= 1,
        Some(failed) => check_retry(exchange, service, failed, settings)?,
        None => {}
    }
    let peer = match upstream {
        None => None,
        Some(upstream) => match next_peer(exchange, upstream, passed_over) {
            None => return Err(no_peer(exchange, settings)),
            found => found,
        },
    };
    let (host, port, ip, named) = match &peer {
        Some(peer) => (&peer.host, peer.port, peer.ip, &peer.target.address.host),
        None => (&own.host, own.port, own.ip, &own.host),
    };
    write_host(exchange, matched, is_tls, upstream, (named, port));
    let tls = match is_tls {
        true => Some(tls_for(exchange, service, snapshot, settings, profiles)?),
        false => None,
    };
    let address = Address {
        host: Arc::clone(host),
        port,
        ip,
    };
    exchange.tries.peers.extend(peer);
    exchange.tries.count += 1;
    exchange.tries.http2 = matches!(service.protocol, Protocol::Grpc | Protocol::Grpcs);
    exchange.proxied = true;
    let changed = exchange.upstream.timeouts;
    let timeout = |of: fn(&Timeouts) -> u32, own: Duration| {
        let changed = changed.as_ref().map(of);
        changed.map_or(own, |changed| Duration::from_millis(changed.into()))
    };
    Ok(Attempt {
        address,
        tls,
        connect_timeout: timeout(|changed| changed.connect_ms, service.connect_timeout),
        write_timeout: timeout(|changed| changed.write_ms, service.write_timeout),
        read_timeout: timeout(|changed| changed.read_ms, service.read_timeout),
    })
}

/// Where a plugin sends the request in place of the service's own address.
fn elsewhere(changed: &UpstreamRequest, own: &TargetAddress) -> Option<TargetAddress> {
    if changed.host.is_none() && changed.port.is_none() {
        return None;
    }
    let host = changed.host.as_deref().unwrap_or(&own.host);
    let port = changed.port.unwrap_or(own.port);
    Some(TargetAddress::new(own.id, host, port))
}

/// The next address of an upstream; one that was passed over is not tried again.
fn next_peer(
    exchange: &mut Exchange,
    upstream: &Arc<CompiledUpstream>,
    passed_over: bool,
) -> Option<Arc<Peer>> {
    let tries = &mut exchange.tries;
    let observed = upstream.spec.checks.passive.are_on();
    tries.observed = observed.then(|| Arc::clone(upstream));
    let pool = upstream.pool();
    let is_new = |peer: &&Arc<Peer>| !tries.peers.iter().any(|tried| tried.is(peer));
    let picked = pool.pick(&tries.peers);
    picked.filter(|peer| !passed_over || is_new(peer)).cloned()
}

/// The answer when an upstream has no address to try.
fn no_peer(exchange: &mut Exchange, settings: &ProxySettings) -> Reply {
    exchange.proxied = exchange.tries.count > 0;
    match exchange.proxied {
        false => own_error(exchange, 503, NO_PEER),
        true => engine_error(exchange, 503, settings),
    }
}

/// The answer to a request whose attempt failed and that cannot be sent again.
pub fn give_up(exchange: &Exchange, failed: AttemptError, settings: &ProxySettings) -> Reply {
    engine_error(exchange, status_of(failed), settings)
}

/// Ends the request when the failed attempt must not be repeated.
fn check_retry(
    exchange: &mut Exchange,
    service: &CompiledService,
    failed: AttemptError,
    settings: &ProxySettings,
) -> Result<(), Reply> {
    let count = exchange.tries.count;
    if failed == AttemptError::Resolve && count == 1 {
        // Kong resolves before it proxies: this is no upstream error yet.
        exchange.proxied = false;
        return Err(own_error(exchange, 503, "name resolution failed"));
    }
    let attempted = Attempted {
        method: exchange.head.method(),
        count,
        retries: exchange.upstream.retries.unwrap_or(service.retries),
    };
    match next(failed, &attempted) {
        Next::Retry => Ok(()),
        Next::GiveUp(status) => Err(engine_error(exchange, status, settings)),
    }
}

/// The Host that the upstream gets, without a port where the scheme implies it.
fn write_host(
    exchange: &mut Exchange,
    matched: &Matched,
    is_tls: bool,
    upstream: Option<&Arc<CompiledUpstream>>,
    (host, port): (&str, u16),
) {
    let out = &mut exchange.tries.host;
    out.clear();
    // A Host that a plugin has set is meant.
    if let Some(set) = exchange.request_edits.edited("host") {
        out.extend_from_slice(set);
        return;
    }
    let client_host = raw_host(&exchange.head);
    if matched.route.preserve_host && !client_host.is_empty() {
        out.extend_from_slice(client_host);
        return;
    }
    match upstream.and_then(|upstream| upstream.spec.host_header.as_deref()) {
        Some(host) => out.extend_from_slice(host.as_bytes()),
        None if host.contains(':') => {
            out.push(b'[');
            out.extend_from_slice(host.as_bytes());
            out.push(b']');
        }
        None => out.extend_from_slice(host.as_bytes()),
    }
    let implied = if is_tls { 443 } else { 80 };
    if port != implied {
        out.push(b':');
        write::decimal(out, u64::from(port));
    }
}

fn tls_for(
    exchange: &Exchange,
    service: &Arc<CompiledService>,
    snapshot: &Snapshot,
    settings: &ProxySettings,
    profiles: &mut TlsProfiles,
) -> Result<Arc<UpstreamTls>, Reply> {
    let host = host_without_port(&exchange.tries.host);
    profiles
        .get(service, snapshot, settings, host)
        .map_err(|error| {
            let service = service.label.name.as_ref();
            let request_id = exchange.request_id.as_str();
            tracing::error!(request_id, service, %error, "no TLS to the upstream");
            let message =
                format!("failed the initial dns/balancer resolve for '{service}' with: {error}");
            own_error(exchange, 500, &message)
        })
}

fn own_error(exchange: &Exchange, status: u16, message: &str) -> Reply {
    let asked = Asked::of(&exchange.head);
    negotiated(status, message, &asked, exchange.request_id.as_str())
}

fn engine_error(exchange: &Exchange, status: u16, settings: &ProxySettings) -> Reply {
    let asked = Asked::of(&exchange.head);
    let id = exchange.request_id.as_str();
    engine(status, &asked, &settings.error_default_type, id)
}
