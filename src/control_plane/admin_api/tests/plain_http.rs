//! Methods, headers and the answers that concern no entity.

use super::support::{Admin, request};
use crate::control_plane::admin_api::AnswerHeaders;
use crate::control_plane::config_store::{BatchKey, Count, Dimensions};
use crate::schema::Role;
use crate::settings::Pages;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

#[actix::test]
async fn what_is_not_there_is_404() {
    let admin = Admin::start().await;
    for path in [
        "/nope",
        "/services/nope",
        "/services/00000000-0000-4000-8000-000000000001",
        "/services/nope/routes",
        "/services//s",
        "//services",
        "/services/./s",
        "/services/%ff",
        "/default/services",
        "/targets",
        "/snis/a.test/certificate",
        "/upstreams/u/targets/1.2.3.4:80/healthy",
        "/cache/services:s",
    ] {
        let seen = admin.get(path).await;
        assert_eq!(
            (seen.status, seen.body),
            (404, json!({"message": "Not found"})),
            "{path}"
        );
    }
    assert_eq!(admin.ask("OPTIONS", "/nope", None).await.status, 404);
}

#[actix::test]
async fn other_methods_are_405() {
    let admin = Admin::start().await;
    for (method, path) in [
        ("PUT", "/services"),
        ("DELETE", "/services"),
        ("POST", "/services/s"),
        ("POST", "/"),
        ("DELETE", "/"),
        ("PATCH", "/endpoints"),
        ("POST", "/status"),
        ("POST", "/tags/a"),
        ("GET", "/schemas/services/validate"),
        ("GET", "/cache"),
        ("FOO", "/services"),
    ] {
        let seen = admin.ask(method, path, None).await;
        let expected = (405, json!({"message": "Method not allowed"}));
        assert_eq!((seen.status, seen.body), expected, "{method} {path}");
    }
}

