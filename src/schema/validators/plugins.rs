//! Rules inside the configuration of single plugins.

use super::super::pcre;
use super::super::validate::Scope;
use super::url;
use serde_json::Value;
use std::collections::HashSet;

const PERIODS: [&str; 6] = ["second", "minute", "hour", "day", "month", "year"];

/// `*` or a regular expression.
pub(super) fn cors_origin(text: &str) -> Result<(), String> {
    match text == "*" || pcre::is_valid(text) {
        true => Ok(()),
        false => Err(format!("'{text}' is not a valid regex")),
    }
}

/// Credentials come from one place.
pub(super) fn http_log(config: &Value) -> Result<(), String> {
    let headers = config.get("headers").and_then(Value::as_object);
    let has_authorization = headers.is_some_and(|headers| {
        headers
            .keys()
            .any(|name| name.eq_ignore_ascii_case("authorization"))
    });
    let endpoint = config
        .get("http_endpoint")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if has_authorization && url::parse(endpoint).user_info.is_some() {
        return Err("specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed".to_owned());
    }
    Ok(())
}

pub(super) fn oauth2(config: &Value) -> Result<(), String> {
    const GRANTS: [&str; 4] = [
        "enable_authorization_code",
        "enable_implicit_grant",
        "enable_client_credentials",
        "enable_password_grant",
    ];
    match GRANTS
        .iter()
        .any(|grant| config.get(grant) == Some(&Value::Bool(true)))
    {
        true => Ok(()),
        false => Err(format!(
            "at least one of these fields must be true: {}",
            GRANTS.join(", ")
        )),
    }
}

/// A longer period allows at least as much as a shorter one. The plugins differ in their first word.
pub(super) fn period_limits(config: &Value, the: &str) -> Result<(), String> {
    let limit = |period: &&str| config.get(period).and_then(Value::as_f64);
    let limits: Vec<(&str, f64)> = PERIODS
        .iter()
        .filter_map(|period| Some((*period, limit(period)?)))
        .collect();
    for (at, (shorter, least)) in limits.iter().enumerate() {
        let lower = limits[at..].iter().find(|(_, limit)| limit < least);
        if let Some((longer, limit)) = lower {
            return Err(format!(
                "{the} limit for {longer}({limit:.1}) cannot be lower than the limit for {shorter}({least:.1})"
            ));
        }
    }
    Ok(())
}

pub(super) fn rate_limits(config: &Value) -> Result<(), String> {
    period_limits(config, "The")?;
    let Some(sync_rate) = config.get("sync_rate").and_then(Value::as_f64) else {
        return Ok(());
    };
    if sync_rate == -1.0 {
        return Ok(());
    }
    if config.get("policy").is_none_or(|policy| policy != "redis") {
        return Err("sync_rate can only be used with the redis policy".to_owned());
    }
    match sync_rate < 0.02 {
        true => Err("sync_rate must be greater than 0.02, or -1 to disable".to_owned()),
        false => Ok(()),
    }
}

pub(super) fn request_termination(config: &Value) -> Result<(), String> {
    let set = |name: &str| config.get(name).is_some_and(|value| !value.is_null());
    let echo = config.get("echo") == Some(&Value::Bool(true));
    let (message, content_type, body) = (set("message"), set("content_type"), set("body"));
    let text = if message && (content_type || body) {
        "message cannot be used with content_type or body"
    } else if content_type && !body {
        "content_type requires a body"
    } else if echo && body {
        "echo cannot be used with content_type and body"
    } else {
        return Ok(());
    };
    Err(text.to_owned())
}

/// Names of tags are unique.
pub(super) fn static_tags(tags: &Value, _: &Scope<'_>) -> Result<(), String> {
    let mut names = tags
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|tag| tag.get("name").and_then(Value::as_str));
    let mut seen = HashSet::new();
    match names.find(|name| !seen.insert(*name)) {
        Some(name) => Err(format!("repeated tags are not allowed: {name}")),
        None => Ok(()),
    }
}

/// Prefixes that the plugin keeps for keys of its own.
pub(super) fn redis_namespace(text: &str) -> Result<(), String> {
    const RESERVED: [&str; 4] = [
        "kong_acme:cert_key:",
        "kong_acme:renew_config:",
        "kong_acme:renew_last_run",
        "kong_acme:update_lock",
    ];
    match RESERVED.iter().find(|word| text.starts_with(**word)) {
        Some(word) => Err(format!(
            "namespace can't be prefixed with reserved word: {word}"
        )),
        None => Ok(()),
    }
}

/// The shared memory zones that exist are fixed; `kong` is the one for this purpose.
pub(super) fn shm_name(text: &str) -> Result<(), String> {
    match is_shared_dictionary(text) {
        true => Ok(()),
        false => Err(format!("failed validating: {text}")),
    }
}

/// The names that users of the memory strategies may have configured.
pub(crate) fn is_shared_dictionary(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "kong",
        "kong_locks",
        "kong_healthchecks",
        "kong_cluster_events",
        "kong_rate_limiting_counters",
        "kong_core_db_cache",
        "kong_core_db_cache_miss",
        "kong_db_cache",
        "kong_db_cache_miss",
        "kong_secrets",
        "kong_dns_cache",
        "prometheus_metrics",
    ];
    NAMES.contains(&name)
}
