//! Keys, pages, tags.

use super::support::{Database, id, insert, on_both_engines, reference};
use crate::control_plane::config_store::{Key, PageRequest, TagFilter};
use crate::model::Kind;
use serde_json::{Value, json};

on_both_engines!(entities_are_found_by_key, async |database: &Database| {
    let store = &database.store;
    store
        .must(vec![
            insert(Kind::Upstreams, 1, json!({})),
            insert(Kind::Upstreams, 2, json!({})),
            insert(Kind::Targets, 3, json!({"target": "a:1"})),
            insert(
                Kind::Targets,
                4,
                json!({"target": "a:1", "upstream": reference(2)}),
            ),
            insert(Kind::Plugins, 5, json!({"name": "cors"})),
            insert(Kind::Consumers, 6, json!({"username": "Ada"})),
        ])
        .await;
    let by = async |kind, key: Key| {
        let found = store.entities().get(kind, &key).await.expect("reads");
        found.map(|document| document["id"].clone())
    };
    let username = |name: &str| Key::Unique("username", json!(name));
    assert_eq!(
        by(Kind::Consumers, username("Ada")).await,
        Some(json!(id(6)))
    );
    assert_eq!(by(Kind::Consumers, username("ada")).await, None);
    assert_eq!(by(Kind::Consumers, username("a\0")).await, None);
    assert_eq!(by(Kind::Consumers, Key::Id(id(5))).await, None);
    let target = [("upstream", reference(2)), ("target", json!("a:1"))];
    let found = store
        .entities()
        .find(Kind::Targets, &target)
        .await
        .expect("reads");
    assert_eq!(found.expect("a target")["id"], json!(id(4)));
    let global = [("name", json!("cors")), ("route", Value::Null)];
    assert!(
        store
            .entities()
            .find(Kind::Plugins, &global)
            .await
            .expect("reads")
            .is_some()
    );
    let unknown = store
        .entities()
        .get(Kind::Consumers, &Key::Unique("nam", json!("x")))
        .await;
    assert_eq!(
        format!("{:?}", unknown.expect_err("is refused")),
        "consumers.nam: unknown field"
    );
});

on_both_engines!(
    pages_go_by_id_and_keep_their_filters,
    async |database: &Database| {
        let store = &database.store;
        store
            .must(vec![
                insert(Kind::Services, 1, json!({})),
                insert(Kind::Services, 2, json!({})),
            ])
            .await;
        // Ids that differ in their first and last bytes, in another order than they are written.
        let numbers = [7, 3, 1 << 120, 5, 255 << 64, 4, 6, 2];
        let tags = |n: u128| match n % 3 {
            0 => json!(["x", "y"]),
            1 => json!(["y", "z\"'"]),
            _ => Value::Null,
        };
        let writes = numbers.map(|n| {
            let service = reference(if n < 6 { 1 } else { 2 });
            insert(
                Kind::Routes,
                n,
                json!({"tags": tags(n), "service": service}),
            )
        });
        store.must(writes.to_vec()).await;
        let walk = async |size, tags: Option<TagFilter>, filter| {
            let mut request = PageRequest {
                after: None,
                size,
                tags,
                filter,
            };
            let mut ids = Vec::new();
            loop {
                let page = store
                    .entities()
                    .page(Kind::Routes, &request)
                    .await
                    .expect("reads");
                assert!(page.documents.len() as u64 <= size);
                ids.extend(page.documents.iter().map(|found| found["id"].clone()));
                request.after = page.next;
                if page.next.is_none() {
                    return ids;
                }
            }
        };
        let expected = |keep: &dyn Fn(u128) -> bool| {
            let mut kept: Vec<_> = numbers.into_iter().filter(|n| keep(*n)).collect();
            kept.sort_unstable();
            kept.into_iter().map(|n| json!(id(n))).collect::<Vec<_>>()
        };
        let has = |n: u128, tag: &str| {
            tags(n)
                .as_array()
                .is_some_and(|tags| tags.iter().any(|have| have == tag))
        };
        let some = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
        for size in [1, 2, 3, 8, 100] {
            assert_eq!(walk(size, None, None).await, expected(&|_| true));
            let all = TagFilter::All(some(&["x", "y"]));
            assert_eq!(
                walk(size, Some(all), None).await,
                expected(&|n| has(n, "x"))
            );
            let any = TagFilter::Any(some(&["x", "z\"'", "a\0"]));
            let in_any = |n| has(n, "x") || has(n, "z\"'");
            assert_eq!(walk(size, Some(any), None).await, expected(&in_any));
            let tagged = walk(size, Some(TagFilter::AnyTag), None).await;
            assert_eq!(tagged, expected(&|n| !tags(n).is_null()));
            let none = TagFilter::All(some(&["x", "z\"'"]));
            assert!(walk(size, Some(none), None).await.is_empty());
            let children = walk(size, None, Some(("service", id(1)))).await;
            assert_eq!(children, expected(&|n| n < 6));
            let all = TagFilter::All(some(&["y"]));
            let both = walk(size, Some(all), Some(("service", id(2)))).await;
            assert_eq!(both, expected(&|n| n >= 6 && has(n, "y")));
        }
        assert_eq!(
            store.entities().count(Kind::Routes).await.expect("counts"),
            8
        );
    }
);
