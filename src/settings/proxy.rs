//! Routing and proxying.

use super::address::TrustedPeer;
use super::bodies::{Bodies, MAX_HEAD_SIZE};
use super::problems::Problems;
use super::response_headers::{self, ResponseHeaders};
use super::units;
use super::values::Values;
use crate::schema::RouterFlavor;
use std::time::Duration;

/// The order among routes that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteMatchCalculation {
    /// What Kong 3.9 computes.
    Original,
    /// What Kong documents.
    Strict,
}

/// The type of an error body when the client accepts none in particular.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    Json,
    Xml,
    Html,
    Plain,
}

/// Where a trusted proxy says who the client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RealIp {
    /// A request header, in lower case.
    Header(String),
    ProxyProtocol,
}

/// Settings of the request path.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// How routes may be written.
    pub router_flavor: RouterFlavor,
    pub route_match_calculation: RouteMatchCalculation,
    /// Refuse what a guard that cannot be put into effect was to guard (`quarantined_guards`).
    pub close_unguarded: bool,
    pub error_default_type: ErrorType,
    pub headers: ResponseHeaders,
    /// Send `X-Kong-Request-Id` to upstreams.
    pub request_id_upstream: bool,
    pub trusted_ips: Vec<TrustedPeer>,
    pub real_ip: RealIp,
    pub real_ip_recursive: bool,
    pub upstream_keepalive: UpstreamKeepalive,
    pub limits: ClientLimits,
    pub bodies: Bodies,
    /// For all plugins of a request together, before it is sent upstream.
    pub access_timeout: Duration,
    /// Appended to textual content types; `None` is `off`.
    pub charset: Option<String>,
    pub upstream_tls: UpstreamVerification,
}

/// Verification of upstreams whose service does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamVerification {
    pub verify: bool,
    /// Most intermediate certificates between the upstream's own and the authority's.
    pub depth: u32,
}

/// Idle connections to upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamKeepalive {
    /// Most idle connections per address and worker; 0 keeps none.
    pub pool_size: usize,
    /// Requests on one connection; 0 is no limit.
    pub max_requests: u64,
    /// `None` keeps it until the upstream closes it.
    pub idle_timeout: Option<Duration>,
}

/// What one client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// Bytes of a request body; 0 is no limit.
    pub max_body_size: u64,
    /// Bytes of an Admin API request body; 0 is no limit.
    pub admin_max_body_size: u64,
    /// Bytes of the request line, and of one header line.
    pub max_line_size: usize,
    /// Bytes of the whole request head.
    pub max_head_size: usize,
    pub header_timeout: Duration,
    /// Between two reads of a body.
    pub body_timeout: Duration,
    /// Between two writes of a response.
    pub send_timeout: Duration,
    pub keepalive_timeout: Duration,
    /// Requests on one connection.
    pub keepalive_requests: u64,
    /// Request headers, response headers, query arguments and form fields that are looked at.
    pub max_req_headers: usize,
    pub max_resp_headers: usize,
    pub max_uri_args: usize,
    pub max_post_args: usize,
}

impl Proxy {
    pub(super) fn resolve(values: &Values, problems: &mut Problems) -> Proxy {
        let flavor = values.text("router_flavor").and_then(RouterFlavor::parse);
        Proxy {
            router_flavor: flavor.unwrap_or_default(),
            route_match_calculation: match values.text("route_match_calculation") {
                Some("strict") => RouteMatchCalculation::Strict,
                _ => RouteMatchCalculation::Original,
            },
            close_unguarded: values.text("quarantined_guards") == Some("close"),
            error_default_type: match values.text("error_default_type") {
                Some("application/json") => ErrorType::Json,
                Some("application/xml") => ErrorType::Xml,
                Some("text/html") => ErrorType::Html,
                _ => ErrorType::Plain,
            },
            headers: ResponseHeaders::resolve(values, problems),
            request_id_upstream: response_headers::request_id_upstream(values, problems),
            trusted_ips: trusted_ips(values, problems),
            real_ip: real_ip(values, problems),
            real_ip_recursive: values.boolean("real_ip_recursive"),
            upstream_keepalive: upstream_keepalive(values, problems),
            limits: client_limits(values, problems),
            bodies: Bodies::resolve(values, problems),
            access_timeout: values.time("plugin_access_timeout").unwrap_or_default(),
            charset: values
                .text("nginx_http_charset")
                .filter(|charset| *charset != "off")
                .map(str::to_owned),
            upstream_tls: upstream_verification(values, problems),
        }
    }
}

fn trusted_ips(values: &Values, problems: &mut Problems) -> Vec<TrustedPeer> {
    let mut peers = Vec::new();
    for entry in values.list("trusted_ips") {
        match entry.parse() {
            Ok(peer) => peers.push(peer),
            Err(()) => problems.violation(format!(
                "trusted_ips must be a comma separated list in the form of IPv4 or IPv6 address \
                 or CIDR block or 'unix:', got '{entry}'"
            )),
        }
    }
    peers
}

