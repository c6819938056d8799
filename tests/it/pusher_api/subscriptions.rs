//! Subscriptions that `/broadcasting/auth` signs for the bearer of a token.

use crate::support::hub::{TestHub, test_app};
use bellwire::domain::{AppId, Secret};
use serde_json::{Value, json};

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
    let request = awc::Client::default().post(hub.url("/broadcasting/auth")).bearer_auth(&ana.token);
    let mut response = request.send_body("x".repeat(150_000)).await.unwrap();
    assert_eq!(response.status().as_u16(), 413);
    assert!(response.json::<Value>().await.unwrap()["message"].is_string());
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
