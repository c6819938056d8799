//! Deliveries in the format of Pusher's webhooks: together in few requests, each a delivery of its own all the same.

use super::holding_back::{breaker, breaker_when};
use super::world::{Row, SECRET, World, until};
use crate::support::TestDb;
use crate::support::receiver::{Answer, Received, Receiver};
use bellwire::domain::EndpointId;
use bellwire::webhooks::breaker::Breaker;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

on_both_databases!(
    what_waits_travels_together_and_each_is_a_delivery_of_its_own,
    a_batch_that_fails_counts_once_and_comes_again_in_halves,
    batches_keep_the_order_also_when_one_fails,
    a_rate_counts_requests,
);

fn batch(receiver: &Receiver) -> Value {
    json!({"url": receiver.url(), "strategy": "pusher_batch"})
}

/// The events of a request that is what it should be.
fn events_of(request: &Received, endpoint: EndpointId) -> Vec<Value> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&request.body);
    let signature = hex::encode(mac.finalize().into_bytes());
    assert_eq!(request.header("x-pusher-key"), format!("webhook-{endpoint}"));
    assert_eq!(request.header("x-pusher-signature"), signature);
    assert_eq!(request.header("x-webhook-signature"), signature);
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("webhook-id"), "", "a batch has no id");
    let mut body: Value = serde_json::from_slice(&request.body).unwrap();
    assert!(body["time_ms"].as_i64().unwrap() > 1_600_000_000_000);
    serde_json::from_value(body["events"].take()).unwrap()
}

