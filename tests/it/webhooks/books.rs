//! One transaction of the ledger: what it makes of a batch of attempts, and how many statements it takes for that.

use super::world::{Row, World, start};
use crate::support::TestDb;
use crate::support::statements::{listen, statements};
use bellwire::domain::{EndpointId, Timestamp};
use bellwire::storage::Conn;
use bellwire::webhooks::books::{Books, Entry};
use bellwire::webhooks::breaker::{BreakerRule, BreakerState, Sign};
use bellwire::webhooks::breakers;
use bellwire::webhooks::delivery::{self, Delivery, Wanted};
use bellwire::webhooks::delivery_log::{self, Attempt};
use bellwire::webhooks::judgement::{DisabledReason, Judgement, Verdict};
use bellwire::webhooks::outcome::{Outcome, Report};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::oneshot;

on_both_databases!(
    a_batch_takes_as_many_statements_however_many_of_it_failed,
    each_attempt_of_a_batch_makes_its_own_of_its_row,
    of_a_batch_the_attempts_that_lost_their_leases_change_nothing,
    of_two_attempts_at_one_delivery_the_first_counts,
    breakers_that_open_and_those_that_close_are_written_in_one_batch,
    endpoints_that_are_gone_are_disabled_in_one_batch,
    as_many_attempts_as_the_ledger_takes_at_once_are_written,
);

const OWNER: &str = "us";
const LEASE: Duration = Duration::from_secs(15);

fn in_seconds(seconds: u64) -> Timestamp {
    start().plus(Duration::from_secs(seconds))
}

/// Endpoints that nobody sends to: what is written for them waits for the test.
async fn endpoints(world: &World, count: usize) -> Vec<EndpointId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(world.endpoint("http://127.0.0.1:9/").await.id);
    }
    ids
}

/// Leases what is due, in the order of the rows.
async fn claim(world: &World, owner: &str, endpoints: &[EndpointId]) -> Vec<Delivery> {
    let (now, limit) = (world.clock.now(), 1_000);
    let wanted =
        |id: &EndpointId| Wanted { endpoint: *id, limit, is_ordered: false, lease_until: now.plus(LEASE) };
    let wanted: Vec<Wanted> = endpoints.iter().map(wanted).collect();
    let claim = async |conn: &mut Conn| delivery::claim(conn, owner, &wanted, now).await;
    let mut claimed = world.db.transaction(claim).await.unwrap();
    claimed.sort_by_key(|delivery| delivery.id);
    claimed
}

fn attempt(world: &World, delivery: &Delivery, judgement: Judgement) -> Attempt {
    let is_good = judgement.verdict == Verdict::Delivered;
    let report = Report {
        outcome: if is_good { Outcome::Ok } else { Outcome::Http },
        status: Some(if is_good { 200 } else { 500 }),
        retry_after: None,
        control: None,
        body: None,
        error: None,
        duration: Duration::from_millis(3),
    };
    let breaker = BreakerRule { threshold: 1, open_for: Duration::from_hours(1) };
    Attempt::of(delivery, (world.tenant, breaker), report, judgement, world.clock.now())
}

fn good() -> Judgement {
    Judgement { verdict: Verdict::Delivered, sign: Sign::Good, disable: None }
}

fn bad(verdict: Verdict) -> Judgement {
    Judgement { verdict, sign: Sign::Bad, disable: None }
}

/// One transaction of the ledger, of these attempts alone.
async fn write(world: &World, attempts: Vec<Attempt>) {
    let books = Books {
        db: world.db.open_another(),
        clock: world.clock.clone(),
        metrics: world.sender.metrics.clone(),
        owner: Arc::from(OWNER),
        nudge: Arc::new(OnceLock::new()),
    };
    let (tell, told): (Vec<_>, Vec<_>) = attempts.iter().map(|_| oneshot::channel()).unzip();
    let entries: Vec<Entry> = attempts.into_iter().zip(tell).collect();
    assert!(books.write(Vec::new(), entries, Vec::new()).await.is_empty());
    for told in told {
        told.await.expect("it is told when it is written");
    }
}

