//! Pruning deletes what has had its time and nothing else, on both databases and by the verb.

use crate::support::hub::TestHub;
use crate::support::{Program, Shop, TestDb, opening_time, until};
use bellwire::config::Retention;
use bellwire::domain::{DeliveryId, EndpointId, EventId, Timestamp};
use bellwire::storage::Conn;
use bellwire::storage::idempotency::{self, Answer};
use bellwire::storage::prune::{self, Mode, Pruned};
use bellwire::storage::schema::{
    events, idempotency_keys, webhook_deliveries, webhook_delivery_logs, webhook_stats, webhooks,
};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;
use std::time::Duration;

on_both_databases!(
    what_is_old_and_ended_goes_and_the_rest_stays,
    counting_says_what_deleting_does_and_deletes_nothing,
    the_newest_event_stays_whatever_its_age,
    what_a_pending_delivery_needs_is_never_touched,
    what_does_not_fit_one_batch_goes_in_several,
    a_deleted_endpoint_goes_with_all_it_has,
    counters_go_when_nobody_asks_for_them_any_more,
    a_server_prunes_at_the_times_of_its_configuration,
    the_verb_prunes_the_database_of_the_configuration,
);

const DAY: Duration = Duration::from_hours(24);
const NINETY_DAYS: Duration = Duration::from_hours(90 * 24);

/// A shop with an endpoint; its rows are made in the past, which `now` of a prune is measured from.
struct Attic {
    shop: Shop,
    endpoint: EndpointId,
}

impl Attic {
    async fn open(db: &TestDb) -> Self {
        let shop = Shop::open(db).await;
        let endpoint = shop.webhook(json!(["product:*"])).await;
        Self { shop, endpoint }
    }

    /// The event of a new product with its delivery, at the shop's time.
    async fn event(&self) -> (EventId, DeliveryId) {
        self.shop.product(1).await;
        let event = self.shop.last_event().await;
        let mut conn = self.shop.db.read().await.unwrap();
        let query = webhook_deliveries::table
            .filter(
                webhook_deliveries::event_id.eq(event).and(webhook_deliveries::webhook_id.eq(self.endpoint)),
            )
            .select(webhook_deliveries::id);
        (event, on_conn!(&mut conn, c => query.first(c).await).unwrap())
    }

    /// Ends a delivery after two attempts, at the shop's time.
    async fn end(&self, delivery: DeliveryId, status: &str) {
        let now = self.shop.clock.now();
        self.change(async |conn| {
            let ended = (
                webhook_deliveries::status.eq(status),
                webhook_deliveries::attempts.eq(2),
                webhook_deliveries::updated_at.eq(now),
            );
            let row = webhook_deliveries::table.filter(webhook_deliveries::id.eq(delivery));
            on_conn!(conn, c => diesel::update(row).set(ended).execute(c).await).unwrap();
            for attempt in 1..=2 {
                self.log(conn, delivery, attempt, now).await;
            }
        })
        .await;
    }

    async fn log(&self, conn: &mut Conn, delivery: DeliveryId, attempt: i32, now: Timestamp) {
        let values = (
            webhook_delivery_logs::webhook_id.eq(self.endpoint),
            webhook_delivery_logs::delivery_id.eq(delivery),
            webhook_delivery_logs::event_type.eq("product:created"),
            webhook_delivery_logs::attempt_number.eq(attempt),
            webhook_delivery_logs::outcome.eq("ok"),
            webhook_delivery_logs::duration_ms.eq(3),
            webhook_delivery_logs::created_at.eq(now),
        );
        let insert = diesel::insert_into(webhook_delivery_logs::table).values(values);
        on_conn!(conn, c => insert.execute(c).await).unwrap();
    }

    /// A counter of an attempt.
    async fn count(&self, endpoint: EndpointId, period: &str, at: Timestamp) {
        let values = (
            webhook_stats::webhook_id.eq(endpoint),
            webhook_stats::period.eq(period),
            webhook_stats::starts_at.eq(at),
            webhook_stats::outcome.eq("ok"),
            webhook_stats::is_retry.eq(false),
            webhook_stats::le_ms.eq(10),
            webhook_stats::attempts.eq(1),
            webhook_stats::exhausted.eq(0),
            webhook_stats::duration_ms.eq(7),
        );
        let insert = diesel::insert_into(webhook_stats::table).values(values);
        self.change(async |conn| {
            on_conn!(conn, c => insert.execute(c).await).unwrap();
        })
        .await;
    }

