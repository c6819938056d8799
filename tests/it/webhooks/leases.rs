//! Who may send a delivery, and what becomes of it when whoever did is gone.

use super::world::{Row, Sender, World, loopback, start, until};
use crate::support::TestDb;
use crate::support::receiver::{Answer, Receiver};
use actix::Arbiter;
use bellwire::domain::{Clock, DeliveryId, EndpointId, Result, TenantId, Timestamp};
use bellwire::storage::Db;
use bellwire::webhooks::breaker::{BreakerRule, Sign};
use bellwire::webhooks::delivery::{self, Delivery, Wanted};
use bellwire::webhooks::delivery_log::{self, Attempt};
use bellwire::webhooks::judgement::{Judgement, Verdict};
use bellwire::webhooks::outcome::{Outcome, Report};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

on_both_databases!(
    two_owners_never_claim_the_same_row,
    two_processes_send_each_delivery_once,
    what_a_dead_process_had_posted_is_sent_again_with_its_id,
    an_outcome_counts_only_while_its_lease_is_held,
    a_delivery_that_waited_beyond_its_lease_is_left_to_the_next_claim,
    a_drain_finishes_what_is_in_flight_and_hands_the_rest_back,
    a_drain_does_not_wait_for_ever,
);

const LEASE: Duration = Duration::from_secs(15);

async fn claim(db: &Db, owner: &str, endpoint: EndpointId, limit: usize, now: Timestamp) -> Vec<Delivery> {
    let wanted = [Wanted { endpoint, limit, is_ordered: false, lease_until: now.plus(LEASE) }];
    db.transaction(async |conn| delivery::claim(conn, owner, &wanted, now).await).await.unwrap()
}

async fn write(db: &Db, owner: &str, delivery: &Delivery, outcome: Outcome, now: Timestamp) -> Vec<bool> {
    let report = Report {
        outcome,
        status: None,
        retry_after: None,
        control: None,
        body: None,
        error: None,
        duration: Duration::ZERO,
    };
    let verdict = if outcome == Outcome::Ok { Verdict::Delivered } else { Verdict::Failed };
    let judgement = Judgement { verdict, sign: Sign::Good, disable: None };
    let breaker = BreakerRule { threshold: 5, open_for: Duration::from_hours(1) };
    let attempts = [Attempt::of(delivery, (TenantId(1), breaker), report, judgement, now)];
    let write = async |conn: &mut bellwire::storage::Conn| -> Result<Vec<bool>> {
        delivery_log::write(conn, owner, &attempts, now).await
    };
    db.transaction(write).await.unwrap()
}

async fn two_owners_never_claim_the_same_row(db: TestDb) {
    let world = World::new(db).await;
    let endpoint = world.endpoint("http://127.0.0.1:9/").await;
    for n in 0..100 {
        world.commit(&n.to_string()).await;
    }
    let (one, two) = (world.db.open_another(), world.db.open_another());
    let claim_all = async |db: &Db, owner| {
        let mut claimed: Vec<DeliveryId> = Vec::new();
        loop {
            let some = claim(db, owner, endpoint.id, 7, start()).await;
            if some.is_empty() {
                return claimed;
            }
            claimed.extend(some.iter().map(|d| d.id));
        }
    };
    let (ones, twos) = tokio::join!(claim_all(&one, "one"), claim_all(&two, "two"));
    let distinct: BTreeSet<DeliveryId> = ones.iter().chain(&twos).copied().collect();
    assert_eq!((ones.len() + twos.len(), distinct.len()), (100, 100));
    assert!(claim(&one, "one", endpoint.id, 7, start().plus(LEASE / 2)).await.is_empty());
    assert_eq!(claim(&one, "one", endpoint.id, 200, start().plus(LEASE)).await.len(), 100, "leases ran out");
}

async fn two_processes_send_each_delivery_once(db: TestDb) {
    let world = World::new(db).await;
    let other = world.another_sender().await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let mut expected = Vec::new();
    for n in 0..200 {
        expected.push(world.commit(&n.to_string()).await);
    }
    world.sender.wake(&[endpoint.id]);
    other.wake(&[endpoint.id]);
    world.rows_when(|rows| rows.iter().all(|r| r.status == "delivered")).await;
    let mut got: Vec<String> =
        std::iter::from_fn(|| receiver.already()).map(|r| r.header("webhook-id").to_owned()).collect();
    got.sort_unstable();
    expected.sort_unstable();
    assert_eq!(got, expected);
    until(|| world.sender.attempts("ok") + other.attempts("ok") == 200).await;
}

async fn what_a_dead_process_had_posted_is_sent_again_with_its_id(db: TestDb) {
    let world = World::new(db).await;
    let mut receiver = Receiver::start(Answer::Hang).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let arbiter = Arbiter::new();
    let doomed =
        Sender::start_on(arbiter.handle(), world.db.open_another(), world.clock.clone(), &world.config).await;
    let message_id = world.commit("{}").await;
    doomed.wake(&[endpoint.id]);
    assert_eq!(receiver.next().await.header("webhook-id"), message_id);
    arbiter.stop();
    arbiter.join().unwrap();

    receiver.answer(Answer::Status(200));
    world.sender.wake(&[endpoint.id]);
    let held = world.rows().await;
    assert!(held[0].attempts == 0 && held[0].lease_owner.is_some(), "{held:?}");
    assert!(receiver.already().is_none(), "the lease stands");
    world.clock.advance(Duration::from_secs(11));
    world.sender.wake(&[endpoint.id]);
    assert_eq!(receiver.next().await.header("webhook-id"), message_id);
    assert_eq!(world.row_after(1).await.status, "delivered");
    assert_eq!(world.log().await.len(), 1);
}

