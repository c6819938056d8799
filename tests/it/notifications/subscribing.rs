//! Events of the catalog, told to those who subscribed to them.

use super::desk::{Desk, add_crowd, add_user, empty};
use crate::support::hub::TestHub;
use crate::support::{Shop, TestDb, until};
use bellwire::domain::{Fields, UserId};
use bellwire::notifications::event_work::EventWork;
use bellwire::notifications::send_limits::SendLimits;
use bellwire::notifications::subscription_rows::{self, NewSubscription};
use bellwire::notifications::templates;
use bellwire::notifications::worker::Turn;
use bellwire::storage::Db;
use bellwire::storage::schema::{event_subscriptions as s, in_app_notifications as i, users};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

on_both_databases!(
    who_subscribed_is_told_of_what_happens_after,
    each_event_is_told_once_by_several_processes_and_after_deaths,
    an_event_that_many_want_is_told_to_all,
    a_whole_server_tells_of_events,
);

async fn subscribe(shop: &Shop, user: UserId, body: Value) {
    let new = NewSubscription::parse(Fields::of(body).unwrap()).unwrap();
    let (owner, now) = ((shop.tenant, user), shop.clock.now());
    let work = async |conn: &mut _| subscription_rows::create(conn, owner, &new, now).await;
    shop.db.transaction(work).await.unwrap();
}

async fn process(shop: &Shop, db: &Db) -> EventWork {
    templates::seed(db, shop.clock.now()).await.unwrap();
    EventWork {
        db: db.clone(),
        clock: shop.clock.clone(),
        limits: Arc::new(SendLimits::new(0, 0)),
        herald: None,
        seen: Arc::default(),
    }
}

/// Until there is nothing to tell.
async fn tell(work: &EventWork) {
    while work.tell_some().await.unwrap() == Turn::Again {}
}

async fn who_subscribed_is_told_of_what_happens_after(db: TestDb) {
    let desk = Desk::open(&db).await;
    let shop = &desk.shop;
    let (ana, ben) = (shop.user, add_user(shop, empty()).await);
    let work = process(shop, &db).await;
    tell(&work).await;
    shop.product(5).await;
    shop.clock.advance(Duration::from_secs(1));
    subscribe(shop, ana, json!({"event": "product:*"})).await;
    subscribe(shop, ana, json!({"event": "product:created", "channels": ["in_app", "email"]})).await;
    subscribe(shop, ben, json!({"event": "order:*"})).await;
    subscribe(shop, ben, json!({"event": "*", "is_active": false})).await;
    tell(&work).await;
    assert!(desk.inbox(ana).await.is_empty(), "it was before");
    shop.clock.advance(Duration::from_secs(1));
    let product = shop.product_of(json!({"name": "Green tea", "stock": 9})).await;
    shop.order(json!({"items": [{"product_id": product.product.id, "quantity": 2}]})).await.unwrap();
    let stranger = Shop::open(&db).await;
    stranger.product(1).await;
    tell(&work).await;
    tell(&work).await;
    assert_eq!(desk.inbox(ana).await, ["product:created", "product:updated"]);
    let bens = desk.inbox(ben).await;
    assert!(bens.len() == 1 && bens[0].starts_with("New order"), "{bens:?}");
    let mails = desk.history().await.into_iter().filter(|row| row.status == "pending").count();
    assert_eq!(mails, 1, "both subscriptions accept one event, on two channels, once each");
    let query = i::table.filter(i::user_id.eq(ana)).order(i::id).select((i::notification_type, i::message));
    let told: Vec<(String, String)> =
        on_conn!(&mut db.read().await.unwrap(), c => query.load(c).await).unwrap();
    assert_eq!(told[0].0, "product:created");
    assert_eq!(told[0].1.trim(), "Product Green tea was created.");
}

async fn each_event_is_told_once_by_several_processes_and_after_deaths(db: TestDb) {
    let desk = Desk::open(&db).await;
    let shop = &desk.shop;
    let first = process(shop, &db).await;
    tell(&first).await;
    subscribe(shop, shop.user, json!({"event": "product:*"})).await;
    for millis in [2, 8, 30] {
        for _ in 0..10 {
            shop.product(1).await;
        }
        let _ = tokio::time::timeout(Duration::from_millis(millis), tell(&first)).await;
    }
    let other = || if db.is_sqlite() { (*db).clone() } else { db.open_another() };
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(process(shop, &other()).await);
    }
    until("all is told", async || {
        futures_util::future::join_all(processes.iter().map(tell)).await;
        desk.inbox(shop.user).await.len() >= 30
    })
    .await;
    futures_util::future::join_all(processes.iter().map(tell)).await;
    assert_eq!(desk.inbox(shop.user).await.len(), 30);
}

async fn an_event_that_many_want_is_told_to_all(db: TestDb) {
    let desk = Desk::open(&db).await;
    let shop = &desk.shop;
    let work = process(shop, &db).await;
    tell(&work).await;
    add_crowd(shop, 2_300, "guest").await;
    let now = shop.clock.now();
    let all = async |conn: &mut bellwire::storage::Conn| {
        let ids: Vec<UserId> = on_conn!(conn, c => users::table.select(users::id).load(c).await)?;
        for user in ids {
            let row = (
                s::tenant_id.eq(shop.tenant),
                s::user_id.eq(user),
                s::event_type.eq("product:created"),
                s::notification_channels.eq(json!(["in_app"])),
                s::created_at.eq(now),
                s::updated_at.eq(now),
            );
            on_conn!(conn, c => diesel::insert_into(s::table).values(row).execute(c).await)?;
        }
        Ok(())
    };
    shop.db.transaction(all).await.unwrap();
    shop.product(1).await;
    shop.product(2).await;
    tell(&work).await;
    let query = i::table.group_by(i::user_id).select((i::user_id, diesel::dsl::count_star()));
    let counts: Vec<(UserId, i64)> =
        on_conn!(&mut db.read().await.unwrap(), c => query.load(c).await).unwrap();
    assert_eq!(counts.len(), 2_301);
    assert!(counts.iter().all(|(_, count)| *count == 2));
}

async fn a_whole_server_tells_of_events(db: TestDb) {
    let hub = TestHub::start_on(db, |_| {}).await;
    let ana = hub.somebody("Ana").await;
    let mut tab = hub.connect_as(&ana).await;
    tab.join(&format!("private-notification.{}", ana.user)).await;
    hub.rest(&ana, "POST", "/api/v1/notifications/subscriptions", &[], json!({"event": "product:created"}))
        .await;
    hub.create_product(&ana, "ABC-1").await;
    let told = tab.expect("notification:created").await;
    assert_eq!(
        (&told["type"], &told["body"]),
        (&json!("product:created"), &json!("Product Rice was created."))
    );
    hub.stop().await;
}
