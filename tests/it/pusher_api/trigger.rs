//! `POST /apps/{id}/events`.

use super::{event, message};
use crate::support::Backend;
use crate::support::hub::TestHub;
use serde_json::json;

#[actix_rt::test]
async fn an_event_reaches_all_of_its_channels_but_not_the_socket_that_is_named() {
    let hub = TestHub::start().await;
    let (mut one, mut other) = (hub.connect().await, hub.connect().await);
    one.join("a").await;
    other.join("b").await;
    let backend = Backend::of(&hub);
    let mut body = event(&["a", "b", "nobody-is-here"], r#"{"ä":"\u0000\n"}"#);
    assert_eq!(backend.post("/events", &body.to_string()).await, (200, "{}".to_owned()));
    for socket in [&mut one, &mut other] {
        assert_eq!(socket.expect("n").await, json!({"ä": "\u{0}\n"}));
    }
    body["socket_id"] = one.id.clone().into();
    assert_eq!(backend.post("/events", &body.to_string()).await, (200, "{}".to_owned()));
    other.expect("n").await;
    one.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn names_and_data_arrive_as_they_were_sent() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    socket.join("news").await;
    for (name, data) in [
        ("App\\Events\\OrderShipped", r#"{"id":1}"#),
        (".order.shipped", "plain text"),
        ("größe \"M\"", ""),
        ("x", "[1,2.50,1e400,null]"),
    ] {
        hub.publish("news", name, data).await;
        let message = socket.next().await;
        assert_eq!((message["event"].as_str(), message["data"].as_str()), (Some(name), Some(data)));
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn the_fields_may_stand_in_the_query() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    socket.join("a").await;
    socket.join("b").await;
    let backend = Backend::of(&hub);
    let all = [("name", "n"), ("data", "1"), ("channels[]", "b"), ("channels[]", "a")];
    assert_eq!(backend.call("POST", "/events", &all, "").await, (200, "{}".to_owned()));
    for channel in ["b", "a"] {
        assert_eq!(socket.next().await["channel"], channel);
    }
    let body = json!({"name": "n", "data": "2"}).to_string();
    assert_eq!(backend.call("POST", "/events", &[("channel", "a")], &body).await.0, 200);
    assert_eq!(socket.expect("n").await, 2);
    // What the body says counts.
    let body = json!({"name": "n", "data": "3", "channel": "b"}).to_string();
    let except = [("channels[]", "a"), ("data", "4"), ("socket_id", "1.1")];
    assert_eq!(backend.call("POST", "/events", &except, &body).await.0, 200);
    let message = socket.next().await;
    assert_eq!((message["channel"].as_str(), message["data"].as_str()), (Some("b"), Some("3")));
    for wrong in [[("channel", "a:b")], [("channels[]", "")], [("socket_id", "1:1")], [("info", "x")]] {
        assert_eq!(backend.call("POST", "/events", &wrong, &body.replace("channel", "x")).await.0, 400);
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn an_event_that_is_wrong_is_told_why() {
    let hub = TestHub::start().await;
    let channels = |n: usize| -> Vec<String> { (0..n).map(|n| format!("c{n}")).collect() };
    let table = [
        ("{".to_owned(), 400, "not an event"),
        ("[]".to_owned(), 400, "an object with name, data"),
        ("\"x\"".to_owned(), 400, "not an event"),
        (json!({"name": "n", "data": "1"}).to_string(), 400, "1 to 100 channels"),
        (json!({"name": "n", "channels": [], "data": "1"}).to_string(), 400, "1 to 100 channels"),
        (json!({"name": "n", "channels": channels(101), "data": "1"}).to_string(), 400, "1 to 100 channels"),
        (json!({"name": "n", "channels": "a", "data": "1"}).to_string(), 400, "sequence"),
        (json!({"name": "n", "channels": ["a:b"], "data": "1"}).to_string(), 400, "channel name"),
        (json!({"name": "n", "channels": [1], "data": "1"}).to_string(), 400, "a string"),
        (json!({"name": "n", "channel": "x".repeat(201), "data": "1"}).to_string(), 400, "200 characters"),
        (json!({"name": "", "channels": ["a"], "data": "1"}).to_string(), 400, "name has 1 to 200"),
        (json!({"channels": ["a"], "data": "1"}).to_string(), 400, "name has 1 to 200"),
        (
            json!({"name": "ä".repeat(201), "channels": ["a"], "data": "1"}).to_string(),
            400,
            "name has 1 to 200",
        ),
        (json!({"name": "n", "channels": ["a"]}).to_string(), 400, "needs data"),
        (
            json!({"name": "n", "channels": ["a"], "data": {"not": "a string"}}).to_string(),
            400,
            "as JSON text",
        ),
        (json!({"name": "n", "channels": ["a"], "data": 1}).to_string(), 400, "as JSON text"),
        (json!({"name": "n", "channels": ["a"], "data": null}).to_string(), 400, "needs data"),
        (
            json!({"name": "n", "channels": ["a"], "data": "1", "socket_id": "1:2"}).to_string(),
            400,
            "socket_id",
        ),
        (
            json!({"name": "n", "channels": ["a"], "data": "1", "info": "all"}).to_string(),
            400,
            "no attribute all",
        ),
        (
            json!({"name": "n", "channels": ["private-encrypted-a", "b"], "data": "1"}).to_string(),
            400,
            "encrypted",
        ),
        (json!({"name": "n", "channels": ["a"], "data": "x".repeat(10_241)}).to_string(), 413, "10241 bytes"),
    ];
    for (body, status, why) in table {
        let answered = hub.trigger(&body).await;
        assert_eq!(answered.0, status, "{body:.80}");
        assert!(message(&answered.1).contains(why), "{body:.80}: {}", answered.1);
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn an_event_at_its_limits_is_taken() {
    let hub = TestHub::start().await;
    let channels: Vec<String> = (0..100).map(|n| format!("{n:0200}")).collect();
    for body in [
        json!({"name": "ä".repeat(200), "channels": channels, "data": "\u{0}".repeat(10_240)}),
        json!({"name": "n", "channel": "private-encrypted-a", "data": ""}),
        json!({"name": "n", "channel": "#server-to-user-ann", "data": "1"}),
        json!({"name": "n", "channel": "a", "data": "1", "socket_id": null, "info": null, "other": [{}]}),
        json!({"name": "n", "channels": ["a"], "channel": "b", "data": "1", "info": ""}),
    ] {
        let answered = hub.trigger(&body.to_string()).await;
        assert_eq!(answered.0, 200, "{answered:?}");
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn the_bytes_of_data_are_the_apps_own_limit() {
    let hub = TestHub::start_with(|c| c.apps[0].max_data_bytes = 200_000).await;
    let mut socket = hub.connect().await;
    socket.join("news").await;
    let data = |bytes: usize| event(&["news"], &"\"".repeat(bytes)).to_string();
    assert_eq!(hub.trigger(&data(200_000)).await.0, 200);
    assert_eq!(socket.next().await["data"].as_str().unwrap().len(), 200_000);
    assert_eq!(hub.trigger(&data(200_001)).await.0, 413);
    assert_eq!(hub.trigger(&data(2_000_000)).await.0, 413);
    socket.expect_nothing().await;
    hub.stop().await;
}
