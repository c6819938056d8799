//! Nothing of another tenant can be seen or changed, and a token does what its abilities say.

use super::{Desk, WEBHOOKS};
use crate::support::{Shop, TestDb};
use serde_json::{Value, json};

on_both_databases!(
    nothing_of_another_tenant_can_be_seen_or_changed,
    a_delivery_is_found_under_its_own_endpoint_only,
);

/// Every route of one endpoint, and what is posted there.
fn routes(id: i64, delivery: i64) -> Vec<(&'static str, String, Value)> {
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    [
        ("GET", String::new(), Value::Null),
        ("PUT", String::new(), json!({"name": "mine"})),
        ("PATCH", String::new(), json!({"name": "mine"})),
        ("PATCH", String::new(), json!({})),
        ("DELETE", String::new(), Value::Null),
        ("POST", "/pause".to_owned(), Value::Null),
        ("POST", "/resume".to_owned(), Value::Null),
        ("POST", "/reset".to_owned(), Value::Null),
        ("POST", "/rotate-secret".to_owned(), json!({})),
        ("POST", "/test".to_owned(), Value::Null),
        ("POST", "/recover".to_owned(), since.clone()),
        ("POST", "/replay".to_owned(), since),
        ("GET", "/stats".to_owned(), Value::Null),
        ("GET", "/deliveries".to_owned(), Value::Null),
        ("GET", format!("/deliveries/{delivery}"), Value::Null),
        ("POST", format!("/deliveries/{delivery}/resend"), Value::Null),
    ]
    .map(|(method, path, body)| (method, format!("{WEBHOOKS}/{id}{path}"), body))
    .into()
}

/// Everything there is of webhooks, as text.
async fn everything(desk: &Desk) -> String {
    use bellwire::storage::schema::{webhook_breakers as b, webhook_deliveries as d, webhooks as w};
    use diesel::prelude::*;
    use diesel_async::RunQueryDsl;
    let mut conn = desk.rest.db.read().await.unwrap();
    let endpoints = w::table.order(w::id).select((w::id, w::name, w::is_active, w::is_paused, w::deleted_at));
    let endpoints: Vec<(i64, String, bool, bool, Option<bellwire::domain::Timestamp>)> =
        on_conn!(&mut conn, c => endpoints.load(c).await).unwrap();
    let deliveries = d::table.order(d::id).select((d::id, d::status, d::attempts_before));
    let deliveries: Vec<(i64, String, i32)> = on_conn!(&mut conn, c => deliveries.load(c).await).unwrap();
    let breakers: i64 = on_conn!(&mut conn, c => b::table.count().get_result(c).await).unwrap();
    format!("{endpoints:?} {deliveries:?} {breakers}")
}

async fn nothing_of_another_tenant_can_be_seen_or_changed(db: TestDb) {
    let stranger = Shop::open(&db).await;
    let token = stranger.token(&["*"]).await;
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    desk.event().await;
    desk.run("UPDATE webhook_deliveries SET status = 'failed', attempts = 6").await;
    let now = desk.at(0);
    desk.run(&format!(
        "INSERT INTO webhook_breakers (webhook_id, state, failures, until, updated_at)
         VALUES ({id}, 'open', 5, {now}, {now})"
    ))
    .await;
    let before = everything(&desk).await;
    for (method, path, body) in routes(id, 1) {
        let ask = desk.rest.ask(method, &path).token(&token);
        let ask = if body.is_null() { ask } else { ask.json(&body) };
        let reply = ask.send().await;
        assert_eq!((reply.status, reply.message()), (404, "No such webhook."), "{method} {path}");
    }
    for list in [WEBHOOKS.to_owned(), format!("{WEBHOOKS}/failed")] {
        assert!(desk.rest.ask("GET", &list).token(&token).send().await.column("id").is_empty());
        assert_eq!(desk.rest.get(&list).await.column("id").len(), 1);
    }
    assert_eq!(everything(&desk).await, before);
    assert!(desk.rest.rung().is_empty());
    for (method, path, body) in routes(id, 1) {
        let ask = desk.rest.ask(method, &path);
        let ask = if body.is_null() { ask } else { ask.json(&body) };
        let status = ask.send().await.status;
        assert!(
            (200..300).contains(&status) || (method, status) == ("POST", 404),
            "{method} {path}: {status}"
        );
        if method == "DELETE" {
            break;
        }
    }
}

async fn a_delivery_is_found_under_its_own_endpoint_only(db: TestDb) {
    let desk = Desk::open(db).await;
    let (one, two) = (desk.endpoint(&["product:*"]).await, desk.endpoint(&["order:*"]).await);
    desk.event().await;
    assert_eq!(desk.get(&format!("{one}/deliveries/1")).await.status, 200);
    assert_eq!(desk.get(&format!("{two}/deliveries/1")).await.message(), "No such delivery.");
    let resend = desk.post(&format!("{two}/deliveries/1/resend"), Value::Null).await;
    assert_eq!((resend.status, resend.message()), (404, "No such delivery."));
}

#[actix_rt::test]
async fn a_token_reads_and_writes_as_its_abilities_say() {
    let desk = Desk::open(TestDb::sqlite().await).await;
    let id = desk.endpoint(&["*"]).await;
    desk.event().await;
    let reader = desk.rest.shop.token(&["webhooks:read", "orders:write"]).await;
    let writer = desk.rest.shop.token(&["webhooks:write"]).await;
    let collection = [
        ("GET", WEBHOOKS.to_owned(), Value::Null),
        ("GET", format!("{WEBHOOKS}/failed"), Value::Null),
        ("POST", WEBHOOKS.to_owned(), json!({"url": "https://a.example/", "events": ["*"]})),
    ];
    for (method, path, body) in collection.into_iter().chain(routes(id, 1)) {
        let reads = method == "GET";
        let (lacks, ability) = if reads { (&writer, "webhooks:read") } else { (&reader, "webhooks:write") };
        let ask = |token| {
            let ask = desk.rest.ask(method, &path).token(token);
            if body.is_null() { ask } else { ask.json(&body) }
        };
        let refused = ask(lacks).send().await;
        assert_eq!(refused.status, 403, "{method} {path}");
        assert!(refused.message().contains(ability), "{refused:?}");
        let nobody = desk.rest.ask(method, &path).without("authorization").send().await;
        assert_eq!(nobody.status, 401, "{method} {path}");
    }
    assert_eq!(desk.rest.ask("GET", WEBHOOKS).token(&reader).send().await.status, 200);
}
