//! A data plane as its own status listener describes it.

use crate::cli::CliError;
use crate::cli::ask::Listener;
use serde_json::{Value, json};
use std::time::Instant;

/// What a data plane says of itself.
#[derive(Debug, PartialEq)]
pub struct DataPlane {
    /// `ready`, or why not.
    ready: Result<(), String>,
    connected: bool,
    /// `epoch.revision` of what is in effect and of what a restart would begin with.
    live: Option<String>,
    persisted: Option<String>,
    config_hash: Option<String>,
    /// As `GET /quarantine` lists it.
    quarantined: Vec<Value>,
}

impl DataPlane {
    /// Asks for readiness and for the state of its actors.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn ask(status: &Listener, deadline: Instant) -> Result<DataPlane, CliError> {
        let ready = status.ask("/status/ready", deadline)?;
        let actors = status.ask("/debug/actors", deadline)?;
        let quarantine = status.ask("/quarantine", deadline)?;
        let message = ready.message().unwrap_or_else(|| "no message".to_owned());
        Ok(DataPlane::of(
            match ready.status {
                200 => Ok(()),
                _ => Err(message),
            },
            &actors.json(),
            &quarantine.json(),
        ))
    }

    fn of(ready: Result<(), String>, actors: &Value, quarantine: &Value) -> DataPlane {
        let list = actors["actors"].as_array();
        let state = |name: &str| {
            let found = list
                .into_iter()
                .flatten()
                .find(|actor| actor["name"] == name);
            found.map_or(Value::Null, |actor| actor["state"].clone())
        };
        let (link, router) = (state("HeartbeatClient"), state("Router"));
        let text = |value: &Value| value.as_str().map(str::to_owned);
        DataPlane {
            ready,
            connected: link["phase"] == "live",
            live: text(&link["live"]),
            persisted: text(&link["persisted"]),
            config_hash: text(&router["config_hash"]),
            quarantined: quarantine["data"].as_array().cloned().unwrap_or_default(),
        }
    }

    /// What is not as it should be, if anything.
    pub fn trouble(&self) -> Option<String> {
        let mut parts = Vec::new();
        if let Err(why) = &self.ready {
            parts.push(format!("not ready: {why}"));
        }
        if !self.connected {
            parts.push("not connected to a control plane".to_owned());
        }
        if !self.quarantined.is_empty() {
            parts.push(format!("{} entities quarantined", self.quarantined.len()));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    pub fn json(&self) -> Value {
        json!({
            "ready": self.ready.is_ok(),
            "reason": self.ready.as_ref().err(),
            "connected": self.connected,
            "live": self.live,
            "persisted": self.persisted,
            "config_hash": self.config_hash,
            "quarantined": self.quarantined,
        })
    }

    pub fn text(&self) -> String {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let ready = match &self.ready {
            Ok(()) => "ready".to_owned(),
            Err(why) => format!("not ready: {why}"),
        };
        let link = match self.connected {
            true => "connected",
            false => "not connected",
        };
        let mut text = format!(
            "data plane     {ready}\n\
             control plane  {link}\n\
             in effect      {}\n\
             on disk        {}\n\
             config hash    {}\n\
             quarantined    {}\n",
            or_dash(&self.live),
            or_dash(&self.persisted),
            or_dash(&self.config_hash),
            self.quarantined.len(),
        );
        for entry in &self.quarantined {
            let text_of = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
            let name = entry["name"].as_str().unwrap_or_default();
            let name = if name.is_empty() {
                String::new()
            } else {
                format!(" ({name})")
            };
            text.push_str(&format!(
                "\nquarantined: {}/{}{name}: {}; in effect: {}\n",
                text_of("entity"),
                text_of("id"),
                text_of("reason"),
                text_of("in_effect"),
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_and_what_is_wrong() {
        let actors = json!({"actors": [
            {"name": "Router", "state": {"config_hash": "abc"}},
            {"name": "HeartbeatClient", "state": {"phase": "waiting", "live": "1.7", "persisted": "1.6"}},
        ]});
        let quarantine = json!({"total": 2, "data": [
            {"entity": "plugins", "id": "p", "name": "jwt", "reason": "not here", "in_effect": "nothing"},
            {"entity": "routes", "id": "r", "name": null, "reason": "unguarded", "in_effect": "closed"},
        ]});
        let node = DataPlane::of(Err("no configuration".to_owned()), &actors, &quarantine);
        assert_eq!(
            node.trouble().as_deref(),
            Some(
                "not ready: no configuration, not connected to a control plane, 2 entities quarantined"
            )
        );
        assert_eq!(
            node.text(),
            "data plane     not ready: no configuration\n\
             control plane  not connected\n\
             in effect      1.7\n\
             on disk        1.6\n\
             config hash    abc\n\
             quarantined    2\n\
             \nquarantined: plugins/p (jwt): not here; in effect: nothing\n\
             \nquarantined: routes/r: unguarded; in effect: closed\n"
        );
        let well = json!({"actors": [{"name": "HeartbeatClient", "state": {"phase": "live"}}]});
        let node = DataPlane::of(Ok(()), &well, &json!({"total": 0, "data": []}));
        assert_eq!(node.trouble(), None);
        assert_eq!(node.json()["connected"], true);
        assert_eq!(node.json()["live"], Value::Null);
    }
}