#[actix::test]
async fn options_lists_the_methods() {
    let admin = Admin::start().await;
    for (path, methods) in [
        ("/", "GET, HEAD, OPTIONS"),
        ("/services", "GET, HEAD, OPTIONS, POST"),
        ("/services/s", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/services/s/routes", "GET, HEAD, OPTIONS, POST"),
        (
            "/routes/r/service",
            "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
        ),
        ("/tags", "GET, HEAD, OPTIONS, POST"),
        ("/tags/a", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/schemas/services/validate", "OPTIONS, POST"),
        ("/cache", "DELETE, OPTIONS"),
        ("/timers", "GET, HEAD, OPTIONS"),
        ("/debug/node/log-level/info", "OPTIONS, PUT"),
    ] {
        let seen = admin.ask("OPTIONS", path, None).await;
        assert_eq!((seen.status, &seen.body), (204, &Value::Null), "{path}");
        assert_eq!(seen.header("allow"), Some(methods), "{path}");
        assert_eq!(
            seen.header("access-control-allow-methods"),
            Some(methods),
            "{path}"
        );
        assert_eq!(
            seen.header("access-control-allow-headers"),
            Some("Content-Type"),
            "{path}"
        );
        assert_eq!(seen.header("content-type"), None, "{path}");
    }
}

#[actix::test]
async fn trial_14_pages_of_others_get_nothing_done() {
    let admin = Admin::start().await;
    let any = admin.get("/services").await;
    assert_eq!(any.header("access-control-allow-origin"), Some("*"));
    assert_eq!(any.header("access-control-allow-credentials"), Some("true"));
    let evil = ("Origin", "http://evil.example");
    let form = request("POST", "/services")
        .insert_header(evil)
        .insert_header(("Content-Type", "application/x-www-form-urlencoded"))
        .set_payload("name=stolen&host=evil.example");
    let form = admin.send(form).await;
    assert_eq!(form.status, 403, "{}", form.body);
    assert!(
        form.message().contains("admin_allowed_origins"),
        "{}",
        form.message()
    );
    let preflight = request("OPTIONS", "/services")
        .insert_header(evil)
        .insert_header(("Access-Control-Request-Method", "POST"));
    let preflight = admin.send(preflight).await;
    assert_eq!(preflight.status, 403, "{}", preflight.body);
    let reading = admin
        .send(request("GET", "/services").insert_header(evil))
        .await;
    assert_eq!(reading.status, 200);
    assert_eq!(reading.body["data"], json!([]), "nothing was written");
    let options = admin
        .send(request("OPTIONS", "/services").insert_header(evil))
        .await;
    assert_eq!(options.header("allow"), Some("GET, HEAD, OPTIONS, POST"));
    for seen in [form, preflight, reading, options] {
        for header in ["origin", "credentials", "methods", "headers"] {
            let header = format!("access-control-allow-{header}");
            assert_eq!(seen.header(&header), None, "{header}: {}", seen.body);
        }
        // Caches must not show the answer to anybody else.
        assert_eq!(seen.header("vary"), Some("Origin"));
    }
    let rebound = request("GET", "/services").insert_header(("Host", "evil.example:8001"));
    let rebound = admin.send(rebound).await;
    assert_eq!(rebound.status, 403);
    assert!(
        rebound.message().contains("admin_allowed_hosts"),
        "{}",
        rebound.message()
    );
}

#[actix::test]
async fn json_answers_say_what_they_are() {
    let admin = Admin::start().await;
    for path in [
        "/",
        "/services",
        "/nope",
        "/status",
        "/endpoints",
        "/timers",
    ] {
        let seen = admin.get(path).await;
        let json = Some("application/json; charset=utf-8");
        assert_eq!(seen.header("content-type"), json, "{path}");
        let server = concat!("langur/", env!("CARGO_PKG_VERSION"));
        assert_eq!(seen.header("server"), Some(server), "{path}");
        let latency = seen.header("x-kong-admin-latency").expect("a latency");
        assert!(latency.parse::<u64>().is_ok(), "{path}: {latency}");
    }
}

#[actix::test]
async fn trace_and_unknown_types_get_a_page() {
    let admin = Admin::start().await;
    let trace = admin.ask("TRACE", "/services", None).await;
    assert_eq!(trace.status, 405);
    assert_eq!(
        trace.header("content-type"),
        Some("text/html; charset=UTF-8")
    );
    assert_eq!(trace.header("access-control-allow-origin"), None);
    let text = request("POST", "/services")
        .insert_header(("Content-Type", "text/plain"))
        .set_payload("x");
    let text = admin.send(text).await;
    assert_eq!(text.status, 415);
    assert_eq!(
        text.header("content-type"),
        Some("text/html; charset=UTF-8")
    );
    assert_eq!(text.header("access-control-allow-origin"), Some("*"));
    let page = text.body.as_str().expect("text");
    assert!(
        page.contains("<h1>415 Unsupported Media Type</h1>"),
        "{page}"
    );
}

#[actix::test]
async fn the_node_describes_itself() {
    let admin = Admin::start().await;
    admin.post("/plugins", json!({"name": "cors"})).await;
    let root = admin.get("/").await.body;
    assert_eq!(root["version"], "3.9.3");
    assert_eq!(root["configuration"]["database"], "sqlite");
    assert_eq!(root["plugins"]["enabled_in_cluster"], json!(["cors"]));
    assert_eq!(
        root["plugins"]["available_on_server"]
            .as_object()
            .map(|all| all.len()),
        Some(45)
    );
    let level = admin.get("/debug/node/log-level").await;
    assert_eq!(level.message(), "log level: notice");
    for (level, expected) in [
        ("debug", (200, "log level changed")),
        ("debug", (200, "log level is already debug")),
        ("bad", (400, "unknown log level: bad")),
    ] {
        let seen = admin
            .ask("PUT", &format!("/debug/node/log-level/{level}"), None)
            .await;
        assert_eq!((seen.status, seen.message()), expected);
    }
    let control_planes = "/debug/cluster/control-planes-nodes/log-level";
    for (path, expected) in [
        (
            format!("{control_planes}/debug"),
            (200, "log level is already debug"),
        ),
        (
            format!("{control_planes}/warn?timeout=0"),
            (200, "log level changed"),
        ),
        (
            format!("{control_planes}/loud"),
            (400, "unknown log level: loud"),
        ),
        (
            format!("{control_planes}/info?timeout=soon"),
            (400, "timeout must be a number of seconds, 0 or more"),
        ),
        (
            "/debug/cluster/log-level/info".to_owned(),
            (404, "Not found"),
        ),
    ] {
        let seen = admin.ask("PUT", &path, None).await;
        assert_eq!((seen.status, seen.message()), expected, "{path}");
    }
    for path in ["/cache", "/cache/services:s"] {
        assert_eq!(admin.delete(path).await.status, 204, "{path}");
    }
    let listed = admin.get("/endpoints").await.body;
    assert!(
        listed["data"]
            .as_array()
            .is_some_and(|all| all.contains(&json!("/timers")))
    );
}

#[actix::test]
async fn schemas_are_shown_and_tried() {
    let admin = Admin::start().await;
    let service = admin.get("/schemas/services").await.body;
    assert!(service["fields"].is_array() && service["entity_checks"].is_array());
    for (path, message) in [
        ("/schemas/nope", "No entity named 'nope'"),
        ("/schemas/plugins/nope", "No plugin named 'nope'"),
        ("/schemas/vaults/nope", "No vault named 'nope'"),
        ("/plugins/schema/nope", "No plugin named 'nope'"),
    ] {
        let seen = admin.get(path).await;
        assert_eq!((seen.status, seen.message()), (404, message), "{path}");
    }
    let valid = admin
        .post("/schemas/services/validate", json!({"host": "h"}))
        .await;
    assert_eq!(
        (valid.status, valid.message()),
        (200, "schema validation successful")
    );
    let unstored = admin.get("/services").await;
    assert_eq!(unstored.body["data"], json!([]));
    let wrong = admin.post("/schemas/plugins/validate", json!({})).await;
    assert_eq!(
        wrong.message(),
        "schema violation (name: required field missing)"
    );
    let unknown = admin.post("/schemas/nope/validate", json!({})).await;
    assert_eq!(unknown.status, 404);
}

#[actix::test]
async fn trial_14_listed_pages_may_ask() {
    let headers = AnswerHeaders {
        server: false,
        latency: false,
    };
    let pages = Pages {
        origins: vec!["https://a.test".to_owned(), "https://b.test".to_owned()],
        hosts: Vec::new(),
    };
    let admin = Admin::start_with(Role::ControlPlane, headers, pages).await;
    for (asking, allowed) in [
        (None, Some("*")),
        (Some("https://b.test"), Some("https://b.test")),
        (Some("https://evil.test"), None),
    ] {
        let mut asked = request("GET", "/services");
        if let Some(asking) = asking {
            asked = asked.insert_header(("Origin", asking));
        }
        let seen = admin.send(asked).await;
        assert_eq!(seen.header("access-control-allow-origin"), allowed);
        assert_eq!(seen.header("server"), None);
        assert_eq!(seen.header("x-kong-admin-latency"), None);
    }
    let b = ("Origin", "https://b.test");
    let preflight = request("OPTIONS", "/services")
        .insert_header(b)
        .insert_header(("Access-Control-Request-Method", "POST"))
        .insert_header(("Access-Control-Request-Headers", "content-type, x-a"));
    let preflight = admin.send(preflight).await;
    assert_eq!(preflight.status, 204);
    let allowed = |what: &str| preflight.header(&format!("access-control-allow-{what}"));
    assert_eq!(allowed("origin"), Some("https://b.test"));
    assert_eq!(allowed("headers"), Some("content-type, x-a"));
    assert_eq!(allowed("methods"), Some("GET, HEAD, OPTIONS, POST"));
    let written = request("POST", "/services")
        .insert_header(b)
        .insert_header(("Sec-Fetch-Site", "cross-site"))
        .set_json(json!({"host": "a.test"}));
    assert_eq!(admin.send(written).await.status, 201);
}

#[actix::test]
async fn a_node_of_both_planes_has_no_fleet() {
    let headers = AnswerHeaders {
        server: true,
        latency: true,
    };
    let admin = Admin::start_with(Role::Traditional, headers, Pages::default()).await;
    for path in ["/clustering/data-planes", "/clustering/status"] {
        let seen = admin.get(path).await;
        let text = "this endpoint is only available when Kong is configured to run as Control \
                    Plane for the cluster";
        assert_eq!((seen.status, seen.message()), (400, text), "{path}");
    }
}

/// What moves under load, processes show: tests/gateway/status.rs.
#[actix::test]
async fn the_root_names_the_plugins_in_use_and_both_versions() {
    let admin = Admin::start().await;
    let root = admin.get("/").await.body;
    assert_eq!(root["plugins"]["enabled_in_cluster"], json!([]));
    admin.post("/plugins", json!({"name": "key-auth"})).await;
    let root = admin.get("/").await.body;
    assert_eq!(root["plugins"]["enabled_in_cluster"], json!(["key-auth"]));
    assert_eq!(root["version"], "3.9.3");
    assert_eq!(root["langur"]["version"], env!("CARGO_PKG_VERSION"));
}

#[actix::test]
async fn requests_of_the_fleet_are_added_up_by_what_is_asked_for() {
    let admin = Admin::start().await;
    let id = Uuid::from_u128;
    let by = |status| Dimensions {
        service: Some(id(1)),
        route: Some(id(2)),
        consumer: None,
        status,
        data_plane: id(9),
    };
    let count = |requests| Count {
        requests,
        request_bytes: 10 * requests,
        response_bytes: 100 * requests,
    };
    let key = BatchKey {
        node: id(9),
        incarnation: id(8),
        sequence: 1,
    };
    let batch = BTreeMap::from([(by(200), count(3)), (by(404), count(1))]);
    admin.store.ingest(&[(key, batch)]).await.expect("counted");

    let all = json!({"requests": 4, "request_bytes": 40, "response_bytes": 400});
    for (query, by, in_common) in [
        ("", "service", json!({"id": id(1)})),
        ("?by=route", "route", json!({"id": id(2)})),
        ("?by=consumer", "consumer", Value::Null),
        ("?by=data_plane", "data_plane", json!({"id": id(9)})),
    ] {
        let seen = admin.get(&format!("/telemetry/requests{query}")).await;
        let mut sum = all.clone();
        sum[by] = in_common;
        assert_eq!(
            (seen.status, &seen.body["by"]),
            (200, &json!(by)),
            "{query}"
        );
        assert_eq!(seen.body["data"], json!([sum]), "{query}");
    }
    let most = admin.get("/telemetry/requests?by=status&size=1").await;
    assert_eq!(most.body["data"][0]["status"], 200);
    assert_eq!(most.body["data"].as_array().map(Vec::len), Some(1));

    let wrong = admin.get("/telemetry/requests?by=host").await;
    let text = "by must be one of: service, route, consumer, status, data_plane";
    assert_eq!((wrong.status, wrong.message()), (400, text));
}
