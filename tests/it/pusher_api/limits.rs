//! What an app may do, and that one over its limit does not slow another.

use super::{event, message};
use crate::support::Backend;
use crate::support::hub::{APP_ID, APP_KEY, APP_SECRET, TestHub};
use crate::support::socket::Socket;
use bellwire::auth::channel_signature;
use bellwire::config::App;
use bellwire::domain::{ChannelName, Secret, TenantId};
use serde_json::json;

#[actix_rt::test]
async fn an_app_over_its_events_a_second_is_told_to_wait_and_another_is_not() {
    let small = App { events_per_second: 3, ..App::new("small", "small-key", Secret::new("small-secret")) };
    let hub = TestHub::start_with(|c| c.apps.push(small)).await;
    let small = Backend::named(&hub, "small", "small-key", "small-secret");
    let other = Backend::named(&hub, APP_ID, APP_KEY, APP_SECRET);
    let body = event(&["news"], "1").to_string();
    // An event on several channels counts for each, and the debt of a large one is waited off: at three a
    // second nothing is left for half a minute.
    let channels: Vec<String> = (0..100).map(|n| format!("c{n}")).collect();
    let large = json!({"name": "n", "channels": channels, "data": "1"}).to_string();
    assert_eq!(small.post("/events", &large).await.0, 200);
    let batch = json!({"batch": [{"name": "n", "channel": "news", "data": "1"}]}).to_string();
    for (path, body) in [("/events", &body), ("/batch_events", &batch)] {
        let (status, text) = small.post(path, body).await;
        assert_eq!(status, 429);
        assert!(message(&text).contains("3 events a second"), "{text}");
    }
    for _ in 0..50 {
        assert_eq!(other.post("/events", &body).await.0, 200);
    }
    hub.wait_for_metric("bellwire_events_refused_total{reason=\"rate_limited\"} 2").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_refused_event_says_when_to_come_back() {
    let hub = TestHub::start_with(|c| c.apps[0].events_per_second = 1).await;
    let backend = Backend::of(&hub);
    let channels: Vec<String> = (0..100).map(|n| format!("c{n}")).collect();
    let body = json!({"name": "n", "channels": channels, "data": "1"}).to_string();
    assert_eq!(backend.post("/events", &body).await.0, 200);
    let path = format!("/apps/{APP_ID}/events");
    let query = backend.sign("POST", &path, &[], &body, bellwire::domain::Clock::System.now());
    let request = awc::Client::default().post(hub.url(&format!("{path}?{query}")));
    let response = request.send_body(body).await.unwrap();
    assert_eq!(response.status().as_u16(), 429);
    let wait: u64 = response.headers().get("retry-after").unwrap().to_str().unwrap().parse().unwrap();
    assert!((60..=100).contains(&wait), "{wait}");
    hub.stop().await;
}

#[actix_rt::test]
async fn an_app_at_its_bound_opens_no_other_channel_and_another_app_does() {
    let other = App::new("other", "other-key", Secret::new("other-secret"));
    let hub = TestHub::start_with(|c| {
        c.apps[0].channels = 2;
        // A channel that nobody is in goes at once.
        (c.channels.history_seconds, c.channels.vacated_grace_ms) = (0, 0);
        c.apps.push(other);
    })
    .await;
    let (mut one, mut two) = (hub.connect().await, hub.connect().await);
    let mut theirs = Socket::connect(hub.address, "other-key", "").await;
    one.join("a").await;
    two.join("b").await;
    one.subscribe("c").await;
    let refused = one.expect("pusher:subscription_error").await;
    assert_eq!((refused["type"].as_str(), refused["status"].as_u64()), (Some("LimitReached"), Some(403)));
    hub.wait_for_metric("bellwire_messages_refused_total{reason=\"app_channels\"} 1").await;
    // What is there already takes more, and other apps have their own bound.
    one.join("b").await;
    theirs.join("c").await;
    // A channel that is only published on is not opened, unless it keeps the event.
    let backend = Backend::of(&hub);
    assert_eq!(backend.post("/events", &event(&["c"], "1").to_string()).await.0, 200);
    let keeping = event(&["a", "cache-c"], "1").to_string();
    let batch = json!({"batch": [{"name": "n", "channel": "cache-c", "data": "1"}]}).to_string();
    for (path, body) in [("/events", &keeping), ("/batch_events", &batch)] {
        let (status, text) = backend.post(path, body).await;
        assert_eq!(status, 403);
        assert!(message(&text).contains("cache-c"), "{text}");
    }
    one.expect_nothing().await;
    hub.wait_for_metric("bellwire_events_refused_total{reason=\"app_channels\"} 2").await;
    // When one has gone there is room again.
    one.event("pusher:unsubscribe", json!({"channel": "a"})).await;
    hub.wait_for_metric("bellwire_channels 2").await;
    one.join("c").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn an_app_of_a_tenant_gets_no_events_of_another() {
    let hub = TestHub::start_with(|c| {
        let bound = App { tenant: Some(TenantId(1)), ..App::new("bound", "bound-key", Secret::new("s")) };
        c.apps.push(bound);
    })
    .await;
    let (ana, ben) = (hub.somebody("Ana").await, hub.somebody("Ben").await);
    assert_eq!((ana.tenant, ben.tenant), (TenantId(1), TenantId(2)));
    let mut socket = Socket::connect(hub.address, "bound-key", "").await;
    let bound = App::new("bound", "bound-key", Secret::new("s"));
    for tenant in [1, 2] {
        // The app's back end may sign what it likes.
        let name = ChannelName::tenant(TenantId(tenant));
        let auth = channel_signature::sign(&bound, socket.id.parse().unwrap(), &name, None);
        socket.event("pusher:subscribe", json!({"channel": name.as_str(), "auth": auth})).await;
        socket.succeeded(name.as_str()).await;
    }
    let mut free = hub.connect_as(&ben).await;
    let theirs = ChannelName::tenant(ben.tenant);
    free.join(theirs.as_str()).await;
    for somebody in [&ben, &ana] {
        let url = hub.url("/api/v1/categories");
        let request = awc::Client::default().post(url).bearer_auth(&somebody.token);
        assert_eq!(request.send_json(&json!({"name": "Tea"})).await.unwrap().status().as_u16(), 201);
    }
    free.expect("category:created").await;
    let message = socket.next().await;
    assert_eq!(message["channel"], ChannelName::tenant(ana.tenant).as_str(), "the event of the other tenant");
    socket.expect_nothing().await;
    hub.stop().await;
}
