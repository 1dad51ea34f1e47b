//! The `headers` and `headers_upstream` keys: which headers are added.

use super::problems::Problems;
use super::values::Values;

/// Headers added to responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResponseHeaders {
    pub via: bool,
    pub server: bool,
    pub proxy_latency: bool,
    pub response_latency: bool,
    pub upstream_latency: bool,
    pub admin_latency: bool,
    pub upstream_status: bool,
    pub request_id: bool,
}

impl ResponseHeaders {
    pub(super) fn resolve(values: &Values, problems: &mut Problems) -> ResponseHeaders {
        let mut headers = ResponseHeaders::default();
        for token in values.list("headers") {
            // `off` beside other tokens has no effect, and alone leaves none.
            if token != "off" && !headers.turn_on(&token.to_ascii_lowercase()) {
                problems.violation(format!("headers: invalid entry '{token}'"));
            }
        }
        headers
    }

    /// Whether the token is known.
    fn turn_on(&mut self, token: &str) -> bool {
        match token {
            "server_tokens" => {
                self.via = true;
                self.server = true;
            }
            "latency_tokens" => {
                self.proxy_latency = true;
                self.response_latency = true;
                self.upstream_latency = true;
                self.admin_latency = true;
            }
            "via" => self.via = true,
            "server" => self.server = true,
            "x-kong-proxy-latency" => self.proxy_latency = true,
            "x-kong-response-latency" => self.response_latency = true,
            "x-kong-upstream-latency" => self.upstream_latency = true,
            "x-kong-admin-latency" => self.admin_latency = true,
            "x-kong-upstream-status" => self.upstream_status = true,
            "x-kong-request-id" => self.request_id = true,
            _ => return false,
        }
        true
    }
}

/// Whether `X-Kong-Request-Id` is sent to upstreams.
pub(super) fn request_id_upstream(values: &Values, problems: &mut Problems) -> bool {
    let mut on = false;
    for token in values.list("headers_upstream") {
        match token.to_ascii_lowercase().as_str() {
            "x-kong-request-id" => on = true,
            "off" => {}
            _ => problems.violation(format!("headers_upstream: invalid entry '{token}'")),
        }
    }
    on
}
