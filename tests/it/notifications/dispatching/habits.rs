//! What is learnt of the hours at which people read, while they are sent to and read.

use crate::notifications::desk::{Desk, add_user, empty, message};
use crate::support::TestDb;
use crate::support::rest::Rest;
use bellwire::domain::{TenantId, Timestamp, UserId};
use bellwire::notifications::Notice;
use bellwire::notifications::best_time::kept_weight;
use bellwire::storage::Db;
use bellwire::storage::schema::{notification_engagement as e, notification_engagement_totals as t};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    what_comes_and_what_is_read_count_at_the_hour_on_their_readers_clock,
    what_is_read_again_says_nothing_new,
    an_inbox_that_is_cleared_says_that_its_reader_was_there_once,
    what_is_not_wanted_or_put_aside_unread_was_not_read,
    whatever_many_read_at_one_time_is_counted,
    batches_for_the_same_people_at_one_time_are_all_counted,
);

const INBOX: &str = "/api/v1/notifications/in-app";
const SEND: &str = "/api/v1/notifications/send";

/// What was observed of each hour: what came, and was read in time; what had waited, and was read late. Within a day
/// nothing fades to speak of.
type Hour = (i32, [f64; 4]);

async fn habits(db: &Db, user: UserId, now: Timestamp) -> Vec<Hour> {
    let query = e::table.filter(e::user_id.eq(user)).order(e::hour);
    let query = query.select((e::hour, e::sent, e::read, e::waited, e::late));
    let rows: Vec<(i32, f64, f64, f64, f64)> =
        on_conn!(&mut db.read().await.unwrap(), c => query.load(c).await).unwrap();
    let weight = kept_weight(now);
    let worth = |(hour, sent, read, waited, late)| {
        (hour, [sent, read, waited, late].map(|sum: f64| (sum / weight).round()))
    };
    rows.into_iter().map(worth).collect()
}

/// What came, and was read in time, of all users of a tenant.
async fn of_all(db: &Db, tenant: TenantId, now: Timestamp) -> Vec<(i32, f64, f64)> {
    let query = t::table.filter(t::tenant_id.eq(tenant)).order(t::hour).select((t::hour, t::sent, t::read));
    let rows: Vec<(i32, f64, f64)> =
        on_conn!(&mut db.read().await.unwrap(), c => query.load(c).await).unwrap();
    let mut sums: Vec<(i32, f64, f64)> = Vec::new();
    for (hour, sent, read) in rows {
        match sums.last_mut().filter(|sum| sum.0 == hour) {
            Some(sum) => (sum.1, sum.2) = (sum.1 + sent, sum.2 + read),
            None => sums.push((hour, sent, read)),
        }
    }
    let weight = kept_weight(now);
    sums.into_iter()
        .map(|(hour, sent, read)| (hour, (sent / weight).round(), (read / weight).round()))
        .collect()
}

async fn send(rest: &Rest, user: UserId) -> i64 {
    let body = json!({"user_id": user, "type": "promo", "title": "New", "body": "Look here."});
    rest.post(SEND, body).await.id()
}

