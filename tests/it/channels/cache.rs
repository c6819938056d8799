//! Cache channels: newcomers get the last event, or the word that there is none.

use crate::support::hub::TestHub;
use crate::support::socket::Socket;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::protocol::Message;

const FORMS: [&str; 4] = ["cache-x", "private-cache-x", "private-encrypted-cache-x", "presence-cache-x"];

/// Subscribes as the channel asks for, and takes the welcome.
async fn join(socket: &mut Socket, channel: &str) {
    let member = json!({"user_id": socket.id}).to_string();
    let member = channel.starts_with("presence-").then_some(member.as_str());
    socket.subscribe_signed(channel, member).await;
    socket.succeeded(channel).await;
}

async fn leave(socket: &mut Socket, channel: &str) {
    socket.event("pusher:unsubscribe", json!({"channel": channel})).await;
}

async fn expect_message(socket: &mut Socket, channel: &str, data: &str) {
    let expected = json!({"event": "news", "channel": channel, "data": data});
    assert_eq!(socket.next().await, expected);
}

/// Nothing more comes, and what came is confirmed: the first round brings the hub's question, the second sends the
/// answer ahead.
async fn confirm(socket: &mut Socket) {
    socket.expect_nothing().await;
    socket.expect_nothing().await;
}

async fn expect_miss(socket: &mut Socket, channel: &str) {
    let expected = json!({"event": "pusher:cache_miss", "channel": channel, "data": "{}"});
    assert_eq!(socket.next().await, expected);
}

#[actix_rt::test]
async fn in_all_four_forms_a_newcomer_gets_the_last_event_or_a_miss() {
    let hub = TestHub::start().await;
    for channel in FORMS {
        let mut first = hub.connect().await;
        join(&mut first, channel).await;
        expect_miss(&mut first, channel).await;
        for data in ["1", "2"] {
            hub.publish(channel, "news", data).await;
            expect_message(&mut first, channel, data).await;
        }
        leave(&mut first, channel).await;
        first.expect_nothing().await;

        // The channel was left by all in between and is not empty all the same.
        let mut later = hub.connect().await;
        join(&mut later, channel).await;
        expect_message(&mut later, channel, "2").await;
        later.expect_nothing().await;
        leave(&mut later, channel).await;
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn an_event_for_a_cache_channel_that_nobody_has_waits_for_the_first() {
    let hub = TestHub::start().await;
    hub.publish("cache-x", "news", "1").await;
    hub.publish("other-x", "news", "1").await;
    let mut socket = hub.connect().await;
    join(&mut socket, "cache-x").await;
    expect_message(&mut socket, "cache-x", "1").await;
    join(&mut socket, "other-x").await;
    socket.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_resubscription_while_subscribed_brings_no_event_again() {
    let hub = TestHub::start().await;
    hub.publish("cache-x", "news", "1").await;
    let mut socket = hub.connect().await;
    join(&mut socket, "cache-x").await;
    expect_message(&mut socket, "cache-x", "1").await;
    join(&mut socket, "cache-x").await;
    socket.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn what_clients_say_is_not_kept() {
    let hub = TestHub::start_with(|c| c.apps[0].client_events = true).await;
    let channel = "private-cache-x";
    let (mut one, mut other) = (hub.connect().await, hub.connect().await);
    for socket in [&mut one, &mut other] {
        join(socket, channel).await;
        expect_miss(socket, channel).await;
    }
    let said = json!({"event": "client-x", "channel": channel, "data": 1});
    one.say(Message::text(said.to_string())).await;
    assert_eq!(other.next().await, said);
    let mut newcomer = hub.connect().await;
    join(&mut newcomer, channel).await;
    expect_miss(&mut newcomer, channel).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn an_event_is_kept_for_its_time_and_no_longer() {
    let hub = TestHub::start_with(|c| c.channels.cache_ttl_seconds = 2).await;
    let mut socket = hub.connect().await;
    let published = Instant::now();
    hub.publish("cache-x", "news", "1").await;
    join(&mut socket, "cache-x").await;
    let mut found = socket.next().await;
    assert_eq!(found["event"], "news");
    while found["event"] == "news" {
        leave(&mut socket, "cache-x").await;
        join(&mut socket, "cache-x").await;
        found = socket.next().await;
    }
    assert_eq!(found["event"], "pusher:cache_miss");
    assert!(published.elapsed() >= Duration::from_secs(2), "{:?}", published.elapsed());
    hub.publish("cache-x", "news", "2").await;
    expect_message(&mut socket, "cache-x", "2").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn who_is_back_gets_what_it_missed_and_the_last_of_it_once() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let channel = "private-cache-x";
    let mut socket = hub.connect_as(&ana).await;
    join(&mut socket, channel).await;
    expect_miss(&mut socket, channel).await;
    hub.publish(channel, "news", "1").await;
    expect_message(&mut socket, channel, "1").await;
    confirm(&mut socket).await;

    for missed in [vec!["2", "3"], vec![], vec!["4"]] {
        drop(socket);
        hub.wait_for_metric("bellwire_connections 0").await;
        for data in &missed {
            hub.publish(channel, "news", data).await;
        }
        socket = hub.connect_as(&ana).await;
        join(&mut socket, channel).await;
        for data in missed {
            expect_message(&mut socket, channel, data).await;
        }
        confirm(&mut socket).await;
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn who_is_back_and_missed_too_much_gets_the_last_event_behind_the_gap() {
    let hub = TestHub::start_with(|c| c.channels.history_messages = 1).await;
    let ana = hub.somebody("Ana").await;
    let channel = "private-cache-x";
    let mut socket = hub.connect_as(&ana).await;
    join(&mut socket, channel).await;
    expect_miss(&mut socket, channel).await;
    drop(socket);
    hub.wait_for_metric("bellwire_connections 0").await;
    for data in ["1", "2"] {
        hub.publish(channel, "news", data).await;
    }
    let mut socket = hub.connect_as(&ana).await;
    join(&mut socket, channel).await;
    socket.expect("bellwire:replay_gap").await;
    expect_message(&mut socket, channel, "2").await;
    socket.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn who_breaks_off_before_the_cached_event_has_arrived_gets_it_on_coming_back() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let channel = "private-cache-x";
    hub.publish(channel, "news", "1").await;
    // It takes nothing of what it is sent, so it confirms nothing.
    let mut deaf = hub.connect_as(&ana).await;
    deaf.subscribe_signed(channel, None).await;
    hub.wait_for_metric("bellwire_subscriptions 1").await;
    deaf.tcp().set_zero_linger().unwrap();
    drop(deaf);
    hub.wait_for_metric("bellwire_connections 0").await;
    let mut socket = hub.connect_as(&ana).await;
    join(&mut socket, channel).await;
    expect_message(&mut socket, channel, "1").await;
    socket.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn what_is_kept_is_the_event_whatever_its_data() {
    let hub = TestHub::start().await;
    let data = json!({"text": "é\u{1f980}\n\"", "n": [1, null, {"deep": true}]}).to_string();
    hub.publish("cache-x", "App\\Events\\It.Happened", &data).await;
    let mut socket = hub.connect().await;
    join(&mut socket, "cache-x").await;
    let message: Value = socket.next().await;
    let expected = json!({"event": "App\\Events\\It.Happened", "channel": "cache-x", "data": data});
    assert_eq!(message, expected);
    hub.stop().await;
}
