//! Clients that say too much: what it costs them, and that the others notice nothing.

use super::ended;
use crate::support::hub::TestHub;
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::Message;

#[actix_rt::test]
async fn a_flood_of_messages_is_closed_with_1008_and_the_others_notice_nothing() {
    let hub = TestHub::start_with(|c| {
        c.limits.messages_per_second = 1;
        c.limits.message_burst = 20;
    })
    .await;
    let (mut flooder, mut other) = (hub.connect().await, hub.connect().await);
    other.join("news").await;
    let ping = json!({"event": "pusher:ping", "data": {}}).to_string();
    for _ in 0..40 {
        flooder.say(Message::text(ping.as_str())).await;
    }
    assert_eq!(flooder.closed().await, 1008);
    hub.wait_for_metric(&ended("message_flood", 1)).await;
    hub.publish("news", "n", "1").await;
    other.expect("n").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_burst_within_its_bound_is_answered_in_full() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    for n in 0..128 {
        socket.subscribe(&format!("channel-{n}")).await;
    }
    for n in 0..128 {
        socket.succeeded(&format!("channel-{n}")).await;
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn without_a_limit_any_number_is_answered() {
    let hub = TestHub::start_with(|c| c.limits.messages_per_second = 0).await;
    let mut socket = hub.connect().await;
    for _ in 0..1_000 {
        socket.expect_nothing().await;
    }
    hub.stop().await;
}
