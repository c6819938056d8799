//! What a Laravel application sends: the requests that its broadcaster makes through `pusher-php-server`, in the
//! shapes of that library: a query in the order of its keys and not escaped, PHP's JSON (`\/`, `\u00f6`), one
//! call for each hundred channels.

use crate::support::Backend;
use crate::support::hub::{APP_KEY, TestHub};
use bellwire::domain::Clock;
use md5::{Digest, Md5};
use serde_json::{Value, json};

/// As PHP's `json_encode` writes it.
fn php_json(value: &Value) -> String {
    let text = value.to_string().replace('/', "\\/");
    let escaped = |c: char| match u32::from(c) {
        0..=127 => c.to_string(),
        code => format!("\\u{code:04x}"),
    };
    text.chars().map(escaped).collect()
}

/// `Pusher::trigger`, `triggerBatch`, `terminateUserConnections`: a post with the library's headers.
async fn post(hub: &TestHub, path: &str, body: &str) -> (u16, String) {
    let backend = Backend::of(hub);
    let path = format!("/apps/{}{path}", backend.id);
    let query = format!(
        "auth_key={APP_KEY}&auth_timestamp={}&auth_version=1.0&body_md5={}",
        Clock::System.now().unix_seconds(),
        hex::encode(Md5::digest(body))
    );
    let signature = backend.hmac(&format!("POST\n{path}\n{query}"));
    let request = awc::Client::default()
        .post(hub.url(&format!("{path}?{query}&auth_signature={signature}")))
        .insert_header(("Content-Type", "application/json"))
        .insert_header(("X-Pusher-Library", "pusher-http-php 7.2.7"));
    let mut answer = request.send_body(body.to_owned()).await.unwrap();
    let text = String::from_utf8(answer.body().await.unwrap().to_vec()).unwrap();
    (answer.status().as_u16(), text)
}

#[actix_rt::test]
async fn a_broadcast_event_reaches_the_others() {
    let hub = TestHub::start().await;
    let (mut sender, mut other) = (hub.connect().await, hub.connect().await);
    for socket in [&mut sender, &mut other] {
        socket.subscribe_signed("private-App.Models.Order.7", None).await;
        socket.succeeded("private-App.Models.Order.7").await;
    }
    let payload = json!({"order": {"id": 7, "note": "Größe 1/2 \"M\""}});
    let event = json!({
        "name": "App\\Events\\OrderShipped",
        "data": php_json(&payload),
        "channels": ["private-App.Models.Order.7"],
        "socket_id": sender.id,
    });
    // `json_decode` of the answer must give an object.
    assert_eq!(post(&hub, "/events", &php_json(&event)).await, (200, "{}".to_owned()));
    assert_eq!(other.expect("App\\Events\\OrderShipped").await, payload);
    sender.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn an_event_on_many_channels_comes_a_hundred_at_a_time() {
    let hub = TestHub::start_with(|c| c.limits.subscriptions_per_connection = 300).await;
    let mut socket = hub.connect().await;
    let channels: Vec<String> = (0..250).map(|n| format!("App.Models.User.{n}")).collect();
    for channel in &channels {
        socket.join(channel).await;
    }
    let mut answers = Vec::new();
    for chunk in channels.chunks(100) {
        let event = json!({"name": "PostCreated", "data": "{\"id\":1}", "channels": chunk});
        answers.push(post(&hub, "/events", &php_json(&event)).await);
    }
    assert_eq!(answers, vec![(200, "{}".to_owned()); 3]);
    let mut told = std::collections::BTreeSet::new();
    for _ in &channels {
        let message = socket.next().await;
        assert_eq!(
            (message["event"].as_str(), message["data"].as_str()),
            (Some("PostCreated"), Some("{\"id\":1}"))
        );
        told.insert(message["channel"].as_str().unwrap().to_owned());
    }
    assert_eq!(told, channels.into_iter().collect());
    socket.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_notification_and_a_batch_arrive_as_they_are() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    let channel = "private-App.Models.User.1";
    socket.subscribe_signed(channel, None).await;
    socket.succeeded(channel).await;
    let name = "Illuminate\\Notifications\\Events\\BroadcastNotificationCreated";
    let data = json!({"id": "9b1d", "type": "App\\Notifications\\InvoicePaid", "invoice": 3});
    let event = json!({"name": name, "data": php_json(&data), "channels": [channel]});
    assert_eq!(post(&hub, "/events", &php_json(&event)).await.0, 200);
    assert_eq!(socket.expect(name).await, data);
    let batch = json!({"batch": [{"channel": channel, "name": ".order.shipped", "data": php_json(&data)}]});
    assert_eq!(post(&hub, "/batch_events", &php_json(&batch)).await, (200, "{}".to_owned()));
    assert_eq!(socket.expect(".order.shipped").await, data);
    hub.stop().await;
}
