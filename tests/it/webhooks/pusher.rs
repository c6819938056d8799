//! Webhooks in Pusher's format against real receivers: batches, order, signatures, retries, bounds and the end.

use crate::support::hub::{APP_KEY, APP_SECRET, TestHub, test_app};
use crate::support::receiver::{Answer, Received, Receiver};
use crate::support::until;
use actix::{Arbiter, Recipient};
use bellwire::config;
use bellwire::domain::{AppId, ChannelFact, ChannelName, ChannelNotice, Clock};
use bellwire::telemetry::Metrics;
use bellwire::webhooks::PusherHooks;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The webhooks of one app with receivers, and their counters.
struct Hooks {
    posting: PusherHooks,
    notices: Recipient<ChannelNotice>,
    metrics: Arc<Metrics>,
}

impl Hooks {
    /// Each receiver with the names that it wants.
    fn to(receivers: &[(&Receiver, &[&str])]) -> Self {
        let mut app = test_app();
        let hook = |(receiver, events): &(&Receiver, &[&str])| config::AppWebhook {
            url: receiver.url(),
            events: events.iter().map(|&name| name.to_owned()).collect(),
        };
        app.webhooks = receivers.iter().map(hook).collect();
        let settings = config::Webhooks {
            allowed_networks: vec!["127.0.0.0/8".parse().unwrap()],
            ..config::Webhooks::default()
        };
        Self::start(&[app], &settings).unwrap()
    }

    fn start(apps: &[config::App], settings: &config::Webhooks) -> Option<Self> {
        let metrics = Arc::new(Metrics::new().unwrap());
        let posting = PusherHooks::start(apps, settings, &metrics, &Arbiter::current()).unwrap()?;
        let notices = posting.recipient();
        Some(Self { posting, notices, metrics })
    }

    /// Something happened on a channel of the app.
    async fn tell(&self, channel: &str, fact: ChannelFact) {
        self.tell_of(test_app().id, channel, fact).await;
    }

    async fn tell_of(&self, app: AppId, channel: &str, fact: ChannelFact) {
        let (channel, at) = (ChannelName::parse(channel).unwrap(), Clock::System.now());
        self.notices.send(ChannelNotice { app, channel, fact, at }).await.unwrap();
    }

    fn events(&self, result: &str) -> u64 {
        self.metrics.pusher_webhook_events.with_label_values(&[result]).get()
    }
}

/// The events of a request that is what it should be.
fn events_of(request: &Received) -> Vec<Value> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(APP_SECRET.as_bytes()).unwrap();
    mac.update(&request.body);
    assert_eq!(request.header("x-pusher-signature"), hex::encode(mac.finalize().into_bytes()));
    assert_eq!(request.header("x-pusher-key"), APP_KEY);
    assert_eq!(request.header("content-type"), "application/json");
    let mut body: Value = serde_json::from_slice(&request.body).unwrap();
    assert!(body["time_ms"].as_i64().unwrap() > 1_600_000_000_000);
    serde_json::from_value(body["events"].take()).unwrap()
}

/// The channels of the next so many events, whatever batches they come in.
async fn channels(receiver: &mut Receiver, count: usize) -> Vec<String> {
    let mut channels = Vec::new();
    while channels.len() < count {
        let events = events_of(&receiver.next().await);
        assert!((1..=20).contains(&events.len()), "{}", events.len());
        channels.extend(events.iter().map(|event| event["channel"].as_str().unwrap().to_owned()));
    }
    channels
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("c{n}")).collect()
}

#[actix_rt::test]
async fn fifty_events_come_signed_in_order_and_in_batches_of_twenty() {
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let hooks = Hooks::to(&[(&receiver, &[])]);
    for name in names(0..50) {
        hooks.tell(&name, ChannelFact::Occupied).await;
    }
    assert_eq!(channels(&mut receiver, 50).await, names(0..50));
    assert_eq!(receiver.most_at_once(), 1);
    until("50 were counted", async || hooks.events("delivered") == 50).await;
}

#[actix_rt::test]
async fn a_receiver_gets_what_it_asked_for_and_no_other_apps_events() {
    let mut picky = Receiver::start(Answer::Status(204)).await;
    let mut all = Receiver::start(Answer::Status(204)).await;
    let hooks = Hooks::to(&[(&picky, &["channel_vacated"]), (&all, &[])]);
    hooks.tell_of(AppId("another".into()), "secret", ChannelFact::Vacated).await;
    hooks.tell("one", ChannelFact::Occupied).await;
    hooks.tell("two", ChannelFact::Vacated).await;
    assert_eq!(channels(&mut picky, 1).await, ["two"]);
    assert_eq!(channels(&mut all, 2).await, ["one", "two"]);
    assert!(picky.already().is_none());
}

