//! Claims and what follows from them, over both databases: leases, turns, pace, second thoughts, and rows to blame.

use super::world::{World, count, inbox, run, schedule_many, scheduler_on, user_of};
use crate::support::plan::plan;
use crate::support::{Shop, TestDb, opening_time};
use bellwire::domain::Clock;
use bellwire::notifications::worker::Turn;
use bellwire::storage::Conn;
use bellwire::storage::schema::{scheduled_notifications as s, users};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;
use std::time::Duration;

on_both_databases!(
    a_batch_is_delivered_with_its_history_and_its_events,
    who_dies_between_claim_and_commit_loses_nothing_and_doubles_nothing,
    an_end_that_comes_late_counts_for_nothing,
    several_at_once_deliver_each_once,
    a_herd_does_not_hold_up_another_tenant,
    what_is_critical_does_not_wait_behind_a_herd,
    a_pace_is_kept_for_each_tenant,
    wishes_that_changed_count_when_it_is_due,
    what_is_not_wanted_any_more_is_called_off,
    the_next_look_is_when_the_next_one_is_due,
    claims_use_the_indexes_that_are_there_for_them,
);

async fn a_batch_is_delivered_with_its_history_and_its_events(db: TestDb) {
    let world = World::open(db).await;
    let (db, tenant) = (&world.rest.shop.db, world.rest.shop.tenant);
    let users = [world.user().await, world.user().await, world.user().await];
    schedule_many(db, tenant, &users, 2_500, opening_time()).await;
    assert_eq!(world.run().await.delivered, 2_500);
    assert_eq!(count(db, "delivered").await, [2_500; 4]);
    let first: Vec<String> = (0..2_500).step_by(3).map(|n| n.to_string()).collect();
    assert_eq!(inbox(db, users[0]).await, first, "in the order in which they were asked for");
    assert_eq!(world.run().await.delivered, 0);
}

async fn who_dies_between_claim_and_commit_loses_nothing_and_doubles_nothing(db: TestDb) {
    let world = World::open(db).await;
    let (db, user) = (&world.rest.shop.db, world.rest.shop.user);
    schedule_many(db, world.rest.shop.tenant, &[user], 100, opening_time()).await;
    drop(world.scheduler.claim().await.unwrap().unwrap());
    let heir = scheduler_on(&world.rest.db.open_another(), &world.rest.shop.clock, 0);
    assert_eq!(run(&heir).await.delivered, 0, "somebody has them in hand");
    world.pass(Duration::from_secs(10));
    // Half way through the transaction.
    let claim = heir.claim().await.unwrap().unwrap();
    let half = tokio::time::timeout(Duration::from_millis(1), heir.deliver(claim)).await;
    let already = half.map_or(0, |done| done.unwrap().delivered);
    world.pass(Duration::from_secs(10));
    assert_eq!(run(&heir).await.delivered + already, 100);
    assert_eq!(count(db, "delivered").await, [100; 4]);
}

async fn an_end_that_comes_late_counts_for_nothing(db: TestDb) {
    let world = World::open(db).await;
    let (db, user) = (&world.rest.shop.db, world.rest.shop.user);
    schedule_many(db, world.rest.shop.tenant, &[user], 10, opening_time()).await;
    let late = world.scheduler.claim().await.unwrap().unwrap();
    world.pass(Duration::from_secs(10));
    let heir = scheduler_on(db, &world.rest.shop.clock, 0);
    let claim = heir.claim().await.unwrap().unwrap();
    assert_eq!(world.scheduler.deliver(late).await.unwrap().delivered, 0, "they are another's now");
    assert_eq!(count(db, "delivered").await, [0; 4]);
    assert_eq!(heir.deliver(claim).await.unwrap().delivered, 10);
    assert_eq!(count(db, "delivered").await, [10; 4]);
}

async fn several_at_once_deliver_each_once(db: TestDb) {
    let world = World::open(db).await;
    let (db, tenant) = (&world.rest.shop.db, world.rest.shop.tenant);
    let users = [world.user().await, world.user().await];
    schedule_many(db, tenant, &users, 4_000, opening_time()).await;
    let others: Vec<_> =
        (0..3).map(|_| scheduler_on(&world.rest.db.open_another(), &world.rest.shop.clock, 0)).collect();
    let counts = tokio::join!(run(&world.scheduler), run(&others[0]), run(&others[1]), run(&others[2]));
    let all = [counts.0, counts.1, counts.2, counts.3];
    assert_eq!(all.iter().map(|counts| counts.delivered).sum::<usize>(), 4_000, "{all:?}");
    assert_eq!(count(db, "delivered").await, [4_000; 4]);
}

