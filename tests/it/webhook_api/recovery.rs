//! Deliveries are sent again by hand: one, those of a time, past events to a new endpoint, and a test.

use super::{Desk, WEBHOOKS, fill};
use crate::support::hub::TestHub;
use crate::support::receiver::{Answer, Receiver};
use crate::support::{Caller, TestDb, until};
use bellwire::domain::{EndpointId, Timestamp};
use bellwire::storage::schema::webhook_deliveries as d;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    a_delivery_is_sent_again_with_its_schedule_afresh,
    a_delivery_that_is_being_sent_is_left_alone,
    the_failed_ones_of_a_time_are_sent_again,
    a_recovery_of_very_many_goes_on_where_it_ended,
    past_events_are_replayed_to_a_new_endpoint_once,
    a_replay_takes_what_is_asked_for_and_wanted,
    a_test_is_for_one_endpoint_alone,
    an_endpoint_that_is_not_active_is_sent_nothing_by_hand_either,
    a_test_event_reaches_its_receiver_until_the_endpoint_is_deleted,
);

const HOUR: Duration = Duration::from_hours(1);

#[derive(Debug, PartialEq, Eq, Queryable)]
struct Row {
    status: String,
    attempts: i32,
    attempts_before: i32,
    due_at: Timestamp,
    lease_owner: Option<String>,
}

async fn rows(desk: &Desk) -> Vec<Row> {
    let query =
        d::table.order(d::id).select((d::status, d::attempts, d::attempts_before, d::due_at, d::lease_owner));
    let mut conn = desk.rest.db.read().await.unwrap();
    on_conn!(&mut conn, c => query.load(c).await).unwrap()
}

async fn statuses(desk: &Desk) -> String {
    rows(desk).await.iter().map(|row| row.status.chars().next().unwrap()).collect()
}

async fn a_delivery_is_sent_again_with_its_schedule_afresh(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    desk.event().await;
    for status in ["failed", "delivered", "pending"] {
        desk.run(&format!("UPDATE webhook_deliveries SET status = '{status}', attempts = 6")).await;
        desk.rest.shop.clock.advance(HOUR);
        let answer = desk.post(&format!("{id}/deliveries/1/resend"), Value::Null).await;
        assert_eq!((answer.status, &answer.body["data"]["status"]), (202, &json!("pending")), "{answer:?}");
        let row = Row {
            status: "pending".to_owned(),
            attempts: 6,
            attempts_before: 6,
            due_at: desk.now(),
            lease_owner: None,
        };
        assert_eq!(rows(&desk).await, [row]);
        desk.assert_rung(id).await;
    }
    let missing = desk.post(&format!("{id}/deliveries/9/resend"), Value::Null).await;
    assert_eq!((missing.status, missing.message()), (404, "No such delivery."));
}

async fn a_delivery_that_is_being_sent_is_left_alone(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    desk.event().await;
    let until = desk.at(60);
    desk.run(&format!("UPDATE webhook_deliveries SET lease_owner = 'x', lease_until = {until}")).await;
    let path = format!("{id}/deliveries/1/resend");
    let refused = desk.post(&path, Value::Null).await;
    assert_eq!((refused.status, refused.message()), (409, "The delivery is being sent just now."));
    desk.rest.shop.clock.advance(Duration::from_mins(1));
    assert_eq!(desk.post(&path, Value::Null).await.status, 202);
    assert_eq!(rows(&desk).await[0].lease_owner, None);
}

