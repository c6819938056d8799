//! Every close code of the protocol's table, and what brings it.

use super::{ended, hub_with_app};
use crate::support::hub::{APP_KEY, TestHub};
use crate::support::socket::Socket;
use bellwire::domain::TenantId;
use serde_json::json;

const PATH: &str = "/app/app-key?protocol=7";

async fn code(hub: &TestHub, path: &str) -> u16 {
    Socket::raw(hub.address, path).await.closed().await
}

#[actix_rt::test]
async fn a_connect_that_is_refused_is_told_why_by_its_code() {
    let hub = TestHub::start().await;
    let table = [
        ("/app/nobody?protocol=7", 4001, "no_app"),
        ("/app", 4005, "no_path"),
        ("/app/", 4005, "no_path"),
        ("/app/app-key/more?protocol=7", 4005, "no_path"),
        ("/app/app-key/?protocol=7", 4005, "no_path"),
        ("/app/app-key?protocol=seven", 4006, "protocol"),
        ("/app/app-key?protocol=-1", 4006, "protocol"),
        ("/app/app-key?protocol=4", 4007, "protocol"),
        ("/app/app-key?protocol=8", 4007, "protocol"),
        ("/app/app-key", 4008, "protocol"),
        ("/app/app-key?protocol=7&token=1%7Cwrong", 4009, "token"),
    ];
    let mut counts = std::collections::BTreeMap::new();
    for (path, expected, reason) in table {
        assert_eq!(code(&hub, path).await, expected, "{path}");
        *counts.entry(reason).or_insert(0) += 1;
        hub.wait_for_metric(&ended(reason, counts[reason])).await;
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_path_that_is_none_is_a_404_for_who_does_not_ask_for_a_websocket() {
    let hub = TestHub::start().await;
    for path in ["/app", "/app/", "/app/app-key/more"] {
        let mut response = awc::Client::default().get(hub.url(path)).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 404, "{path}");
        let body: serde_json::Value = response.json().await.unwrap();
        assert!(body["message"].is_string());
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn every_version_that_is_spoken_is_accepted() {
    let hub = TestHub::start().await;
    for version in 5..=7 {
        let mut socket = Socket::raw(hub.address, &format!("/app/{APP_KEY}?protocol={version}")).await;
        socket.expect("pusher:connection_established").await;
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_disabled_app_closes_with_4003() {
    let hub = hub_with_app(|app| app.enabled = false).await;
    assert_eq!(code(&hub, PATH).await, 4003);
    hub.wait_for_metric(&ended("app_disabled", 1)).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn an_app_over_its_quota_closes_with_4004_and_another_app_notices_nothing() {
    let hub = TestHub::start_with(|c| {
        let other = bellwire::config::App {
            id: bellwire::domain::AppId("other".into()),
            key: "other-key".into(),
            ..c.apps[0].clone()
        };
        c.apps.push(other);
        c.apps[0].connections = 2;
    })
    .await;
    let (one, mut two) = (hub.connect().await, hub.connect().await);
    assert_eq!(code(&hub, PATH).await, 4004);
    hub.wait_for_metric(&ended("app_quota", 1)).await;
    let _others = [
        Socket::connect(hub.address, "other-key", "").await,
        Socket::connect(hub.address, "other-key", "").await,
        Socket::connect(hub.address, "other-key", "").await,
    ];
    two.expect_nothing().await;
    drop(one);
    hub.wait_for_metric("bellwire_connections 4").await;
    hub.connect().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn of_many_connects_at_once_exactly_the_quota_comes_in() {
    let hub = hub_with_app(|app| app.connections = 10).await;
    let mut sockets = futures_util::future::join_all((0..40).map(|_| Socket::raw(hub.address, PATH))).await;
    let mut first = Vec::new();
    for socket in &mut sockets {
        first.push(socket.next_message().await);
    }
    let established = first.iter().filter(|message| message.is_text()).count();
    let over: Vec<u16> = first.iter().filter_map(close_code).collect();
    assert_eq!((established, over), (10, vec![4004; 30]));
    hub.stop().await;
}

fn close_code(message: &tokio_tungstenite::tungstenite::Message) -> Option<u16> {
    match message {
        tokio_tungstenite::tungstenite::Message::Close(frame) => frame.as_ref().map(|f| f.code.into()),
        _ => None,
    }
}

#[actix_rt::test]
async fn an_app_of_one_tenant_closes_other_tenants_tokens_with_4009() {
    let hub = hub_with_app(|app| app.tenant = Some(TenantId(1))).await;
    let (ana, ben) = (hub.somebody("Ana").await, hub.somebody("Ben").await);
    assert_eq!((ana.tenant.0, ben.tenant.0), (1, 2));
    let mut own = hub.connect_as(&ana).await;
    own.join("private-tenant.1").await;
    let token = ben.token.replace('|', "%7C");
    assert_eq!(code(&hub, &format!("{PATH}&token={token}")).await, 4009);
    hub.wait_for_metric(&ended("tenant", 1)).await;
    // Without a token there is nobody to refuse; its channels need signatures of the app.
    hub.connect().await.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn an_app_of_one_tenant_gets_no_events_of_another() {
    let hub = hub_with_app(|app| app.tenant = Some(TenantId(1))).await;
    let (ana, ben) = (hub.somebody("Ana").await, hub.somebody("Ben").await);
    let mut socket = hub.connect().await;
    // The app's back end may sign what it likes.
    for channel in ["private-tenant.2", "private-tenant.1"] {
        socket.subscribe_signed(channel, None).await;
        socket.succeeded(channel).await;
    }
    for (who, sku) in [(&ben, "B-1"), (&ana, "A-1")] {
        let product = json!({"name": "Tea", "sku": sku, "price": 100});
        let request = awc::Client::default().post(hub.url("/api/v1/products")).bearer_auth(&who.token);
        assert_eq!(request.send_json(&product).await.unwrap().status().as_u16(), 201);
    }
    // Events are routed in the order of their ids, so the other tenant's would have come first.
    assert_eq!(socket.expect("product:created").await["sku"], "A-1");
    hub.stop().await;
}

#[actix_rt::test]
async fn a_connection_without_a_subscription_is_closed_with_4202() {
    let hub = TestHub::start_with(|c| {
        c.limits.unsubscribed_timeout_seconds = 1;
        c.limits.auth_timeout_seconds = 0;
    })
    .await;
    let (mut idle, mut busy, mut left) = (hub.connect().await, hub.connect().await, hub.connect().await);
    busy.join("news").await;
    left.join("news").await;
    assert_eq!(idle.closed().await, 4202);
    left.event("pusher:unsubscribe", json!({"channel": "news"})).await;
    assert_eq!(left.closed().await, 4202);
    busy.expect_nothing().await;
    hub.wait_for_metric(&ended("unsubscribed", 2)).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn an_unanswered_ping_closes_with_4201() {
    let hub = TestHub::start_with(|c| {
        c.limits.activity_timeout_seconds = 1;
        c.limits.pong_timeout_seconds = 1;
    })
    .await;
    let mut socket = hub.connect().await;
    socket.expect("pusher:ping").await;
    assert_eq!(socket.closed().await, 4201);
    hub.wait_for_metric(&ended("no_pong", 1)).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_ping_that_is_answered_keeps_the_connection() {
    let hub = TestHub::start_with(|c| {
        c.limits.activity_timeout_seconds = 1;
        c.limits.pong_timeout_seconds = 1;
    })
    .await;
    let mut socket = hub.connect().await;
    for _ in 0..3 {
        socket.expect("pusher:ping").await;
        socket.event("pusher:pong", json!({})).await;
    }
    socket.expect_nothing().await;
    hub.stop().await;
}
