//! `/debug/…/log-level`: the log level of this node, or of all control planes on its database.

use super::error::ApiError;
use super::request::Body;
use super::shared::Shared;
use crate::settings::{LogControl, LogLevel};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

/// How long a change lasts that does not say so, as in Kong.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What one control plane tells the others.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    from: Uuid,
    log_level: String,
    /// Seconds; 0 is until the next change.
    timeout: u64,
}

/// `GET /debug/node/log-level`.
pub fn show(shared: &Shared) -> String {
    format!("log level: {}", shared.log.level().as_str())
}

/// `PUT …/log-level/{level}?timeout=`: the answer's message.
///
/// # Errors
/// An unknown level or an impossible timeout; the others could not be told. As in Kong, a node
/// without a database has the level of its settings.
pub async fn set(
    shared: &Shared,
    name: &str,
    everywhere: bool,
    arguments: &[(String, String)],
    body: &Body,
) -> Result<String, ApiError> {
    if shared.api.document.is_some() {
        let why = "cannot change log level when not using a database";
        return Err(ApiError::NotAllowed(why));
    }
    let unknown = || ApiError::BadRequest(format!("unknown log level: {name}"));
    let level = LogLevel::parse(name).ok_or_else(unknown)?;
    let timeout = timeout(arguments, body)?;
    if everywhere {
        let order = Order {
            from: shared.node.id,
            log_level: name.to_owned(),
            timeout: timeout.as_secs(),
        };
        let text = serde_json::to_string(&order).map_err(|_| ApiError::Internal)?;
        shared.api.store.store().tell(&text).await?;
    }
    Ok(match change(&shared.log, level, timeout) {
        true => "log level changed".to_owned(),
        false => format!("log level is already {name}"),
    })
}

/// Does what other control planes on this database say, for as long as notices come.
pub async fn follow(mut notices: Receiver<String>, log: LogControl, own: Uuid) {
    loop {
        let notice = match notices.recv().await {
            Ok(notice) => notice,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        let Ok(order) = serde_json::from_str::<Order>(&notice) else {
            tracing::debug!("a notice of another version is skipped");
            continue;
        };
        if let (Some(level), true) = (LogLevel::parse(&order.log_level), order.from != own) {
            change(&log, level, Duration::from_secs(order.timeout));
        }
    }
}

/// Changes the level, for a while unless the timeout is zero; false when it is there already.
fn change(log: &LogControl, level: LogLevel, timeout: Duration) -> bool {
    let Some(change) = log.set(level) else {
        return false;
    };
    if !timeout.is_zero() {
        let log = log.clone();
        actix_rt::spawn(async move {
            tokio::time::sleep(timeout).await;
            log.end(change);
        });
    }
    true
}

/// Whole seconds, from the query or else the body.
fn timeout(arguments: &[(String, String)], body: &Body) -> Result<Duration, ApiError> {
    let first = |pairs: &[(String, String)]| {
        let found = pairs.iter().find(|(name, _)| name == "timeout");
        found.map(|(_, value)| value.clone())
    };
    let in_body = || match body {
        Body::None => None,
        Body::Form(pairs) => first(pairs),
        Body::Json(fields) => fields.get("timeout").map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }),
    };
    let Some(text) = first(arguments).or_else(in_body) else {
        return Ok(TIMEOUT);
    };
    let seconds = text.parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| (0.0..=f64::from(u32::MAX)).contains(seconds));
    let wrong =
        || ApiError::BadRequest("timeout must be a number of seconds, 0 or more".to_owned());
    Ok(Duration::from_secs(seconds.ok_or_else(wrong)? as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn timeouts() {
        let check = |query: Option<&str>, body: Body, expected: Option<u64>| {
            let arguments: Vec<_> = query
                .map(|text| ("timeout".to_owned(), text.to_owned()))
                .into_iter()
                .collect();
            let found = timeout(&arguments, &body).ok().map(|found| found.as_secs());
            assert_eq!(found, expected, "{query:?} {body:?}");
        };
        let json =
            |value: Value| Body::Json(json!({ "timeout": value }).as_object().cloned().unwrap());
        let form = |text: &str| Body::Form(vec![("timeout".to_owned(), text.to_owned())]);
        check(None, Body::None, Some(60));
        check(Some("0"), Body::None, Some(0));
        check(Some("1.9"), Body::None, Some(1));
        check(Some("5"), form("7"), Some(5));
        check(None, form("7"), Some(7));
        check(None, json(json!(8)), Some(8));
        check(None, json(json!("9")), Some(9));
        for wrong in ["-1", "soon", "", "NaN", "inf", "1e300"] {
            check(Some(wrong), Body::None, None);
        }
        check(None, json(json!({})), None);
    }
}