    async fn key(&self, key: &str) {
        let (owner, now) = ((self.shop.tenant, self.shop.user), self.shop.clock.now());
        let answer = Answer { fingerprint: "f".to_owned(), status: 201, body: "{}".to_owned() };
        self.change(async |conn| idempotency::keep(conn, owner, key, &answer, now).await.unwrap()).await;
    }

    async fn change(&self, work: impl AsyncFnOnce(&mut Conn)) {
        let change = async |conn: &mut Conn| {
            work(conn).await;
            Ok(())
        };
        self.shop.db.transaction(change).await.unwrap();
    }

    async fn prune(&self, mode: Mode) -> Pruned {
        prune::run(&self.shop.db, NINETY_DAYS, mode, self.shop.clock.now()).await.unwrap().pruned
    }

    async fn left(&self) -> Pruned {
        left(&self.shop.db).await
    }

    async fn event_ids(&self) -> Vec<EventId> {
        let mut conn = self.shop.db.read().await.unwrap();
        let query = events::table.order(events::id).select(events::id);
        on_conn!(&mut conn, c => query.load(c).await).unwrap()
    }
}

/// The rows of each table.
async fn left(db: &bellwire::storage::Db) -> Pruned {
    let mut conn = db.read().await.unwrap();
    Pruned {
        webhooks: 0,
        webhook_stats: on_conn!(&mut conn, c => webhook_stats::table.count().get_result(c).await).unwrap(),
        webhook_deliveries: on_conn!(&mut conn, c => webhook_deliveries::table.count().get_result(c).await)
            .unwrap(),
        webhook_delivery_logs: on_conn!(&mut conn, c =>
            webhook_delivery_logs::table.count().get_result(c).await)
        .unwrap(),
        events: on_conn!(&mut conn, c => events::table.count().get_result(c).await).unwrap(),
        idempotency_keys: on_conn!(&mut conn, c => idempotency_keys::table.count().get_result(c).await)
            .unwrap(),
        ..Pruned::default()
    }
}

fn pruned(webhook_deliveries: i64, webhook_delivery_logs: i64, events: i64, idempotency_keys: i64) -> Pruned {
    Pruned { webhook_deliveries, webhook_delivery_logs, events, idempotency_keys, ..Pruned::default() }
}

async fn what_is_old_and_ended_goes_and_the_rest_stays(db: TestDb) {
    let attic = Attic::open(&db).await;
    let (_, delivered) = attic.event().await;
    attic.end(delivered, "delivered").await;
    let (_, failed) = attic.event().await;
    attic.end(failed, "failed").await;
    let (late, ended_late) = attic.event().await;
    attic.key("old").await;
    attic.shop.clock.advance(DAY);
    attic.end(ended_late, "delivered").await;
    attic.shop.clock.advance(Duration::from_hours(90 * 24 - 12));
    let (young, ended) = attic.event().await;
    attic.end(ended, "delivered").await;
    attic.key("young").await;
    assert_eq!(attic.prune(Mode::Delete).await, pruned(2, 4, 2, 1));
    assert_eq!(attic.left().await, pruned(2, 4, 2, 1));
    assert_eq!(attic.event_ids().await, [late, young]);
    assert_eq!(attic.prune(Mode::Delete).await, pruned(0, 0, 0, 0));
}

async fn counting_says_what_deleting_does_and_deletes_nothing(db: TestDb) {
    let attic = Attic::open(&db).await;
    for status in ["delivered", "failed", "pending", "delivered"] {
        let (_, delivery) = attic.event().await;
        attic.end(delivery, status).await;
    }
    attic.key("old").await;
    attic.shop.clock.advance(NINETY_DAYS + DAY);
    attic.event().await;
    let before = attic.left().await;
    let counted = attic.prune(Mode::Count).await;
    assert_eq!(attic.left().await, before);
    assert_eq!(counted, pruned(3, 6, 3, 1));
    assert_eq!(attic.prune(Mode::Delete).await, counted);
}

async fn the_newest_event_stays_whatever_its_age(db: TestDb) {
    let attic = Attic::open(&db).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (event, delivery) = attic.event().await;
        attic.end(delivery, "delivered").await;
        ids.push(event);
    }
    attic.shop.clock.advance(NINETY_DAYS * 2);
    assert_eq!(attic.prune(Mode::Count).await, pruned(3, 6, 2, 0));
    assert_eq!(attic.prune(Mode::Delete).await, pruned(3, 6, 2, 0));
    assert_eq!(attic.event_ids().await, ids[2..]);
    assert_eq!(attic.prune(Mode::Delete).await, pruned(0, 0, 0, 0));
    let (next, _) = attic.event().await;
    assert!(next > ids[2]);
}

