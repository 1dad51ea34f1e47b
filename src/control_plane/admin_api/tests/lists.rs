//! Pages, offsets and tags.

use super::support::Admin;
use serde_json::json;
use std::collections::BTreeSet;

#[actix::test]
async fn following_next_visits_everything_once() {
    let admin = Admin::start().await;
    for n in 0..7 {
        let body = json!({"name": format!("s{n}"), "host": "h", "tags": ["t"]});
        assert_eq!(admin.post("/services", body).await.status, 201);
    }
    let mut path = "/services?size=3&tags=t".to_owned();
    let (mut seen, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let page = admin.get(&path).await;
        let ids = page.each("id");
        sizes.push(ids.len());
        seen.extend(
            ids.into_iter()
                .map(|id| id.as_str().expect("an id").to_owned()),
        );
        match page.body["next"].as_str() {
            Some(next) => {
                assert!(page.body["offset"].is_string());
                assert!(next.ends_with("&tags=t&size=3"), "{next}");
                path = next.to_owned();
            }
            None => {
                assert_eq!(page.body.get("offset"), None);
                break;
            }
        }
    }
    assert_eq!(sizes, [3, 3, 1]);
    assert!(seen.is_sorted());
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 7);
}

#[actix::test]
async fn a_page_that_is_just_full_is_the_last() {
    let admin = Admin::start().await;
    for name in ["a", "b"] {
        admin.post("/consumers", json!({"username": name})).await;
    }
    assert_eq!(
        admin.get("/consumers?size=2").await.body["next"],
        json!(null)
    );
}

#[actix::test]
async fn questions_that_make_no_sense_are_told_so() {
    let admin = Admin::start().await;
    for (query, code, message) in [
        ("size=foo", 9, "size must be a number"),
        ("size=0", 9, "size must be an integer between 1 and 1000"),
        ("size=1.5", 9, "size must be an integer between 1 and 1000"),
        (
            "offset=x",
            7,
            "'x' is not a valid offset: bad base64 encoding",
        ),
        (
            "offset=bad",
            7,
            "'bad' is not a valid offset: bad json encoding",
        ),
        ("tags=", 11, "invalid option (tags: cannot be null)"),
        (
            "tags=a,b/c",
            11,
            "invalid option (tags: invalid filter syntax)",
        ),
    ] {
        let seen = admin.get(&format!("/services?{query}")).await;
        assert_eq!((seen.status, seen.message()), (400, message), "{query}");
        assert_eq!(seen.body["code"], code, "{query}");
        assert_eq!(seen.body.get("fields"), None, "{query}");
    }
    let twice = admin.get("/services?size=3&size=4").await;
    assert_eq!(
        (twice.status, twice.message()),
        (400, "size must be given only once")
    );
    let unknown = admin.get("/services?sort_by=name&limit=1&foo=bar").await;
    assert_eq!(unknown.status, 200);
}

#[actix::test]
async fn tags_select_at_the_top_only() {
    let admin = Admin::start().await;
    let service = |name: &str, tags: &[&str]| json!({"name": name, "host": "h", "tags": tags});
    for (name, tags) in [("ab", &["a", "b"][..]), ("a", &["a"]), ("c", &["c"])] {
        admin.post("/services", service(name, tags)).await;
    }
    for (filter, expected) in [
        ("tags=a", &["a", "ab"][..]),
        ("tags=a,b", &["ab"]),
        ("tags=b/c", &["ab", "c"]),
        ("tags=c&tags=a", &["c"]),
        ("tags[]=c", &["c"]),
        ("tags=a,", &[]),
        ("tags=none", &[]),
    ] {
        let seen = admin.get(&format!("/services?{filter}")).await;
        let names: BTreeSet<_> = seen
            .each("name")
            .into_iter()
            .filter_map(|n| n.as_str())
            .collect();
        assert_eq!(names, expected.iter().copied().collect(), "{filter}");
    }
    admin
        .post("/services/a/routes", json!({"paths": ["/"]}))
        .await;
    let nested = admin.get("/services/a/routes?tags=none").await;
    assert_eq!(nested.each("paths"), [&json!(["/"])]);
}

#[actix::test]
async fn the_tags_of_all_kinds_are_one_list() {
    let admin = Admin::start().await;
    let id = |n: u8| format!("00000000-0000-4000-8000-{n:012}");
    let service = json!({"id": id(2), "host": "h", "tags": ["x", "y", "z"]});
    admin.post("/services", service).await;
    admin
        .post(
            "/consumers",
            json!({"id": id(1), "username": "c", "tags": ["x"]}),
        )
        .await;
    admin
        .post(
            "/consumers",
            json!({"id": id(3), "username": "d", "tags": ["y"]}),
        )
        .await;
    admin
        .post("/consumers", json!({"id": id(4), "username": "untagged"}))
        .await;
    let mut path = "/tags?size=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = admin.get(&path).await.body;
        let rows = page["data"].as_array().expect("a list");
        assert!((1..=2).contains(&rows.len()));
        seen.extend(rows.clone());
        match page["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    let row = |n, kind, tag| json!({"entity_id": id(n), "entity_name": kind, "tag": tag});
    let expected = [
        row(1, "consumers", "x"),
        row(2, "services", "x"),
        row(2, "services", "y"),
        row(2, "services", "z"),
        row(3, "consumers", "y"),
    ];
    assert_eq!(seen, expected);
    let of_x = admin.get("/tags/x").await.body;
    assert_eq!(of_x["data"], json!([expected[0], expected[1]]));
    let first = admin.get("/tags/y?size=1").await.body;
    assert_eq!(first["data"], json!([expected[2]]));
    let second = admin
        .get(first["next"].as_str().expect("a next page"))
        .await
        .body;
    assert_eq!(
        (&second["data"], &second["next"]),
        (&json!([expected[4]]), &json!(null))
    );
    let refused = admin.get("/tags/a%2Cb").await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!(10)));
    let written = admin.post("/tags", json!({})).await;
    assert_eq!((written.status, &written.body["code"]), (400, &json!(2)));
}

#[actix::test]
async fn targets_are_listed_newest_first() {
    let admin = Admin::start().await;
    admin.post("/upstreams", json!({"name": "u"})).await;
    for (at, target) in [(1.5, "a.test"), (2.5, "b.test:81"), (3.5, "[::1]:80")] {
        let body = json!({"target": target, "created_at": at});
        let made = admin.post("/upstreams/u/targets", body).await;
        assert_eq!(made.status, 201, "{:?}", made.body);
    }
    let first = admin.get("/upstreams/u/targets?size=2").await;
    let loopback = "[0000:0000:0000:0000:0000:0000:0000:0001]:80";
    assert_eq!(first.each("target"), [loopback, "b.test:81"]);
    assert_eq!(first.body["next"], "/upstreams/u/targets?offset=2");
    let second = admin.get("/upstreams/u/targets?size=2&offset=2").await;
    assert_eq!(second.each("target"), ["a.test:8000"]);
    assert_eq!(
        admin.get("/upstreams/u/targets/all").await.each("id").len(),
        3
    );
    let health = admin.get("/upstreams/u/health").await;
    assert_eq!(health.each("target").len(), 3);
}
