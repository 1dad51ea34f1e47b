//! What the proxy needs of the node's settings.

use super::panics::PluginPanics;
use super::trusted::Trust;
use crate::access_log::AccessLog;
use crate::settings::Instrumentations;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

/// The part of the settings that the proxy reads. Defaults are Kong's.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// `trusted_ips`, `real_ip_header`, `real_ip_recursive`.
    pub trust: Trust,
    /// `headers`: which of the gateway's own headers responses get.
    pub headers: ResponseTokens,
    /// `headers_upstream` lists `X-Kong-Request-Id`.
    pub request_id_upstream: bool,
    /// `allow_debug_header`: answer `Kong-Debug` with route and service.
    pub allow_debug_header: bool,
    /// `error_default_type`: the format of engine errors when the client names none.
    pub error_default_type: String,
    /// `nginx_http_charset`: appended to textual content types; `None` for `off`.
    pub charset: Option<String>,
    /// `lua_max_req_headers`: request headers that the router looks at.
    pub max_req_headers: usize,
    /// `port_maps`: listener port to the port that clients see.
    pub port_maps: HashMap<u16, u16>,
    /// `nginx_proxy_proxy_ssl_verify`: for services that do not say.
    pub tls_verify: bool,
    /// `nginx_proxy_proxy_ssl_verify_depth`: likewise.
    pub tls_verify_depth: u32,
    /// `lua_ssl_trusted_certificate`: whom services without authorities of their own trust.
    pub trusted_roots: Arc<RootCertStore>,
    /// Where panics of plugins are counted.
    pub plugin_panics: PluginPanics,
    /// `client_ssl_cert`: for services and upstreams without a certificate of their own.
    pub client_certificate: Option<Arc<CertifiedKey>>,
    /// `proxy_access_log`, unless it is off.
    pub access_log: Option<AccessLog>,
    /// The parts of the work whose times are kept.
    pub instrumentations: Instrumentations,
}

impl Default for ProxySettings {
    fn default() -> ProxySettings {
        ProxySettings {
            trust: Trust::default(),
            headers: ResponseTokens::default(),
            request_id_upstream: true,
            allow_debug_header: false,
            error_default_type: "text/plain".to_owned(),
            charset: Some("UTF-8".to_owned()),
            max_req_headers: 100,
            port_maps: HashMap::new(),
            tls_verify: false,
            tls_verify_depth: 1,
            trusted_roots: Arc::new(RootCertStore::empty()),
            plugin_panics: PluginPanics::default(),
            client_certificate: None,
            access_log: None,
            instrumentations: Instrumentations::default(),
        }
    }
}

impl ProxySettings {
    /// The port that clients see for a listener's port.
    pub fn visible_port(&self, listener: u16) -> u16 {
        match self.port_maps.is_empty() {
            true => listener,
            false => self.port_maps.get(&listener).copied().unwrap_or(listener),
        }
    }
}

/// Which of the gateway's own headers a response gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseTokens {
    pub server: bool,
    pub via: bool,
    pub proxy_latency: bool,
    pub upstream_latency: bool,
    pub response_latency: bool,
    pub upstream_status: bool,
    pub request_id: bool,
}

impl ResponseTokens {
    pub const NONE: ResponseTokens = ResponseTokens {
        server: false,
        via: false,
        proxy_latency: false,
        upstream_latency: false,
        response_latency: false,
        upstream_status: false,
        request_id: false,
    };

    /// From the words of the `headers` setting, whatever their case. `off` counts only when
    /// it stands alone; words for other responses are skipped.
    pub fn from_words<S: AsRef<str>>(words: &[S]) -> ResponseTokens {
        let mut tokens = ResponseTokens::NONE;
        for word in words {
            match word.as_ref().to_ascii_lowercase().as_str() {
                "server_tokens" => (tokens.server, tokens.via) = (true, true),
                "latency_tokens" => {
                    tokens.proxy_latency = true;
                    tokens.upstream_latency = true;
                    tokens.response_latency = true;
                }
                "server" => tokens.server = true,
                "via" => tokens.via = true,
                "x-kong-proxy-latency" => tokens.proxy_latency = true,
                "x-kong-upstream-latency" => tokens.upstream_latency = true,
                "x-kong-response-latency" => tokens.response_latency = true,
                "x-kong-upstream-status" => tokens.upstream_status = true,
                "x-kong-request-id" => tokens.request_id = true,
                _ => {}
            }
        }
        tokens
    }
}

impl Default for ResponseTokens {
    fn default() -> ResponseTokens {
        ResponseTokens::from_words(&["server_tokens", "latency_tokens", "x-kong-request-id"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_choose_headers() {
        let check = |words: &[&str], expected: ResponseTokens| {
            assert_eq!(ResponseTokens::from_words(words), expected, "{words:?}");
        };
        check(&["off"], ResponseTokens::NONE);
        check(&[], ResponseTokens::NONE);
        check(
            &["off", "Via"],
            ResponseTokens {
                via: true,
                ..ResponseTokens::NONE
            },
        );
        check(
            &[
                "Server_Tokens",
                "X-Kong-Upstream-Status",
                "x-kong-admin-latency",
            ],
            ResponseTokens {
                server: true,
                via: true,
                upstream_status: true,
                ..ResponseTokens::NONE
            },
        );
        assert!(!ResponseTokens::default().upstream_status);
        assert!(ResponseTokens::default().request_id);
    }

    #[test]
    fn ports_are_mapped() {
        let settings = ProxySettings {
            port_maps: HashMap::from([(8000, 80)]),
            ..ProxySettings::default()
        };
        assert_eq!(settings.visible_port(8000), 80);
        assert_eq!(settings.visible_port(8443), 8443);
    }
}