async fn what_a_pending_delivery_needs_is_never_touched(db: TestDb) {
    let attic = Attic::open(&db).await;
    let (event, delivery) = attic.event().await;
    attic.end(delivery, "pending").await;
    // The same event's delivery to another endpoint has ended.
    let other = attic.shop.webhook(json!(["*"])).await;
    let now = attic.shop.clock.now();
    attic
        .change(async |conn| {
            let values = (
                webhook_deliveries::webhook_id.eq(other),
                webhook_deliveries::event_id.eq(event),
                webhook_deliveries::status.eq("delivered"),
                webhook_deliveries::due_at.eq(now),
                webhook_deliveries::created_at.eq(now),
                webhook_deliveries::updated_at.eq(now),
            );
            let insert = diesel::insert_into(webhook_deliveries::table).values(values);
            on_conn!(conn, c => insert.execute(c).await).unwrap();
        })
        .await;
    attic.shop.clock.advance(NINETY_DAYS * 2);
    attic.event().await;
    assert_eq!(attic.prune(Mode::Delete).await, pruned(1, 0, 0, 0));
    assert_eq!(attic.left().await, pruned(3, 2, 2, 0));
}

async fn what_does_not_fit_one_batch_goes_in_several(db: TestDb) {
    let attic = Attic::open(&db).await;
    let rows = prune::MOST + 2_345;
    fill(&attic, rows).await;
    let all = pruned(rows, rows, rows - 1, rows);
    assert_eq!(attic.prune(Mode::Count).await, all);
    assert_eq!(attic.prune(Mode::Delete).await, all);
    assert_eq!(attic.left().await, pruned(0, 0, 1, 0));
}

/// Old rows by the thousand: events, each with a delivery that has ended and its log, and keys.
async fn fill(attic: &Attic, rows: i64) {
    let (tenant, user, endpoint) = (attic.shop.tenant, attic.shop.user, attic.endpoint);
    let at = opening_time().minus(NINETY_DAYS * 2).utc().format("'%Y-%m-%d %H:%M:%S%.6f'");
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})");
    let i = if attic.shop.db.is_sqlite() { "i" } else { "i::text" };
    let at = if attic.shop.db.is_sqlite() { at.to_string() } else { format!("{at}::timestamp") };
    let statements = [
        format!(
            "{numbers} INSERT INTO events (message_id, tenant_id, name, channel, data, created_at)
             SELECT 'msg_' || {i}, {tenant}, 'product:created', 'private-tenant.1', '{{}}', {at} FROM n"
        ),
        format!(
            "INSERT INTO webhook_deliveries
                 (webhook_id, event_id, status, attempts, due_at, created_at, updated_at)
             SELECT {endpoint}, id, 'delivered', 1, {at}, {at}, {at} FROM events"
        ),
        format!(
            "INSERT INTO webhook_delivery_logs
                 (webhook_id, delivery_id, event_type, attempt_number, outcome, duration_ms, created_at)
             SELECT {endpoint}, id, 'product:created', 1, 'ok', 3, {at} FROM webhook_deliveries"
        ),
        format!(
            "{numbers} INSERT INTO idempotency_keys
                 (tenant_id, user_id, key, fingerprint, status, body, created_at)
             SELECT {tenant}, {user}, 'key-' || {i}, 'f', 201, '{{}}', {at} FROM n"
        ),
    ];
    attic
        .change(async |conn| {
            for statement in statements {
                on_conn!(conn, c => diesel::sql_query(statement).execute(c).await).unwrap();
            }
        })
        .await;
}

async fn a_deleted_endpoint_goes_with_all_it_has(db: TestDb) {
    let attic = Attic::open(&db).await;
    fill(&attic, prune::MOST + 234).await;
    attic.shop.clock.advance(DAY);
    let other = attic.shop.webhook(json!(["*"])).await;
    for status in ["delivered", "pending"] {
        let (_, delivery) = attic.event().await;
        attic.end(delivery, status).await;
    }
    attic.count(attic.endpoint, "hour", attic.shop.clock.now()).await;
    attic.count(other, "hour", attic.shop.clock.now()).await;
    let (tenant, endpoint, now) = (attic.shop.tenant, attic.endpoint, attic.shop.clock.now());
    attic
        .change(async |conn| {
            bellwire::webhooks::endpoint::delete(conn, tenant, endpoint, now).await.unwrap();
        })
        .await;
    // Those of `fill` are old, also to a clock that stands at the opening.
    let rows = prune::MOST + 236;
    let all = Pruned { webhooks: 1, webhook_stats: 1, ..pruned(rows, rows + 2, rows - 2, prune::MOST + 234) };
    assert_eq!(attic.prune(Mode::Count).await, all);
    assert_eq!(attic.prune(Mode::Delete).await, all);
    let mut conn = attic.shop.db.read().await.unwrap();
    let left: Vec<EndpointId> =
        on_conn!(&mut conn, c => webhooks::table.select(webhooks::id).load(c).await).unwrap();
    assert_eq!(left, [other]);
    drop(conn);
    let others = Pruned { webhook_stats: 1, ..pruned(2, 0, 2, 0) };
    assert_eq!(attic.left().await, others);
    assert_eq!(attic.prune(Mode::Delete).await, Pruned::default());
}

