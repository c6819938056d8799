//! Notifications to more users than one transaction takes.

use super::desk::{add_crowd, add_user};
use crate::support::{Shop, TestDb, until};
use bellwire::domain::{Fields, Timestamp};
use bellwire::notifications::dispatch::Terms;
use bellwire::notifications::fan_out::{self, FanOut};
use bellwire::notifications::send::{self, SendRequest};
use bellwire::notifications::send_limits::SendLimits;
use bellwire::notifications::worker::Turn;
use bellwire::storage::schema::in_app_notifications as i;
use bellwire::storage::{Conn, Db};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    everybody_has_it_once_also_when_several_send_and_some_are_cut_off,
    a_tenant_that_may_send_no_more_goes_on_later,
    two_that_go_to_many_take_turns,
);

async fn begin(shop: &Shop, recipients: Value) -> FanOut {
    let mut body = json!({"type": "promo", "title": "New", "body": "Look here."});
    body.as_object_mut().unwrap().extend(recipients.as_object().unwrap().clone());
    let now = shop.clock.now();
    let request = SendRequest::parse(Fields::of(body).unwrap(), now).unwrap();
    let work = async |conn: &mut Conn| {
        let terms = Terms { limits: None, except: None, now };
        send::send(conn, shop.tenant, &request, terms).await
    };
    shop.db.transaction(work).await.unwrap().0.fan_out.unwrap()
}

fn unlimited() -> SendLimits {
    SendLimits::new(0, 0)
}

/// Takes turns until there is nothing to do now.
async fn work(db: &Db, limits: &SendLimits, now: Timestamp) -> Turn {
    loop {
        let turn = fan_out::turn(db, limits, now).await.unwrap().0;
        if turn != Turn::Again {
            return turn;
        }
    }
}

async fn inboxes(db: &Db) -> Vec<(i64, i64)> {
    let query =
        i::table.group_by(i::user_id).select((i::user_id, diesel::dsl::count_star())).order(i::user_id);
    on_conn!(&mut db.read().await.unwrap(), c => query.load(c).await).unwrap()
}

async fn stands(shop: &Shop, fan_out: &FanOut) -> FanOut {
    fan_out::find(&mut shop.db.read().await.unwrap(), shop.tenant, fan_out.id).await.unwrap()
}

async fn everybody_has_it_once_also_when_several_send_and_some_are_cut_off(db: TestDb) {
    let shop = Shop::open(&db).await;
    add_crowd(&shop, 3_500, "guest").await;
    add_user(&shop, json!({"role": "manager"})).await;
    let (fan_out, now) = (begin(&shop, json!({"role": "guest"})).await, shop.clock.now());
    for millis in [1, 5, 20] {
        // As a process that dies in the middle of it.
        let limits = unlimited();
        let _ = tokio::time::timeout(Duration::from_millis(millis), work(&db, &limits, now)).await;
    }
    // Of SQLite there is one process.
    let other = || if db.is_sqlite() { (*db).clone() } else { db.open_another() };
    let others: Vec<Db> = (0..3).map(|_| other()).collect();
    until("everybody has it", async || {
        futures_util::future::join_all(others.iter().map(async |db| work(db, &unlimited(), now).await)).await;
        stands(&shop, &fan_out).await.status != "pending"
    })
    .await;
    let inboxes = inboxes(&db).await;
    assert_eq!(inboxes.len(), 3_500);
    assert!(inboxes.iter().all(|(_, count)| *count == 1));
    let done = stands(&shop, &fan_out).await;
    assert_eq!((done.status.as_str(), done.sent, done.skipped, done.failed), ("delivered", 3_500, 0, 0));
}

async fn a_tenant_that_may_send_no_more_goes_on_later(db: TestDb) {
    let shop = Shop::open(&db).await;
    add_crowd(&shop, 1_999, "guest").await;
    let (fan_out, limits) = (begin(&shop, json!({"tenant": true})).await, SendLimits::new(600, 0));
    let now = shop.clock.now();
    let Turn::Sleep(Some(until)) = work(&db, &limits, now).await else { panic!("it has more to do") };
    assert_eq!(stands(&shop, &fan_out).await.sent, 1_000);
    assert!((40..=41).contains(&until.since(now).as_secs()), "{until}");
    assert_eq!(work(&db, &limits, until).await, Turn::Sleep(None));
    assert_eq!(stands(&shop, &fan_out).await.sent, 2_000);
}

async fn two_that_go_to_many_take_turns(db: TestDb) {
    let (large, small) = (Shop::open(&db).await, Shop::open(&db).await);
    add_crowd(&large, 3_000, "guest").await;
    add_crowd(&small, 1_500, "guest").await;
    let (of_large, of_small) =
        (begin(&large, json!({"tenant": true})).await, begin(&small, json!({"tenant": true})).await);
    for number in 1..=4 {
        let now = large.clock.now().plus(Duration::from_millis(number));
        fan_out::turn(&db, &unlimited(), now).await.unwrap();
    }
    assert_eq!(stands(&small, &of_small).await.status, "delivered");
    assert_eq!(stands(&large, &of_large).await.sent, 2_000);
}
