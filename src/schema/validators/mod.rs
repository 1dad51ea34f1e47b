//! The validators that the schema file refers to by name.

mod address;
mod headers;
mod path;
mod plugins;
mod text;
pub(super) mod url;

use super::certificates;
use super::keys;
use super::validate::Scope;
use serde_json::Value;

pub use address::{normalize_host_port, normalize_target};
pub use path::migrate_old_path;
pub(super) use plugins::is_shared_dictionary;

/// A rule that is code. The names are those of the schema file; the ones it only marks as
/// custom are told apart by where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validator {
    Tag,
    Utf8Name,
    Host,
    HostWithOptionalPort,
    WildcardHost,
    Sni,
    Ip,
    IpOrCidr,
    Path,
    RouterPath,
    HeaderName,
    CookieName,
    Url,
    Certificate,
    Key,
    Pem,
    RouteHost,
    Target,
    UpstreamName,
    RedirectUri,
    RsaPublicKey,
    CorsOrigin,
    HttpLog,
    OAuth2,
    RateLimits,
    PeriodLimits,
    RequestTermination,
    TransformerHeader,
    TransformerRename,
    TransformerTemplate,
    StaticTags,
    RedisNamespace,
    ShmName,
    /// Of a field that holds Lua.
    LuaCode,
    /// Of the plugin of that name, whose fields are Lua.
    LuaFunction(&'static str),
}

impl Validator {
    /// The validator behind a name; `None` for one without effect here.
    ///
    /// # Errors
    /// The name, when nobody knows it at that place.
    pub fn find(
        name: &str,
        kind: &str,
        owner: &str,
        path: &str,
    ) -> Result<Option<Validator>, String> {
        Ok(Some(match name {
            "@tag" => Validator::Tag,
            "@utf8_name" => Validator::Utf8Name,
            "@host" => Validator::Host,
            "@host_with_optional_port" => Validator::HostWithOptionalPort,
            "@wildcard_host" => Validator::WildcardHost,
            "@sni" => Validator::Sni,
            "@ip" => Validator::Ip,
            "@ip_or_cidr" => Validator::IpOrCidr,
            "@path" => Validator::Path,
            "@router_path" => Validator::RouterPath,
            "@header_name" => Validator::HeaderName,
            "@cookie_name" => Validator::CookieName,
            "@url" => Validator::Url,
            "@certificate" => Validator::Certificate,
            "@key" => Validator::Key,
            "@pem" => Validator::Pem,
            "@lua_code" => Validator::LuaCode,
            "@custom" | "<fn>" => return Validator::find_custom(kind, owner, path),
            unknown => return Err(unknown.to_owned()),
        }))
    }

    fn find_custom(kind: &str, owner: &str, path: &str) -> Result<Option<Validator>, String> {
        let last = path.rsplit_once('.').map_or(path, |(_, last)| last);
        Ok(Some(match (kind, owner, path) {
            ("entities", "routes", "hosts[]") | ("plugins", "acme", "config.domains[]") => {
                Validator::RouteHost
            }
            ("entities", "targets", "target") => Validator::Target,
            ("entities", "upstreams", "name") => Validator::UpstreamName,
            ("entities", "oauth2_credentials", "redirect_uris[]") => Validator::RedirectUri,
            ("entities", "jwt_secrets", "rsa_public_key") => Validator::RsaPublicKey,
            ("plugins", "acme", "config.storage_config.shm.shm_name") => Validator::ShmName,
            ("plugins", "acme", "config.storage_config.redis.extra_options.namespace") => {
                Validator::RedisNamespace
            }
            ("plugins", "cors", "config.origins[]") => Validator::CorsOrigin,
            ("plugins", "http-log", "config") => Validator::HttpLog,
            ("plugins", "oauth2", "config") => Validator::OAuth2,
            ("plugins", "rate-limiting", "config") => Validator::RateLimits,
            ("plugins", "response-ratelimiting", "config.limits{}") => Validator::PeriodLimits,
            ("plugins", "request-termination", "config") => Validator::RequestTermination,
            ("plugins", "response-transformer", "config.rename.headers[]") => {
                Validator::TransformerRename
            }
            ("plugins", "request-transformer", "config.rename.headers[]") => {
                Validator::TransformerRename
            }
            ("plugins", "request-transformer", _) if last == "headers[]" => {
                Validator::TransformerHeader
            }
            ("plugins", "request-transformer", _) => Validator::TransformerTemplate,
            ("plugins", "zipkin", "config.static_tags") => Validator::StaticTags,
            ("plugins", "pre-function", _) => Validator::LuaFunction("pre-function"),
            ("plugins", "post-function", _) => Validator::LuaFunction("post-function"),
            // The element types say it all; shared dictionaries are not ours.
            ("plugins", "opentelemetry", "config.resource_attributes")
            | ("plugins", "prometheus", "config") => return Ok(None),
            _ => return Err(format!("of {kind}/{owner} at {path}")),
        }))
    }

    /// Checks a value that has the right type.
    ///
    /// # Errors
    /// The violation's text.
    pub fn check(self, value: &Value, scope: &Scope<'_>) -> Result<(), String> {
        if let Some(text) = value.as_str() {
            return self.check_text(text);
        }
        match self {
            Validator::Pem => keys::check_pem(value),
            Validator::HttpLog => plugins::http_log(value),
            Validator::OAuth2 => plugins::oauth2(value),
            Validator::RateLimits => plugins::rate_limits(value),
            Validator::PeriodLimits => plugins::period_limits(value, "the"),
            Validator::RequestTermination => plugins::request_termination(value),
            Validator::StaticTags => plugins::static_tags(value, scope),
            _ => Ok(()),
        }
    }

    fn check_text(self, value: &str) -> Result<(), String> {
        match self {
            Validator::Tag => text::tag(value),
            Validator::Utf8Name => text::utf8_name(value),
            Validator::Host => address::host(value),
            Validator::HostWithOptionalPort => address::host_with_optional_port(value),
            Validator::WildcardHost => address::wildcard_host(value),
            Validator::Sni => address::sni(value),
            Validator::Ip => address::ip(value),
            Validator::IpOrCidr => address::ip_or_cidr(value),
            Validator::RouteHost => address::route_host(value),
            Validator::Target => address::target(value),
            Validator::UpstreamName => address::upstream_name(value),
            Validator::Path => path::path(value),
            Validator::RouterPath => path::router_path(value),
            Validator::HeaderName => headers::header_name(value),
            Validator::CookieName => headers::cookie_name(value),
            Validator::Url => url::check(value),
            Validator::RedirectUri => url::redirect_uri(value),
            Validator::Certificate => certificates::check(value),
            Validator::Key => keys::check_private(value),
            Validator::RsaPublicKey => keys::check_public(value),
            Validator::CorsOrigin => plugins::cors_origin(value),
            Validator::TransformerHeader => headers::transformer_header(value),
            Validator::TransformerRename => headers::renamed_header(value),
            Validator::TransformerTemplate => headers::key_value(value),
            Validator::RedisNamespace => plugins::redis_namespace(value),
            Validator::ShmName => plugins::shm_name(value),
            Validator::LuaCode => text::lua_code(value),
            Validator::LuaFunction(plugin) => text::lua_function(plugin, value),
            _ => Ok(()),
        }
    }
}
