//! WebSocket sessions and channels through a real socket: every answer of the protocol's first part.

use crate::support::hub::{APP_KEY, TestHub};
use crate::support::socket::{Socket, data_of};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

#[actix_rt::test]
async fn a_connection_is_established_with_a_socket_id_and_a_timeout() {
    let hub = TestHub::start().await;
    let mut socket = Socket::raw(hub.address, &format!("/app/{APP_KEY}?protocol=7")).await;
    let established = socket.next().await;
    let data = data_of(&established);
    assert_eq!(data["activity_timeout"], 120);
    assert!(data["socket_id"].as_str().unwrap().split('.').all(|half| half.parse::<u32>().is_ok()));
    hub.stop().await;
}

#[actix_rt::test]
async fn wrong_connects_are_closed_with_the_code_of_their_fault() {
    let hub = TestHub::start().await;
    let table = [
        ("/app/nobody?protocol=7", 4001),
        ("/app/app-key", 4008),
        ("/app/app-key?protocol=abc", 4006),
        ("/app/app-key?protocol=3", 4007),
        ("/app/app-key?protocol=8", 4007),
        ("/app/app-key?protocol=7&token=1%7Cwrong", 4009),
        ("/app/app-key?protocol=7&token=", 4009),
    ];
    for (path, code) in table {
        assert_eq!(Socket::raw(hub.address, path).await.closed().await, code, "{path}");
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_page_of_another_origin_is_closed_with_4009() {
    let hub = TestHub::start_with(|c| c.apps[0].allowed_origins = vec!["https://shop.example".into()]).await;
    let path = "/app/app-key?protocol=7";
    let mut foreign =
        Socket::try_raw(hub.address, path, &[("origin", "https://evil.example")]).await.unwrap();
    assert_eq!(foreign.closed().await, 4009);
    let mut own = Socket::try_raw(hub.address, path, &[("origin", "https://shop.example")]).await.unwrap();
    assert_eq!(own.next().await["event"], "pusher:connection_established");
    hub.connect().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn the_connect_limit_refuses_before_the_upgrade_and_ignores_forged_forwarding() {
    let hub = TestHub::start_with(|c| c.limits.connections_per_ip_per_minute = 3).await;
    let path = "/app/app-key?protocol=7";
    for n in 0..3 {
        let forged = format!("203.0.113.{n}");
        assert!(Socket::try_raw(hub.address, path, &[("x-forwarded-for", &forged)]).await.is_ok());
    }
    let refused = Socket::try_raw(hub.address, path, &[("x-forwarded-for", "203.0.113.9")]).await;
    assert_eq!(refused.err(), Some(429));
    hub.stop().await;
}

#[actix_rt::test]
async fn an_unauthenticated_connection_is_closed_with_4009_and_others_stay() {
    let hub = TestHub::start_with(|c| c.limits.auth_timeout_seconds = 1).await;
    let ana = hub.somebody("Ana").await;
    let (mut stranger, mut with_token, mut signed) =
        (hub.connect().await, hub.connect_as(&ana).await, hub.connect().await);
    stranger.join("news").await;
    signed.subscribe_signed("private-x", None).await;
    signed.succeeded("private-x").await;
    assert_eq!(stranger.closed().await, 4009);
    with_token.expect_nothing().await;
    signed.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn pings_of_both_kinds_are_answered() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    socket.event("pusher:ping", json!({})).await;
    assert_eq!(socket.expect("pusher:pong").await, json!({}));
    socket.say(Message::Ping(b"are you there".to_vec().into())).await;
    assert_eq!(socket.next_message().await, Message::Pong(b"are you there".to_vec().into()));
    hub.stop().await;
}

#[actix_rt::test]
async fn a_silent_client_is_pinged_and_closed_with_4201_when_it_stays_silent() {
    let hub = TestHub::start_with(|c| {
        c.limits.activity_timeout_seconds = 1;
        c.limits.pong_timeout_seconds = 1;
    })
    .await;
    let ana = hub.somebody("Ana").await;
    let mut socket = hub.connect_as(&ana).await;
    socket.expect("pusher:ping").await;
    socket.event("pusher:pong", json!({})).await;
    socket.expect("pusher:ping").await;
    assert_eq!(socket.closed().await, 4201);
    hub.stop().await;
}

#[actix_rt::test]
async fn an_event_of_a_back_end_reaches_subscribers_and_not_the_socket_that_caused_it() {
    let hub = TestHub::start().await;
    let (mut one, mut other, mut stranger) = (hub.connect().await, hub.connect().await, hub.connect().await);
    one.join("news").await;
    other.join("news").await;
    let body = json!({"name": "App\\Events\\It.Happened", "channels": ["news"], "data": "{\"n\":1}", "socket_id": other.id});
    assert_eq!(hub.trigger(&body.to_string()).await, (200, "{}".to_owned()));
    let message = one.next().await;
    let expected = json!({"event": "App\\Events\\It.Happened", "channel": "news", "data": "{\"n\":1}"});
    assert_eq!(message, expected);
    other.expect_nothing().await;
    stranger.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn events_of_one_channel_arrive_in_order() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    socket.join("news").await;
    for n in 0..200 {
        hub.publish("news", "n", &n.to_string()).await;
    }
    for n in 0..200 {
        assert_eq!(socket.expect("n").await, json!(n));
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn guarded_channels_need_a_signature_for_this_socket_and_channel() {
    let hub = TestHub::start().await;
    let (mut one, mut other) = (hub.connect().await, hub.connect().await);
    one.subscribe_signed("private-a", None).await;
    one.succeeded("private-a").await;
    // The same signature under another socket, and for another channel.
    let name = bellwire::domain::ChannelName::parse("private-a").unwrap();
    let auth = bellwire::auth::channel_signature::sign(
        &crate::support::hub::test_app(),
        one.id.parse().unwrap(),
        &name,
        None,
    );
    for (socket, channel) in [(&mut other, "private-a"), (&mut one, "private-b")] {
        socket.event("pusher:subscribe", json!({"channel": channel, "auth": auth})).await;
        let error = socket.expect("pusher:subscription_error").await;
        assert_eq!((error["type"].as_str(), error["status"].as_u64()), (Some("AuthError"), Some(401)));
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_private_channel_signed_with_channel_data_is_accepted() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    socket.subscribe_signed("private-a", Some(r#"{"user_id":"1"}"#)).await;
    socket.succeeded("private-a").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_token_opens_the_users_own_channels_and_no_others() {
    let hub = TestHub::start().await;
    let (ana, ben) = (hub.somebody("Ana").await, hub.somebody("Ben").await);
    let mut socket = hub.connect_as(&ana).await;
    for channel in [
        format!("private-tenant.{}", ana.tenant),
        format!("private-tenant.{}.notifications", ana.tenant),
        format!("private-notification.{}", ana.user),
        format!("presence-tenant.{}", ana.tenant),
    ] {
        socket.join(&channel).await;
    }
    for channel in [
        format!("private-tenant.{}", ben.tenant),
        format!("private-notification.{}", ben.user),
        format!("presence-tenant.{}", ben.tenant),
        "private-orders".to_owned(),
    ] {
        socket.subscribe(&channel).await;
        assert_eq!(socket.expect("pusher:subscription_error").await["status"], 403, "{channel}");
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_bearer_header_is_as_good_as_the_query() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let header = format!("Bearer {}", ana.token);
    let path = "/app/app-key?protocol=7";
    let mut socket = Socket::try_raw(hub.address, path, &[("authorization", &header)]).await.unwrap();
    socket.expect("pusher:connection_established").await;
    socket.join(&format!("private-tenant.{}", ana.tenant)).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn subscribing_twice_is_answered_twice_and_delivered_once() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    socket.join("news").await;
    socket.join("news").await;
    hub.publish("news", "n", "1").await;
    socket.expect("n").await;
    socket.expect_nothing().await;
    // Established, two welcomes, the event and the pong; two subscribes and the ping.
    hub.wait_for_metric("bellwire_messages_out_total 5").await;
    hub.wait_for_metric("bellwire_messages_in_total 3").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_channel_lives_from_its_first_subscriber_to_its_last() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    for _ in 0..50 {
        socket.join("news").await;
        hub.publish("news", "n", "1").await;
        socket.expect("n").await;
        socket.event("pusher:unsubscribe", json!({"channel": "news"})).await;
    }
    socket.expect_nothing().await;
    hub.publish("news", "n", "1").await;
    socket.expect_nothing().await;
    hub.wait_for_metric("bellwire_channels 0").await;
    hub.wait_for_metric("bellwire_subscriptions 0").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn the_subscription_limit_is_told_to_the_client() {
    let hub = TestHub::start_with(|c| c.limits.subscriptions_per_connection = 2).await;
    let mut socket = hub.connect().await;
    socket.join("a").await;
    socket.join("b").await;
    socket.subscribe("c").await;
    assert_eq!(socket.expect("pusher:subscription_error").await["type"], "LimitReached");
    hub.stop().await;
}

#[actix_rt::test]
async fn text_that_is_no_event_is_answered_and_the_connection_stays() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    for text in ["", "{", "null", "[]", r#"{"event":7}"#, r#"{"event":"pusher:subscribe"}"#, &deep] {
        socket.say(Message::text(text)).await;
        assert_eq!(socket.next().await["event"], "pusher:error", "{text:.40}");
    }
    for channel in ["", "a b", "a:b", &"x".repeat(201), "nul\0"] {
        socket.subscribe(channel).await;
        assert_eq!(socket.next().await["event"], "pusher:error", "{channel:.40}");
    }
    socket.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_binary_message_closes_with_1003_and_text_that_is_not_utf8_with_1007() {
    let hub = TestHub::start().await;
    let mut binary = hub.connect().await;
    binary.say(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(binary.closed().await, 1003);
    let mut broken = hub.connect().await;
    broken.say(Message::Frame(Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true))).await;
    assert_eq!(broken.closed().await, 1007);
    hub.stop().await;
}

#[actix_rt::test]
async fn a_fragmented_message_is_joined_and_one_over_the_limit_closes_with_1009() {
    let hub = TestHub::start().await;
    let part = |text: &str, opcode, last| {
        Message::Frame(Frame::message(text.as_bytes().to_vec(), OpCode::Data(opcode), last))
    };
    let mut socket = hub.connect().await;
    socket.say(part(r#"{"event":"pusher"#, Data::Text, false)).await;
    socket.say(Message::Ping(b"between".to_vec().into())).await;
    socket.say(part(r#":ping","data""#, Data::Continue, false)).await;
    socket.say(part(":{}}", Data::Continue, true)).await;
    assert_eq!(socket.next_message().await, Message::Pong(b"between".to_vec().into()));
    socket.expect("pusher:pong").await;

    let half = "x".repeat(40_000);
    socket.say(part(&half, Data::Text, false)).await;
    socket.say(part(&half, Data::Continue, true)).await;
    assert_eq!(socket.closed().await, 1009);

    let mut many = hub.connect().await;
    many.say(part("", Data::Text, false)).await;
    for _ in 0..128 {
        many.say(part("", Data::Continue, false)).await;
    }
    assert_eq!(many.closed().await, 1009);
    hub.stop().await;
}

#[actix_rt::test]
async fn frames_that_break_the_protocol_close_with_1002_and_others_notice_nothing() {
    use tokio::io::AsyncWriteExt;
    let hub = TestHub::start().await;
    let mut other = hub.connect().await;
    other.join("news").await;
    let table: [(&str, &[u8]); 4] = [
        ("not masked", &[0x81, 0x01, b'x']),
        ("a reserved bit", &[0xc1, 0x81, 0, 0, 0, 0, b'x']),
        ("a reserved opcode", &[0x83, 0x81, 0, 0, 0, 0, b'x']),
        ("a fragmented ping", &[0x09, 0x80, 0, 0, 0, 0]),
    ];
    for (what, bytes) in table {
        let mut broken = hub.connect().await;
        broken.tcp().write_all(bytes).await.unwrap();
        assert_eq!(broken.closed().await, 1002, "{what}");
    }
    hub.publish("news", "n", "1").await;
    other.expect("n").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_continuation_of_nothing_closes_with_1002() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    socket.say(Message::Frame(Frame::message(b"x".to_vec(), OpCode::Data(Data::Continue), true))).await;
    assert_eq!(socket.closed().await, 1002);
    hub.stop().await;
}

#[actix_rt::test]
async fn a_message_over_the_limit_closes_with_1009_and_others_notice_nothing() {
    let hub = TestHub::start().await;
    let (mut big, mut other) = (hub.connect().await, hub.connect().await);
    other.join("news").await;
    big.say(Message::text("x".repeat(70_000))).await;
    assert_eq!(big.closed().await, 1009);
    hub.publish("news", "n", "1").await;
    other.expect("n").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_client_that_leaves_properly_is_answered_with_its_own_code() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 1000.into(), reason: "".into() };
    socket.say(Message::Close(Some(frame))).await;
    assert_eq!(socket.closed().await, 1000);
    hub.wait_for_metric("bellwire_connections 0").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_revoked_token_loses_its_open_sockets_within_seconds() {
    let hub = TestHub::start_with(|c| c.auth.recheck_seconds = 1).await;
    let ana = hub.somebody("Ana").await;
    let mut socket = hub.connect_as(&ana).await;
    let other = hub.token_for(ana.tenant, ana.user, None).await;
    let mut stays = hub.connect_as(&other).await;
    hub.db.transaction(async |conn| bellwire::auth::token::revoke(conn, ana.token_id).await).await.unwrap();
    assert_eq!(socket.closed().await, 4009);
    stays.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn an_expired_token_loses_its_open_sockets_and_opens_no_new_ones() {
    let hub = TestHub::start_with(|c| c.auth.recheck_seconds = 1).await;
    let ana = hub.somebody("Ana").await;
    let soon = bellwire::domain::Clock::System.now().plus(std::time::Duration::from_secs(2));
    let short = hub.token_for(ana.tenant, ana.user, Some(soon)).await;
    let mut socket = hub.connect_as(&short).await;
    assert_eq!(socket.closed().await, 4009);
    let token = short.token.replace('|', "%7C");
    let path = format!("/app/{APP_KEY}?protocol=7&token={token}");
    assert_eq!(Socket::raw(hub.address, &path).await.closed().await, 4009);
    hub.stop().await;
}

#[actix_rt::test]
async fn a_drain_closes_every_socket_with_4200_and_ends() {
    let mut hub = TestHub::start().await;
    let mut sockets = Vec::new();
    for _ in 0..50 {
        sockets.push(hub.connect().await);
    }
    hub.begin_drain();
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, 4200);
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn health_tells_status_connections_uptime_and_version() {
    let hub = TestHub::start().await;
    let _socket = hub.connect().await;
    let health: Value = hub.get("/api/v1/websocket/health").await;
    assert_eq!((health["status"].as_str(), health["connections"].as_u64()), (Some("healthy"), Some(1)));
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(health["uptime_seconds"].is_u64());
    assert_eq!(hub.get("/up").await["status"], "up");
    assert_eq!(hub.get("/ready").await["status"], "ready");
    hub.stop().await;
}
