//! Watchlist events: how a watchlist stands after the sign-in, and what is told of who comes and goes.

use super::{sign_in, signed_in};
use crate::support::hub::TestHub;
use crate::support::socket::Socket;
use serde_json::{Value, json};

const EVENTS: &str = "pusher_internal:watchlist_events";

/// Takes a message that must be watchlist events, in exactly their shape.
async fn told(socket: &mut Socket) -> Value {
    let message = socket.next().await;
    assert_eq!(message["event"], EVENTS, "{message}");
    assert!(message.get("channel").is_none());
    serde_json::from_str(message["data"].as_str().unwrap()).unwrap()
}

fn online(ids: &[&str]) -> Value {
    json!({"name": "online", "user_ids": ids})
}

fn offline(ids: &[&str]) -> Value {
    json!({"name": "offline", "user_ids": ids})
}

#[actix_rt::test]
async fn a_watcher_hears_how_it_stands_and_then_of_first_and_last_connections() {
    let hub = TestHub::start_with(|c| c.channels.presence_grace_ms = 0).await;
    let first = signed_in(&hub, "ben", &[]).await;
    let mut ana = signed_in(&hub, "ana", &["eve", "ben", "ana"]).await;
    assert_eq!(told(&mut ana).await, json!({"events": [online(&["ana", "ben"]), offline(&["eve"])]}));

    let second = signed_in(&hub, "ben", &[]).await;
    let eve = signed_in(&hub, "eve", &[]).await;
    assert_eq!(told(&mut ana).await, json!({"events": [online(&["eve"])]}));
    drop(first);
    drop(eve);
    assert_eq!(told(&mut ana).await, json!({"events": [offline(&["eve"])]}));
    drop(second);
    assert_eq!(told(&mut ana).await, json!({"events": [offline(&["ben"])]}));
    hub.stop().await;
}

#[actix_rt::test]
async fn who_comes_back_within_the_grace_was_never_away() {
    let hub = TestHub::start_with(|c| c.channels.presence_grace_ms = 1_500).await;
    let mut ana = signed_in(&hub, "ana", &["ben"]).await;
    assert_eq!(told(&mut ana).await, json!({"events": [offline(&["ben"])]}));
    let ben = signed_in(&hub, "ben", &[]).await;
    assert_eq!(told(&mut ana).await, json!({"events": [online(&["ben"])]}));
    drop(ben);
    hub.wait_for_metric("bellwire_connections 1").await;
    let back = signed_in(&hub, "ben", &[]).await;
    ana.expect_nothing().await;
    // Away for good he is told so, after the grace: the next news is of that, and of nothing before.
    drop(back);
    assert_eq!(told(&mut ana).await, json!({"events": [offline(&["ben"])]}));
    hub.stop().await;
}

#[actix_rt::test]
async fn without_a_watchlist_nothing_is_told_and_a_new_one_replaces_the_old() {
    let hub = TestHub::start_with(|c| c.channels.presence_grace_ms = 0).await;
    let mut ana = signed_in(&hub, "ana", &[]).await;
    ana.expect_nothing().await;
    for watched in ["ben", "eve"] {
        sign_in(&mut ana, &json!({"id": "ana", "watchlist": [watched]}).to_string()).await;
        ana.expect("pusher:signin_success").await;
        assert_eq!(told(&mut ana).await, json!({"events": [offline(&[watched])]}));
    }
    let (_ben, _eve) = (signed_in(&hub, "ben", &[]).await, signed_in(&hub, "eve", &[]).await);
    assert_eq!(told(&mut ana).await, json!({"events": [online(&["eve"])]}));
    ana.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn users_of_one_app_are_strangers_in_another() {
    let hub = TestHub::start_with(|c| {
        let other = bellwire::config::App {
            id: bellwire::domain::AppId("other".into()),
            key: "other-key".into(),
            ..c.apps[0].clone()
        };
        c.apps.push(other);
    })
    .await;
    let mut ana = signed_in(&hub, "ana", &["ben"]).await;
    assert_eq!(told(&mut ana).await, json!({"events": [offline(&["ben"])]}));
    let mut ben = Socket::connect(hub.address, "other-key", "").await;
    let app = bellwire::config::App { key: "other-key".into(), ..crate::support::hub::test_app() };
    let data = r#"{"id":"ben"}"#;
    let auth = bellwire::auth::user_signature::sign(&app, ben.id.parse().unwrap(), data);
    ben.event("pusher:signin", json!({"auth": auth, "user_data": data})).await;
    ben.expect("pusher:signin_success").await;
    ana.expect_nothing().await;
    hub.stop().await;
}