#[actix_rt::test]
async fn a_batch_that_fails_is_sent_again_byte_for_byte_and_before_what_came_later() {
    for failure in [Answer::Status(500), Answer::Status(302), Answer::Close, Answer::Raw(b"no HTTP")] {
        let mut receiver = Receiver::start(failure).await;
        let hooks = Hooks::to(&[(&receiver, &[])]);
        hooks.tell("first", ChannelFact::Occupied).await;
        let failed = receiver.next().await;
        receiver.answer(Answer::Status(200));
        hooks.tell("second", ChannelFact::Occupied).await;
        let again = receiver.next().await;
        assert_eq!(again.body, failed.body);
        assert_eq!(events_of(&again).len(), 1);
        assert_eq!(channels(&mut receiver, 1).await, ["second"]);
    }
}

#[actix_rt::test]
async fn a_receiver_that_hangs_delays_no_other() {
    let (stuck, mut good) = (Receiver::start(Answer::Hang).await, Receiver::start(Answer::Status(200)).await);
    let hooks = Hooks::to(&[(&stuck, &[]), (&good, &[])]);
    for name in names(0..100) {
        hooks.tell(&name, ChannelFact::Occupied).await;
    }
    assert_eq!(channels(&mut good, 100).await, names(0..100));
    assert_eq!(stuck.in_work(), 1);
    until("100 were counted", async || hooks.events("delivered") == 100).await;
}

#[actix_rt::test]
async fn when_too_many_wait_the_oldest_make_room_and_are_counted() {
    let gate = Arc::new(Semaphore::new(0));
    let mut receiver = Receiver::start(Answer::Gate(gate.clone(), Vec::new())).await;
    let hooks = Hooks::to(&[(&receiver, &[])]);
    for name in names(0..20) {
        hooks.tell(&name, ChannelFact::Occupied).await;
    }
    until("a batch is on its way", async || receiver.in_work() == 1).await;
    // In bursts, as a crowd that comes or goes makes them: nothing may be lost on the way to the queue.
    for burst in names(20..10_025).chunks(5_000) {
        futures_util::future::join_all(burst.iter().map(|name| hooks.tell(name, ChannelFact::Occupied)))
            .await;
    }
    until("five made room", async || hooks.events("full") == 5).await;
    gate.add_permits(1_000);
    let mut expected = names(0..20);
    expected.extend(names(25..10_025));
    assert_eq!(channels(&mut receiver, 10_020).await, expected);
}

#[actix_rt::test]
async fn a_drain_sends_what_waits_at_once() {
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let hooks = Hooks::to(&[(&receiver, &[])]);
    for name in names(0..45) {
        hooks.tell(&name, ChannelFact::Occupied).await;
    }
    assert_eq!(hooks.posting.drain(Duration::from_secs(20)).await, 0);
    assert_eq!(hooks.events("delivered"), 45);
    assert_eq!(channels(&mut receiver, 45).await, names(0..45));
}

#[actix_rt::test]
async fn a_drain_ends_in_its_time_and_tells_what_was_left() {
    let (dead, good) = (Receiver::start(Answer::Hang).await, Receiver::start(Answer::Status(200)).await);
    let hooks = Hooks::to(&[(&dead, &[]), (&good, &[])]);
    for name in names(0..30) {
        hooks.tell(&name, ChannelFact::Occupied).await;
    }
    assert_eq!(hooks.posting.drain(Duration::from_millis(500)).await, 30);
    assert_eq!((hooks.events("delivered"), hooks.events("unsent")), (30, 30));
}

#[actix_rt::test]
async fn a_receiver_in_a_private_network_is_not_dialled() {
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let mut app = test_app();
    app.webhooks = vec![config::AppWebhook { url: receiver.url(), events: Vec::new() }];
    let hooks = Hooks::start(&[app], &config::Webhooks::default()).unwrap();
    hooks.tell("one", ChannelFact::Occupied).await;
    let blocked = hooks.metrics.pusher_webhook_attempts.with_label_values(&["blocked"]);
    until("the address was refused", async || blocked.get() == 1).await;
    assert!(receiver.already().is_none() && receiver.connections() == 0);
}

#[actix_rt::test]
async fn an_app_without_webhooks_starts_nothing() {
    assert!(Hooks::start(&[test_app()], &config::Webhooks::default()).is_none());
}

#[actix_rt::test]
async fn what_happened_just_before_the_end_of_the_process_is_told_before_it_ends() {
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let url = receiver.url();
    let hub = TestHub::start_with(|c| {
        c.apps[0].webhooks = vec![config::AppWebhook { url, events: Vec::new() }];
    })
    .await;
    hub.connect().await.join("room").await;
    hub.stop().await;
    let told = receiver.already().map(|request| events_of(&request)[0].clone());
    assert_eq!(told, Some(serde_json::json!({ "name": "channel_occupied", "channel": "room" })));
}
