//! Every message that a client may send, well and badly said: what it is answered, and that the connection stays.

use super::{error, hub_with_app, refused};
use crate::support::hub::{APP_KEY, TestHub};
use crate::support::socket::Socket;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::protocol::Message;

#[actix_rt::test]
async fn what_is_no_message_of_the_protocol_is_answered_without_a_code() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    let table = [
        ("", "unreadable"),
        ("{", "unreadable"),
        ("null", "unreadable"),
        ("[]", "unreadable"),
        ("{}", "unreadable"),
        (r#"{"event":7}"#, "unreadable"),
        (r#"{"event":null}"#, "unreadable"),
        (r#"{"event":"a","event":"b"}"#, "unreadable"),
        (r#"{"event":"pusher:subscribe"}"#, "unreadable"),
        (r#"{"event":"pusher:subscribe","data":{}}"#, "unreadable"),
        (r#"{"event":"pusher:subscribe","data":{"channel":1}}"#, "unreadable"),
        (r#"{"event":"pusher:subscribe","data":"not json"}"#, "unreadable"),
        (r#"{"event":"pusher:unsubscribe","data":{}}"#, "unreadable"),
        (r#"{"event":"pusher:nonsense","data":{}}"#, "unknown_event"),
        (r#"{"event":"pusher_internal:member_added","data":{}}"#, "unknown_event"),
        (r#"{"event":"","data":{}}"#, "unknown_event"),
        (r#"{"event":"Client-x","channel":"private-x"}"#, "unknown_event"),
    ];
    let mut counts = std::collections::BTreeMap::new();
    for (text, reason) in table {
        socket.say(Message::text(text)).await;
        assert_eq!(error(&mut socket).await.0, None, "{text}");
        *counts.entry(reason).or_insert(0) += 1;
    }
    for (reason, count) in counts {
        hub.wait_for_metric(&refused(reason, count)).await;
    }
    socket.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn the_data_of_every_message_may_be_an_object_or_a_string_that_holds_one() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    let as_string = |data: &Value| Value::String(data.to_string());
    let data = json!({"channel": "news"});
    for data in [data.clone(), as_string(&data)] {
        socket.event("pusher:subscribe", data.clone()).await;
        socket.succeeded("news").await;
        socket.event("pusher:unsubscribe", data).await;
    }
    for data in [json!({}), json!("{}"), json!(null), json!("")] {
        socket.event("pusher:ping", data).await;
        socket.expect("pusher:pong").await;
    }
    hub.publish("news", "n", "1").await;
    socket.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn every_kind_of_channel_is_joined_by_what_it_asks_for() {
    let hub = TestHub::start().await;
    let member = Some(r#"{"user_id":"7"}"#);
    for channel in ["news", "cache-news"] {
        hub.connect().await.join(channel).await;
    }
    for (channel, data) in [
        ("private-x", None),
        ("private-x", member),
        ("private-cache-x", None),
        ("private-encrypted-x", None),
        ("private-encrypted-cache-x", None),
        ("presence-x", member),
        ("presence-cache-x", member),
    ] {
        let mut unsigned = hub.connect().await;
        unsigned.subscribe(channel).await;
        assert_eq!(unsigned.expect("pusher:subscription_error").await["status"], 401, "{channel}");
        let mut signed = hub.connect().await;
        signed.subscribe_signed(channel, data).await;
        signed.succeeded(channel).await;
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_channels_name_has_its_letters_and_its_length() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    let (long, longer) = ("x".repeat(200), "x".repeat(201));
    for name in ["a", "A-Za_z0=9@,.;-", &long] {
        socket.join(name).await;
    }
    for name in ["", " ", "a b", "a:b", "a/b", "a#b", "#a", "é", "a\u{0}", "a\n", "#server-to-user-", &longer]
    {
        socket.subscribe(name).await;
        assert_eq!(error(&mut socket).await.0, Some(4009), "{name:?}");
    }
    hub.wait_for_metric(&refused("channel_name", 12)).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_member_has_an_id_and_an_object_within_their_limits() {
    let hub = TestHub::start().await;
    let id = |n: usize| json!({"user_id": "x".repeat(n)});
    let info = |n: usize| json!({"user_id": 1, "user_info": "x".repeat(n - 2)});
    for good in [id(128), info(2_048), json!({"user_id": 7}), json!({"user_id": "7", "user_info": null})] {
        assert!(presence(&hub, &good.to_string()).await.is_none(), "{good:.60}");
    }
    let table = [id(0), id(129), info(2_049), json!({}), json!({"user_id": null}), json!([]), json!("7")];
    for bad in table {
        assert_eq!(presence(&hub, &bad.to_string()).await.as_deref(), Some("AuthError"), "{bad:.60}");
    }
    hub.stop().await;
}

/// Joins with this channel data; the type of the error, if there is one.
async fn presence(hub: &TestHub, data: &str) -> Option<String> {
    let mut socket: Socket = hub.connect().await;
    socket.subscribe_signed("presence-x", Some(data)).await;
    let answer = socket.next().await;
    if answer["event"] == "pusher_internal:subscription_succeeded" {
        return None;
    }
    assert_eq!(answer["event"], "pusher:subscription_error");
    crate::support::socket::data_of(&answer)["type"].as_str().map(str::to_owned)
}

#[actix_rt::test]
async fn the_subscription_limit_is_told_counted_and_freed_by_leaving() {
    let hub = TestHub::start_with(|c| c.limits.subscriptions_per_connection = 2).await;
    let mut socket = hub.connect().await;
    socket.join("a").await;
    socket.join("b").await;
    socket.subscribe("c").await;
    assert_eq!(socket.expect("pusher:subscription_error").await["type"], "LimitReached");
    hub.wait_for_metric(&refused("subscription_limit", 1)).await;
    socket.event("pusher:unsubscribe", json!({"channel": "a"})).await;
    socket.join("c").await;
    hub.stop().await;
}

/// Each must be answered, quickly, and none may end the server or the connection.
#[actix_rt::test]
async fn json_made_to_hurt_is_answered_and_the_connection_stays() {
    let hub = hub_with_app(|app| app.client_events = true).await;
    let (mut socket, mut witness) = (hub.connect().await, hub.connect().await);
    for socket in [&mut socket, &mut witness] {
        socket.subscribe_signed("private-x", None).await;
        socket.succeeded("private-x").await;
    }
    let nested = |open: &str, inner: &str, close: &str, n: usize| {
        let data = format!("{}{inner}{}", open.repeat(n), close.repeat(n));
        format!(r#"{{"event":"client-x","channel":"private-x","data":{data}}}"#)
    };
    let too_deep = [
        nested("[", "", "]", 64),
        nested("[", "", "]", 30_000),
        nested(r#"{"a":"#, "1", "}", 9_000),
        format!(r#"{{"event":"pusher:ping","data":{}"#, "[".repeat(60_000)),
        "[".repeat(65_000),
    ];
    for text in &too_deep {
        let began = Instant::now();
        socket.say(Message::text(text.as_str())).await;
        let (code, message) = error(&mut socket).await;
        assert_eq!(code, None);
        assert!(message.contains("deep"), "{message}");
        assert!(began.elapsed() < Duration::from_secs(2), "{text:.60} took {:?}", began.elapsed());
    }
    hub.wait_for_metric(&refused("too_deep", too_deep.len())).await;
    socket.say(Message::text(nested("[", "", "]", 63))).await;
    witness.expect("client-x").await;
    hostile(&mut socket).await;
    witness.expect_nothing().await;
    hub.stop().await;
}

/// What is not too deep and still no pleasure: each is answered by an error.
async fn hostile(socket: &mut Socket) {
    let digits = "9".repeat(50_000);
    let keys: Vec<String> = (0..5_000).map(|n| format!(r#""{n}":0"#)).collect();
    let keys = keys.join(",");
    let corpus = [
        r#"{"event":"pusher:subscribe","data":{"channel":"a","channel":"b"}}"#.to_owned(),
        r#"{"event":"pusher:ping","event":"pusher:ping"}"#.to_owned(),
        format!(r#"{{"event":{digits}}}"#),
        format!(r#"{{"event":"pusher:subscribe","data":{{"channel":{digits}}}}}"#),
        format!(r#"{{"event":"pusher:subscribe","data":1e{digits}}}"#),
        r#"{"event":"pusher:subscribe","data":-1e-999999999}"#.to_owned(),
        r#"{"event":"\u0000","data":"\u0000"}"#.to_owned(),
        r#"{"event":"pusher:subscribe","data":{"channel":"\u0000"}}"#.to_owned(),
        r#"{"event":"pusher:subscribe","data":{"channel":"\ud800"}}"#.to_owned(),
        r#"{"event":"\ud83d","data":{}}"#.to_owned(),
        format!(r#"{{"event":"x",{keys},"data":0}}"#),
        format!(r#"{{"event":"{}"}}"#, "x".repeat(60_000)),
        format!(r#"{{"event":"pusher:subscribe","data":"{}"}}"#, r"\\".repeat(20_000)),
        "\u{feff}{}".to_owned(),
        " ".repeat(60_000),
    ];
    for text in corpus {
        let began = Instant::now();
        socket.say(Message::text(text.as_str())).await;
        error(socket).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{text:.60} took {:?}", began.elapsed());
    }
}

#[actix_rt::test]
async fn a_plain_request_for_a_socket_is_answered_400_and_its_connection_goes_on() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let hub = TestHub::start().await;
    let mut stream = tokio::net::TcpStream::connect(hub.address).await.unwrap();
    let asking = format!("GET /app/{APP_KEY}?protocol=7 HTTP/1.1\r\nhost: x\r\n\r\n");
    for nth in 0..10 {
        stream.write_all(asking.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap_or_else(|e| panic!("answer {nth}: {e}")));
        }
        assert!(head.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&head));
    }
    hub.stop().await;
}
