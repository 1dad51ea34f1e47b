//! A node without a database: it lives from one declarative document at a time.

use crate::harness::{
    Node, Reply, Upstream, call, closed_address, delete, eventually, free_address, get, post,
    unique_loopback,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tempfile::TempDir;

/// A DB-less node in front of an upstream.
struct DbLess {
    node: Node,
    upstream: Upstream,
    folder: TempDir,
}

impl DbLess {
    fn start(extra: &[(&str, &str)]) -> DbLess {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (ip, upstream) = (unique_loopback(), Upstream::start("echo"));
        let prefix = folder.path().join("node");
        let mut settings = BTreeMap::from([
            ("database".to_owned(), "off".to_owned()),
            ("prefix".to_owned(), prefix.to_string_lossy().into_owned()),
            ("log_level".to_owned(), "debug".to_owned()),
        ]);
        for key in ["admin_listen", "status_listen", "proxy_listen"] {
            settings.insert(key.to_owned(), free_address(ip).to_string());
        }
        for (key, value) in extra {
            settings.insert((*key).to_owned(), (*value).to_owned());
        }
        DbLess {
            node: Node::start(settings),
            upstream,
            folder,
        }
    }

    fn url(&self, listen: &str, path: &str) -> String {
        format!("http://{}{path}", self.node.setting(listen))
    }

    fn admin(&self, path: &str) -> String {
        self.url("admin_listen", path)
    }

    fn restart(&mut self) {
        self.node.kill();
        self.node.restart();
        self.wait_until_up();
    }

    fn wait_until_up(&self) {
        eventually("the Admin API answers", || {
            let reply = get(&self.admin("/status"))?;
            (reply.status == 200).then_some(()).ok_or(reply.text)
        });
    }

    /// A document with one route for each path.
    fn document(&self, paths: &[&str]) -> Value {
        let route = |path: &&str| json!({"name": path.trim_matches('/'), "paths": [path]});
        let routes: Vec<Value> = paths.iter().map(route).collect();
        let url = format!("http://{}", self.upstream.address);
        let service = json!({"name": "s", "url": url, "routes": routes});
        json!({"_format_version": "3.0", "services": [service]})
    }

    fn load(&self, document: &Value, query: &str) -> Reply {
        let body = json!({"config": document.to_string()});
        post(&self.admin(&format!("/config{query}")), &body).expect("an answer")
    }

    fn wait_for(&self, path: &str, status: u16) {
        eventually(&format!("{path} answers {status}"), || {
            let reply = get(&self.url("proxy_listen", path))?;
            match reply.status == status {
                true => Ok(()),
                false => Err(format!("{}: {}", reply.status, reply.text)),
            }
        });
    }
}

#[test]
fn it_serves_what_it_was_given_until_it_is_given_something_else() {
    let mut dbless = DbLess::start(&[]);
    dbless.wait_until_up();
    let not_ready = get(&dbless.url("status_listen", "/status/ready")).expect("an answer");
    assert_eq!(not_ready.status, 503, "{}", not_ready.text);
    let status = get(&dbless.admin("/status")).expect("an answer").json();
    assert_eq!(status["configuration_hash"], "0".repeat(32), "{status}");
    assert!(status.get("database").is_none(), "{status}");
    let root = get(&dbless.admin("/")).expect("an answer").json();
    assert_eq!(root["configuration"]["database"], "off");

    let first = dbless.document(&["/a", "/b"]);
    let loaded = dbless.load(&first, "?check_hash=1").expect(201);
    assert_eq!(
        loaded["routes"].as_object().map(serde_json::Map::len),
        Some(2)
    );
    dbless.wait_for("/a", 200);
    dbless.wait_for("/b", 200);
    assert_eq!(dbless.load(&first, "?check_hash=1").status, 304);
    eventually("it is ready", || {
        let reply = get(&dbless.url("status_listen", "/status/ready"))?;
        (reply.status == 200).then_some(()).ok_or(reply.text)
    });

    // A bad document changes nothing, whatever else is in it.
    let mut bad = dbless.document(&["/c"]);
    bad["services"][0]["routes"][0]["methods"] = json!(["not a method"]);
    bad["plugins"] = json!([{"name": "key-auth", "route": "nowhere"}]);
    let refused = dbless.load(&bad, "?flatten_errors=1").expect(400);
    assert_eq!(refused["code"], 14);
    assert_eq!(
        refused["flattened_errors"][0]["entity_name"], "c",
        "{refused}"
    );
    let lines = refused["description"].to_string();
    assert!(lines.contains("no such entry in 'routes'"), "{lines}");
    dbless.wait_for("/a", 200);
    dbless.wait_for("/c", 404);

    // What is gone from the document is gone from the node, and back after a restart is only
    // what it had last.
    let second = dbless.document(&["/b", "/c"]);
    dbless.load(&second, "").expect(201);
    dbless.wait_for("/c", 200);
    dbless.wait_for("/a", 404);
    dbless.restart();
    dbless.wait_for("/c", 200);
    dbless.wait_for("/a", 404);
    assert_eq!(dbless.load(&second, "?check_hash=1").status, 304);
    let routes = get(&dbless.admin("/routes")).expect("an answer").json();
    assert_eq!(routes["data"].as_array().map(Vec::len), Some(2));

    // The dump is a document that declares the same.
    let dump = get(&dbless.admin("/config"))
        .expect("an answer")
        .expect(200);
    let text = dump["config"].as_str().expect("a text").to_owned();
    let hash = |dbless: &DbLess| {
        get(&dbless.admin("/status")).expect("an answer").json()["configuration_hash"].clone()
    };
    let before = hash(&dbless);
    let same = post(&dbless.admin("/config"), &json!({ "config": text })).expect("an answer");
    same.expect(201);
    assert_eq!(hash(&dbless), before);
}

#[test]
fn everything_else_is_read_only() {
    let dbless = DbLess::start(&[]);
    dbless.wait_until_up();
    dbless.load(&dbless.document(&["/a"]), "").expect(201);
    let refused = |method: &str, path: &str, body: Option<Value>, status: u16, text: &str| {
        let reply = call(method, &dbless.admin(path), &[], body.as_ref()).expect("an answer");
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text);
        assert!(reply.text.contains(text), "{method} {path}: {}", reply.text);
    };
    let service = || Some(json!({"host": "h"}));
    let text = "cannot create 'services' entities when not using a database";
    refused("POST", "/services", service(), 405, text);
    let text = "cannot create or update 'services' entities by 'name' when not using a database";
    refused("PUT", "/services/s", service(), 405, text);
    let text = "cannot update 'services' entities by 'name' when not using a database";
    refused("PATCH", "/services/s", service(), 405, text);
    let text = "cannot remove 'services' entities by 'name' when not using a database";
    refused("DELETE", "/services/s", None, 405, text);
    refused(
        "POST",
        "/services",
        Some(json!({"host": 1})),
        400,
        "expected a string",
    );
    refused(
        "POST",
        "/services/s/routes",
        Some(json!({"paths": ["/"]})),
        405,
        "cannot create 'routes'",
    );
    refused(
        "PUT",
        "/debug/node/log-level/info",
        None,
        405,
        "cannot change log level",
    );
    let gone = delete(&dbless.admin("/services/nope")).expect("an answer");
    assert_eq!(gone.status, 204);
    let kept = get(&dbless.admin("/services/s"))
        .expect("an answer")
        .expect(200);
    assert_ne!(kept["host"], "h");
}