fn real_ip(values: &Values, problems: &mut Problems) -> RealIp {
    let name = values.text("real_ip_header").unwrap_or_default();
    if name == "proxy_protocol" {
        return RealIp::ProxyProtocol;
    }
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        problems.violation(format!(
            "real_ip_header must be the name of a header or proxy_protocol, got '{name}'"
        ));
    }
    RealIp::Header(name.to_ascii_lowercase())
}

fn upstream_keepalive(values: &Values, problems: &mut Problems) -> UpstreamKeepalive {
    let mut at_least_zero = |key: &str| {
        let number = values.number(key).unwrap_or_default();
        if number < 0.0 {
            problems.violation(format!("{key} must be 0 or greater"));
        }
        number
    };
    let idle = at_least_zero("upstream_keepalive_idle_timeout");
    UpstreamKeepalive {
        pool_size: at_least_zero("upstream_keepalive_pool_size") as usize,
        max_requests: at_least_zero("upstream_keepalive_max_requests") as u64,
        idle_timeout: Some(units::seconds(idle)).filter(|timeout| !timeout.is_zero()),
    }
}

fn upstream_verification(values: &Values, problems: &mut Problems) -> UpstreamVerification {
    const KEY: &str = "nginx_proxy_proxy_ssl_verify_depth";
    let depth = values.number(KEY).unwrap_or_default();
    if depth.fract() != 0.0 || !(0.0..=64.0).contains(&depth) {
        problems.violation(format!("{KEY} must be an integer between 0 and 64"));
    }
    UpstreamVerification {
        verify: values.boolean("nginx_proxy_proxy_ssl_verify"),
        depth: depth as u32,
    }
}

fn client_limits(values: &Values, problems: &mut Problems) -> ClientLimits {
    let (max_line_size, max_head_size) = header_buffers(values, problems);
    let mut looked_at = |key: &str| {
        let number = values.number(key).unwrap_or_default();
        if number.fract() != 0.0 || !(1.0..=1000.0).contains(&number) {
            problems.violation(format!("{key} must be an integer between 1 and 1000"));
        }
        number as usize
    };
    let max_req_headers = looked_at("lua_max_req_headers");
    let max_resp_headers = looked_at("lua_max_resp_headers");
    let max_uri_args = looked_at("lua_max_uri_args");
    let max_post_args = looked_at("lua_max_post_args");
    let time = |key| values.time(key).unwrap_or_default();
    let size = |key| values.size(key).unwrap_or_default();
    ClientLimits {
        max_body_size: size("nginx_proxy_client_max_body_size"),
        admin_max_body_size: size("nginx_admin_client_max_body_size"),
        max_line_size,
        max_head_size,
        header_timeout: time("nginx_proxy_client_header_timeout"),
        body_timeout: time("nginx_proxy_client_body_timeout"),
        send_timeout: time("nginx_proxy_send_timeout"),
        keepalive_timeout: time("nginx_proxy_keepalive_timeout"),
        keepalive_requests: keepalive_requests(values, problems),
        max_req_headers,
        max_resp_headers,
        max_uri_args,
        max_post_args,
    }
}

/// `4 8k`: a line fits in one buffer, the head in all of them.
fn header_buffers(values: &Values, problems: &mut Problems) -> (usize, usize) {
    const KEY: &str = "nginx_proxy_large_client_header_buffers";
    const KEYS: &str =
        "nginx_http_large_client_header_buffers or nginx_proxy_large_client_header_buffers";
    let text = values.text(KEY).unwrap_or_default();
    let parsed = text.split_once(' ').and_then(|(count, each)| {
        let count = count.parse::<u64>().ok().filter(|count| *count > 0)?;
        let each = units::size(each.trim()).filter(|size| *size >= 256)?;
        let total = count.checked_mul(each).filter(|t| *t <= MAX_HEAD_SIZE)?;
        Some((each as usize, total as usize))
    });
    parsed.unwrap_or_else(|| {
        problems.violation(format!(
            "{KEYS} must be a number and a size such as '4 8k', 16m in all at most, got '{text}'"
        ));
        (0, 0)
    })
}

fn keepalive_requests(values: &Values, problems: &mut Problems) -> u64 {
    const KEY: &str = "nginx_proxy_keepalive_requests";
    const KEYS: &str = "nginx_http_keepalive_requests or nginx_proxy_keepalive_requests";
    let text = values.text(KEY).unwrap_or_default();
    text.parse().ok().filter(|n| *n > 0).unwrap_or_else(|| {
        problems.violation(format!(
            "{KEYS} must be an integer greater than 0, got '{text}'"
        ));
        0
    })
}
