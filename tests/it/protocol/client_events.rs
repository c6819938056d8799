//! Client events: who hears what, and every rule that an event can break.

use super::{error, hub_with_app, refused};
use crate::support::hub::TestHub;
use crate::support::socket::Socket;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::Message;

const MEMBER: &str = r#"{"user_id":"7","user_info":{"name":"Ana"}}"#;

async fn hub() -> TestHub {
    hub_with_app(|app| app.client_events = true).await
}

async fn joined(hub: &TestHub, channel: &str) -> Socket {
    let mut socket = hub.connect().await;
    let data = channel.starts_with("presence-").then_some(MEMBER);
    socket.subscribe_signed(channel, data).await;
    socket.succeeded(channel).await;
    if channel.contains("cache-") {
        socket.expect("pusher:cache_miss").await;
    }
    socket
}

async fn trigger(socket: &mut Socket, name: &str, channel: &str, data: &Value) {
    let message = json!({"event": name, "channel": channel, "data": data});
    socket.say(Message::text(message.to_string())).await;
}

#[actix_rt::test]
async fn the_others_hear_the_data_as_it_was_sent_and_the_sender_does_not() {
    let hub = hub().await;
    for (channel, user) in [("private-x", None), ("private-cache-x", None), ("presence-x", Some("7"))] {
        let (mut one, mut other) = (joined(&hub, channel).await, joined(&hub, channel).await);
        for data in [json!("text"), json!("{\"n\":1}"), json!({"n": [1, {}]}), json!(7.5), json!(null)] {
            trigger(&mut one, "client-x", channel, &data).await;
            let mut expected = json!({"event": "client-x", "channel": channel, "data": data});
            if let Some(user) = user {
                expected["user_id"] = user.into();
            }
            assert_eq!(other.next().await, expected);
        }
        one.expect_nothing().await;
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn an_event_without_data_has_none_for_the_others() {
    let hub = hub().await;
    let (mut one, mut other) = (joined(&hub, "private-x").await, joined(&hub, "private-x").await);
    one.say(Message::text(r#"{"event":"client-x","channel":"private-x"}"#)).await;
    assert_eq!(other.next().await, json!({"event": "client-x", "channel": "private-x", "data": null}));
    hub.stop().await;
}

#[actix_rt::test]
async fn events_of_one_client_arrive_in_order() {
    let hub = hub_with_app(|app| {
        app.client_events = true;
        app.client_events_per_second = 0;
    })
    .await;
    let (mut one, mut other) = (joined(&hub, "private-x").await, joined(&hub, "private-x").await);
    for n in 0..200 {
        trigger(&mut one, "client-n", "private-x", &json!(n)).await;
    }
    for n in 0..200 {
        assert_eq!(other.expect("client-n").await, json!(n));
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn every_rule_that_an_event_breaks_is_answered_with_4301_and_counted() {
    let hub = hub_with_app(|app| {
        app.client_events = true;
        app.max_data_bytes = 100;
    })
    .await;
    let mut sender = joined(&hub, "private-x").await;
    sender.join("news").await;
    sender.subscribe_signed("private-encrypted-x", None).await;
    sender.succeeded("private-encrypted-x").await;
    let mut witness = joined(&hub, "private-x").await;
    let (good, long) = (format!("client-{}", "x".repeat(193)), format!("client-{}", "x".repeat(194)));
    let table = [
        ("client-x", json!("private-other"), json!(1), "client_event_not_subscribed"),
        ("client-x", json!("presence-x"), json!(1), "client_event_not_subscribed"),
        ("client-x", json!("news"), json!(1), "client_event_channel"),
        ("client-x", json!("private-encrypted-x"), json!(1), "client_event_channel"),
        ("client-x", json!("#server-to-user-7"), json!(1), "client_event_channel"),
        ("client-x", json!("a:b"), json!(1), "client_event_channel"),
        ("client-x", json!(7), json!(1), "client_event_channel"),
        ("client-x", json!(null), json!(1), "client_event_channel"),
        (&long, json!("private-x"), json!(1), "client_event_name"),
        ("client-x", json!("private-x"), json!("x".repeat(99)), "client_event_too_big"),
    ];
    let mut counts = std::collections::BTreeMap::new();
    for (name, channel, data, reason) in table {
        let message = json!({"event": name, "channel": channel, "data": data});
        sender.say(Message::text(message.to_string())).await;
        let (code, said) = error(&mut sender).await;
        assert_eq!(code, Some(4301), "{channel}: {said}");
        *counts.entry(reason).or_insert(0) += 1;
        hub.wait_for_metric(&refused(reason, counts[reason])).await;
    }
    // At the limits it passes; and of what was refused nobody heard.
    trigger(&mut sender, &good, "private-x", &json!("x".repeat(98))).await;
    assert_eq!(witness.expect(&good).await, json!("x".repeat(98)));
    hub.stop().await;
}

#[actix_rt::test]
async fn an_app_without_client_events_answers_with_4301() {
    let hub = TestHub::start().await;
    let mut socket = joined(&hub, "private-x").await;
    trigger(&mut socket, "client-x", "private-x", &json!(1)).await;
    let (code, message) = error(&mut socket).await;
    assert_eq!(code, Some(4301));
    assert!(message.contains("not enabled"), "{message}");
    hub.wait_for_metric(&refused("client_event_disabled", 1)).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_client_event_over_the_limit_is_answered_with_4301_and_the_connection_stays() {
    let hub = hub_with_app(|app| {
        app.client_events = true;
        app.client_events_per_second = 5;
    })
    .await;
    let (mut sender, mut witness) = (joined(&hub, "private-x").await, joined(&hub, "private-x").await);
    let (sent, started) = (100, std::time::Instant::now());
    for n in 0..sent {
        trigger(&mut sender, "client-n", "private-x", &json!(n)).await;
    }
    sender.event("pusher:ping", json!({})).await;
    let mut rejected = 0;
    loop {
        let message = sender.next().await;
        match message["event"].as_str().unwrap() {
            "pusher:pong" => break,
            event => assert_eq!((event, message["data"]["code"].as_u64()), ("pusher:error", Some(4301))),
        }
        rejected += 1;
    }
    let share = 5 + 5 * usize::try_from(started.elapsed().as_secs()).unwrap() + 5;
    let heard = sent - rejected;
    assert!((5..=share).contains(&heard), "{heard} of {sent} went out, {share} might");
    for _ in 0..heard {
        witness.expect("client-n").await;
    }
    witness.expect_nothing().await;
    hub.wait_for_metric(&refused("client_event_too_fast", rejected)).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn after_unsubscribing_a_client_may_speak_no_more() {
    let hub = hub().await;
    let (mut one, mut other) = (joined(&hub, "private-x").await, joined(&hub, "private-x").await);
    one.event("pusher:unsubscribe", json!({"channel": "private-x"})).await;
    trigger(&mut one, "client-x", "private-x", &json!(1)).await;
    assert_eq!(error(&mut one).await.0, Some(4301));
    other.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn who_is_not_let_into_a_channel_cannot_speak_there_before_being_told() {
    let hub = TestHub::start_with(|c| {
        c.apps[0].client_events = true;
        c.limits.presence_members = 1;
    })
    .await;
    let mut witness = joined(&hub, "presence-x").await;
    let mut late = hub.connect().await;
    late.subscribe_signed("presence-x", Some(r#"{"user_id":"8"}"#)).await;
    trigger(&mut late, "client-x", "presence-x", &json!(1)).await;
    late.expect("pusher:subscription_error").await;
    assert_eq!(error(&mut late).await.0, Some(4301));
    witness.expect_nothing().await;
    hub.wait_for_metric(&refused("client_event_not_subscribed", 1)).await;
    hub.stop().await;
}
