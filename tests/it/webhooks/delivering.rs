//! A change reaches its endpoint: signed, once when all is well, and again on the schedule when it is not.

use super::world::{SECRET, World, loopback, start, until};
use crate::support::TestDb;
use crate::support::receiver::{Answer, Receiver};
use bellwire::domain::Clock;
use std::time::Duration;

on_both_databases!(
    an_event_is_posted_signed_and_written_down,
    a_failed_delivery_is_tried_again_on_the_schedule_until_it_is_given_up,
    an_endpoint_may_want_no_retries,
    a_sweep_finds_what_nobody_was_told_of,
    no_more_than_its_lanes_are_open_to_an_endpoint,
    an_endpoint_that_is_made_inactive_gets_nothing_more,
    many_deliveries_go_out_each_once,
);

async fn an_event_is_posted_signed_and_written_down(db: TestDb) {
    let world = World::with(db, Clock::System, loopback()).await;
    let mut receiver = Receiver::start(Answer::Body(202, b"thanks".to_vec())).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let message_id = world.publish(&endpoint, r#"{"b": 1.50,"a":"\u00e4"}"#).await;

    let request = receiver.next().await;
    assert_eq!(request.path, "/hook");
    assert_eq!(request.body, br#"{"event":"product:updated","data":{"b": 1.50,"a":"\u00e4"}}"#);
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("user-agent"), concat!("bellwire/", env!("CARGO_PKG_VERSION")));
    assert_eq!(request.header("webhook-id"), message_id);
    request.assert_signed_with(SECRET);

    let row = world.row_after(1).await;
    assert_eq!((row.status.as_str(), row.lease_owner), ("delivered", None));
    let log = world.log().await;
    assert_eq!(log.len(), 1);
    assert_eq!((log[0].attempt, log[0].outcome.as_str(), log[0].status), (1, "ok", Some(202)));
    assert_eq!((log[0].body.as_deref(), log[0].error.as_deref()), (Some("thanks"), None));
    assert!(log[0].delivered_at.is_some());
    until(|| world.sender.attempts("ok") == 1).await;
    let mut conn = world.db.read().await.unwrap();
    let found = bellwire::webhooks::endpoint::find(&mut conn, world.tenant, endpoint.id).await.unwrap();
    assert!(found.last_triggered_at.is_some());
}

async fn a_failed_delivery_is_tried_again_on_the_schedule_until_it_is_given_up(db: TestDb) {
    let world = World::new(db).await;
    let mut receiver = Receiver::start(Answer::Body(500, b"no".to_vec())).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let message_id = world.publish(&endpoint, "{}").await;

    let mut signatures = Vec::new();
    for (attempt, planned) in (1..).zip([60, 300, 900, 3_600, 7_200]) {
        let request = receiver.next().await;
        assert_eq!(request.header("webhook-id"), message_id);
        assert_eq!(request.header("webhook-timestamp"), world.clock.now().unix_seconds().to_string());
        signatures.push(request.header("webhook-signature").to_owned());
        let row = world.row_after(attempt).await;
        assert_eq!((row.status.as_str(), row.lease_owner), ("pending", None));
        let wait = row.due_at.since(world.clock.now()).as_secs();
        assert!((planned * 9 / 10..=planned * 11 / 10).contains(&wait), "{wait} s after attempt {attempt}");
        world.clock.advance(Duration::from_secs(wait + 1));
        world.sender.wake(&[endpoint.id]);
    }
    let row = world.row_after(6).await;
    assert_eq!(row.status, "failed");
    signatures.sort_unstable();
    signatures.dedup();
    assert_eq!(signatures.len(), 5, "each attempt is signed anew");

    let log = world.log().await;
    assert_eq!(log.iter().map(|l| l.attempt).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert!(log.iter().all(|l| l.outcome == "http" && l.status == Some(500) && l.delivered_at.is_none()));
    until(|| world.sender.attempts("http") == 6).await;

    world.clock.advance(Duration::from_hours(24));
    receiver.answer(Answer::Status(200));
    world.publish(&endpoint, "{}").await;
    let rows = world.rows_when(|rows| rows.len() == 2 && rows[1].status == "delivered").await;
    assert_eq!((rows[0].status.as_str(), rows[0].attempts), ("failed", 6), "what is given up stays so");
}

async fn an_endpoint_may_want_no_retries(db: TestDb) {
    let world = World::new(db).await;
    let receiver = Receiver::start(Answer::Status(404)).await;
    let endpoint = world.endpoint_with(&receiver.url(), |new| new.backoff.max_retries = 0).await;
    world.publish(&endpoint, "{}").await;
    assert_eq!(world.row_after(1).await.status, "failed");
}

async fn a_sweep_finds_what_nobody_was_told_of(db: TestDb) {
    let world = World::new(db).await;
    let mut receiver = Receiver::start(Answer::Status(500)).await;
    world.sweep();
    world.endpoint(&receiver.url()).await;
    let message_id = world.commit("{}").await;
    assert_eq!(receiver.next().await.header("webhook-id"), message_id);
    world.row_after(1).await;
    receiver.answer(Answer::Status(200));
    world.clock.advance(Duration::from_secs(67));
    assert_eq!(receiver.next().await.header("webhook-id"), message_id);
    assert_eq!(world.row_after(2).await.status, "delivered");
}

async fn no_more_than_its_lanes_are_open_to_an_endpoint(db: TestDb) {
    let config = bellwire::config::Webhooks { concurrency_per_endpoint: 3, ..loopback() };
    let world = World::with(db, Clock::fixed(start()), config).await;
    let receiver = Receiver::start(Answer::Slow(200, Duration::from_millis(20))).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    for n in 0..10 {
        world.commit(&n.to_string()).await;
    }
    world.sender.wake(&[endpoint.id]);
    world.rows_when(|rows| rows.iter().all(|r| r.attempts == 1)).await;
    assert_eq!(receiver.most_at_once(), 3);
}

async fn an_endpoint_that_is_made_inactive_gets_nothing_more(db: TestDb) {
    let world = World::new(db).await;
    let mut receiver = Receiver::start(Answer::Status(500)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    world.publish(&endpoint, "{}").await;
    receiver.next().await;
    world.row_after(1).await;
    let (tenant, now) = (world.tenant, world.clock.now());
    let stop = async |conn: &mut bellwire::storage::Conn| {
        bellwire::webhooks::endpoint::deactivate(conn, tenant, endpoint.id, now).await
    };
    world.db.transaction(stop).await.unwrap();
    world.clock.advance(Duration::from_secs(67));
    let factory = world.sender.endpoints.factory();
    let actor = factory(endpoint.id);
    let _ = actor.try_send(bellwire::domain::ToEndpoint::Look);
    until(|| !actor.connected()).await;
    assert!(receiver.already().is_none());
}

async fn many_deliveries_go_out_each_once(db: TestDb) {
    let world = World::new(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let mut expected = Vec::new();
    for n in 0..300 {
        expected.push(world.publish(&endpoint, &n.to_string()).await);
    }
    let rows = world.rows_when(|rows| rows.iter().all(|r| r.status == "delivered")).await;
    assert_eq!(rows.len(), 300);
    let mut got: Vec<String> =
        std::iter::from_fn(|| receiver.already()).map(|r| r.header("webhook-id").to_owned()).collect();
    got.sort_unstable();
    expected.sort_unstable();
    assert_eq!(got, expected);
    assert!(receiver.connections() <= 8, "connections are kept: {}", receiver.connections());
}
