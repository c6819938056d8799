//! What back ends are told of channels, from the socket that causes it to the webhook that says it.

use crate::support::hub::TestHub;
use crate::support::receiver::{Answer, Receiver};
use bellwire::config::{AppWebhook, Config};
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio_tungstenite::tungstenite::protocol::Message;

/// The webhook events of an app, one by one.
struct Heard {
    receiver: Receiver,
    events: VecDeque<Value>,
}

impl Heard {
    /// A hub whose app posts to a receiver.
    async fn start(change: impl FnOnce(&mut Config)) -> (TestHub, Self) {
        let receiver = Receiver::start(Answer::Status(200)).await;
        let url = receiver.url();
        let hub = TestHub::start_with(|c| {
            c.apps[0].webhooks = vec![AppWebhook { url, events: Vec::new() }];
            change(c);
        })
        .await;
        (hub, Self { receiver, events: VecDeque::new() })
    }

    async fn next(&mut self) -> Value {
        while self.events.is_empty() {
            let mut body: Value = serde_json::from_slice(&self.receiver.next().await.body).unwrap();
            self.events = serde_json::from_value(body["events"].take()).unwrap();
        }
        self.events.pop_front().unwrap()
    }

    async fn expect(&mut self, events: &[Value]) {
        for event in events {
            assert_eq!(self.next().await, *event);
        }
    }
}

fn about(name: &str, channel: &str) -> Value {
    json!({"name": name, "channel": channel})
}

fn member(name: &str, channel: &str, user: &str) -> Value {
    json!({"name": name, "channel": channel, "user_id": user})
}

