//! The process is killed at random while it sends to many and tells subscribers of events: everybody has each
//! notification, and has it once.

use crate::notifications::desk::crowd;
use crate::support::{Caller, Program, Server, TestDb, server, until_within};
use bellwire::domain::{EventId, TenantId, Timestamp, UserId};
use bellwire::notifications::fan_out::FanOutStatus;
use bellwire::storage::Conn;
use bellwire::storage::schema::{
    event_subscriptions as s, events as e, in_app_notifications as i, notification_cursors as n,
    notification_fan_outs as f, notification_log as l, users,
};
use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

on_both_databases!(everybody_has_each_notification_once_however_often_the_process_is_killed);

const KILLS: usize = 4;

/// Three batches of either kind.
const CROWD: usize = 2_100;

/// What was asked for and is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outstanding {
    fan_outs: i64,
    /// Those that are half told, too.
    events: i64,
}

async fn everybody_has_each_notification_once_however_often_the_process_is_killed(db: TestDb) {
    let settings = "[notifications]\ntenant_per_minute = 0\nuser_per_minute = 0\n";
    let program = Program::on(db.url()).with_config(&format!("{}{settings}", server::CONFIG));
    let caller = Caller::made_by(&program).await;
    let tenant = TenantId(caller.tenant.parse().unwrap());
    crowd(&db, tenant, CROWD, "guest").await;
    everybody_subscribes(&db, tenant).await;
    let (mut told, mut cut) = (BTreeMap::new(), Vec::new());
    for round in 0..KILLS {
        let server = Server::start(&program);
        let before = inboxes(&db).await;
        for message in ask(&server, &caller, round).await {
            told.insert(message, CROWD + 1);
        }
        let some = before + rand::random_range(1..=CROWD);
        until_within(Duration::from_secs(30), "some have it", async || inboxes(&db).await >= some).await;
        server.kill();
        cut.push(outstanding(&db).await);
    }
    let none = Outstanding { fan_outs: 0, events: 0 };
    assert!(!cut.contains(&none), "a process was killed that had nothing to do: {cut:?}");
    assert!(cut.iter().any(|cut| cut.fan_outs > 0) && cut.iter().any(|cut| cut.events > 0), "{cut:?}");
    let last = Server::start(&program);
    until_within(Duration::from_mins(1), "all is done", async || outstanding(&db).await == none).await;
    assert!(last.terminate().await.success());
    assert_eq!(recipients_by_message(&db).await, told);
    let total = (CROWD + 1) * told.len();
    assert_eq!([inboxes(&db).await, history(&db).await, created(&db).await], [total; 3]);
    println!("{KILLS} kills, {total} notifications, 0 lost, 0 twice; cut off were {cut:?}");
}

/// Every user of the tenant subscribes to new products.
async fn everybody_subscribes(db: &TestDb, tenant: TenantId) {
    let since = Timestamp::parse_rfc3339("2026-03-01T08:00:00Z").unwrap();
    let subscribe = async |conn: &mut Conn| {
        let ids: Vec<UserId> = on_conn!(conn, c => users::table.select(users::id).load(c).await)?;
        for user in ids {
            let row = (
                s::tenant_id.eq(tenant),
                s::user_id.eq(user),
                s::event_type.eq("product:created"),
                s::notification_channels.eq(json!(["in_app"])),
                s::created_at.eq(since),
                s::updated_at.eq(since),
            );
            on_conn!(conn, c => diesel::insert_into(s::table).values(row).execute(c).await)?;
        }
        Ok(())
    };
    db.transaction(subscribe).await.unwrap();
}

/// Has everybody told of two things, and gives the words: something is sent to all, and something happens to which all
/// subscribed.
async fn ask(server: &Server, caller: &Caller, round: usize) -> [String; 2] {
    let news = format!("News number {round}.");
    let body = json!({"tenant": true, "type": "news", "title": "News", "body": news});
    let (status, sent) = caller.post(&server.url("/api/v1/notifications/send"), &body).await.unwrap();
    assert_eq!(status, 202, "{sent}");
    let product = json!({"name": format!("Tea {round}"), "sku": format!("SKU-{round}"), "price": 1});
    let (status, made) = caller.post(&server.url("/api/v1/products"), &product).await.unwrap();
    assert_eq!(status, 201, "{made}");
    [news, format!("Product Tea {round} was created.")]
}

async fn outstanding(db: &TestDb) -> Outstanding {
    let mut conn = db.read().await.unwrap();
    let pending = f::table.filter(f::status.eq(FanOutStatus::Pending)).count();
    let fan_outs = on_conn!(&mut conn, c => pending.get_result(c).await).unwrap();
    let cursor: EventId = on_conn!(&mut conn, c => n::table.select(n::event_id).first(c).await).unwrap();
    let untold = e::table.filter(e::name.eq("product:created").and(e::id.gt(cursor))).count();
    let events = on_conn!(&mut conn, c => untold.get_result(c).await).unwrap();
    Outstanding { fan_outs, events }
}

/// How many users have each message. Fails where one has it twice.
async fn recipients_by_message(db: &TestDb) -> BTreeMap<String, usize> {
    let query = i::table.group_by((i::user_id, i::message)).select((i::user_id, i::message, count_star()));
    let mut conn = db.read().await.unwrap();
    let rows: Vec<(UserId, String, i64)> = on_conn!(&mut conn, c => query.load(c).await).unwrap();
    let mut recipients = BTreeMap::new();
    for (user, message, count) in rows {
        assert_eq!(count, 1, "{user} has {message:?} so many times");
        *recipients.entry(message.trim().to_owned()).or_default() += 1;
    }
    recipients
}

async fn inboxes(db: &TestDb) -> usize {
    let count: i64 =
        on_conn!(&mut db.read().await.unwrap(), c => i::table.count().get_result(c).await).unwrap();
    usize::try_from(count).unwrap()
}

async fn history(db: &TestDb) -> usize {
    let count: i64 =
        on_conn!(&mut db.read().await.unwrap(), c => l::table.count().get_result(c).await).unwrap();
    usize::try_from(count).unwrap()
}

async fn created(db: &TestDb) -> usize {
    let query = e::table.filter(e::name.eq("notification:created")).count();
    let count: i64 = on_conn!(&mut db.read().await.unwrap(), c => query.get_result(c).await).unwrap();
    usize::try_from(count).unwrap()
}
