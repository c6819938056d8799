//! What a server does by itself: rows that had their time go, each task runs once, and anybody may see how it stands.

use super::world::{World, count};
use crate::support::TestDb;
use bellwire::storage::prune::{self, Mode, Pruned};
use bellwire::storage::{Conn, Db, retention, tasks};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    what_notifications_leave_goes_when_it_has_had_its_time,
    digests_sendings_and_deleted_templates_go_when_nothing_needs_them,
    a_task_is_run_once_whoever_asks,
    it_is_shown_what_ran_and_what_is_late,
);

const SCHEDULER: &str = "/api/v1/scheduler";
const DAY: Duration = Duration::from_hours(24);

async fn what_notifications_leave_goes_when_it_has_had_its_time(db: TestDb) {
    let world = World::open(db).await;
    let db = &world.rest.shop.db;
    for _ in 0..3 {
        world.schedule(0, json!({})).await.id();
    }
    world.schedule(0, json!({"expires_in": 60})).await.id();
    assert_eq!(world.run().await.delivered, 4);
    let waits = world.schedule(300 * 86_400, json!({})).await.id();
    assert!(tasks::begin(db, "old", world.now(), "a", world.now()).await.unwrap());
    world.pass(89 * DAY);
    let prune = async |mode| prune::run(db, 90 * DAY, mode, world.now()).await.unwrap().pruned;
    let expired = Pruned { in_app_notifications: 1, ..Pruned::default() };
    assert_eq!((prune(Mode::Count).await, prune(Mode::Delete).await), (expired, expired));
    world.pass(2 * DAY);
    // The newest event stays, and the key of no request was kept.
    let gone = Pruned {
        notification_log: 4,
        scheduled_notifications: 4,
        scheduler_runs: 1,
        events: 3,
        ..Pruned::default()
    };
    assert_eq!((prune(Mode::Count).await, prune(Mode::Delete).await), (gone, gone));
    assert_eq!(world.status(waits).await, "pending");
    assert_eq!(count(db, "delivered").await, [0, 3, 0, 1], "an inbox is kept");
    assert_eq!(prune(Mode::Delete).await, Pruned::default());
}

async fn rows(db: &Db, table: &str) -> Vec<(String, i64)> {
    let sql =
        format!("SELECT status AS word, count(*) AS number FROM {table} GROUP BY status ORDER BY status");
    let query = diesel::sql_query(sql);
    let rows: Vec<Counted> = on_conn!(&mut db.read().await.unwrap(), c => query.load(c).await).unwrap();
    rows.into_iter().map(|row| (row.word, row.number)).collect()
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = diesel::sql_types::Text)]
    word: String,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    number: i64,
}

async fn digests_sendings_and_deleted_templates_go_when_nothing_needs_them(db: TestDb) {
    const TEMPLATES: &str = "/api/v1/notifications/templates";
    let world = World::open(db).await;
    let (rest, db) = (&world.rest, &world.rest.shop.db);
    let make = async |code: &str| {
        let body = json!({"code": code, "name": "x", "title": "t", "body_text": "b"});
        rest.post(TEMPLATES, body).await.id()
    };
    let (forgotten, kept) = (make("forgotten").await, make("kept").await);
    let waits = json!({"template": "kept", "title": null, "body": null});
    world.schedule(300 * 86_400, waits).await.id();
    for id in [forgotten, kept] {
        assert_eq!(rest.delete(&format!("{TEMPLATES}/{id}")).await.status, 204);
    }
    let (tenant, user, at) = (rest.shop.tenant, rest.shop.user, "2026-03-01 08:00:00");
    for (status, channel) in [("pending", "in_app"), ("delivered", "email"), ("failed", "webhook")] {
        let digest = format!(
            "INSERT INTO notification_digests (tenant_id, user_id, channel_type, frequency, due_at, status, \
                 next_attempt_at, created_at, updated_at) \
             VALUES ({tenant}, {user}, '{channel}', 'daily', '{at}', '{status}', '{at}', '{at}', '{at}')"
        );
        let fan_out = format!(
            "INSERT INTO notification_fan_outs (tenant_id, request, status, next_attempt_at, created_at, updated_at) \
             VALUES ({tenant}, '{{}}', '{status}', '{at}', '{at}', '{at}')"
        );
        for sql in [digest, fan_out] {
            let insert =
                async |conn: &mut Conn| Ok(on_conn!(conn, c => diesel::sql_query(sql).execute(c).await)?);
            db.transaction(insert).await.unwrap();
        }
    }
    world.pass(91 * DAY);
    let prune = async |mode| prune::run(db, 90 * DAY, mode, world.now()).await.unwrap().pruned;
    let ended = Pruned { notification_digests: 2, notification_fan_outs: 2, ..Pruned::default() };
    assert_eq!(prune(Mode::Count).await, ended, "what goes to many may need a template yet");
    assert_eq!(prune(Mode::Delete).await, ended);
    let pending = vec![("pending".to_owned(), 1)];
    assert_eq!(rows(db, "notification_digests").await, pending);
    assert_eq!(rows(db, "notification_fan_outs").await, pending);
    let end = async |conn: &mut Conn| {
        let sql = "UPDATE notification_fan_outs SET status = 'delivered'";
        Ok(on_conn!(conn, c => diesel::sql_query(sql).execute(c).await)?)
    };
    db.transaction(end).await.unwrap();
    let gone = Pruned { notification_fan_outs: 1, notification_templates: 1, ..Pruned::default() };
    assert_eq!((prune(Mode::Count).await, prune(Mode::Delete).await), (gone, gone));
    assert_eq!(
        rest.get(&format!("{TEMPLATES}/{kept}")).await.status,
        404,
        "it is deleted, and kept for what waits"
    );
}

