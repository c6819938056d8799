//! `pusher:signin`: what is accepted, what ends the connection, and what a signed-in connection may do.

use super::{ended, error, hub_with_app, refused, sign_in, signed_in};
use crate::support::hub::TestHub;
use crate::support::socket::Socket;
use bellwire::auth::user_signature;
use bellwire::config::App;
use serde_json::{Value, json};

#[actix_rt::test]
async fn a_sign_in_is_answered_with_the_user_data_as_a_string() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    let data = r#"{"id":"7", "user_info":{"name":"Ana"}}"#;
    sign_in(&mut socket, data).await;
    assert_eq!(socket.expect("pusher:signin_success").await, json!({ "user_data": data }));
    // Once more as the same user is no harm.
    sign_in(&mut socket, data).await;
    socket.expect("pusher:signin_success").await;
    socket.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_sign_in_counts_as_a_credential() {
    let hub = TestHub::start_with(|c| c.limits.auth_timeout_seconds = 1).await;
    let (mut user, mut stranger) = (signed_in(&hub, "7", &[]).await, hub.connect().await);
    assert_eq!(stranger.closed().await, 4009);
    user.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_sign_in_that_does_not_hold_is_told_so_and_closed_with_4009() {
    let hub = TestHub::start().await;
    let other = hub.connect().await;
    let (id, long) = (r#"{"id":"7"}"#, "x".repeat(129));
    let sign = |socket: &Socket, data: &str| {
        user_signature::sign(&crate::support::hub::test_app(), socket.id.parse().unwrap(), data)
    };
    // What is sent, and what the signature is over.
    let table: [(String, String); 9] = [
        (id.into(), "of nothing".into()),
        (r#"{"id":"8"}"#.into(), id.into()),
        ("not json".into(), "not json".into()),
        ("{}".into(), "{}".into()),
        (r#"{"id":""}"#.into(), r#"{"id":""}"#.into()),
        (r#"{"id":7}"#.into(), r#"{"id":7}"#.into()),
        (json!({ "id": long }).to_string(), json!({ "id": long }).to_string()),
        (user_of(2_049), user_of(2_049)),
        (r#"{"id":"7","watchlist":[1]}"#.into(), r#"{"id":"7","watchlist":[1]}"#.into()),
    ];
    let wrong = table.len() + 2;
    for (data, signed) in table {
        let mut socket = hub.connect().await;
        let auth = sign(&socket, &signed);
        refuse(&mut socket, &auth, &data).await;
    }
    let mut socket = hub.connect().await;
    let stolen = sign(&other, id);
    refuse(&mut socket, &stolen, id).await;
    let mut socket = hub.connect().await;
    let foreign = App { key: "other".into(), ..crate::support::hub::test_app() };
    let foreign = user_signature::sign(&foreign, socket.id.parse().unwrap(), id);
    refuse(&mut socket, &foreign, id).await;
    hub.wait_for_metric(&ended("sign_in", wrong)).await;
    hub.stop().await;
}

async fn refuse(socket: &mut Socket, auth: &str, data: &str) {
    socket.event("pusher:signin", json!({"auth": auth, "user_data": data})).await;
    assert_eq!(error(socket).await.0, Some(4009), "{data:.60}");
    assert_eq!(socket.closed().await, 4009, "{data:.60}");
}

/// User data whose `user_info` has so many bytes.
fn user_of(bytes: usize) -> String {
    json!({"id": "7", "user_info": "x".repeat(bytes - 2)}).to_string()
}

#[actix_rt::test]
async fn a_user_object_at_its_limit_is_accepted() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    sign_in(&mut socket, &user_of(2_048)).await;
    socket.expect("pusher:signin_success").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn signing_in_as_somebody_else_is_told_so_and_closed_with_4009() {
    let hub = TestHub::start().await;
    let mut socket = signed_in(&hub, "7", &[]).await;
    sign_in(&mut socket, r#"{"id":"8"}"#).await;
    assert_eq!(error(&mut socket).await.0, Some(4009));
    assert_eq!(socket.closed().await, 4009);
    hub.stop().await;
}

#[actix_rt::test]
async fn a_watchlist_that_is_too_long_is_told_with_4302_and_the_sign_in_stands() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    let list: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    sign_in(&mut socket, &json!({"id": "7", "watchlist": list}).to_string()).await;
    socket.expect("pusher:signin_success").await;
    assert_eq!(error(&mut socket).await.0, Some(4302));
    let state = socket.expect("pusher_internal:watchlist_events").await;
    let told: usize = state["events"].as_array().unwrap().iter().map(count).sum();
    assert_eq!(told, 100);
    hub.wait_for_metric(&refused("watchlist", 1)).await;
    hub.stop().await;
}

fn count(event: &Value) -> usize {
    event["user_ids"].as_array().unwrap().len()
}

#[actix_rt::test]
async fn a_users_own_channel_is_for_who_signed_in_as_that_user_alone() {
    let hub = TestHub::start().await;
    let (mut ana, mut stranger) = (signed_in(&hub, "7", &[]).await, hub.connect().await);
    let ben = hub.somebody("Ben").await;
    let mut with_token = hub.connect_as(&ben).await;
    ana.event("pusher:subscribe", json!({"channel": "#server-to-user-7", "auth": ""})).await;
    ana.succeeded("#server-to-user-7").await;
    let refusals = [
        (&mut ana, "#server-to-user-8".to_owned(), 403),
        (&mut stranger, "#server-to-user-7".to_owned(), 401),
        (&mut with_token, format!("#server-to-user-{}", ben.user), 401),
    ];
    for (socket, channel, status) in refusals {
        socket.subscribe(&channel).await;
        assert_eq!(socket.expect("pusher:subscription_error").await["status"], status, "{channel}");
    }
    // No signature of a channel opens it either.
    stranger.subscribe_signed("#server-to-user-7", None).await;
    assert_eq!(stranger.expect("pusher:subscription_error").await["status"], 401);
    hub.publish("#server-to-user-7", "hello", "1").await;
    ana.expect("hello").await;
    stranger.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_presence_channel_takes_the_signed_in_user_for_its_member() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    sign_in(&mut socket, r#"{"id":"7","user_info":{"name":"Ana"}}"#).await;
    socket.expect("pusher:signin_success").await;
    socket.subscribe_signed("presence-x", None).await;
    let roster = socket.succeeded("presence-x").await;
    assert_eq!(roster["presence"]["hash"], json!({"7": {"name": "Ana"}}));
    // Who has not signed in says who they are in channel_data.
    let mut stranger = hub.connect().await;
    stranger.subscribe_signed("presence-x", None).await;
    assert_eq!(stranger.expect("pusher:subscription_error").await["type"], "AuthError");
    // And being signed in is no signature.
    socket.subscribe("presence-y").await;
    assert_eq!(socket.expect("pusher:subscription_error").await["status"], 401);
    hub.stop().await;
}

#[actix_rt::test]
async fn what_is_no_sign_in_is_answered_and_the_connection_stays() {
    let hub = hub_with_app(|_| {}).await;
    let mut socket = hub.connect().await;
    for data in
        [json!(null), json!({}), json!({"auth": "x"}), json!({"auth": 1, "user_data": {}}), json!("x")]
    {
        socket.event("pusher:signin", data.clone()).await;
        assert_eq!(error(&mut socket).await.0, None, "{data}");
    }
    socket.expect_nothing().await;
    hub.stop().await;
}
