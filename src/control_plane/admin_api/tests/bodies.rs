//! What may be sent as a body, and what is said of anything else.

use super::support::{Admin, MAX_BODY, request};
use serde_json::{Value, json};

/// Status, and message where there is one, of `POST /services` with this body.
async fn post(admin: &Admin, content_type: Option<&str>, body: Vec<u8>) -> (u16, String) {
    let request = request("POST", "/services").set_payload(body);
    let request = match content_type {
        Some(kind) => request.insert_header(("Content-Type", kind)),
        None => request,
    };
    let seen = admin.send(request).await;
    (seen.status, seen.message().to_owned())
}

#[actix::test]
async fn the_content_type_decides_how_a_body_is_read() {
    let admin = Admin::start().await;
    let multipart = "--X\r\nContent-Disposition: form-data; name=\"host\"\r\n\r\nh\r\n--X--\r\n";
    for (content_type, body, expected) in [
        (Some("application/json"), r#"{"host":"h"}"#, 201),
        (
            Some("application/json; charset=utf-8"),
            r#"{"host":"h"}"#,
            201,
        ),
        (
            Some("application/x-www-form-urlencoded"),
            "host=h&port=81",
            201,
        ),
        (Some("multipart/form-data; boundary=X"), multipart, 201),
        (Some("multipart/form-data"), multipart, 400),
        (Some("Application/JSON"), r#"{"host":"h"}"#, 415),
        (Some("application/vnd.api+json"), r#"{"host":"h"}"#, 415),
        (Some("text/plain"), "host=h", 415),
        (Some("text/plain"), "", 415),
        (Some(""), r#"{"host":"h"}"#, 415),
        (None, r#"{"host":"h"}"#, 415),
        // No body, so the schema has its say.
        (None, "", 400),
    ] {
        let (status, message) = post(&admin, content_type, body.into()).await;
        assert_eq!(status, expected, "{content_type:?} {body}: {message}");
    }
}

#[actix::test]
async fn a_content_type_that_is_no_text_is_none_that_is_known() {
    let admin = Admin::start().await;
    let odd = actix_web::http::header::HeaderValue::from_bytes(b"application/json\xff");
    let request = request("POST", "/services")
        .insert_header(("Content-Type", odd.expect("a value")))
        .set_payload(r#"{"host":"h"}"#);
    assert_eq!(admin.send(request).await.status, 415);
}

#[actix::test]
async fn json_must_be_an_object() {
    let admin = Admin::start().await;
    for body in [
        "",
        "{",
        "[1]",
        "\"text\"",
        "null",
        "1",
        "{\"host\":\"h\"}x",
        "\u{feff}{}",
    ] {
        let answer = post(&admin, Some("application/json"), body.into()).await;
        assert_eq!(answer, (400, "Cannot parse JSON body".to_owned()), "{body}");
    }
    let invalid = post(
        &admin,
        Some("application/json"),
        b"{\"host\":\"\xff\"}".to_vec(),
    )
    .await;
    assert_eq!(invalid.0, 400);
    let deep = format!("{{\"tags\":{}{}}}", "[".repeat(500), "]".repeat(500));
    assert_eq!(
        post(&admin, Some("application/json"), deep.into()).await.0,
        400
    );
    // An empty list and an empty object are the same to Kong.
    let empty = post(&admin, Some("application/json"), "[]".into()).await;
    assert_eq!(empty.1, "schema violation (host: required field missing)");
}

#[actix::test]
async fn bodies_and_arguments_have_limits() {
    let admin = Admin::start().await;
    let large = format!("{{\"host\":\"{}\"}}", "h".repeat(MAX_BODY));
    let refused = post(&admin, Some("application/json"), large.into()).await;
    assert_eq!(refused, (413, "Payload too large".to_owned()));
    let announced = request("POST", "/services")
        .insert_header(("Content-Length", (MAX_BODY + 1).to_string()))
        .insert_header(("Content-Type", "application/json"));
    assert_eq!(admin.send(announced).await.status, 413);
    let fits = json!({"host": "h", "tags": ["t".repeat(MAX_BODY / 2)]}).to_string();
    assert_eq!(
        post(&admin, Some("application/json"), fits.into()).await.0,
        201
    );

    let many = "a=1&".repeat(1001);
    let form = post(
        &admin,
        Some("application/x-www-form-urlencoded"),
        many.clone().into(),
    )
    .await;
    assert_eq!(form, (400, "Too many arguments".to_owned()));
    let query = admin.get(&format!("/services?{many}")).await;
    assert_eq!((query.status, query.message()), (400, "Too many arguments"));
}

#[actix::test]
async fn bodies_of_reads_and_deletes_are_ignored() {
    let admin = Admin::start().await;
    for method in ["GET", "DELETE"] {
        let request = request(method, "/services/s")
            .insert_header(("Content-Type", "application/json"))
            .set_payload("{ not JSON");
        let status = admin.send(request).await.status;
        assert_eq!(status, if method == "GET" { 404 } else { 204 }, "{method}");
    }
}

#[actix::test]
async fn a_form_becomes_what_the_schema_says() {
    let admin = Admin::start().await;
    let form = |path: &str, body: &'static str| {
        request("POST", path)
            .insert_header(("Content-Type", "application/x-www-form-urlencoded"))
            .set_payload(body)
    };
    admin
        .post("/services", json!({"name": "s", "host": "h"}))
        .await;
    let route = form(
        "/routes",
        "name=r&paths[]=/a&paths[]=/b&service.name=s&strip_path=false&hosts=",
    );
    let route = admin.send(route).await;
    assert_eq!(route.status, 201, "{:?}", route.body);
    assert_eq!(route.body["paths"], json!(["/a", "/b"]));
    assert_eq!(route.body["strip_path"], json!(false));
    assert_eq!(route.body["hosts"], Value::Null);

    let plugin = admin
        .send(form("/plugins", "name=rate-limiting&config.minute=5"))
        .await;
    assert_eq!(plugin.body["config"]["minute"], 5);
    // The stored name tells what `config` is.
    let path = format!("/plugins/{}", plugin.id());
    let patch = request("PATCH", &path)
        .insert_header(("Content-Type", "application/x-www-form-urlencoded"))
        .set_payload("config.hour=50&config.fault_tolerant=false");
    let patched = admin.send(patch).await;
    assert_eq!(patched.status, 200, "{:?}", patched.body);
    let config = &patched.body["config"];
    assert_eq!(
        (&config["minute"], &config["hour"]),
        (&json!(5), &json!(50))
    );
    assert_eq!(config["fault_tolerant"], false);
}

#[actix::test]
async fn text_that_cannot_be_stored_names_its_field() {
    let admin = Admin::start().await;
    let refused = admin.post("/consumers", json!({"username": "a\0b"})).await;
    assert_eq!(refused.status, 400, "{:?}", refused.body);
    assert!(
        refused.body["fields"]["username"].is_string(),
        "{:?}",
        refused.body
    );
}

#[actix::test]
async fn trial_27_the_answer_to_a_hostile_body_is_small() {
    let admin = Admin::start().await;
    let unknown: serde_json::Map<String, Value> =
        (0..5_000).map(|at| (format!("u{at}"), json!(1))).collect();
    let mut service = unknown.clone();
    service.insert("host".to_owned(), json!("h"));
    let check = |seen: &super::support::Seen, more: usize| {
        assert_eq!(seen.status, 400);
        let told = format!("and {more} more violations");
        assert_eq!(seen.body["fields"]["@entity"], json!([told]));
        let fields = seen.body["fields"].as_object().map(serde_json::Map::len);
        assert_eq!(fields, Some(101));
        let size = seen.body.to_string().len();
        assert!(size < 16_000, "{size} bytes");
        assert!(seen.message().starts_with("101 schema violations (and "));
    };
    let service = Value::Object(service);
    check(&admin.post("/services", service.clone()).await, 4_900);
    check(&admin.put("/services/s", service.clone()).await, 4_900);
    check(
        &admin.post("/schemas/services/validate", service).await,
        4_900,
    );
    let plugin = json!({"name": "key-auth", "config": unknown});
    let seen = admin.post("/plugins", plugin).await;
    assert_eq!(
        seen.body["fields"]["@entity"],
        json!(["and 4900 more violations"])
    );
    let form: String = (0..900).map(|at| format!("u{at}=1&")).collect();
    let form = request("POST", "/services")
        .insert_header(("Content-Type", "application/x-www-form-urlencoded"))
        .set_payload(form + "host=h");
    check(&admin.send(form).await, 800);
    // What is no transaction, and one whose operations are all refused.
    let mut transaction = unknown;
    transaction.insert("operations".to_owned(), json!([1]));
    check(
        &admin
            .post("/transactions", Value::Object(transaction))
            .await,
        4_901,
    );
    let refused = vec![json!({"op": "create", "path": "/services", "body": {}}); 300];
    let seen = admin
        .post("/transactions", json!({ "operations": refused }))
        .await;
    assert_eq!(seen.status, 400);
    assert_eq!(seen.body["violations"].as_array().map(Vec::len), Some(100));
    assert_eq!(
        seen.message(),
        "300 of 300 operations were refused, nothing was written; the first 100 are listed"
    );
}