async fn a_task_is_run_once_whoever_asks(db: TestDb) {
    let world = World::open(db).await;
    let (db, other, now) = (&world.rest.shop.db, world.rest.db.open_another(), world.now());
    let (ours, theirs) =
        tokio::join!(tasks::begin(db, "t", now, "a", now), tasks::begin(&other, "t", now, "b", now));
    assert!(ours.unwrap() ^ theirs.unwrap());
    assert!(tasks::begin(db, "t", now.plus(DAY), "a", now).await.unwrap(), "another time is another run");
    assert!(tasks::begin(db, "u", now, "a", now).await.unwrap(), "and so is another task");
}

async fn it_is_shown_what_ran_and_what_is_late(db: TestDb) {
    let world = World::open(db).await;
    let (db, now) = (&world.rest.shop.db, world.now());
    let shown = world.rest.get(SCHEDULER).await.body["data"].clone();
    let task = &shown["tasks"][0];
    assert_eq!(
        (&task["name"], &task["cron"], &task["is_enabled"], &task["last_run"]),
        (&json!("retention"), &json!("0 0 3 * * *"), &json!(true), &Value::Null)
    );
    assert_eq!(task["next_run_at"], "2026-03-02T03:00:00.000000Z");
    assert_eq!(shown["notifications"], json!({"next_due_at": null, "lag_seconds": 0.0}));
    world.schedule(5, json!({})).await.id();
    assert!(tasks::begin(db, retention::TASK, now, "node-1", now).await.unwrap());
    let running = world.rest.get(SCHEDULER).await.body["data"]["tasks"][0]["last_run"].clone();
    assert_eq!((&running["status"], &running["node"]), (&json!("running"), &json!("node-1")));
    world.pass(Duration::from_secs(7));
    tasks::end(db, (retention::TASK, now), Ok("{\"events\":3}".to_owned()), world.now()).await.unwrap();
    let shown = world.rest.get(SCHEDULER).await.body["data"].clone();
    let run = &shown["tasks"][0]["last_run"];
    assert_eq!(
        (&run["status"], &run["duration_ms"], &run["outcome"]),
        (&json!("done"), &json!(7_000), &json!({"events": 3}))
    );
    assert_eq!(shown["notifications"]["lag_seconds"], 2.0);
    tasks::begin(db, retention::TASK, world.now(), "node-2", world.now()).await.unwrap();
    tasks::end(db, (retention::TASK, world.now()), Err("The disk is full.".to_owned()), world.now())
        .await
        .unwrap();
    let run = world.rest.get(SCHEDULER).await.body["data"]["tasks"][0]["last_run"].clone();
    assert_eq!((&run["status"], &run["error"]), (&json!("failed"), &json!("The disk is full.")));
    let nobody = world.rest.shop.token(&["notifications:read"]).await;
    assert_eq!(world.rest.ask("GET", SCHEDULER).token(&nobody).send().await.status, 403);
}