async fn act(rest: &Rest, token: &str, path: &str) {
    let reply = rest.ask("POST", &format!("{INBOX}/{path}")).token(token).json(&Value::Null).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// Somebody of the shop in that zone, and their token.
async fn reader(rest: &Rest, zone: &str) -> (UserId, String) {
    let user = add_user(&rest.shop, json!({"timezone": zone})).await;
    (user, rest.shop.token_of(user, &["*"]).await)
}

async fn what_comes_and_what_is_read_count_at_the_hour_on_their_readers_clock(db: TestDb) {
    let rest = Rest::open(db).await;
    let (mia, token) = reader(&rest, "Asia/Manila").await;
    let ana = rest.shop.user;
    let (soon, late) = (send(&rest, mia).await, send(&rest, mia).await);
    send(&rest, ana).await;
    let now = || rest.shop.clock.now();
    assert_eq!(habits(&rest.db, mia, now()).await, [(16, [2.0, 0.0, 0.0, 0.0])]);
    assert_eq!(habits(&rest.db, ana, now()).await, [(8, [1.0, 0.0, 0.0, 0.0])]);
    rest.shop.clock.advance(Duration::from_hours(1));
    act(&rest, &token, &format!("{soon}/mark-read")).await;
    assert_eq!(habits(&rest.db, mia, now()).await, [(16, [2.0, 1.0, 0.0, 0.0])], "in time");
    rest.shop.clock.advance(Duration::from_hours(2));
    act(&rest, &token, &format!("{late}/mark-read")).await;
    let expected = [
        (16, [2.0, 1.0, 0.0, 0.0]),
        (17, [0.0, 0.0, 1.0, 0.0]),
        (18, [0.0, 0.0, 1.0, 0.0]),
        (19, [0.0, 0.0, 1.0, 1.0]),
    ];
    assert_eq!(habits(&rest.db, mia, now()).await, expected, "it had waited");
    let all = of_all(&rest.db, rest.shop.tenant, now()).await;
    assert_eq!(all, [(8, 1.0, 0.0), (16, 2.0, 1.0)]);
}

async fn what_is_read_again_says_nothing_new(db: TestDb) {
    let rest = Rest::open(db).await;
    let (mia, token) = reader(&rest, "UTC").await;
    let id = send(&rest, mia).await;
    for verb in ["mark-read", "mark-read", "mark-unread", "mark-read", "mark-unread"] {
        act(&rest, &token, &format!("{id}/{verb}")).await;
    }
    act(&rest, &token, "mark-all-read").await;
    assert_eq!(habits(&rest.db, mia, rest.shop.clock.now()).await, [(8, [1.0, 1.0, 0.0, 0.0])]);
}

async fn an_inbox_that_is_cleared_says_that_its_reader_was_there_once(db: TestDb) {
    let rest = Rest::open(db).await;
    let (mia, token) = reader(&rest, "UTC").await;
    let mut last = 0;
    for _ in 0..5 {
        last = send(&rest, mia).await;
    }
    rest.shop.clock.advance(Duration::from_hours(2));
    act(&rest, &token, "mark-all-read").await;
    act(&rest, &token, "mark-all-read").await;
    let expected = [(8, [5.0, 0.0, 0.0, 0.0]), (9, [0.0, 0.0, 1.0, 0.0]), (10, [0.0, 0.0, 1.0, 1.0])];
    assert_eq!(habits(&rest.db, mia, rest.shop.clock.now()).await, expected);
    act(&rest, &token, &format!("{last}/mark-unread")).await;
    act(&rest, &token, &format!("{last}/mark-read")).await;
    assert_eq!(habits(&rest.db, mia, rest.shop.clock.now()).await, expected, "it was read with the others");
}

async fn what_is_not_wanted_or_put_aside_unread_was_not_read(db: TestDb) {
    let rest = Rest::open(db).await;
    let (mia, token) = reader(&rest, "UTC").await;
    let id = send(&rest, mia).await;
    act(&rest, &token, &format!("{id}/archive")).await;
    let off = json!({"channels": {"in_app": {"enabled": false}}});
    let changed =
        rest.ask("PATCH", "/api/v1/notifications/preferences").token(&token).json(&off).send().await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let body = json!({"user_id": mia, "type": "promo", "title": "New", "body": "Look."});
    assert_eq!(rest.post(SEND, body).await.body["data"]["skipped"], 1);
    assert_eq!(habits(&rest.db, mia, rest.shop.clock.now()).await, [(8, [1.0, 0.0, 0.0, 0.0])]);
}

async fn whatever_many_read_at_one_time_is_counted(db: TestDb) {
    let rest = Rest::open(db).await;
    let (mia, mias) = reader(&rest, "UTC").await;
    let (ben, bens) = reader(&rest, "UTC").await;
    let mut marks = Vec::new();
    for _ in 0..12 {
        marks.push((&mias, send(&rest, mia).await));
        marks.push((&bens, send(&rest, ben).await));
    }
    let read = marks.iter().map(async |(token, id)| act(&rest, token, &format!("{id}/mark-read")).await);
    let more = (0..6).map(async |_| send(&rest, mia).await);
    tokio::join!(join_all(read), join_all(more));
    let now = rest.shop.clock.now();
    assert_eq!(habits(&rest.db, mia, now).await, [(8, [18.0, 12.0, 0.0, 0.0])]);
    assert_eq!(habits(&rest.db, ben, now).await, [(8, [12.0, 12.0, 0.0, 0.0])]);
    assert_eq!(of_all(&rest.db, rest.shop.tenant, now).await, [(8, 30.0, 24.0)]);
}

async fn batches_for_the_same_people_at_one_time_are_all_counted(db: TestDb) {
    let desk = Desk::open(&db).await;
    let mut users = Vec::new();
    for _ in 0..40 {
        users.push(desk.user(empty()).await);
    }
    let batch = |users: Vec<UserId>| -> Vec<Notice> {
        users.into_iter().map(|user| desk.notice(user, message())).collect()
    };
    // Those who name the same people in another order would wait for each other for ever.
    let (forth, back) = (batch(users.clone()), batch(users.iter().rev().copied().collect()));
    let both = (0..5).flat_map(|_| [&forth, &back]).map(|batch| desk.dispatch(batch));
    join_all(both).await;
    let now = desk.shop.clock.now();
    for user in users {
        assert_eq!(habits(&db, user, now).await, [(8, [10.0, 0.0, 0.0, 0.0])]);
    }
    assert_eq!(of_all(&db, desk.shop.tenant, now).await, [(8, 400.0, 0.0)]);
}
