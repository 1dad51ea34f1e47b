//! A node of both planes: what is written at its Admin API is in effect at its proxy.

use super::{Backend, Node, call, eventually, free_address, get, post, unique_loopback};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;

/// A node of both planes.
pub struct Both {
    pub node: Node,
    _folder: TempDir,
}

impl Both {
    pub fn start() -> Both {
        Both::start_with(|_| BTreeMap::new())
    }

    /// The same, with settings that may speak of files in its folder.
    pub fn start_with(extra: impl FnOnce(&Path) -> BTreeMap<String, String>) -> Both {
        let folder = tempfile::tempdir().expect("a folder");
        let ip = unique_loopback();
        let mut settings: BTreeMap<String, String> = BTreeMap::new();
        for key in ["proxy_listen", "admin_listen", "status_listen"] {
            settings.insert(key.into(), free_address(ip).to_string());
        }
        let prefix = folder.path().to_string_lossy().into_owned();
        settings.insert("role".into(), "traditional".into());
        settings.insert("prefix".into(), prefix);
        settings.extend(extra(folder.path()));
        let both = Both {
            node: Node::start(settings),
            _folder: folder,
        };
        eventually("the node is ready", || {
            match get(&both.url("status_listen", "/status/ready"))?.status {
                200 => Ok(()),
                other => Err(other.to_string()),
            }
        });
        both
    }

    pub fn url(&self, listen: &str, path: &str) -> String {
        format!("http://{}{path}", self.node.setting(listen))
    }

    pub fn admin(&self, path: &str) -> String {
        self.url("admin_listen", path)
    }

    pub fn proxy(&self, path: &str) -> (u16, String) {
        let reply = get(&self.url("proxy_listen", path)).expect("an answer");
        (reply.status, reply.text)
    }

    /// Waits until what was written last is in effect.
    pub fn settle(&self) {
        let status = get(&self.admin("/status")).expect("an answer");
        let newest = status.header("x-langur-revision").expect("a revision");
        let newest: u64 = newest.parse().expect("a number");
        eventually("the last write is in effect", || {
            let page = get(&self.url("status_listen", "/debug/actors"))?.json();
            let actors = page["actors"].as_array().cloned().unwrap_or_default();
            let router = actors.iter().find(|actor| actor["name"] == "Router");
            let revision = router.and_then(|router| router["state"]["revision"].as_u64());
            let there = revision == Some(newest);
            there.then_some(()).ok_or(format!("{newest}: {page}"))
        });
    }

    /// The states of an upstream's targets by their address, all writes being in effect.
    pub fn health(&self, upstream: &str) -> BTreeMap<String, String> {
        self.settle();
        let page = get(&self.admin(&format!("/upstreams/{upstream}/health")));
        let page = page.expect("an answer").expect(200);
        let rows = page["data"].as_array().expect("a list");
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        rows.iter()
            .map(|row| (text(row, "target"), text(row, "health")))
            .collect()
    }

    /// Waits for a state of a target.
    #[track_caller]
    pub fn wait_for_health(&self, upstream: &str, target: &str, state: &str) {
        eventually(&format!("{target} of {upstream} is {state}"), || match self
            .health(upstream)
            .get(target)
        {
            Some(found) if found == state => Ok(()),
            found => Err(format!("{found:?}")),
        });
    }

    #[track_caller]
    pub fn patch(&self, path: &str, change: &Value) {
        let reply = call("PATCH", &self.admin(path), &[], Some(change));
        reply.expect("an answer").expect(200);
    }

    pub fn put(&self, path: &str) -> (u16, Value) {
        let reply = call("PUT", &self.admin(path), &[], None).expect("an answer");
        (reply.status, reply.json())
    }
}

/// An upstream with targets behind `/{name}`.
pub fn balanced(admin: impl Fn(&str) -> String, name: &str, checks: &Value, targets: &[&Backend]) {
    let make = |path: &str, entity: Value| {
        post(&admin(path), &entity).expect("an answer").expect(201);
    };
    make("/upstreams", json!({"name": name, "healthchecks": checks}));
    for target in targets {
        let entity = json!({"target": target.address.to_string()});
        make(&format!("/upstreams/{name}/targets"), entity);
    }
    make(
        "/services",
        json!({"name": name, "host": name, "retries": 0}),
    );
    let route = json!({"name": name, "paths": [format!("/{name}")]});
    make(&format!("/services/{name}/routes"), route);
}

pub fn add_target(both: &Both, upstream: &str, address: SocketAddr) {
    let target = json!({"target": address.to_string()});
    let path = both.admin(&format!("/upstreams/{upstream}/targets"));
    post(&path, &target).expect("an answer").expect(201);
}

/// Probes that decide at once, unless the machine is busy, with these fields beside.
pub fn active(fields: Value) -> Value {
    let mut active = json!({
        "timeout": 60,
        "healthy": {"interval": 0.05, "successes": 1},
        "unhealthy": {"interval": 0.05, "tcp_failures": 1, "http_failures": 1, "timeouts": 1},
    });
    merge(&mut active, fields);
    json!({ "active": active })
}

/// Puts members into an object, and into the objects in it.
pub fn merge(into: &mut Value, fields: Value) {
    match (into, fields) {
        (Value::Object(into), Value::Object(fields)) => {
            for (name, value) in fields {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, value) => *into = value,
    }
}
