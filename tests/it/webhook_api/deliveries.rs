//! Deliveries are listed, newest first, filtered, and shown with their attempts.

use super::{Desk, WEBHOOKS};
use crate::support::TestDb;
use crate::support::rest::Reply;
use serde_json::{Value, json};

on_both_databases!(
    deliveries_are_listed_newest_first_part_by_part,
    deliveries_are_filtered_by_status_event_and_time,
    a_rare_event_is_found_behind_thousands_of_others,
    a_delivery_is_shown_with_its_data_and_its_attempts,
    the_failed_ones_of_all_endpoints_are_listed_together,
);

fn ids(reply: &Reply) -> Vec<i64> {
    reply.column("id").iter().map(|id| id.as_i64().unwrap()).collect()
}

/// All ids of a list, read part by part.
async fn all(desk: &Desk, path: &str) -> Vec<i64> {
    let (mut found, mut path) = (Vec::new(), path.to_owned());
    for _ in 0..100 {
        let part = desk.rest.get(&path).await;
        found.extend(ids(&part));
        match part.body["links"]["next"].as_str() {
            Some(next) => path = next.split_once(desk.rest.address()).unwrap().1.to_owned(),
            None => return found,
        }
    }
    panic!("the list has no end");
}

async fn deliveries_are_listed_newest_first_part_by_part(db: TestDb) {
    let desk = Desk::open(db).await;
    let (id, other) = (desk.endpoint(&["*"]).await, desk.endpoint(&["order:*"]).await);
    for _ in 0..7 {
        desk.event().await;
    }
    desk.run("UPDATE webhook_deliveries SET status = 'failed' WHERE id % 3 = 0").await;
    let path = format!("{WEBHOOKS}/{id}/deliveries");
    let part = desk.rest.get(&format!("{path}?per_page=3")).await;
    let meta = json!({"path": format!("http://{}{path}", desk.rest.address()), "per_page": 3,
        "next_cursor": "5", "prev_cursor": null});
    assert_eq!(ids(&part), [7, 6, 5]);
    assert_eq!(part.body["meta"], meta);
    let next = format!("http://{}{path}?per_page=3&cursor=5", desk.rest.address());
    assert_eq!(part.body["links"], json!({"first": null, "last": null, "prev": null, "next": next}));
    assert_eq!(all(&desk, &format!("{path}?per_page=3")).await, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(all(&desk, &format!("{path}?per_page=7")).await.len(), 7);
    assert!(all(&desk, &format!("{WEBHOOKS}/{other}/deliveries")).await.is_empty());
    let first = &part.body["data"][0];
    let expected = json!({"id": 7, "webhook_id": id, "event_id": first["event_id"],
        "message_id": first["message_id"], "event": "product:created", "status": "pending", "attempts": 0,
        "due_at": "2026-03-01T08:00:00.500000Z", "created_at": "2026-03-01T08:00:00.500000Z",
        "updated_at": "2026-03-01T08:00:00.500000Z"});
    assert_eq!(first, &expected);
}

async fn deliveries_are_filtered_by_status_event_and_time(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    for name in ["order:created", "order:updated", "product:created", "order:created", "stock:updated"] {
        let event = desk.event().await;
        desk.run(&format!("UPDATE events SET name = '{name}' WHERE id = {event}")).await;
        desk.rest.shop.clock.advance(std::time::Duration::from_hours(1));
    }
    desk.run("UPDATE webhook_deliveries SET status = 'delivered' WHERE id IN (1, 4)").await;
    desk.run("UPDATE webhook_deliveries SET status = 'failed' WHERE id = 2").await;
    for (query, expected) in [
        ("", [5, 4, 3, 2, 1].as_slice()),
        ("filter[status]=pending", &[5, 3]),
        ("filter[status]=failed", &[2]),
        ("filter[event]=order:*", &[4, 2, 1]),
        ("filter[event]=order:created&filter[status]=delivered", &[4, 1]),
        ("filter[from]=2026-03-01T09:00:00.5Z", &[5, 4, 3, 2]),
        ("filter[to]=2026-03-01T09:00:00.5Z", &[1]),
        ("filter[from]=2026-03-01T09:00:00.5Z&filter[to]=2026-03-01T11:00:00.5Z", &[3, 2]),
        ("filter[from]=2026-03-02T00:00:00Z", &[]),
    ] {
        assert_eq!(all(&desk, &format!("{WEBHOOKS}/{id}/deliveries?{query}")).await, *expected, "{query}");
        let small = format!("{WEBHOOKS}/{id}/deliveries?{query}&per_page=1");
        assert_eq!(all(&desk, small.trim_start_matches("?&")).await, *expected, "{query}");
    }
    let query = "filter[status]=lost&filter[event]=a+b&filter[from]=x&sort=id&page=2&cursor=y";
    let wrong = desk.get(&format!("{id}/deliveries?{query}")).await;
    let fields = vec!["cursor", "filter[event]", "filter[from]", "filter[status]", "page", "sort"];
    assert_eq!(wrong.refusal(), (422, fields));
}

async fn a_rare_event_is_found_behind_thousands_of_others(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    let rare = desk.event().await;
    desk.run(&format!("UPDATE events SET name = 'order:rare' WHERE id = {rare}")).await;
    super::fill(&desk, id, 6_000).await;
    let path = format!("{WEBHOOKS}/{id}/deliveries?filter[event]=order:rare");
    let first = desk.rest.get(&path).await;
    assert!(ids(&first).is_empty(), "an answer looks at so many rows and no more");
    assert_ne!(first.body["links"]["next"], Value::Null);
    assert_eq!(all(&desk, &path).await, [1]);
}

async fn a_delivery_is_shown_with_its_data_and_its_attempts(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    let event = desk.event().await;
    desk.run(&format!("UPDATE events SET data = '{{\"b\": 1.50}}' WHERE id = {event}")).await;
    let now = desk.at(0);
    for (attempt, outcome, status, error, delivered) in
        [(1, "http", "500", "'no'", "NULL"), (2, "ok", "200", "NULL", now.as_str())]
    {
        desk.run(&format!(
            "INSERT INTO webhook_delivery_logs (webhook_id, delivery_id, event_type, attempt_number, outcome,
                 response_status, response_body, error, duration_ms, delivered_at, created_at)
             VALUES ({id}, 1, 'product:created', {attempt}, '{outcome}', {status}, 'hi', {error}, 12, {delivered}, {now})"
        ))
        .await;
    }
    desk.run("UPDATE webhook_deliveries SET status = 'delivered', attempts = 2").await;
    let shown = desk.get(&format!("{id}/deliveries/1")).await;
    assert!(String::from_utf8_lossy(&shown.bytes).contains(r#""data":{"b": 1.50}"#), "{shown:?}");
    let data = &shown.body["data"];
    assert_eq!(
        (&data["status"], &data["attempts"], &data["due_at"]),
        (&json!("delivered"), &json!(2), &Value::Null)
    );
    let at = "2026-03-01T08:00:00.500000Z";
    let log = json!([
        {"attempt_number": 1, "outcome": "http", "response_status": 500, "response_body": "hi", "error": "no",
            "duration_ms": 12, "delivered_at": null, "created_at": at},
        {"attempt_number": 2, "outcome": "ok", "response_status": 200, "response_body": "hi", "error": null,
            "duration_ms": 12, "delivered_at": at, "created_at": at},
    ]);
    assert_eq!(data["log"], log);
    let missing = desk.get(&format!("{id}/deliveries/2")).await;
    assert_eq!((missing.status, missing.message()), (404, "No such delivery."));
}

async fn the_failed_ones_of_all_endpoints_are_listed_together(db: TestDb) {
    let desk = Desk::open(db).await;
    let (one, two) = (desk.endpoint(&["*"]).await, desk.endpoint(&["*"]).await);
    for _ in 0..3 {
        desk.event().await;
    }
    desk.run("UPDATE webhook_deliveries SET status = 'failed' WHERE id <> 3").await;
    let path = format!("{WEBHOOKS}/failed");
    assert_eq!(all(&desk, &format!("{path}?per_page=2")).await, [6, 5, 4, 2, 1]);
    let endpoints = desk.rest.get(&path).await;
    let mut endpoints: Vec<i64> =
        endpoints.column("webhook_id").iter().map(|id| id.as_i64().unwrap()).collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    assert_eq!(endpoints, [one, two]);
    desk.rest.delete(&format!("{WEBHOOKS}/{two}")).await;
    assert!(desk.rest.get(&path).await.column("webhook_id").iter().all(|id| **id == json!(one)));
    assert_eq!(desk.rest.get(&format!("{path}?filter[status]=failed")).await.status, 422);
    assert_eq!(desk.rest.delete(&path).await.status, 405);
}