async fn the_failed_ones_of_a_time_are_sent_again(db: TestDb) {
    let desk = Desk::open(db).await;
    let (id, _other) = (desk.endpoint(&["product:*"]).await, desk.endpoint(&["product:*"]).await);
    for _ in 0..5 {
        desk.event().await;
        desk.rest.shop.clock.advance(HOUR);
    }
    desk.run("UPDATE webhook_deliveries SET status = 'failed', attempts = 6").await;
    desk.run(&format!(
        "UPDATE webhook_deliveries SET status = 'delivered' WHERE webhook_id = {id} AND event_id = 3"
    ))
    .await;
    let range = json!({"since": "2026-03-01T09:00:00.5Z", "until": "2026-03-01T12:00:00.5Z"});
    let answer = desk.post(&format!("{id}/recover"), range).await;
    assert_eq!((answer.status, &answer.body), (200, &json!({"data": {"recovered": 2, "next": null}})));
    desk.assert_rung(id).await;
    assert_eq!(statuses(&desk).await, "ffpfdfpfff");
    let again = &rows(&desk).await[2];
    assert_eq!((again.attempts, again.attempts_before, again.due_at), (6, 6, desk.now()));
    let all = desk.post(&format!("{id}/recover"), json!({"since": "2020-01-01T00:00:00Z"})).await;
    assert_eq!(all.body["data"]["recovered"], 2);
    let none = desk.post(&format!("{id}/recover"), json!({"since": "2026-03-02T00:00:00Z"})).await;
    assert_eq!(none.body["data"], json!({"recovered": 0, "next": null}));
    let wrong = desk.post(&format!("{id}/recover"), json!({"until": "soon", "events": []})).await;
    assert_eq!(wrong.refusal(), (422, vec!["events", "since", "until"]));
}

async fn a_recovery_of_very_many_goes_on_where_it_ended(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    fill(&desk, id, 11_000).await;
    desk.run("UPDATE webhook_deliveries SET status = 'failed'").await;
    let since = json!({"since": "2026-03-01T00:00:00Z"});
    let first = desk.post(&format!("{id}/recover"), since).await;
    assert_eq!(first.body["data"], json!({"recovered": 10_000, "next": 10_000}));
    // What fails again meanwhile is not sent a third time by whoever goes on.
    desk.run("UPDATE webhook_deliveries SET status = 'failed' WHERE id = 5").await;
    let rest = json!({"since": "2026-03-01T00:00:00Z", "after": 10_000});
    let rest = desk.post(&format!("{id}/recover"), rest).await;
    assert_eq!(rest.body["data"], json!({"recovered": 1_000, "next": null}));
    assert_eq!(statuses(&desk).await.matches('f').count(), 1);
}

async fn past_events_are_replayed_to_a_new_endpoint_once(db: TestDb) {
    let desk = Desk::open(db).await;
    let old = desk.endpoint(&["*"]).await;
    for _ in 0..3 {
        desk.event().await;
        desk.rest.shop.clock.advance(HOUR);
    }
    desk.post(&format!("{old}/test"), Value::Null).await;
    let new = desk.endpoint(&["product:*", "webhook:*"]).await;
    desk.event().await;
    let range = json!({"since": "2026-03-01T09:00:00.5Z"});
    let replayed = desk.post(&format!("{new}/replay"), range.clone()).await;
    assert_eq!((replayed.status, &replayed.body), (200, &json!({"data": {"replayed": 2, "next": null}})));
    let again = desk.post(&format!("{new}/replay"), range).await;
    assert_eq!(again.body["data"]["replayed"], 0, "each event has one delivery to an endpoint");
    let events = desk.rest.shop.deliveries(EndpointId(new)).await;
    assert_eq!(events, ["product:created", "product:created", "product:created"]);
    let made = rows(&desk).await.pop().unwrap();
    assert_eq!((made.status.as_str(), made.due_at), ("pending", desk.now()));
}

async fn a_replay_takes_what_is_asked_for_and_wanted(db: TestDb) {
    let desk = Desk::open(db).await;
    for name in ["order:created", "order:updated", "product:created", "stock:updated"] {
        let event = desk.event().await;
        desk.run(&format!("UPDATE events SET name = '{name}' WHERE id = {event}")).await;
    }
    let id = desk.endpoint(&["order:*", "product:*"]).await;
    let body = json!({"since": "2026-01-01T00:00:00Z", "events": ["*:created"]});
    assert_eq!(desk.post(&format!("{id}/replay"), body).await.refusal(), (422, vec!["events.0"]));
    let body = json!({"since": "2026-01-01T00:00:00Z", "events": ["order:created", "stock:*"]});
    assert_eq!(desk.post(&format!("{id}/replay"), body).await.body["data"]["replayed"], 1);
    assert_eq!(desk.rest.shop.deliveries(EndpointId(id)).await, ["order:created"]);
    let many = desk.endpoint(&["*"]).await;
    let other = desk.endpoint(&["stock:*"]).await;
    fill(&desk, other, 10_500).await;
    let first = desk.post(&format!("{many}/replay"), json!({"since": "2026-01-01T00:00:00Z"})).await;
    assert_eq!(first.body["data"]["replayed"], 10_000);
    let next = &first.body["data"]["next"];
    let rest =
        desk.post(&format!("{many}/replay"), json!({"since": "2026-01-01T00:00:00Z", "after": next})).await;
    assert_eq!(rest.body["data"], json!({"replayed": 504, "next": null}));
}