fn ids_of(request: &Received, endpoint: EndpointId) -> Vec<String> {
    let events = events_of(request, endpoint);
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

async fn commit(world: &World, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(world.commit(&format!(r#"{{"n":{n}}}"#)).await);
    }
    ids
}

fn all_delivered(rows: &[Row]) -> bool {
    rows.iter().all(|row| row.status == "delivered")
}

async fn what_waits_travels_together_and_each_is_a_delivery_of_its_own(db: TestDb) {
    let world = World::today(db).await;
    let mut receiver = Receiver::start(Answer::Body(200, b"thanks".to_vec())).await;
    let endpoint = world.endpoint_as(batch(&receiver)).await;
    let mut committed = commit(&world, 120).await;
    world.sender.wake(&[endpoint.id]);
    let rows = world.rows_when(all_delivered).await;
    assert!(rows.iter().all(|row| row.attempts == 1 && row.lease_owner.is_none()), "{rows:?}");
    let mut found = Vec::new();
    let mut requests = 0;
    while let Some(request) = receiver.already() {
        let events = events_of(&request, endpoint.id);
        assert!((1..=50).contains(&events.len()), "{}", events.len());
        assert!(events.iter().all(|event| event["name"] == "product:updated"));
        assert!(serde_json::from_str::<Value>(events[0]["data"].as_str().unwrap()).unwrap()["n"].is_u64());
        found.extend(ids_of(&request, endpoint.id));
        requests += 1;
    }
    // The first claim, made before the endpoint is known, is a small one.
    assert!(requests <= 5, "{requests} requests for 120 events");
    found.sort_unstable();
    committed.sort_unstable();
    assert_eq!(found, committed, "each once");
    let log = world.log().await;
    assert_eq!(log.len(), 120, "each has its own entry in the log");
    let good = |one: &super::world::Log| {
        (one.attempt, one.outcome.as_str(), one.status, one.body.as_deref())
            == (1, "ok", Some(200), Some("thanks"))
    };
    assert!(log.iter().all(good), "{log:?}");
    until(|| world.sender.attempts("ok") == 120).await;
}

async fn a_batch_that_fails_counts_once_and_comes_again_in_halves(db: TestDb) {
    let world = World::today(db).await;
    let mut receiver = Receiver::start(Answer::Status(500)).await;
    let endpoint = world.endpoint_as(batch(&receiver)).await;
    let committed = commit(&world, 30).await;
    world.sender.wake(&[endpoint.id]);
    let first = ids_of(&receiver.next().await, endpoint.id);
    let second = ids_of(&receiver.next().await, endpoint.id);
    assert_eq!([first.clone(), second.clone()].concat(), committed, "oldest first");
    let rows = world.rows_when(|rows| rows.iter().all(|row| row.attempts == 1)).await;
    let due = |rows: &[Row]| rows.iter().map(|row| row.due_at).collect::<Vec<_>>();
    let (of_first, of_second) = rows.split_at(first.len());
    for alike in [of_first, of_second] {
        assert!(
            due(alike).windows(2).all(|pair| pair[0] == pair[1]),
            "what failed together comes due together"
        );
    }
    let failing = breaker_when(&world, &endpoint, |b| b.failures >= 2).await;
    assert_eq!((failing.failures, failing.is_closed()), (2, true), "thirty attempts, two requests");

    let _sweep = world.sweep();
    world.clock.advance(Duration::from_secs(67));
    for (failures, size) in [(3, 12), (4, 6), (5, 3)] {
        let again = ids_of(&receiver.next().await, endpoint.id);
        assert_eq!(again.len(), size, "each time half as many, until the one is alone that it does not take");
        assert!(again.iter().all(|id| committed.contains(id)));
        breaker_when(&world, &endpoint, |b| b.failures >= failures).await;
    }
    assert!(!breaker(&world, &endpoint).await.is_closed(), "the fifth failed request opens it");

    receiver.answer(Answer::Status(200));
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(ids_of(&receiver.next().await, endpoint.id).len(), 1, "a probe is one delivery");
    world.rows_when(all_delivered).await;
    assert_eq!(breaker(&world, &endpoint).await, Breaker::default());
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 29 {
        sizes.push(ids_of(&receiver.next().await, endpoint.id).len());
    }
    assert!(
        sizes[0] == 2 && sizes.iter().max() > Some(&2),
        "and the rest in larger and larger ones: {sizes:?}"
    );
}

async fn batches_keep_the_order_also_when_one_fails(db: TestDb) {
    let world = World::today(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let mut said = batch(&receiver);
    said["is_ordered"] = true.into();
    let endpoint = world.endpoint_as(said).await;
    // So that the actor knows what it sends.
    let mut committed = vec![world.publish(&endpoint, "{}").await];
    world.row_after(1).await;
    let mut found = ids_of(&receiver.next().await, endpoint.id);
    receiver.answer(Answer::Status(500));
    committed.extend(commit(&world, 120).await);
    let _sweep = world.sweep();
    let failed = ids_of(&receiver.next().await, endpoint.id);
    assert_eq!(failed, committed[1..=failed.len()]);
    world.rows_when(|rows| rows[1].attempts == 1 && rows.iter().all(|row| row.lease_owner.is_none())).await;
    assert!(receiver.already().is_none(), "the others wait for those that failed");
    receiver.answer(Answer::Slow(200, Duration::from_millis(5)));
    world.clock.advance(Duration::from_secs(67));
    let mut sizes = Vec::new();
    while found.len() < committed.len() {
        let ids = ids_of(&receiver.next().await, endpoint.id);
        sizes.push(ids.len());
        found.extend(ids);
    }
    assert_eq!(found, committed);
    assert_eq!((sizes[0], receiver.most_at_once()), (25, 1), "{sizes:?}");
    world.rows_when(all_delivered).await;
}

async fn a_rate_counts_requests(db: TestDb) {
    let world = World::today(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let mut said = batch(&receiver);
    said["rate_per_minute"] = 1.into();
    let endpoint = world.endpoint_as(said).await;
    world.publish(&endpoint, "{}").await;
    receiver.next().await;
    world.row_after(1).await;
    commit(&world, 60).await;
    let _sweep = world.sweep();
    for size in [50, 10] {
        world.sender.wake(&[endpoint.id]);
        world.rows_when(|rows| rows.iter().all(|row| row.lease_owner.is_none())).await;
        assert!(receiver.already().is_none(), "one a minute");
        world.clock.advance(Duration::from_mins(1));
        assert_eq!(ids_of(&receiver.next().await, endpoint.id).len(), size);
    }
    world.rows_when(all_delivered).await;
}

#[actix_rt::test]
async fn a_batch_has_a_bound_of_bytes() {
    let world = World::today(TestDb::sqlite().await).await;
    let gate = Arc::new(Semaphore::new(0));
    let mut receiver = Receiver::start(Answer::Gate(Arc::clone(&gate), Vec::new())).await;
    let endpoint = world.endpoint_as(batch(&receiver)).await;
    let huge = json!("x".repeat(25_000)).to_string();
    for _ in 0..5 {
        world.commit(&huge).await;
    }
    world.commit(&json!("x".repeat(400_000)).to_string()).await;
    gate.add_permits(100);
    world.sender.wake(&[endpoint.id]);
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 6 {
        sizes.push(events_of(&receiver.next().await, endpoint.id).len());
    }
    // Two requests may overtake each other.
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 1, 2, 2], "one that is too large goes alone");
}

#[actix_rt::test]
async fn headers_and_a_password_come_with_each_request_and_the_data_may_be_encrypted() {
    let world = World::today(TestDb::sqlite().await).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let mut said = batch(&receiver);
    said["headers"] = json!({"X-Shop": "seven"});
    said["auth"] = json!({"type": "basic", "username": "Aladdin", "password": "open sesame"});
    said["encryption_key"] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into();
    let endpoint = world.endpoint_as(said).await;
    world.publish(&endpoint, r#"{"name":"CANARY"}"#).await;
    let request = receiver.next().await;
    assert_eq!(request.header("x-shop"), "seven");
    assert_eq!(request.header("authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    let events = events_of(&request, endpoint.id);
    assert_eq!(events[0]["name"], "product:updated");
    let data = events[0]["data"].as_str().unwrap();
    assert!(
        data.starts_with("eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..") && !data.contains("CANARY"),
        "{data}"
    );
}
