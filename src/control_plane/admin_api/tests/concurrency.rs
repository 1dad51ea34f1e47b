//! Writers that meet: nothing is lost, and who cannot be served is told when to come back.

use super::support::Admin;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use sea_orm::{Database, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use serde_json::{Value, json};

#[actix::test]
async fn patches_of_different_fields_all_survive() {
    let admin = Admin::start().await;
    admin
        .post("/services", json!({"name": "s", "host": "h"}))
        .await;
    let changes = [
        ("port", json!(81)),
        ("path", json!("/p")),
        ("retries", json!(1)),
        ("host", json!("other")),
        ("read_timeout", json!(2)),
        ("write_timeout", json!(3)),
        ("connect_timeout", json!(4)),
        ("tags", json!(["t"])),
        ("enabled", json!(false)),
        ("protocol", json!("https")),
    ];
    let patches = changes.iter().map(|(field, value)| {
        let admin = admin.clone();
        async move { admin.patch("/services/s", json!({*field: value})).await }
    });
    for answer in join_all(patches).await {
        assert_eq!(answer.status, 200, "{:?}", answer.body);
    }
    let service = admin.get("/services/s").await;
    for (field, value) in &changes {
        assert_eq!(&service.body[*field], value, "{field}");
    }
}

#[actix::test]
async fn patches_of_one_record_are_merged_key_by_key() {
    let admin = Admin::start().await;
    let plugin = admin.post("/plugins", json!({"name": "cors"})).await;
    let path = format!("/plugins/{}", plugin.id());
    let changes = [
        ("max_age", json!(5)),
        ("credentials", json!(true)),
        ("private_network", json!(true)),
        ("preflight_continue", json!(true)),
        ("origins", json!(["http://a.test"])),
    ];
    let patches = changes.iter().map(|(field, value)| {
        let (admin, path) = (&admin, &path);
        async move { admin.patch(path, json!({"config": {*field: value}})).await }
    });
    for answer in join_all(patches).await {
        assert_eq!(answer.status, 200, "{:?}", answer.body);
    }
    let config = &admin.get(&path).await.body["config"];
    for (field, value) in &changes {
        assert_eq!(&config[*field], value, "{field}");
    }
}

#[actix::test]
async fn puts_of_one_name_make_one_entity() {
    let admin = Admin::start().await;
    let puts = (0..10).map(|n| {
        let admin = admin.clone();
        async move {
            admin
                .put("/consumers/c", json!({"custom_id": n.to_string()}))
                .await
        }
    });
    let answers = join_all(puts).await;
    let ids: std::collections::BTreeSet<&str> = answers
        .iter()
        .map(|answer| {
            assert_eq!(answer.status, 200, "{:?}", answer.body);
            answer.id()
        })
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(admin.get("/consumers").await.each("username"), ["c"]);
}

#[actix::test]
async fn a_full_queue_answers_503_and_when_to_try_again() {
    let admin = Admin::start().await;
    // Somebody else holds the database, so that nothing can be committed.
    let url = format!("sqlite://{}", admin.database.display());
    let other = Database::connect(url).await.expect("connects");
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let held = other.begin_with_options(options).await.expect("the lock");
    let mut answers: FuturesUnordered<_> = (0..400)
        .map(|n| {
            let admin = admin.clone();
            async move {
                let body = json!({"username": n.to_string()});
                admin.post("/consumers", body).await
            }
        })
        .collect();
    let refused = answers.next().await.expect("an answer");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(
        refused.message(),
        "The control plane is busy, please try again"
    );
    held.rollback().await.expect("the lock is given back");
    let mut made = 0;
    while let Some(answer) = answers.next().await {
        match answer.status {
            201 => made += 1,
            status => assert_eq!(status, 503),
        }
    }
    assert!(made > 0, "those in the queue were served");
    let stored = admin.get("/consumers?size=1000").await;
    let stored = stored.body["data"].as_array().map_or(0, Vec::len);
    assert_eq!(stored, made, "none that was refused was stored");
}

#[actix::test]
async fn every_answer_names_a_revision_that_holds_what_it_says() {
    let admin = Admin::start().await;
    let revision = |seen: &super::support::Seen| {
        let text = seen.header("x-langur-revision").expect("a revision");
        text.parse::<u64>().expect("a number")
    };
    let before = revision(&admin.get("/services").await);
    let made = admin.post("/services", json!({"host": "h"})).await;
    assert_eq!(revision(&made), before + 1);
    let refused = admin.post("/services", json!({})).await;
    assert_eq!(revision(&refused), before + 1);
    let latest = admin.store.latest_revision().await.expect("a revision");
    assert_eq!(latest.0, before + 1);
    let deleted = admin.delete(&format!("/services/{}", made.id())).await;
    assert_eq!((deleted.status, deleted.body), (204, Value::Null));
    assert_eq!(
        admin.store.latest_revision().await.expect("one").0,
        before + 2
    );
}
