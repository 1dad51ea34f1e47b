//! The rules between fields that are code.

use super::certificates;
use super::env::{Role, RouterFlavor};
use super::expression;
use super::keys;
use super::validate::Scope;
use super::validators::is_shared_dictionary;
use serde_json::{Map, Value};

/// A rule that the schema file only names by the fields it looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CustomCheck {
    CaCertificate,
    KeyMatches,
    AlternativeKeyMatches,
    KeyTypesDiffer,
    Jwk,
    RouteMatchers,
    AcmeStorage,
    HttpProxy,
    CacheDictionary,
    LogStatistics,
    /// Only ever logged something.
    Nothing,
}

impl CustomCheck {
    pub fn find(owner: &str, sources: &[&str]) -> Option<CustomCheck> {
        Some(match (owner, sources) {
            ("ca_certificates", _) => CustomCheck::CaCertificate,
            ("certificates", ["cert", "key"]) => CustomCheck::KeyMatches,
            ("certificates", ["cert_alt", "key_alt"]) => CustomCheck::AlternativeKeyMatches,
            ("certificates", ["cert", "cert_alt"]) => CustomCheck::KeyTypesDiffer,
            ("keys", _) => CustomCheck::Jwk,
            ("routes", ["path_handling"]) => CustomCheck::Nothing,
            ("routes", _) => CustomCheck::RouteMatchers,
            ("filter_chains", ["filters"]) => CustomCheck::Nothing,
            ("acme", ["config.storage"]) => CustomCheck::AcmeStorage,
            ("aws-lambda", ["config.proxy_url"]) => CustomCheck::HttpProxy,
            ("proxy-cache", ["config"]) => CustomCheck::CacheDictionary,
            (_, ["route_type", "model", "logging"]) => CustomCheck::LogStatistics,
            _ => return None,
        })
    }

    /// The text when the rule is broken.
    pub fn run(self, data: &Map<String, Value>, scope: &Scope<'_>) -> Option<String> {
        let text = |name: &str| data.get(name).and_then(Value::as_str);
        let config = |name: &str| data.get("config").and_then(|config| config.get(name));
        match self {
            CustomCheck::Nothing => None,
            CustomCheck::CaCertificate => certificates::check_ca(text("cert")?, scope.env.now()),
            CustomCheck::KeyMatches => differ(text("cert")?, text("key")?)
                .then_some("certificate does not match key".to_owned()),
            CustomCheck::AlternativeKeyMatches => differ(text("cert_alt")?, text("key_alt")?)
                .then_some("alternative certificate does not match key".to_owned()),
            CustomCheck::KeyTypesDiffer => {
                let first = certificates::public_key(text("cert")?)?;
                let second = certificates::public_key(text("cert_alt")?)?;
                first.same_type(&second).then_some(
                    "certificate and alternative certificate need to have different type (e.g. RSA and ECDSA), the provided certificates were both of the same type"
                        .to_owned(),
                )
            }
            CustomCheck::Jwk => keys::check_jwk(text("jwk")?, data.get("kid")?),
            CustomCheck::RouteMatchers => match scope.env.router_flavor {
                RouterFlavor::Traditional => None,
                _ => expression::check(data)
                    .map(|text| format!("Router Expression failed validation: {text}")),
            },
            CustomCheck::AcmeStorage => match (config("storage")?.as_str()?, scope.env.role) {
                ("shm", Role::ControlPlane) => {
                    Some(r#""shm" storage can't be used in Hybrid mode"#.to_owned())
                }
                ("kong", Role::DbLess) => {
                    Some(r#""kong" storage can't be used with dbless mode"#.to_owned())
                }
                _ => None,
            },
            CustomCheck::HttpProxy => {
                let url = config("proxy_url")?.as_str()?;
                let is_http = url
                    .split_once("://")
                    .is_some_and(|(scheme, _)| scheme == "http");
                (!is_http).then_some("proxy_url scheme must be http".to_owned())
            }
            CustomCheck::CacheDictionary => {
                let name = config("memory")?.get("dictionary_name")?.as_str()?;
                let in_memory = config("strategy").is_some_and(|strategy| strategy == "memory");
                (in_memory && !is_shared_dictionary(name))
                    .then(|| format!("missing shared dict '{name}'"))
            }
            CustomCheck::LogStatistics => {
                let provider = data.get("model")?.get("provider")?.as_str()?;
                let route_type = text("route_type")?;
                let logs = data.get("logging")?.get("log_statistics") == Some(&Value::Bool(true));
                let unsupported = (route_type, provider) == ("llm/v1/completions", "anthropic");
                (logs && unsupported).then(|| {
                    format!(
                        "{provider} does not support statistics when route_type is {route_type}"
                    )
                })
            }
        }
    }
}

/// Whether a certificate and a key, both readable, belong to different pairs.
fn differ(certificate: &str, key: &str) -> bool {
    let certificate = certificates::public_key(certificate);
    let key = keys::private(key).ok();
    certificate != key
}
