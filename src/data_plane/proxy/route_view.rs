//! What plugins may ask about the route of a request.

use crate::data_plane::router::Matched;
use crate::model::Row;
use crate::plugins::{Captures, RouteView, WORKSPACE};
use serde_json::{Map, Value};

impl RouteView for Matched {
    fn captures(&self, path: &str) -> Captures {
        let Some(found) = Matched::captures(self, path) else {
            return Captures::default();
        };
        let unnamed = found.iter().skip(1).flatten();
        let named = self.capture_names().filter_map(|name| {
            let text = found.name(name)?.as_str();
            Some((name.to_owned(), text.to_owned()))
        });
        Captures {
            unnamed: unnamed.map(|group| group.as_str().to_owned()).collect(),
            named: named.collect(),
        }
    }

    fn captured(&self, path: &str) -> Option<String> {
        path.get(self.matched_path()?).map(str::to_owned)
    }

    fn stripped_prefix<'p>(&self, path: &'p str) -> Option<&'p str> {
        self.stripped(path)
    }

    fn upstream_path(&self, path: &str) -> Vec<u8> {
        let mut out = Vec::new();
        self.upstream_uri(path, None, &mut out);
        out
    }

    fn route(&self) -> Map<String, Value> {
        document(&self.route.row)
    }

    fn service(&self) -> Option<Map<String, Value>> {
        self.service.as_ref().map(|service| document(&service.row))
    }
}

/// An entity as Kong tells it to plugins: what has a value, and the workspace.
fn document(row: &Row) -> Map<String, Value> {
    // What is in effect could be read before.
    let mut document = row.to_json().unwrap_or_default();
    document.insert("ws_id".to_owned(), WORKSPACE.into());
    document
}
