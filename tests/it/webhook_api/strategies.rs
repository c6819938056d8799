//! Endpoints say how they are sent to: URL, strategy and secrets belong together, and the other calls work with each.

use super::{Desk, WEBHOOKS};
use crate::support::TestDb;
use crate::support::rest::Rest;
use serde_json::{Value, json};

on_both_databases!(
    each_strategy_is_made_and_shown,
    a_stream_is_refused_where_the_operator_has_not_allowed_any,
    a_change_that_would_not_fit_is_refused_by_its_field,
    tests_and_resends_are_made_for_each,
);

const STREAM: &str = "redis://cache.example:6379/0?stream=shop&maxlen=100000";

fn stream() -> Value {
    json!({"url": STREAM, "events": ["*"], "strategy": "redis_stream"})
}

async fn a_stream_is_refused_where_the_operator_has_not_allowed_any(db: TestDb) {
    let rest = Rest::open(db).await;
    let refused = rest.post(WEBHOOKS, stream()).await;
    assert_eq!(refused.refusal(), (422, vec!["url"]));
    assert!(refused.body["message"].as_str().unwrap().contains("webhooks.redis_streams"), "{}", refused.body);
}

fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn each_strategy_is_made_and_shown(db: TestDb) {
    let desk = Desk::open(db).await;
    let batch = json!({"url": "https://erp.example/hook", "events": ["*"], "strategy": "pusher_batch"});
    let batch = desk.rest.post(WEBHOOKS, batch).await;
    let key = format!("webhook-{}", batch.id());
    assert_eq!(
        (&batch.body["data"]["strategy"], &batch.body["data"]["pusher_key"]),
        (&json!("pusher_batch"), &json!(key))
    );
    let basic = json!({"type": "basic", "username": "hook", "password": "CANARY"});
    let short = json!({"url": "redis://Cache.EXAMPLE?stream=shop", "events": ["*"], "strategy": "redis_stream", "auth": basic});
    let stream = desk.rest.post(WEBHOOKS, short).await;
    let shown = desk.get(&stream.id().to_string()).await;
    let data = &shown.body["data"];
    assert_eq!((&data["url"], &data["name"]), (&json!(STREAM), &json!("cache.example")));
    assert_eq!((&data["strategy"], &data["pusher_key"]), (&json!("redis_stream"), &Value::Null));
    assert_eq!(data["auth"], json!({"type": "basic"}));
    let all = desk.rest.get(&format!("{WEBHOOKS}?sort=id")).await;
    assert_eq!(all.column("strategy"), ["pusher_batch", "redis_stream"]);

    for (more, field) in [
        (json!({"url": "https://a.example/"}), "url"),
        (json!({"url": "redis://cache.example/0"}), "url"),
        (json!({"url": "redis://u:p@cache.example/0?stream=s"}), "url"),
        (json!({"url": "redis://cache.example:22/0?stream=s"}), "url"),
        (json!({"strategy": "http_post"}), "url"),
        (json!({"strategy": null}), "strategy"),
        (json!({"headers": {"X-Shop": "7"}}), "headers"),
        (json!({"auth": {"type": "api_key", "header": "X-Key", "value": "v"}}), "auth"),
    ] {
        let refused = desk.rest.post(WEBHOOKS, with(self::stream(), &more)).await;
        assert_eq!(refused.refusal().0, 422, "{more}");
        assert!(refused.refusal().1.contains(&field), "{more}: {:?}", refused.refusal());
    }
    let alone = json!({"url": STREAM, "events": ["*"]});
    let refused = desk.rest.post(WEBHOOKS, alone).await;
    assert_eq!(refused.refusal(), (422, vec!["url"]));
}

async fn a_change_that_would_not_fit_is_refused_by_its_field(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk
        .endpoint_of(json!({"url": "https://a.example/", "events": ["*"], "headers": {"X-Shop": "7"}}))
        .await;
    let path = format!("{WEBHOOKS}/{id}");
    let change = async |body: Value| desk.rest.patch(&path, body).await;
    let to_stream = json!({"url": STREAM, "strategy": "redis_stream"});
    for (body, field) in [
        (json!({"strategy": "redis_stream"}), "strategy"),
        (json!({"url": STREAM}), "url"),
        (json!({"url": STREAM, "strategy": "pusher_batch"}), "url"),
        (json!({"url": "https://b.example/", "strategy": "redis_stream"}), "url"),
        (with(to_stream.clone(), &json!({"headers": {"X-Shop": "7"}})), "headers"),
        // Its headers would go along.
        (to_stream.clone(), "url"),
    ] {
        assert_eq!(change(body.clone()).await.refusal(), (422, vec![field]), "{body}");
    }
    assert_eq!(change(json!({"strategy": "pusher_batch"})).await.body["data"]["strategy"], "pusher_batch");
    let moved = change(with(to_stream, &json!({"headers": null}))).await;
    assert_eq!((moved.status, &moved.body["data"]["strategy"]), (200, &json!("redis_stream")));

    let oauth2 = json!({"auth": {"type": "oauth2", "token_url": "https://id.example/", "client_id": "a",
        "client_secret": "b"}});
    for (body, field) in [
        (oauth2, "auth"),
        (json!({"headers": {"X-Shop": "7"}}), "headers"),
        (json!({"strategy": "http_post"}), "strategy"),
        (json!({"url": "https://a.example/"}), "url"),
    ] {
        assert_eq!(change(body.clone()).await.refusal(), (422, vec![field]), "{body}");
    }
    let basic = json!({"auth": {"type": "basic", "username": "default", "password": "p"}});
    assert_eq!(change(basic).await.status, 200);
    let longer = STREAM.replace("100000", "200000");
    assert_eq!(change(json!({"url": longer})).await.status, 200, "the password stays with its Redis");
    let elsewhere = json!({"url": STREAM.replace("cache.", "other.")});
    assert_eq!(change(elsewhere).await.refusal(), (422, vec!["url"]));
    let back = json!({"url": "https://a.example/", "strategy": "http_post", "auth": null});
    assert_eq!(change(back).await.body["data"]["strategy"], "http_post");
}

async fn tests_and_resends_are_made_for_each(db: TestDb) {
    let desk = Desk::open(db).await;
    for body in [stream(), json!({"url": "https://a.example/", "events": ["*"], "strategy": "pusher_batch"})]
    {
        let id = desk.endpoint_of(body).await;
        let test = desk.post(&format!("{id}/test"), Value::Null).await;
        assert_eq!(test.body["data"]["event"], "webhook:test", "{:?}", test.body);
        let delivery = test.body["data"]["id"].as_i64().unwrap();
        desk.run(&format!(
            "UPDATE webhook_deliveries SET status = 'failed', attempts = 6 WHERE id = {delivery}"
        ))
        .await;
        let resent = desk.post(&format!("{id}/deliveries/{delivery}/resend"), Value::Null).await;
        assert_eq!(resent.body["data"]["status"], "pending");
        desk.run(&format!("UPDATE webhook_deliveries SET status = 'failed' WHERE id = {delivery}")).await;
        let recovered = desk.post(&format!("{id}/recover"), json!({"since": "2020-01-01T00:00:00Z"})).await;
        assert_eq!(recovered.body["data"]["recovered"], 1, "{:?}", recovered.body);
        assert_eq!(desk.get(&format!("{id}/stats")).await.body["data"]["pending"], 1);
    }
}
