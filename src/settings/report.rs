//! The effective configuration as `GET /` reports it: every key that is set, secrets masked.

use super::Settings;
use super::listen::Listen;
use serde_json::{Map, Value as Json};

impl Settings {
    /// The object `configuration` of `GET /`.
    pub fn report(&self) -> Map<String, Json> {
        let mut object = self.values.masked();
        let listeners = &self.listeners;
        for (name, listens) in [
            ("proxy_listeners", &listeners.proxy[..]),
            ("admin_listeners", &listeners.admin),
            ("admin_gui_listeners", &[]),
            ("stream_listeners", &[]),
            ("status_listeners", &listeners.status),
            ("cluster_listeners", &listeners.cluster),
        ] {
            object.insert(name.to_owned(), listens.iter().map(listener).collect());
        }
        object
    }
}

fn listener(listen: &Listen) -> Json {
    let mut json = serde_json::to_value(listen).unwrap_or_default();
    if let (Json::Object(object), Some(count)) = (&mut json, listen.backlog) {
        // Kong keeps flags with a value under their whole text.
        object.insert(format!("backlog={count}"), Json::from(true));
    }
    json
}
