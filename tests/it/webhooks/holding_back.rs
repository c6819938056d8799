//! When nothing is sent although something is due: the breaker, a pause, a rate, an order, a tenant's share.

use super::world::{LIMIT, World, commit, create_tenant, loopback, start, until};
use crate::support::TestDb;
use crate::support::receiver::{Answer, Receiver};
use bellwire::domain::{Clock, EndpointId, TenantId};
use bellwire::storage::schema::{events, webhook_breakers, webhooks};
use bellwire::storage::{Conn, Db};
use bellwire::webhooks::breaker::{Breaker, BreakerState};
use bellwire::webhooks::breakers;
use bellwire::webhooks::endpoint::Endpoint;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    five_failures_hold_everything_back_for_an_hour_and_then_one_probe_decides,
    a_probe_that_fails_opens_it_for_another_hour,
    an_open_breaker_outlives_its_process,
    a_breaker_is_reset_by_hand,
    an_endpoint_may_have_a_breaker_of_its_own,
    a_paused_endpoint_keeps_its_deliveries,
    an_endpoint_that_asks_for_a_pause_gets_it_for_all_of_its_deliveries,
    an_endpoint_that_is_gone_is_disabled_and_its_tenant_told,
    an_endpoint_may_ask_to_be_disabled_or_to_be_spared_one_message,
    deliveries_in_order_wait_for_the_one_that_failed,
    what_is_over_the_rate_is_put_off_and_not_dropped,
    an_endpoint_that_wants_one_a_minute_gets_one_each_minute,
    what_a_second_lane_was_leased_and_never_got_to_is_handed_back,
    a_tenant_whose_endpoints_hang_holds_up_no_other,
    who_subscribes_to_it_is_told_of_troubles_by_webhook,
);

async fn change(db: &Db, work: impl AsyncFn(&mut Conn) -> diesel::QueryResult<usize>) {
    db.transaction(async |conn| Ok(work(conn).await?)).await.unwrap();
}

async fn set_paused(world: &World, id: EndpointId, paused: bool) {
    let row = webhooks::table.find(id);
    change(&world.db, async |conn| {
        on_conn!(conn, c => diesel::update(row).set(webhooks::is_paused.eq(paused)).execute(c).await)
    })
    .await;
}

pub(super) async fn breaker(world: &World, endpoint: &Endpoint) -> Breaker {
    breakers::find(&mut world.db.read().await.unwrap(), endpoint.id).await.unwrap()
}

