//! The Pusher HTTP API and the signing of subscriptions, through a real server.

use crate::support::hub::{APP_ID, TestHub, signed_query, test_app};
use bellwire::domain::{AppId, Clock, Secret};
use serde_json::{Value, json};
use std::time::Duration;

async fn post(hub: &TestHub, path_and_query: &str, body: &str) -> u16 {
    let sending = awc::Client::default().post(hub.url(path_and_query)).send_body(body.to_owned());
    sending.await.unwrap().status().as_u16()
}

#[actix_rt::test]
async fn a_trigger_without_a_good_signature_is_401() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    socket.join("news").await;
    let path = format!("/apps/{APP_ID}/events");
    let body = json!({"name": "n", "channels": ["news"], "data": "1"}).to_string();
    let now = Clock::System.now();
    let good = signed_query("POST", &path, &body, now);
    let old = signed_query("POST", &path, &body, now.minus(Duration::from_secs(700)));
    let table = [
        (path.clone(), body.clone()),
        (format!("{path}?{good}0"), body.clone()),
        (format!("{path}?{old}"), body.clone()),
        (format!("{path}?{good}"), body.replace("\"1\"", "\"2\"")),
        (format!("/apps/other/events?{good}"), body.clone()),
    ];
    for (address, body) in table {
        assert_eq!(post(&hub, &address, &body).await, 401, "{address}");
    }
    socket.expect_nothing().await;
    // Two equal events of one second carry equal signatures, and both are good.
    for _ in 0..2 {
        assert_eq!(post(&hub, &format!("{path}?{good}"), &body).await, 200);
        socket.expect("n").await;
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_trigger_that_is_wrong_is_told_why() {
    let hub = TestHub::start().await;
    let many: Vec<String> = (0..101).map(|n| format!("c{n}")).collect();
    let table = [
        ("{".to_owned(), 400),
        ("[]".to_owned(), 400),
        (json!({"name": "n", "data": "1"}).to_string(), 400),
        (json!({"name": "n", "channels": [], "data": "1"}).to_string(), 400),
        (json!({"name": "n", "channels": many, "data": "1"}).to_string(), 400),
        (json!({"name": "n", "channels": ["a:b"], "data": "1"}).to_string(), 400),
        (json!({"name": "", "channels": ["a"], "data": "1"}).to_string(), 400),
        (json!({"name": "x".repeat(201), "channels": ["a"], "data": "1"}).to_string(), 400),
        (json!({"name": "n", "channels": ["a"], "data": {"not": "a string"}}).to_string(), 400),
        (json!({"name": "n", "channels": ["a"], "data": "1", "socket_id": "1:2"}).to_string(), 400),
        (json!({"name": "n", "channels": ["a"], "data": "x".repeat(10_241)}).to_string(), 413),
        (json!({"name": "n", "channels": ["a"], "data": "x".repeat(10_240)}).to_string(), 200),
        (json!({"name": "n", "channel": "a", "data": "1", "info": "user_count"}).to_string(), 200),
        ("x".repeat(200_000), 413),
    ];
    for (body, status) in table {
        assert_eq!(hub.trigger(&body).await.0, status, "{body:.60}");
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn the_same_channel_of_two_apps_is_two_channels() {
    let mut other = test_app();
    (other.id, other.key, other.secret) = (AppId("other".into()), "other-key".into(), Secret::new("x"));
    let hub = TestHub::start_with(|c| c.apps.push(other)).await;
    let mut mine = hub.connect().await;
    let mut theirs = crate::support::socket::Socket::connect(hub.address, "other-key", "").await;
    mine.join("news").await;
    theirs.join("news").await;
    hub.publish("news", "n", "1").await;
    mine.expect("n").await;
    theirs.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_token_gets_subscriptions_signed_that_its_user_may_have() {
    let hub = TestHub::start().await;
    let (ana, ben) = (hub.somebody("Ana").await, hub.somebody("Ben").await);
    let mut socket = hub.connect().await;
    let channel = format!("private-tenant.{}", ana.tenant);
    let answer = authorize(&hub, &ana.token, &socket.id, &channel).await.unwrap();
    socket.event("pusher:subscribe", json!({"channel": channel, "auth": answer["auth"]})).await;
    socket.succeeded(&channel).await;

    let presence = format!("presence-tenant.{}", ana.tenant);
    let mut answer = authorize(&hub, &ana.token, &socket.id, &presence).await.unwrap();
    answer["channel"] = json!(presence);
    socket.event("pusher:subscribe", answer).await;
    let members = socket.succeeded(&presence).await;
    assert_eq!(members["presence"]["hash"][ana.user.to_string()], json!({"name": "Ana"}));

    assert_eq!(authorize(&hub, &ben.token, &socket.id, &channel).await, Err(403));
    assert_eq!(authorize(&hub, &ana.token, &socket.id, "private-orders").await, Err(403));
    assert_eq!(authorize(&hub, "1|wrong", &socket.id, &channel).await, Err(401));
    assert_eq!(authorize(&hub, &ana.token, "1:2", &channel).await, Err(422));
    assert_eq!(authorize(&hub, &ana.token, &socket.id, "a:b").await, Err(422));
    hub.stop().await;
}

#[actix_rt::test]
async fn a_revoked_token_loses_the_sockets_that_it_got_subscriptions_signed_for() {
    let hub = TestHub::start_with(|c| c.auth.recheck_seconds = 1).await;
    let ana = hub.somebody("Ana").await;
    let other = hub.token_for(ana.tenant, ana.user, None).await;
    let channel = format!("private-tenant.{}", ana.tenant);
    let (mut socket, mut stays) = (hub.connect().await, hub.connect().await);
    for (socket, token) in [(&mut socket, &ana.token), (&mut stays, &other.token)] {
        let answer = authorize(&hub, token, &socket.id, &channel).await.unwrap();
        socket.event("pusher:subscribe", json!({"channel": channel, "auth": answer["auth"]})).await;
        socket.succeeded(&channel).await;
    }
    hub.db.transaction(async |conn| bellwire::auth::token::revoke(conn, ana.token_id).await).await.unwrap();
    assert_eq!(socket.closed().await, 4009);
    stays.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_body_over_the_limit_is_a_413_in_the_shape_of_every_error() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    for path in ["/broadcasting/auth", "/apps/app-id/events"] {
        let request = awc::Client::default().post(hub.url(path)).bearer_auth(&ana.token);
        let mut response = request.send_body("x".repeat(150_000)).await.unwrap();
        assert_eq!(response.status().as_u16(), 413, "{path}");
        assert!(response.json::<Value>().await.unwrap()["message"].is_string(), "{path}");
    }
    hub.stop().await;
}

/// As pusher-js asks: a form.
async fn authorize(hub: &TestHub, token: &str, socket: &str, channel: &str) -> Result<Value, u16> {
    let form = [("socket_id", socket), ("channel_name", channel)];
    let request = awc::Client::default().post(hub.url("/broadcasting/auth")).bearer_auth(token);
    let mut response = request.send_form(&form).await.unwrap();
    match response.status().as_u16() {
        200 => Ok(response.json().await.unwrap()),
        status => Err(status),
    }
}