/// What a batch of forty asks of the database, of which so many failed, each at an endpoint of its own: half of those
/// are given up, the others come again at times of their own, and all their breakers open.
async fn asked_of(world: &World, endpoints: &[EndpointId], failed: usize) -> Vec<String> {
    // That an endpoint was called is noted once a second.
    world.clock.advance(Duration::from_secs(2));
    for data in ["1", "2"] {
        world.commit(data).await;
    }
    let claimed = claim(world, OWNER, endpoints).await;
    assert_eq!(claimed.len(), 40);
    let mut left = failed;
    let judge = |(n, delivery): (usize, &Delivery)| {
        let fails = left > 0 && n < endpoints.len();
        left -= usize::from(fails);
        let judgement = match (fails, n % 2) {
            (false, _) => good(),
            (true, 0) => bad(Verdict::Failed),
            (true, _) => bad(Verdict::Retry(in_seconds(60 + n as u64))),
        };
        attempt(world, delivery, judgement)
    };
    let attempts = claimed.iter().enumerate().map(judge).collect();
    let mut asked = statements(&world.db, write(world, attempts)).await;
    // On SQLite the rows of one insert are statements of their own, in one trip to its thread; PostgreSQL is asked for
    // the event order lock, beside the endpoints.
    asked.dedup();
    asked.retain(|statement| statement != "SELECT");
    let freed = async |conn: &mut Conn| breakers::forget(conn, endpoints.to_vec()).await;
    world.db.transaction(freed).await.unwrap();
    asked
}

async fn a_batch_takes_as_many_statements_however_many_of_it_failed(db: TestDb) {
    listen();
    let world = World::new(db).await;
    let endpoints = endpoints(&world, 20).await;
    let of_two = [
        "BEGIN",
        "UPDATE webhook_deliveries",
        "INSERT webhook_delivery_logs",
        "INSERT webhook_stats",
        "SELECT webhooks",
        "UPDATE webhooks",
        "INSERT webhook_breakers",
        "SELECT webhook_breakers",
        "INSERT webhook_breakers",
        "SELECT webhooks",
        "INSERT events",
        "COMMIT",
    ];
    for failed in [2, 11, 20] {
        assert_eq!(asked_of(&world, &endpoints, failed).await, of_two, "{failed} of 40 failed");
    }
    let of_none = [
        "BEGIN",
        "UPDATE webhook_deliveries",
        "INSERT webhook_delivery_logs",
        "INSERT webhook_stats",
        "SELECT webhooks",
        "UPDATE webhooks",
        "SELECT webhook_breakers",
        "COMMIT",
    ];
    assert_eq!(asked_of(&world, &endpoints, 0).await, of_none);
}

async fn each_attempt_of_a_batch_makes_its_own_of_its_row(db: TestDb) {
    let world = World::new(db).await;
    let endpoints = endpoints(&world, 1).await;
    for _ in 0..4 {
        world.commit("{}").await;
    }
    let verdicts =
        [Verdict::Delivered, Verdict::Retry(in_seconds(60)), Verdict::Failed, Verdict::Retry(in_seconds(61))];
    let claimed = claim(&world, OWNER, &endpoints).await;
    let attempts = claimed
        .iter()
        .zip(verdicts)
        .map(|(delivery, verdict)| attempt(&world, delivery, Judgement { verdict, ..good() }));
    write(&world, attempts.collect()).await;
    let row =
        |status: &str, due_at| Row { status: status.to_owned(), attempts: 1, due_at, lease_owner: None };
    let expected = [
        row("delivered", start()),
        row("pending", in_seconds(60)),
        row("failed", start()),
        row("pending", in_seconds(61)),
    ];
    assert_eq!(world.rows().await[..4], expected);

    world.clock.advance(Duration::from_mins(1));
    let again = claim(&world, OWNER, &endpoints).await;
    assert_eq!((again.len(), again[0].id, again[0].attempts), (1, claimed[1].id, 1), "it is due at its time");
    write(&world, vec![attempt(&world, &again[0], good())]).await;
    assert_eq!(world.rows().await[1], Row { attempts: 2, ..row("delivered", in_seconds(60)) });
    let numbers: Vec<i32> = world.log().await.iter().map(|log| log.attempt).collect();
    assert_eq!(numbers, [1, 1, 1, 1, 2]);
}

async fn of_a_batch_the_attempts_that_lost_their_leases_change_nothing(db: TestDb) {
    let world = World::new(db).await;
    let endpoints = endpoints(&world, 3).await;
    world.commit("{}").await;
    let ours = claim(&world, OWNER, &endpoints).await;
    world.clock.advance(LEASE);
    // Others take over the first, and try the second as well.
    let theirs = claim(&world, "others", &endpoints[..2]).await;
    let tried = [attempt(&world, &theirs[1], bad(Verdict::Retry(in_seconds(90))))];
    let try_it = async |conn: &mut Conn| delivery_log::write(conn, "others", &tried, world.clock.now()).await;
    assert_eq!(world.db.transaction(try_it).await.unwrap(), [true]);
    let before = world.rows().await;

    let late = ours.iter().map(|delivery| attempt(&world, delivery, bad(Verdict::Failed))).collect();
    write(&world, late).await;
    let rows = world.rows().await;
    assert_eq!(rows[..2], before[..2]);
    assert_eq!((rows[2].status.as_str(), rows[2].attempts), ("failed", 1), "its lease ran out, and stands");
    assert_eq!(world.log().await.len(), 2);
    assert_eq!((world.sender.attempts("lease_lost"), world.sender.attempts("http")), (2, 1));
    let mut conn = world.db.read().await.unwrap();
    let failures = breakers::find(&mut conn, endpoints[0]).await.unwrap().failures;
    assert_eq!(failures, 0, "they are no failures of the endpoint's");
}