/// The breaker once it is as it has to be.
pub(super) async fn breaker_when(
    world: &World,
    endpoint: &Endpoint,
    good: impl Fn(&Breaker) -> bool,
) -> Breaker {
    let seen = async {
        loop {
            let breaker = breaker(world, endpoint).await;
            if good(&breaker) {
                return breaker;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, seen).await.expect("the breaker moves in time")
}

/// The names and data of events that are no change of the shop's.
async fn told(world: &World) -> Vec<(String, Value)> {
    let query = events::table.filter(events::name.like("webhook:%")).order(events::id).select((
        events::name,
        events::channel,
        events::data,
    ));
    let mut conn = world.db.read().await.unwrap();
    let rows: Vec<(String, String, String)> = on_conn!(&mut conn, c => query.load(c).await).unwrap();
    let tenant = format!("private-tenant.{}", world.tenant);
    assert!(rows.iter().all(|(_, channel, _)| *channel == tenant), "{rows:?}");
    rows.into_iter().map(|(name, _, data)| (name, serde_json::from_str(&data).unwrap())).collect()
}

async fn told_when(world: &World, count: usize) -> Vec<(String, Value)> {
    let seen = async {
        while told(world).await.len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, seen).await.expect("it is told in time");
    told(world).await
}

/// A world whose endpoint has failed five times, and what it was sent.
async fn opened(db: TestDb) -> (World, Receiver, Endpoint) {
    let world = World::new(db).await;
    let mut receiver = Receiver::start(Answer::Status(500)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    for n in 0..9 {
        world.commit(&n.to_string()).await;
    }
    world.sender.wake(&[endpoint.id]);
    for _ in 0..5 {
        receiver.next().await;
    }
    breaker_when(&world, &endpoint, |b| !b.is_closed()).await;
    (world, receiver, endpoint)
}

async fn five_failures_hold_everything_back_for_an_hour_and_then_one_probe_decides(db: TestDb) {
    let (world, mut receiver, endpoint) = opened(db).await;
    let hour = Duration::from_hours(1);
    assert_eq!(breaker(&world, &endpoint).await.state, BreakerState::Open { probe_at: start().plus(hour) });
    world.rows_when(|rows| rows.iter().all(|row| row.lease_owner.is_none())).await;
    let rows = world.rows().await;
    assert_eq!(
        rows.iter().map(|row| row.attempts).sum::<i32>(),
        5,
        "those that wait were not tried: {rows:?}"
    );

    world.clock.advance(hour.checked_sub(Duration::from_secs(1)).unwrap());
    world.sender.wake(&[endpoint.id]);
    let sweep = world.sweep();
    world.publish(&endpoint, "\"late\"").await;
    assert!(receiver.already().is_none(), "the hour is not over");

    receiver.answer(Answer::Slow(200, Duration::from_millis(50)));
    world.clock.advance(Duration::from_secs(1));
    let rows = world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered")).await;
    assert_eq!(rows.iter().map(|row| row.attempts).sum::<i32>(), 15, "each once more: {rows:?}");
    assert_eq!(breaker(&world, &endpoint).await, Breaker::default());
    assert!(receiver.most_at_once() > 1, "what had waited goes out faster and faster");
    let told = told(&world).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, "webhook:breaker_opened");
    assert_eq!(told[0].1["failures"], 5);
    drop(sweep);
}

async fn a_probe_that_fails_opens_it_for_another_hour(db: TestDb) {
    let (world, mut receiver, endpoint) = opened(db).await;
    let _sweep = world.sweep();
    world.clock.advance(Duration::from_hours(1));
    receiver.next().await;
    let open = breaker_when(&world, &endpoint, |b| b.failures == 6).await;
    assert_eq!(open.state, BreakerState::Open { probe_at: start().plus(Duration::from_hours(2)) });
    world.sender.wake(&[endpoint.id]);
    world.rows_when(|rows| rows.iter().all(|row| row.lease_owner.is_none())).await;
    assert!(receiver.already().is_none(), "one probe an hour");
}

async fn an_open_breaker_outlives_its_process(db: TestDb) {
    let (world, mut receiver, endpoint) = opened(db).await;
    world.sender.endpoints.drain(Duration::from_secs(9)).await;
    let next = world.another_sender().await;
    next.wake(&[endpoint.id]);
    world.commit("\"more\"").await;
    next.wake(&[endpoint.id]);
    world.clock.advance(Duration::from_mins(59));
    next.wake(&[endpoint.id]);
    assert!(receiver.already().is_none());
    receiver.answer(Answer::Status(200));
    world.clock.advance(Duration::from_mins(1));
    let _sweep = bellwire::webhooks::SweepActor::new(
        world.db.clone(),
        world.clock.clone(),
        &world.config,
        next.registry.clone(),
    );
    next.wake(&[endpoint.id]);
    let rows = world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered"));
    // The actor looks at its rows once a second while it is held back.
    let nudge = async {
        loop {
            next.wake(&[endpoint.id]);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! { _ = rows => {}, () = nudge => {} }
    assert_eq!(breaker(&world, &endpoint).await, Breaker::default());
}

async fn a_breaker_is_reset_by_hand(db: TestDb) {
    let (world, receiver, endpoint) = opened(db).await;
    receiver.answer(Answer::Status(200));
    let db = &world.db;
    db.transaction(async |conn| breakers::forget(conn, [endpoint.id]).await).await.unwrap();
    let _sweep = world.sweep();
    // While it is held back the actor looks at its rows once a second.
    world.clock.advance(Duration::from_secs(2));
    // Four were never tried; the five that failed wait for their minute.
    world.rows_when(|rows| rows.iter().filter(|row| row.status == "delivered").count() == 4).await;
    world.clock.advance(Duration::from_secs(67));
    world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered")).await;
}

async fn an_endpoint_may_have_a_breaker_of_its_own(db: TestDb) {
    let world = World::new(db).await;
    let mut receiver = Receiver::start(Answer::Status(500)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let row = webhooks::table.find(endpoint.id);
    let own = (webhooks::breaker_threshold.eq(2), webhooks::breaker_open_seconds.eq(30));
    change(&world.db, async |conn| on_conn!(conn, c => diesel::update(row).set(own).execute(c).await)).await;
    for n in 0..3 {
        world.commit(&n.to_string()).await;
    }
    world.sender.wake(&[endpoint.id]);
    receiver.next().await;
    receiver.next().await;
    let open = breaker_when(&world, &endpoint, |b| !b.is_closed()).await;
    let probe_at = start().plus(Duration::from_secs(30));
    assert_eq!(open, Breaker { state: BreakerState::Open { probe_at }, failures: 2, deferred_until: None });
}

async fn a_paused_endpoint_keeps_its_deliveries(db: TestDb) {
    let world = World::new(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    set_paused(&world, endpoint.id, true).await;
    let sweep = world.sweep();
    world.publish(&endpoint, "1").await;
    world.publish(&endpoint, "2").await;
    world.clock.advance(Duration::from_hours(2));
    world.sender.wake(&[endpoint.id]);
    let rows = world.rows().await;
    assert!(rows.iter().all(|row| row.status == "pending" && row.attempts == 0), "{rows:?}");
    assert!(receiver.already().is_none());
    set_paused(&world, endpoint.id, false).await;
    // While it is held back the actor looks at its rows once a second.
    world.clock.advance(Duration::from_secs(2));
    world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered")).await;
    drop(sweep);
}

async fn an_endpoint_that_asks_for_a_pause_gets_it_for_all_of_its_deliveries(db: TestDb) {
    let world = World::new(db).await;
    let mut receiver = Receiver::start(Answer::Headers(429, "retry-after: 600\r\n", Vec::new())).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let _sweep = world.sweep();
    for n in 0..3 {
        world.commit(&n.to_string()).await;
    }
    receiver.next().await;
    let later = start().plus(Duration::from_mins(10));
    let paused = breaker_when(&world, &endpoint, |b| b.deferred_until.is_some()).await;
    assert_eq!(paused, Breaker { deferred_until: Some(later), ..Breaker::default() });
    receiver.answer(Answer::Status(200));
    world.clock.advance(Duration::from_secs(599));
    world.sender.wake(&[endpoint.id]);
    world.rows_when(|rows| rows.iter().all(|row| row.lease_owner.is_none())).await;
    assert!(receiver.already().is_none());
    world.clock.advance(Duration::from_secs(1));
    world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered")).await;
    assert_eq!(world.rows().await[0].attempts, 2);
}

async fn an_endpoint_that_is_gone_is_disabled_and_its_tenant_told(db: TestDb) {
    let world = World::new(db).await;
    let mut receiver = Receiver::start(Answer::Status(410)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    world.publish(&endpoint, "1").await;
    receiver.next().await;
    let told = told_when(&world, 2).await;
    assert_eq!(
        told[1],
        ("webhook:disabled".to_owned(), json!({"webhook_id": endpoint.id, "reason": "gone"}))
    );
    assert_eq!(told[0].0, "webhook:delivery_exhausted");
    let mut conn = world.db.read().await.unwrap();
    let found = bellwire::webhooks::endpoint::find(&mut conn, world.tenant, endpoint.id).await.unwrap();
    assert!(!found.is_active);
    assert_eq!(found.disabled_reason.as_deref(), Some("gone"));
    drop(conn);
    world.publish(&endpoint, "2").await;
    assert_eq!(world.rows().await.len(), 1, "no delivery is made for it any more");
    assert_eq!(world.rows().await[0].status, "failed");
}

async fn an_endpoint_may_ask_to_be_disabled_or_to_be_spared_one_message(db: TestDb) {
    let world = World::new(db).await;
    let mut receiver =
        Receiver::start(Answer::Headers(422, "webhook-delivery: abort-message\r\n", Vec::new())).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    world.publish(&endpoint, "1").await;
    receiver.next().await;
    assert_eq!(world.row_after(1).await.status, "failed", "no second try");
    receiver.answer(Answer::Headers(200, "webhook-delivery: disable\r\n", Vec::new()));
    world.publish(&endpoint, "2").await;
    receiver.next().await;
    let told = told_when(&world, 2).await;
    assert_eq!(told[1].1["reason"], "asked");
    world.rows_when(|rows| rows[1].status == "delivered").await;
}

async fn deliveries_in_order_wait_for_the_one_that_failed(db: TestDb) {
    let world = World::new(db).await;
    let mut receiver = Receiver::start(Answer::Status(500)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let row = webhooks::table.find(endpoint.id);
    change(&world.db, async |conn| {
        on_conn!(conn, c => diesel::update(row).set(webhooks::is_ordered.eq(true)).execute(c).await)
    })
    .await;
    let _sweep = world.sweep();
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(world.commit(&n.to_string()).await);
    }
    assert_eq!(receiver.next().await.header("webhook-id"), ids[0]);
    world.rows_when(|rows| rows[0].attempts == 1 && rows.iter().all(|row| row.lease_owner.is_none())).await;
    world.clock.advance(Duration::from_secs(50));
    world.sender.wake(&[endpoint.id]);
    assert!(receiver.already().is_none(), "the others wait for the first");
    receiver.answer(Answer::Slow(200, Duration::from_millis(2)));
    world.clock.advance(Duration::from_secs(17));
    for id in &ids {
        assert_eq!(receiver.next().await.header("webhook-id"), id);
    }
    assert_eq!(receiver.most_at_once(), 1);
    world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered")).await;
}

async fn what_is_over_the_rate_is_put_off_and_not_dropped(db: TestDb) {
    let world = World::with(db, Clock::System, loopback()).await;
    let receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let row = webhooks::table.find(endpoint.id);
    change(&world.db, async |conn| {
        on_conn!(conn, c => diesel::update(row).set(webhooks::rate_per_minute.eq(600)).execute(c).await)
    })
    .await;
    for n in 0..20 {
        world.commit(&n.to_string()).await;
    }
    let began = std::time::Instant::now();
    world.sender.wake(&[endpoint.id]);
    world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered" && row.attempts == 1)).await;
    // Ten at once, and ten a second after them.
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
}

async fn an_endpoint_that_wants_one_a_minute_gets_one_each_minute(db: TestDb) {
    let world = World::new(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let row = webhooks::table.find(endpoint.id);
    change(&world.db, async |conn| {
        on_conn!(conn, c => diesel::update(row).set(webhooks::rate_per_minute.eq(1)).execute(c).await)
    })
    .await;
    let _sweep = world.sweep();
    for n in 0..3 {
        world.commit(&n.to_string()).await;
    }
    for count in 1..=3 {
        receiver.next().await;
        let delivered = |rows: &[super::world::Row]| {
            rows.iter().filter(|row| row.status == "delivered").count() == count
                && rows.iter().all(|row| row.lease_owner.is_none())
        };
        world.rows_when(delivered).await;
        assert!(receiver.already().is_none(), "one a minute");
        world.clock.advance(Duration::from_mins(1));
    }
}

async fn what_a_second_lane_was_leased_and_never_got_to_is_handed_back(db: TestDb) {
    let world = World::new(db).await;
    let mut receiver = Receiver::start(Answer::Hang).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    for n in 0..8 {
        world.commit(&n.to_string()).await;
    }
    world.sender.wake(&[endpoint.id]);
    receiver.next().await;
    // The leases of those behind it run out meanwhile.
    world.clock.advance(Duration::from_secs(9));
    receiver.answer(Answer::Status(200));
    let _sweep = world.sweep();
    world
        .rows_when(|rows| rows.iter().skip(1).all(|row| row.status == "delivered" && row.attempts == 1))
        .await;
}

async fn a_tenant_whose_endpoints_hang_holds_up_no_other(db: TestDb) {
    let config = bellwire::config::Webhooks { concurrency: 4, concurrency_per_tenant: 2, ..loopback() };
    let world = World::with(db, Clock::fixed(start()), config).await;
    let hanging = Receiver::start(Answer::Hang).await;
    let mut good = Receiver::start(Answer::Status(200)).await;
    let mut stuck = Vec::new();
    for _ in 0..4 {
        let endpoint = world.endpoint_with(&hanging.url(), |new| new.timeout = Duration::from_secs(30)).await;
        stuck.push(endpoint.id);
    }
    world.commit("1").await;
    world.sender.wake(&stuck);
    until(|| hanging.in_work() == 2).await;
    let other: TenantId = create_tenant(&world.db).await;
    let endpoint = world.endpoint_of(other, &good.url()).await;
    commit(&world.db, other, &world.clock, "2").await;
    world.sender.wake(&[endpoint.id]);
    good.next().await;
    assert_eq!(hanging.in_work(), 2, "the tenant has its two and no more");
}

async fn who_subscribes_to_it_is_told_of_troubles_by_webhook(db: TestDb) {
    let world = World::new(db).await;
    let bad = Receiver::start(Answer::Status(500)).await;
    let mut watcher = Receiver::start(Answer::Status(200)).await;
    let failing = world.endpoint(&bad.url()).await;
    let watching = world.endpoint_for(&watcher.url(), "webhook:*").await;
    for n in 0..5 {
        world.commit(&n.to_string()).await;
    }
    world.sender.wake(&[failing.id]);
    let _sweep = world.sweep();
    let request = watcher.next().await;
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["event"], "webhook:breaker_opened");
    assert_eq!(body["data"]["webhook_id"], json!(failing.id));
    assert_ne!(failing.id, watching.id);
    let count = webhook_breakers::table.count();
    let mut conn = world.db.read().await.unwrap();
    let rows: i64 = on_conn!(&mut conn, c => count.get_result(c).await).unwrap();
    assert_eq!(rows, 1, "an endpoint that answers has no row");
}