async fn a_herd_does_not_hold_up_another_tenant(db: TestDb) {
    let world = World::open(db).await;
    let (db, herd) = (&world.rest.shop.db, world.rest.shop.tenant);
    schedule_many(db, herd, &[world.rest.shop.user], 5_000, opening_time()).await;
    let other = Shop::open(&world.rest.db).await;
    let later = opening_time().plus(Duration::from_secs(5));
    schedule_many(db, other.tenant, &[other.user], 3, later).await;
    world.pass(Duration::from_secs(5));
    world.scheduler.step().await.unwrap();
    assert_eq!(inbox(db, other.user).await.len(), 3, "with the first batch, though the herd was due before");
    assert_eq!(inbox(db, world.rest.shop.user).await.len(), 997, "and the herd has the rest of it");
    assert_eq!(world.run().await.delivered, 4_003);
}

async fn what_is_critical_does_not_wait_behind_a_herd(db: TestDb) {
    let world = World::open(db).await;
    let (db, user) = (&world.rest.shop.db, world.user().await);
    schedule_many(db, world.rest.shop.tenant, &[world.rest.shop.user], 4_000, opening_time()).await;
    world.schedule(5, json!({"user_id": user, "priority": "critical"})).await.id();
    world.pass(Duration::from_secs(5));
    world.scheduler.step().await.unwrap();
    world.scheduler.step().await.unwrap();
    assert_eq!(inbox(db, user).await, ["Look"], "as soon as it is known that there is a herd");
}

async fn a_pace_is_kept_for_each_tenant(db: TestDb) {
    let world = World::open(db).await;
    let db = &world.rest.shop.db;
    schedule_many(db, world.rest.shop.tenant, &[world.rest.shop.user], 100, opening_time()).await;
    let other = Shop::open(&world.rest.db).await;
    schedule_many(db, other.tenant, &[other.user], 5, opening_time()).await;
    let paced = scheduler_on(db, &world.rest.shop.clock, 600);
    assert_eq!(run(&paced).await.delivered, 15, "ten are a second's worth");
    let (_, turn) = paced.step().await.unwrap();
    assert_eq!(turn, Turn::Sleep(Some(world.now().plus(Duration::from_millis(100)))));
    let mut gone = 10;
    for _ in 0..50 {
        world.pass(Duration::from_millis(100));
        gone += run(&paced).await.delivered;
    }
    assert_eq!(gone, 60, "ten a second");
}

async fn wishes_that_changed_count_when_it_is_due(db: TestDb) {
    let world = World::open(db).await;
    let user = world.user().await;
    let id = world.schedule(60, json!({"user_id": user})).await.id();
    // From eight to nine.
    world.prefer(user, None, Some((480, 540))).await;
    world.pass(Duration::from_mins(1));
    assert_eq!(world.run().await.deferred, 1);
    let moved = world.show(id).await;
    assert_eq!(
        (&moved["status"], &moved["due_at"], &moved["reason"], &moved["scheduled_at"]),
        (
            &json!("pending"),
            &json!("2026-03-01T09:00:00.000000Z"),
            &json!("quiet_hours"),
            &json!("2026-03-01T08:01:00.500000Z")
        )
    );
    let west = async |conn: &mut Conn| {
        let row = users::table.filter(users::id.eq(user));
        Ok(
            on_conn!(conn, c => diesel::update(row).set(users::timezone.eq("America/New_York")).execute(c).await)?,
        )
    };
    world.rest.db.transaction(west).await.unwrap();
    world.pass(Duration::from_hours(1));
    assert_eq!(world.run().await.delivered, 1, "it is four there");
    assert_eq!(inbox(&world.rest.db, user).await, ["Look"]);
}

async fn what_is_not_wanted_any_more_is_called_off(db: TestDb) {
    let world = World::open(db).await;
    let user = world.user().await;
    let id = world.schedule(60, json!({"user_id": user})).await.id();
    let critical =
        world.schedule(60, json!({"user_id": user, "priority": "critical", "title": "Fire"})).await.id();
    world.prefer(user, Some(false), None).await;
    world.pass(Duration::from_mins(1));
    let counts = world.run().await;
    assert_eq!((counts.delivered, counts.unwanted), (1, 1));
    let left = world.show(id).await;
    assert_eq!(
        (&left["status"], &left["reason"], &left["last_error"]),
        (&json!("cancelled"), &json!("turned_off"), &json!("Its recipient has turned this off."))
    );
    assert_eq!(world.status(critical).await, "delivered");
    assert_eq!(inbox(&world.rest.db, user).await, ["Fire"]);
}