async fn an_outcome_counts_only_while_its_lease_is_held(db: TestDb) {
    let world = World::new(db).await;
    let endpoint = world.endpoint("http://127.0.0.1:9/").await;
    world.commit("{}").await;
    let late = start().plus(LEASE);
    let first = claim(&world.db, "one", endpoint.id, 1, start()).await.remove(0);
    let second = claim(&world.db, "two", endpoint.id, 1, late).await.remove(0);
    assert_eq!(first.message_id, second.message_id);
    assert_eq!(write(&world.db, "one", &first, Outcome::Http, late).await, [false]);
    assert_eq!(write(&world.db, "two", &second, Outcome::Ok, late).await, [true]);
    assert_eq!(write(&world.db, "two", &second, Outcome::Ok, late).await, [false], "once is once");
    assert_eq!(world.row_after(1).await.status, "delivered");
    assert_eq!(world.log().await.len(), 1);
}

async fn a_delivery_that_waited_beyond_its_lease_is_left_to_the_next_claim(db: TestDb) {
    let config = bellwire::config::Webhooks { concurrency: 1, ..loopback() };
    let world = World::with(db, Clock::fixed(start()), config).await;
    let gate = Arc::new(Semaphore::new(0));
    let mut slow = Receiver::start(Answer::Gate(Arc::clone(&gate), Vec::new())).await;
    let mut quick = Receiver::start(Answer::Status(200)).await;
    let first = world.endpoint(&slow.url()).await;
    world.publish(&first, "{}").await;
    slow.next().await;
    let second = world.endpoint(&quick.url()).await;
    let message_id = world.publish(&second, "{}").await;
    let held = |rows: &[Row]| rows.iter().filter(|r| r.lease_owner.is_some()).count();
    world.rows_when(|rows| held(rows) == 2).await;
    // The permit is taken; when it is free, the lease of whoever waited for it has ended.
    world.clock.advance(LEASE);
    gate.add_permits(2);
    assert_eq!(quick.next().await.header("webhook-id"), message_id);
    // Nobody told the first endpoint of the second event.
    world.sweep();
    world.rows_when(|rows| rows.iter().all(|r| r.status == "delivered" && r.attempts == 1)).await;
    assert!(quick.already().is_none());
}

async fn a_drain_finishes_what_is_in_flight_and_hands_the_rest_back(db: TestDb) {
    let config = bellwire::config::Webhooks { concurrency_per_endpoint: 2, ..loopback() };
    let world = World::with(db, Clock::fixed(start()), config).await;
    let gate = Arc::new(Semaphore::new(1));
    let mut receiver = Receiver::start(Answer::Gate(Arc::clone(&gate), Vec::new())).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    // With its first success the endpoint has earned its second lane.
    world.publish(&endpoint, "{}").await;
    receiver.next().await;
    world.rows_when(|rows| rows[0].status == "delivered").await;
    for n in 0..6 {
        world.commit(&n.to_string()).await;
    }
    world.sender.wake(&[endpoint.id]);
    receiver.next().await;
    receiver.next().await;
    let drain = world.sender.endpoints.drain(Duration::from_secs(5));
    let (cut_off, ()) = tokio::join!(drain, async { gate.add_permits(6) });
    assert_eq!(cut_off, 0);
    assert_eq!(world.sender.endpoints.in_flight(), 0);
    let rows = world.rows().await;
    assert_eq!(rows.iter().filter(|r| r.status == "delivered").count(), 3);
    assert!(rows.iter().all(|r| r.lease_owner.is_none()), "{rows:?}");
    world.sender.wake(&[endpoint.id]);
    world.sender.endpoints.probe().send(bellwire::domain::Probe).await.unwrap();
    assert!(receiver.already().is_none(), "nothing is sent after a drain");

    let next = world.another_sender().await;
    receiver.answer(Answer::Status(200));
    next.wake(&[endpoint.id]);
    world.rows_when(|rows| rows.iter().all(|r| r.status == "delivered")).await;
}

async fn a_drain_does_not_wait_for_ever(db: TestDb) {
    let world = World::new(db).await;
    let mut receiver = Receiver::start(Answer::Hang).await;
    let endpoint = world.endpoint_with(&receiver.url(), |new| new.timeout = Duration::from_secs(30)).await;
    world.publish(&endpoint, "{}").await;
    receiver.next().await;
    assert_eq!(world.sender.endpoints.drain(Duration::from_millis(50)).await, 1);
    assert_eq!(world.rows().await[0].lease_owner, None);
}

#[actix_rt::test]
async fn on_sqlite_a_start_frees_what_a_dead_process_held() {
    let world = World::new(TestDb::sqlite().await).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let message_id = world.commit("{}").await;
    assert_eq!(claim(&world.db, "dead", endpoint.id, 1, start()).await.len(), 1);
    let next = world.another_sender().await;
    next.wake(&[endpoint.id]);
    assert_eq!(receiver.next().await.header("webhook-id"), message_id);
}