async fn of_two_attempts_at_one_delivery_the_first_counts(db: TestDb) {
    let world = World::new(db).await;
    let endpoints = endpoints(&world, 1).await;
    world.commit("{}").await;
    let claimed = claim(&world, OWNER, &endpoints).await;
    // Its lease ran out on the way, and we took it again.
    let twice = [bad(Verdict::Retry(in_seconds(60))), good()];
    write(&world, twice.map(|judgement| attempt(&world, &claimed[0], judgement)).into()).await;
    assert_eq!(
        (world.row_after(1).await.due_at, world.log().await[0].outcome.as_str()),
        (in_seconds(60), "http")
    );
    assert_eq!((world.sender.attempts("http"), world.sender.attempts("lease_lost")), (1, 1));
}

async fn breakers_that_open_and_those_that_close_are_written_in_one_batch(db: TestDb) {
    let world = World::new(db).await;
    let endpoints = endpoints(&world, 4).await;
    world.commit("1").await;
    let claimed = claim(&world, OWNER, &endpoints).await;
    let retry = bad(Verdict::Retry(in_seconds(60)));
    let judge = |judgements: [Judgement; 4], claimed: &[Delivery]| {
        claimed
            .iter()
            .zip(judgements)
            .map(|(delivery, judgement)| attempt(&world, delivery, judgement))
            .collect()
    };
    let pause = Judgement { sign: Sign::Busy(in_seconds(30)), ..retry };
    write(&world, judge([retry, retry, pause, good()], &claimed)).await;
    let standing = async || {
        let mut found = Vec::new();
        for id in &endpoints {
            let breaker = breakers::find(&mut world.db.read().await.unwrap(), *id).await.unwrap();
            found.push((breaker.state, breaker.failures, breaker.deferred_until));
        }
        found
    };
    let open = (BreakerState::Open { probe_at: in_seconds(3_600) }, 1, None);
    let closed = (BreakerState::Closed, 0, None);
    let paused = (BreakerState::Closed, 0, Some(in_seconds(30)));
    assert_eq!(standing().await, [open, open, paused, closed]);

    world.clock.advance(Duration::from_secs(40));
    world.commit("2").await;
    let claimed = claim(&world, OWNER, &endpoints).await;
    write(&world, judge([good(), retry, good(), retry], &claimed)).await;
    let reopened = (BreakerState::Open { probe_at: in_seconds(3_640) }, 1, None);
    let still_open = (BreakerState::Open { probe_at: in_seconds(3_600) }, 2, None);
    assert_eq!(standing().await, [open, still_open, closed, reopened]);
}

async fn endpoints_that_are_gone_are_disabled_in_one_batch(db: TestDb) {
    let world = World::new(db).await;
    let endpoints = endpoints(&world, 3).await;
    for data in ["1", "2"] {
        world.commit(data).await;
    }
    let reasons = [Some(DisabledReason::Gone), None, Some(DisabledReason::Asked)];
    let claimed = claim(&world, OWNER, &endpoints).await;
    let attempts = claimed
        .iter()
        .zip(reasons.iter().cycle())
        .map(|(delivery, disable)| attempt(&world, delivery, Judgement { disable: *disable, ..good() }));
    write(&world, attempts.collect()).await;
    let mut conn = world.db.read().await.unwrap();
    for (id, reason) in endpoints.into_iter().zip(reasons) {
        let found = bellwire::webhooks::endpoint::find(&mut conn, world.tenant, id).await.unwrap();
        assert_eq!(
            (found.is_active, found.disabled_reason.as_deref()),
            (reason.is_none(), reason.map(DisabledReason::as_str))
        );
    }
}

async fn as_many_attempts_as_the_ledger_takes_at_once_are_written(db: TestDb) {
    let world = World::new(db).await;
    let endpoints = endpoints(&world, 16).await;
    for n in 0..16 {
        world.commit(&n.to_string()).await;
    }
    let claimed = claim(&world, OWNER, &endpoints).await;
    assert_eq!(claimed.len(), 256);
    let due = |n: usize| in_seconds(60 + n as u64);
    let attempts =
        claimed.iter().enumerate().map(|(n, one)| attempt(&world, one, bad(Verdict::Retry(due(n)))));
    write(&world, attempts.collect()).await;
    let dues: Vec<Timestamp> = world.rows().await.iter().map(|row| row.due_at).collect();
    assert_eq!(dues, (0..256).map(due).collect::<Vec<_>>());
}