#[actix_rt::test]
async fn a_channel_is_occupied_by_its_first_and_vacated_after_its_last() {
    let (hub, mut heard) = Heard::start(|c| c.channels.vacated_grace_ms = 100).await;
    let (mut one, mut two) = (hub.connect().await, hub.connect().await);
    one.join("news").await;
    two.join("news").await;
    one.event("pusher:unsubscribe", json!({"channel": "news"})).await;
    drop(two);
    heard.expect(&[about("channel_occupied", "news"), about("channel_vacated", "news")]).await;
    one.join("news").await;
    heard.expect(&[about("channel_occupied", "news")]).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn who_is_back_within_the_grace_has_neither_vacated_nor_occupied() {
    let (hub, mut heard) = Heard::start(|c| c.channels.vacated_grace_ms = 3_600_000).await;
    let mut socket = hub.connect().await;
    for _ in 0..3 {
        socket.join("news").await;
        socket.event("pusher:unsubscribe", json!({"channel": "news"})).await;
    }
    socket.expect_nothing().await;
    socket.join("other").await;
    heard.expect(&[about("channel_occupied", "news"), about("channel_occupied", "other")]).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn members_are_told_of_once_whatever_their_sockets_do() {
    let room = "presence-room";
    let (hub, mut heard) = Heard::start(|c| {
        c.channels.presence_grace_ms = 300;
        c.channels.vacated_grace_ms = 300;
    })
    .await;
    let mut sockets = Vec::new();
    for user in ["1", "1", "2"] {
        let mut socket = hub.connect().await;
        socket.subscribe_signed(room, Some(&json!({"user_id": user}).to_string())).await;
        socket.succeeded(room).await;
        sockets.push(socket);
    }
    let added = [member("member_added", room, "1"), member("member_added", room, "2")];
    heard.expect(&[about("channel_occupied", room)]).await;
    heard.expect(&added).await;
    // User 2 leaves on purpose, then both sockets of user 1 break.
    sockets[2].event("pusher:unsubscribe", json!({"channel": room})).await;
    sockets[2].expect_nothing().await;
    sockets.clear();
    let removed = [member("member_removed", room, "2"), member("member_removed", room, "1")];
    heard.expect(&removed).await;
    heard.expect(&[about("channel_vacated", room)]).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn who_had_gone_before_a_drain_is_told_of_at_once_and_whom_it_sends_away_is_not() {
    let room = "presence-room";
    let (hub, mut heard) = Heard::start(|c| {
        c.channels.presence_grace_ms = 3_600_000;
        c.channels.vacated_grace_ms = 3_600_000;
    })
    .await;
    let mut sockets = Vec::new();
    for user in ["broken", "stays", "left"] {
        let mut socket = hub.connect().await;
        socket.subscribe_signed(room, Some(&json!({"user_id": user}).to_string())).await;
        socket.succeeded(room).await;
        socket.join(&format!("channel-{user}")).await;
        sockets.push(socket);
    }
    for channel in [room, "channel-left"] {
        sockets[2].event("pusher:unsubscribe", json!({"channel": channel})).await;
    }
    sockets[2].expect_nothing().await;
    drop(sockets.remove(0));
    hub.wait_for_metric("bellwire_connections 2").await;
    hub.stop().await;
    let mut gone = Vec::new();
    while let Some(received) = heard.receiver.already() {
        let body: Value = serde_json::from_slice(&received.body).unwrap();
        gone.extend(body["events"].as_array().unwrap().clone());
    }
    gone.retain(|event| ["channel_vacated", "member_removed"].contains(&event["name"].as_str().unwrap()));
    gone.sort_by_key(ToString::to_string);
    let mut expected = [
        about("channel_vacated", "channel-broken"),
        about("channel_vacated", "channel-left"),
        member("member_removed", room, "broken"),
        member("member_removed", room, "left"),
    ];
    expected.sort_by_key(ToString::to_string);
    assert_eq!(gone, expected);
}

#[actix_rt::test]
async fn a_miss_is_told_once_until_the_cache_is_filled_again() {
    let (hub, mut heard) = Heard::start(|_| {}).await;
    let mut sockets = [hub.connect().await, hub.connect().await, hub.connect().await];
    for socket in &mut sockets {
        socket.join("cache-x").await;
        socket.expect("pusher:cache_miss").await;
    }
    sockets[0].join("news").await;
    let expected = [
        about("channel_occupied", "cache-x"),
        about("cache_miss", "cache-x"),
        about("channel_occupied", "news"),
    ];
    let mut got = vec![heard.next().await, heard.next().await, heard.next().await];
    got.sort_by_key(ToString::to_string);
    let mut expected = expected.to_vec();
    expected.sort_by_key(ToString::to_string);
    assert_eq!(got, expected);
    hub.stop().await;
}

#[actix_rt::test]
async fn what_a_client_says_is_told_with_who_said_it() {
    let room = "presence-room";
    let (hub, mut heard) = Heard::start(|c| c.apps[0].client_events = true).await;
    let mut socket = hub.connect().await;
    socket.subscribe_signed(room, Some(r#"{"user_id":"7"}"#)).await;
    socket.succeeded(room).await;
    let said = json!({"event": "client-x", "channel": room, "data": {"n": 1}});
    socket.say(Message::text(said.to_string())).await;
    heard.expect(&[about("channel_occupied", room), member("member_added", room, "7")]).await;
    let event = heard.next().await;
    assert_eq!((event["name"].as_str(), event["event"].as_str()), (Some("client_event"), Some("client-x")));
    assert_eq!((event["channel"].as_str(), event["user_id"].as_str()), (Some(room), Some("7")));
    assert_eq!(event["socket_id"], socket.id.as_str());
    assert_eq!(serde_json::from_str::<Value>(event["data"].as_str().unwrap()).unwrap(), json!({"n": 1}));
    hub.stop().await;
}

#[actix_rt::test]
async fn the_count_of_subscribers_is_told_as_they_are_told() {
    let (hub, mut heard) = Heard::start(|c| c.apps[0].subscription_count = true).await;
    let (mut one, mut two) = (hub.connect().await, hub.connect().await);
    one.join("news").await;
    two.join("news").await;
    one.event("pusher:unsubscribe", json!({"channel": "news"})).await;
    heard.expect(&[about("channel_occupied", "news")]).await;
    for count in [1, 2, 1] {
        let event = json!({"name": "subscription_count", "channel": "news", "subscription_count": count});
        heard.expect(&[event]).await;
    }
    hub.stop().await;
}
