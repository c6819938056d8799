//! Notifications as a user's open tabs hear of them, from a whole server.

use crate::support::TestDb;
use crate::support::hub::TestHub;
use serde_json::json;

on_both_databases!(
    every_tab_of_the_user_hears_and_nobody_elses,
    a_back_end_can_tell_one_user_something,
    everybody_of_many_is_told,
);

async fn every_tab_of_the_user_hears_and_nobody_elses(db: TestDb) {
    let hub = TestHub::start_on(db, |_| {}).await;
    let (ana, ben) = (hub.somebody("Ana").await, hub.somebody("Ben").await);
    let (mut tab, mut causing, mut bens) =
        (hub.connect_as(&ana).await, hub.connect_as(&ana).await, hub.connect_as(&ben).await);
    let channel = format!("private-notification.{}", ana.user);
    tab.join(&channel).await;
    causing.join(&channel).await;
    bens.join(&format!("private-notification.{}", ben.user)).await;
    let body = json!({"user_id": ana.user, "type": "promo", "title": "New", "body": "Look here."});
    let headers = [("x-socket-id", causing.id.as_str())];
    let sent = hub.rest(&ana, "POST", "/api/v1/notifications/send", &headers, body).await;
    let heard = tab.expect("notification:created").await;
    assert_eq!(
        (&heard["id"], &heard["type"], &heard["title"], &heard["body"]),
        (&sent["data"]["id"], &json!("promo"), &json!("New"), &json!("Look here."))
    );
    causing.expect_nothing().await;
    bens.expect_nothing().await;
    hub.stop().await;
}

async fn a_back_end_can_tell_one_user_something(db: TestDb) {
    let hub = TestHub::start_on(db, |_| {}).await;
    let ana = hub.somebody("Ana").await;
    let mut tab = hub.connect_as(&ana).await;
    let channel = format!("private-notification.{}", ana.user);
    tab.join(&channel).await;
    let path = format!("/api/v1/broadcast/users/{}", ana.user);
    let said = hub.rest(&ana, "POST", &path, &[], json!({"event": "cart:saved", "data": {"items": 3}})).await;
    assert_eq!(said["data"], json!({"user_id": ana.user, "channel": channel, "event": "cart:saved"}));
    assert_eq!(tab.expect("cart:saved").await, json!({"items": 3}));
    hub.stop().await;
}

async fn everybody_of_many_is_told(db: TestDb) {
    let hub = TestHub::start_on(db, |_| {}).await;
    let ana = hub.somebody("Ana").await;
    super::desk::crowd(&hub.db, ana.tenant, 1_200, "guest").await;
    let mut tab = hub.connect_as(&ana).await;
    tab.join(&format!("private-notification.{}", ana.user)).await;
    let body = json!({"tenant": true, "type": "promo", "title": "New", "body": "Look here."});
    let sent = hub.rest(&ana, "POST", "/api/v1/notifications/send", &[], body).await;
    tab.expect("notification:created").await;
    let path = format!("/api/v1/notifications/sends/{}", sent["data"]["fan_out"]["id"]);
    crate::support::until("all are told", async || {
        let stands = hub.rest(&ana, "GET", &path, &[], serde_json::Value::Null).await;
        stands["data"]["status"] == "delivered" && stands["data"]["sent"] == 1_201
    })
    .await;
    hub.stop().await;
}