/// As in Kong, a page that is full says that there is another one, and so does the first of tags.
#[test]
fn lists_end_with_an_empty_page() {
    let dbless = DbLess::start(&[]);
    dbless.wait_until_up();
    let mut document = dbless.document(&["/a"]);
    document["services"][0]["tags"] = json!(["t"]);
    document["consumers"] = json!([{"username": "c", "keyauth_credentials": [{"key": "k"}]}]);
    dbless.load(&document, "").expect(201);
    let read = |path: &str| get(&dbless.admin(path)).expect("an answer").expect(200);
    for (first, found) in [
        ("/services?size=1", 1),
        ("/services?tags=t&size=1", 1),
        ("/tags", 1),
    ] {
        let page = read(first);
        assert_eq!(
            page["data"].as_array().map(Vec::len),
            Some(found),
            "{first}"
        );
        let next = page["next"]
            .as_str()
            .unwrap_or_else(|| panic!("{first}: {page}"));
        let last = read(next);
        assert_eq!(
            (&last["data"], &last["next"]),
            (&json!([]), &Value::Null),
            "{next}"
        );
    }
    assert_eq!(read("/services?tags=other")["data"], json!([]));
    assert_eq!(read("/services")["next"], Value::Null);
    let key = &read("/key-auths")["data"][0];
    assert_eq!((&key["key"], key.get("ttl")), (&json!("k"), None));
}

#[test]
fn a_file_is_what_it_starts_with() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("kong.yml");
    let path = file.to_string_lossy().into_owned();
    let closed = closed_address();
    let yaml = format!(
        "_format_version: '3.0'\nservices:\n- {{name: s, url: 'http://{closed}', routes: [{{name: r, paths: [/r]}}]}}\n"
    );
    std::fs::write(&file, &yaml).expect("a file");
    let mut dbless = DbLess::start(&[("declarative_config", &path)]);
    dbless.wait_until_up();
    dbless.wait_for("/r", 502);
    let body = json!({ "config": yaml });
    let same = post(&dbless.admin("/config?check_hash=1"), &body).expect("an answer");
    assert_eq!(same.status, 304);
    dbless.load(&dbless.document(&["/posted"]), "").expect(201);
    dbless.wait_for("/posted", 200);
    dbless.wait_for("/r", 404);

    // A restart is back at the file, and a file that is wrong is no start.
    dbless.restart();
    dbless.wait_for("/r", 502);
    dbless.wait_for("/posted", 404);
    dbless.node.kill();
    std::fs::write(
        &file,
        "_format_version: '3.0'\nservices: [{host: 1}]\nnope: []",
    )
    .expect("a file");
    dbless.node.restart();
    assert_eq!(dbless.node.ended(), Some(78));
    let log = dbless.node.log().join("\n");
    for text in [
        "declarative_config",
        "host: expected a string",
        "nope: unknown field",
    ] {
        assert!(log.contains(text), "{text}: {log}");
    }
    drop(dbless.folder);
}