async fn the_next_look_is_when_the_next_one_is_due(db: TestDb) {
    let world = World::open(db).await;
    assert_eq!(world.scheduler.step().await.unwrap().1, Turn::Sleep(None));
    world.schedule(3, json!({})).await.id();
    let due = world.now().plus(Duration::from_secs(3));
    assert_eq!(world.scheduler.step().await.unwrap().1, Turn::Sleep(Some(due)));
}

/// Of the statements that a look at the rows takes, as they are written down here: they stand in the way of everything.
async fn claims_use_the_indexes_that_are_there_for_them(db: TestDb) {
    let world = World::open(db).await;
    let db = &world.rest.shop.db;
    schedule_many(db, world.rest.shop.tenant, &[world.rest.shop.user], 3_000, opening_time()).await;
    if !db.is_sqlite() {
        let analyze = async |conn: &mut Conn| {
            Ok(on_conn!(conn, c => diesel::sql_query("ANALYZE scheduled_notifications").execute(c).await)?)
        };
        db.transaction(analyze).await.unwrap();
    }
    for (statement, index) in [
        (
            "status = 'pending' AND next_attempt_at <= '2026-03-01 08:00:00'",
            "scheduled_notifications_next_index",
        ),
        (
            "status = 'pending' AND tenant_id = 7 AND next_attempt_at <= '2026-03-01 08:00:00'",
            "scheduled_notifications_tenant_next_index",
        ),
        (
            "status = 'pending' AND priority = 'critical' AND next_attempt_at <= '2026-03-01 08:00:00'",
            "scheduled_notifications_critical_index",
        ),
    ] {
        let sql = format!(
            "SELECT id, tenant_id, next_attempt_at FROM scheduled_notifications WHERE {statement} \
             ORDER BY next_attempt_at, id LIMIT 1000"
        );
        let plan = plan(db, &sql).await;
        assert!(plan.contains(index), "{statement}: {plan}");
    }
}

/// A row that the database does not take: its icon is longer than the column, which SQLite does not mind.
#[actix_rt::test]
async fn a_row_that_cannot_be_written_is_blamed_alone_and_tried_again_until_it_fails() {
    let world = World::open(TestDb::postgres().await).await;
    let db = &world.rest.shop.db;
    let bad = world.schedule(0, json!({})).await.id();
    schedule_many(db, world.rest.shop.tenant, &[world.rest.shop.user], 300, opening_time()).await;
    let payload =
        json!({"extras": {"action": null, "icon": "x".repeat(60), "data": null, "expires_at": null}});
    let spoil = async |conn: &mut Conn| {
        let row = s::table.filter(s::id.eq(bellwire::domain::ScheduledId(bad)));
        Ok(on_conn!(conn, c => diesel::update(row).set(s::payload.eq(payload.to_string())).execute(c).await)?)
    };
    db.transaction(spoil).await.unwrap();
    let counts = world.run().await;
    assert_eq!((counts.delivered, counts.deferred, counts.failed), (300, 1, 0));
    for attempt in 1..=3 {
        let waiting = world.show(bad).await;
        assert_eq!((&waiting["status"], &waiting["attempts"]), (&json!("pending"), &json!(attempt)));
        assert!(waiting["next_attempt_at"].is_string() && waiting["last_error"].is_string(), "{waiting}");
        world.pass(Duration::from_secs(140));
        world.run().await;
    }
    assert_eq!(world.status(bad).await, "failed");
    assert_eq!(count(db, "delivered").await, [300; 4]);
}

/// A clock that is ahead by more than a lease claims what another has in hand; it is delivered once all the same.
#[actix_rt::test]
async fn a_clock_that_is_ahead_doubles_nothing() {
    let world = World::open(TestDb::postgres().await).await;
    let db = &world.rest.shop.db;
    let user = user_of(db, world.rest.shop.tenant).await;
    schedule_many(db, world.rest.shop.tenant, &[user], 50, opening_time()).await;
    let ahead = Clock::fixed(world.now().plus(Duration::from_mins(5)));
    let other = scheduler_on(&world.rest.db.open_another(), &ahead, 0);
    let (ours, theirs) =
        (world.scheduler.claim().await.unwrap().unwrap(), other.claim().await.unwrap().unwrap());
    let (ours, theirs) = tokio::join!(world.scheduler.deliver(ours), other.deliver(theirs));
    assert_eq!(ours.unwrap().delivered + theirs.unwrap().delivered, 50);
    assert_eq!(count(db, "delivered").await, [50; 4]);
}