async fn counters_go_when_nobody_asks_for_them_any_more(db: TestDb) {
    let attic = Attic::open(&db).await;
    let now = attic.shop.clock.now();
    let hours = |hours| now.minus(Duration::from_hours(hours));
    for (period, at) in [
        ("minute", hours(1)),
        ("minute", hours(3)),
        ("hour", hours(3)),
        ("hour", hours(30 * 24)),
        ("hour", hours(31 * 24 + 1)),
    ] {
        attic.count(attic.endpoint, period, at).await;
    }
    let gone = Pruned { webhook_stats: 2, ..Pruned::default() };
    assert_eq!(attic.prune(Mode::Count).await, gone);
    assert_eq!(attic.prune(Mode::Delete).await, gone);
    assert_eq!(attic.left().await.webhook_stats, 3);
}

async fn a_server_prunes_at_the_times_of_its_configuration(db: TestDb) {
    let attic = Attic::open(&db).await;
    fill(&attic, 10).await;
    let hub = TestHub::start_on(db, |config| {
        config.retention = Retention { days: 90, cron: "* * * * * *".to_owned() };
    })
    .await;
    until("all that is old is gone", async || left(&attic.shop.db).await == pruned(0, 0, 1, 0)).await;
    fill(&attic, 5).await;
    until("it is done again and again", async || left(&attic.shop.db).await == pruned(0, 0, 1, 0)).await;
    hub.stop().await;
}

async fn the_verb_prunes_the_database_of_the_configuration(db: TestDb) {
    let attic = Attic::open(&db).await;
    fill(&attic, 5).await;
    let program = Program::on(db.url());
    let all = json!({"dry_run": true, "webhooks": 0, "webhook_deliveries": 5, "webhook_delivery_logs": 5,
        "webhook_stats": 0, "events": 4, "idempotency_keys": 5, "notification_log": 0,
        "in_app_notifications": 0, "scheduled_notifications": 0, "notification_digests": 0,
        "notification_fan_outs": 0, "notification_templates": 0, "scheduler_runs": 0});
    let prune = async |args: &[&str]| {
        let mut said = program.json(&[&["prune"], args].concat()).await;
        assert!(said.as_object_mut().unwrap().remove("longest_transaction_ms").unwrap().is_u64());
        said
    };
    assert_eq!(prune(&["--dry-run"]).await, all);
    // Keys have an age of their own.
    let keys = json!({"dry_run": false, "webhooks": 0, "webhook_deliveries": 0, "webhook_delivery_logs": 0,
        "webhook_stats": 0, "events": 0, "idempotency_keys": 5, "notification_log": 0,
        "in_app_notifications": 0, "scheduled_notifications": 0, "notification_digests": 0,
        "notification_fan_outs": 0, "notification_templates": 0, "scheduler_runs": 0});
    assert_eq!(prune(&["--older-than", "36500d"]).await, keys);
    let said = program.run(&["prune", "--older-than", "30d"]).await;
    let expected = "table                    deleted\nwebhooks                 0\nwebhook_deliveries       5\n\
        webhook_delivery_logs    5\nwebhook_stats            0\nevents                   4\n\
        idempotency_keys         0\nnotification_log         0\nin_app_notifications     0\n\
        scheduled_notifications  0\nnotification_digests     0\nnotification_fan_outs    0\n\
        notification_templates   0\nscheduler_runs           0\n";
    assert_eq!((said.code, said.stdout.as_str()), (0, expected), "{said:?}");
    assert_eq!(attic.left().await, pruned(0, 0, 1, 0));
}

#[actix_rt::test]
async fn an_age_below_an_hour_is_refused() {
    let program = Program::new();
    let answer = program.run(&["prune", "--older-than", "59m"]).await;
    assert_eq!(answer.code, 1);
    assert!(answer.stderr.contains("an hour at least"), "{answer:?}");
    assert_eq!(program.run(&["prune", "--older-than", "soon"]).await.code, 2);
}