#[test]
fn trial_12_an_echo_tells_which_node_saw_the_request() {
    let dbless = DbLess::start(&[]);
    dbless.wait_until_up();
    let mut document = dbless.document(&["/echo"]);
    document["services"][0]["routes"][0]["plugins"] =
        json!([{"name": "request-termination", "config": {"echo": true, "status_code": 418}}]);
    dbless.load(&document, "").expect(201);
    dbless.wait_for("/echo", 418);
    let reply = get(&dbless.url("proxy_listen", "/echo?a=1")).expect("an answer");
    let echo = reply.json();
    let root = get(&dbless.admin("/")).expect("an answer").json();
    assert_eq!(echo["kong"]["node_id"], root["node_id"], "{echo}");
    assert_eq!(echo["kong"]["hostname"], root["hostname"], "{echo}");
    assert_eq!(echo["request"]["query"], json!({"a": "1"}), "{echo}");

    // Route and service are told as the Admin API has them, but for the fields without a value.
    for (told, path) in [
        ("matched_route", "/routes/echo"),
        ("matched_service", "/services/s"),
    ] {
        let shown = get(&dbless.admin(path)).expect("an answer").json();
        let fields = shown.as_object().expect("an object").iter();
        for (field, value) in fields.filter(|(_, value)| !value.is_null()) {
            assert_eq!(echo[told].get(field), Some(value), "{told} {field}");
        }
    }
}

/// A document with one route `/f` whose functions these are.
fn with_functions(dbless: &DbLess, config: Value) -> Value {
    let mut document = dbless.document(&["/f"]);
    let functions = json!([{"name": "pre-function", "config": config}]);
    document["services"][0]["routes"][0]["plugins"] = functions;
    document
}

#[test]
fn functions_answer_and_change_responses() {
    let dbless = DbLess::start(&[]);
    dbless.wait_until_up();
    let document = with_functions(
        &dbless,
        json!({
            "access": [
                "ngx.sleep(0.01) local n = kong.request.get_query_arg('n')
                 if n == 'error' then error('boom') end
                 if n then kong.response.exit(418, {n = n}) end
                 if kong.request.get_method() == 'POST' then kong.service.request.set_raw_body('other') end",
            ],
            "header_filter": ["kong.response.set_header('X-Source', kong.response.get_source())"],
            "body_filter": ["ngx.arg[1] = ngx.arg[1]:upper()"],
            "log": ["kong.log.err('said in log: ', kong.request.get_path())"],
        }),
    );
    dbless.load(&document, "").expect(201);
    dbless.wait_for("/f", 200);
    let ask = |query: &str| get(&dbless.url("proxy_listen", &format!("/f{query}"))).expect("one");
    let reply = ask("?n=7");
    assert_eq!((reply.status, reply.text.as_str()), (418, r#"{"N":"7"}"#));
    assert_eq!(reply.header("x-source"), Some("exit"));
    let reply = ask("?x=1");
    assert_eq!(reply.header("x-source"), Some("service"));
    assert!(reply.text.contains("ECHO"), "{}", reply.text);
    let url = dbless.url("proxy_listen", "/f");
    let sent = json!({"a": "longer than what is sent in its place"});
    let reply = post(&url, &sent).expect("an answer");
    assert!(reply.text.ends_with("\nOTHER"), "{}", reply.text);
    assert_eq!(ask("?n=error").status, 500);
    eventually("the log phase has spoken, and the error is told", || {
        let log = dbless.node.log().join("\n");
        let told = ["said in log: /f", ":2: boom"]
            .iter()
            .all(|text| log.contains(text));
        told.then_some(()).ok_or(log)
    });
    let metrics = get(&dbless.url("status_listen", "/metrics"))
        .expect("metrics")
        .text;
    let counted = r#"langur_lua_errors_total{plugin="pre-function"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn functions_do_not_run_where_none_are_allowed() {
    let dbless = DbLess::start(&[("untrusted_lua", "off")]);
    dbless.wait_until_up();
    let document = with_functions(&dbless, json!({"access": ["kong.response.exit(200)"]}));
    dbless.load(&document, "").expect(201);
    // The route is closed: the function might have been a guard.
    dbless.wait_for("/f", 503);
    eventually("the log says why", || {
        let log = dbless.node.log().join("\n");
        log.contains("setting 'untrusted_lua'")
            .then_some(())
            .ok_or(log)
    });
}
