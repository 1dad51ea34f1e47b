//! From the node's settings to what the proxy and its listener need.

use super::listener::{BodyFiles, DriverSettings, ServerConfig, SpoolLimits};
use super::proxy::{ProxySettings, RealIpSource, ResponseTokens, Trust};
use super::upstream::{PoolLimits, UpstreamSettings};
use crate::http::parse;
use crate::node::{Node, NodeError};
use crate::plugins::{NodeSettings, UntrustedLua};
use crate::settings::{ErrorType, RealIp, Settings};
use std::sync::Arc;
use std::time::Duration;

/// An idle connection that nobody bounds is closed after this long.
const UNBOUNDED_IDLE: Duration = Duration::from_secs(24 * 3600);

/// Memory of a buffered request body, in bytes, whatever the setting says: what is read at once.
const LEAST_MEMORY: usize = 64 * 1024;

/// What plugins read.
pub fn for_plugins(settings: &Settings) -> NodeSettings {
    NodeSettings {
        untrusted_lua: match settings.node.untrusted_lua.as_str() {
            "on" => UntrustedLua::On,
            "off" => UntrustedLua::Off,
            _ => UntrustedLua::Sandbox,
        },
        lua_requires: settings.node.lua_requires.clone(),
        lua_environment: settings.node.lua_environment.clone(),
        trusted_ips: settings.proxy.trusted_ips.clone(),
        vault_prefix: settings.node.vault_env_prefix.clone(),
        configuration: settings.report(),
        tracing: settings.tracing,
        metrics: None,
    }
}

/// What the pipeline reads.
///
/// # Errors
/// A certificate or the trusted authorities cannot be loaded.
pub fn proxy(settings: &Settings) -> Result<ProxySettings, NodeError> {
    let (own, shown) = (&settings.proxy, &settings.proxy.headers);
    let certificates = &settings.certificates;
    Ok(ProxySettings {
        trust: Trust {
            proxies: own.trusted_ips.clone(),
            source: match &own.real_ip {
                RealIp::Header(name) if name == "x-real-ip" => RealIpSource::XRealIp,
                RealIp::Header(name) => RealIpSource::Header(name.as_str().into()),
                RealIp::ProxyProtocol => RealIpSource::ProxyProtocol,
            },
            recursive: own.real_ip_recursive,
        },
        headers: ResponseTokens {
            server: shown.server,
            via: shown.via,
            proxy_latency: shown.proxy_latency,
            upstream_latency: shown.upstream_latency,
            response_latency: shown.response_latency,
            upstream_status: shown.upstream_status,
            request_id: shown.request_id,
        },
        request_id_upstream: own.request_id_upstream,
        allow_debug_header: settings.node.allow_debug_header,
        error_default_type: match own.error_default_type {
            ErrorType::Json => "application/json",
            ErrorType::Xml => "application/xml",
            ErrorType::Html => "text/html",
            ErrorType::Plain => "text/plain",
        }
        .to_owned(),
        port_maps: settings
            .listeners
            .port_maps
            .iter()
            .map(|map| (map.listener, map.external))
            .collect(),
        trusted_roots: Arc::new(certificates.trusted_roots()?),
        client_certificate: certificates
            .client_identity()?
            .map(|identity| identity.certified_key()),
        max_req_headers: own.limits.max_req_headers,
        charset: own.charset.clone(),
        tls_verify: own.upstream_tls.verify,
        tls_verify_depth: own.upstream_tls.depth,
        instrumentations: settings.tracing.instrumentations,
        ..ProxySettings::default()
    })
}

/// What every worker's way to upstreams is made with.
pub fn upstream(settings: &Settings) -> UpstreamSettings {
    let keepalive = &settings.proxy.upstream_keepalive;
    UpstreamSettings {
        pool: PoolLimits {
            max_idle: keepalive.pool_size,
            idle_timeout: keepalive.idle_timeout.unwrap_or(UNBOUNDED_IDLE),
            max_requests: match keepalive.max_requests {
                0 => u32::MAX,
                n => u32::try_from(n).unwrap_or(u32::MAX),
            },
        },
        response_head: parse::Limits::whole(settings.proxy.bodies.max_response_head),
    }
}

/// What the listener is started with.
pub fn server(node: &Node, workers: usize) -> ServerConfig {
    let limits = &node.settings.proxy.limits;
    let bodies = &node.settings.proxy.bodies;
    ServerConfig {
        listens: node.settings.listeners.proxy.clone(),
        workers,
        driver: DriverSettings {
            head: parse::Limits {
                line: limits.max_line_size,
                head: limits.max_head_size,
            },
            header_timeout: limits.header_timeout,
            body_timeout: limits.body_timeout,
            access_timeout: node.settings.proxy.access_timeout,
            send_timeout: limits.send_timeout,
            keep_alive_timeout: limits.keepalive_timeout,
            keep_alive_requests: u32::try_from(limits.keepalive_requests).unwrap_or(u32::MAX),
            max_body: limits.max_body_size,
            request_spool: SpoolLimits {
                memory: bodies.request_memory.max(LEAST_MEMORY),
                file: u64::MAX,
            },
            response_spool: SpoolLimits {
                memory: bodies.response_memory,
                file: bodies.response_file,
            },
        },
        files: Arc::new(BodyFiles::new(
            vec![node.settings.node.prefix.clone(), std::env::temp_dir()],
            bodies.files,
        )),
        counters: Arc::clone(&node.counters),
        ..ServerConfig::default()
    }
}