async fn a_test_is_for_one_endpoint_alone(db: TestDb) {
    let desk = Desk::open(db).await;
    let (id, other) = (desk.endpoint(&["order:*"]).await, desk.endpoint(&["*"]).await);
    let answer = desk.post(&format!("{id}/test"), Value::Null).await;
    assert_eq!((answer.status, &answer.body["data"]["event"]), (202, &json!("webhook:test")));
    desk.assert_rung(id).await;
    let shown = desk.get(&format!("{id}/deliveries/{}", answer.body["data"]["id"])).await;
    assert_eq!(shown.body["data"]["data"], json!({"webhook_id": id, "name": "erp.example", "is_test": true}));
    assert_eq!(desk.rest.shop.deliveries(EndpointId(id)).await, ["webhook:test"]);
    assert!(desk.rest.shop.deliveries(EndpointId(other)).await.is_empty());
}

async fn an_endpoint_that_is_not_active_is_sent_nothing_by_hand_either(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    desk.event().await;
    desk.run("UPDATE webhook_deliveries SET status = 'failed'").await;
    desk.rest.patch(&format!("{WEBHOOKS}/{id}"), json!({"is_active": false})).await;
    let since = json!({"since": "2026-01-01T00:00:00Z"});
    for (path, body) in [
        ("test", Value::Null),
        ("deliveries/1/resend", Value::Null),
        ("recover", since.clone()),
        ("replay", since),
    ] {
        let refused = desk.post(&format!("{id}/{path}"), body).await;
        assert_eq!(refused.status, 409, "{path}");
        assert!(refused.message().contains("not active"), "{refused:?}");
    }
    assert_eq!(statuses(&desk).await, "f");
}

async fn a_test_event_reaches_its_receiver_until_the_endpoint_is_deleted(db: TestDb) {
    // The sweep is far away: what is sent was sent because the bell was rung.
    let hub = TestHub::start_on(db, |config| config.webhooks.sweep_ms = 3_600_000).await;
    let ann = hub.somebody("Ann").await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let caller = Caller::with_token(&ann.tenant.to_string(), &ann.token);
    let body = json!({"url": receiver.url(), "events": ["order:*"]});
    let (status, made) = caller.post(&hub.url(WEBHOOKS), &body).await.unwrap();
    assert_eq!(status, 201);
    let path = hub.url(&format!("{WEBHOOKS}/{}", made["data"]["id"]));
    let (status, test) = caller.post(&format!("{path}/test"), &Value::Null).await.unwrap();
    assert_eq!(status, 202);
    let request = receiver.next().await;
    assert_eq!(request.header("webhook-id"), test["data"]["message_id"]);
    request.assert_signed_with(made["data"]["secret"].as_str().unwrap());
    let delivery = format!("{path}/deliveries/{}", test["data"]["id"]);
    let read = async || caller.get(&delivery).await.unwrap().1["data"].clone();
    until("the attempt is written down", async || read().await["status"] == "delivered").await;
    assert_eq!(read().await["log"][0]["outcome"], "ok");
    let report = caller.get(&format!("{path}/stats?period=hour")).await.unwrap().1;
    assert_eq!((&report["data"]["attempts"], &report["data"]["success_rate"]), (&json!(1), &json!(1.0)));
    caller.post(&format!("{delivery}/resend"), &Value::Null).await.unwrap();
    assert_eq!(receiver.next().await.header("webhook-id"), test["data"]["message_id"]);
    let (status, _) = caller.send(awc::http::Method::DELETE, &path, &Value::Null).await.unwrap();
    assert_eq!(status, 204);
    assert_eq!(caller.post(&format!("{path}/test"), &Value::Null).await.unwrap().0, 404);
    hub.stop().await;
    assert!(receiver.already().is_none());
}
