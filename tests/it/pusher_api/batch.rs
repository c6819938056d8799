//! `POST /apps/{id}/batch_events`.

use super::message;
use crate::support::Backend;
use crate::support::hub::TestHub;
use serde_json::{Value, json};

fn one(channel: &str, data: &str) -> Value {
    json!({"name": "n", "channel": channel, "data": data})
}

#[actix_rt::test]
async fn the_events_of_a_batch_are_published_in_their_order() {
    let hub = TestHub::start().await;
    let (mut socket, mut other) = (hub.connect().await, hub.connect().await);
    socket.join("a").await;
    socket.join("b").await;
    other.join("a").await;
    let channel = |n: usize| if n.is_multiple_of(2) { "a" } else { "b" };
    let mut batch: Vec<Value> = (0..10).map(|n| one(channel(n), &n.to_string())).collect();
    batch[0]["socket_id"] = other.id.clone().into();
    let answered = Backend::of(&hub).post("/batch_events", &json!({"batch": batch}).to_string()).await;
    assert_eq!(answered, (200, "{}".to_owned()));
    let mut got: Vec<(String, u64)> = Vec::new();
    for _ in 0..10 {
        let message = socket.next().await;
        let data = message["data"].as_str().unwrap().parse().unwrap();
        got.push((message["channel"].as_str().unwrap().to_owned(), data));
    }
    for name in ["a", "b"] {
        let in_order: Vec<u64> = got.iter().filter(|(c, _)| c == name).map(|(_, n)| *n).collect();
        assert_eq!(in_order.len(), 5);
        assert!(in_order.is_sorted(), "{in_order:?}");
    }
    assert_eq!(other.expect("n").await, 2);
    hub.stop().await;
}

#[actix_rt::test]
async fn one_wrong_event_keeps_the_whole_batch_back() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    socket.join("a").await;
    let backend = Backend::of(&hub);
    let many: Vec<Value> = (0..11).map(|_| one("a", "1")).collect();
    let table = [
        (json!([one("a", "1")]), 400, "not a batch"),
        (json!({}), 400, "batch"),
        (json!({"batch": {}}), 400, "not a batch"),
        (json!({"batch": []}), 400, "1 to 10 events"),
        (json!({"batch": many}), 400, "1 to 10 events"),
        (json!({"batch": [one("a", "1"), one("a b", "1")]}), 400, "channel name"),
        (
            json!({"batch": [one("a", "1"), {"name": "n", "data": "1"}]}),
            400,
            "Event 2 of the batch: It needs a channel",
        ),
        (json!({"batch": [one("a", "1"), {"name": "n", "channels": ["a"], "data": "1"}]}), 400, "Event 2"),
        (json!({"batch": [one("a", "1"), {"name": "n", "channel": "a", "data": {}}]}), 400, "a string"),
        (json!({"batch": [one("a", "1"), {"channel": "a", "data": "1"}]}), 400, "Event 2 of the batch: name"),
        (json!({"batch": [one("a", "1"), one("a", &"x".repeat(10_241))]}), 413, "Event 2 of the batch: data"),
    ];
    for (body, status, why) in table {
        let (answered, text) = backend.post("/batch_events", &body.to_string()).await;
        assert_eq!(answered, status, "{body:.80}");
        assert!(message(&text).contains(why), "{text}");
    }
    socket.expect_nothing().await;
    let full: Vec<Value> = (0..10).map(|_| one("b", &"\u{1}".repeat(10_240))).collect();
    let answered = backend.post("/batch_events", &json!({"batch": full}).to_string()).await;
    assert_eq!(answered, (200, "{}".to_owned()));
    hub.stop().await;
}
