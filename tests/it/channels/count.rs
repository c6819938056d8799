//! `pusher_internal:subscription_count`: for apps that ask for it.

use crate::support::hub::TestHub;
use crate::support::socket::{Socket, data_of};
use serde_json::json;

const COUNT: &str = "pusher_internal:subscription_count";

async fn counting() -> TestHub {
    TestHub::start_with(|c| c.apps[0].subscription_count = true).await
}

async fn next_count(socket: &mut Socket) -> u64 {
    let message = socket.next().await;
    assert_eq!((message["event"].as_str(), message["channel"].as_str()), (Some(COUNT), Some("news")));
    assert!(message["data"].is_string(), "{message}");
    data_of(&message)["subscription_count"].as_u64().unwrap()
}

async fn expect_count(socket: &mut Socket, count: u64) {
    assert_eq!(next_count(socket).await, count);
}

async fn leave(socket: &mut Socket) {
    socket.event("pusher:unsubscribe", json!({"channel": "news"})).await;
}

#[actix_rt::test]
async fn every_subscriber_is_told_each_change_after_its_own_welcome() {
    let hub = counting().await;
    let (mut one, mut two, mut three) = (hub.connect().await, hub.connect().await, hub.connect().await);
    one.join("news").await;
    expect_count(&mut one, 1).await;
    two.join("news").await;
    three.join("news").await;
    for (socket, counts) in [(&mut one, 2..=3), (&mut two, 2..=3), (&mut three, 3..=3)] {
        for count in counts {
            expect_count(socket, count).await;
        }
    }
    leave(&mut two).await;
    two.expect_nothing().await;
    expect_count(&mut one, 2).await;
    drop(three);
    expect_count(&mut one, 1).await;
    for socket in [&mut one, &mut two] {
        socket.expect_nothing().await;
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn presence_channels_and_apps_that_did_not_ask_are_told_nothing() {
    let hub = counting().await;
    let mut socket = hub.connect().await;
    socket.subscribe_signed("presence-room", Some(r#"{"user_id":"1"}"#)).await;
    socket.succeeded("presence-room").await;
    socket.expect_nothing().await;
    hub.stop().await;

    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    socket.join("news").await;
    socket.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn above_a_hundred_changes_are_told_together_and_the_last_number_comes() {
    let hub = counting().await;
    let mut sockets = Vec::new();
    for _ in 0..120 {
        sockets.push(hub.connect().await);
    }
    let (watcher, others) = sockets.split_first_mut().unwrap();
    watcher.subscribe("news").await;
    watcher.succeeded("news").await;
    for socket in others.iter_mut() {
        socket.subscribe("news").await;
    }
    for count in 1..=100 {
        expect_count(watcher, count).await;
    }
    // Those behind the hundredth are told of in one: the last number, when the pause is over.
    let mut told = 1;
    while next_count(watcher).await < 120 {
        told += 1;
    }
    assert!(told <= 3, "{told} numbers for twenty newcomers");
    println!("120 subscribers: 100 numbers for the first hundred, {told} for the other twenty");

    // The others have heard the last number too, and nothing before their welcome.
    let other = others.last_mut().unwrap();
    other.succeeded("news").await;
    while next_count(other).await < 120 {}
    for socket in others.iter_mut().take(25) {
        leave(socket).await;
    }
    for count in (95..=100).rev() {
        expect_count(watcher, count).await;
    }
    watcher.expect_nothing().await;
    hub.stop().await;
}
