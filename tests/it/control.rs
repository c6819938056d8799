//! Pings, pongs, goodbyes and messages that do not end: what happens below the Pusher protocol.

use crate::support::hub::TestHub;
use crate::support::socket::{PATIENCE, Socket};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

const FLOOD: &str = "bellwire_connections_refused_total{reason=\"control_flood\"} 1";

#[actix_rt::test]
async fn pings_are_answered_up_to_the_limit_and_one_more_closes_with_1008() {
    let hub =
        TestHub::start_with(|c| (c.limits.control_frame_burst, c.limits.control_frames_per_second) = (5, 1))
            .await;
    let (mut pinger, mut other) = (hub.connect().await, hub.connect().await);
    for n in 0..6_u8 {
        pinger.say(Message::Ping(vec![n].into())).await;
    }
    for n in 0..5_u8 {
        assert_eq!(pinger.next_message().await, Message::Pong(vec![n].into()));
    }
    assert_eq!(pinger.closed().await, 1008);
    hub.wait_for_metric(FLOOD).await;
    other.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn pongs_that_nobody_asked_for_close_with_1008() {
    let hub = TestHub::start().await;
    let mut ponger = hub.connect().await;
    for _ in 0..100 {
        ponger.say(Message::Pong("".into())).await;
    }
    assert_eq!(ponger.closed().await, 1008);
    hub.wait_for_metric(FLOOD).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_ping_flood_by_one_who_reads_nothing_ends_and_leaves_nothing_behind() {
    let hub = TestHub::start().await;
    let mut flooder = hub.connect().await;
    let pings: Vec<u8> = [&[0x89, 0xfd, 0, 0, 0, 0][..], &[7; 125]].concat().repeat(1_000);
    let flood = async { while flooder.tcp().write_all(&pings).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, flood).await.expect("the flood was taken for ever");
    hub.wait_for_metric(FLOOD).await;
    hub.wait_for_metric("bellwire_connections 0").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn no_limit_on_control_frames_is_none() {
    let hub = TestHub::start_with(|c| c.limits.control_frames_per_second = 0).await;
    let mut pinger = hub.connect().await;
    for _ in 0..500 {
        pinger.say(Message::Ping("".into())).await;
        assert_eq!(pinger.next_message().await, Message::Pong("".into()));
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_message_that_does_not_end_in_time_closes_with_1008_whatever_pings_come_between() {
    let hub = TestHub::start_with(|c| {
        c.limits.message_timeout_seconds = 1;
        c.limits.control_frames_per_second = 0;
    })
    .await;
    let mut slow = hub.connect().await;
    let begin = Frame::message(b"{".to_vec(), OpCode::Data(Data::Text), false);
    slow.say(Message::Frame(begin)).await;
    let closed = async {
        loop {
            slow.say(Message::Ping("".into())).await;
            match slow.next_message().await {
                Message::Pong(_) => {}
                Message::Close(frame) => return u16::from(frame.unwrap().code),
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, closed).await.unwrap(), 1008);
    hub.wait_for_metric("bellwire_connections_refused_total{reason=\"message_timeout\"} 1").await;

    // A frame whose bytes stop coming is no better than a fragment that does not.
    let mut dripping = hub.connect().await;
    dripping.tcp().write_all(&[0x81, 0xfe]).await.unwrap();
    assert_eq!(dripping.closed().await, 1008);
    hub.stop().await;
}

#[actix_rt::test]
async fn a_client_that_answers_our_goodbye_is_gone_at_once() {
    let hub = TestHub::start_with(|c| c.limits.auth_timeout_seconds = 1).await;
    let mut socket = hub.connect().await;
    assert_eq!(socket.closed().await, 4009);
    hub.wait_for_metric("bellwire_connections 0").await;
    assert!(!hub.metrics().await.contains("goodbye_unread"), "nobody had to cut it");
    hub.stop().await;
}

#[actix_rt::test]
async fn nothing_is_written_behind_a_goodbye_and_one_that_is_not_answered_is_cut() {
    let hub = TestHub::start_with(|c| c.limits.auth_timeout_seconds = 1).await;
    let mut socket = hub.connect().await;
    socket.join("news").await;
    let Message::Close(Some(goodbye)) = socket.next_message().await else { panic!("no goodbye") };
    assert_eq!(u16::from(goodbye.code), 4009);
    hub.publish("news", "n", "1").await;
    let mut behind = Vec::new();
    let reading = socket.tcp().read_to_end(&mut behind);
    tokio::time::timeout(PATIENCE, reading).await.expect("it was not cut").unwrap();
    assert!(behind.is_empty(), "{behind:?}");
    hub.wait_for_metric("bellwire_connections_refused_total{reason=\"goodbye_unread\"} 1").await;
    hub.wait_for_metric("bellwire_subscriptions 0").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn what_a_client_says_behind_our_goodbye_is_not_heard() {
    let hub = TestHub::start_with(|c| c.limits.auth_timeout_seconds = 1).await;
    let mut socket = hub.connect().await;
    while !matches!(socket.next_message().await, Message::Close(_)) {}
    let ping = br#"{"event":"pusher:ping"}"#;
    let mut frame = vec![0x81, 0x80 | u8::try_from(ping.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(ping);
    socket.tcp().write_all(&frame).await.unwrap();
    let mut behind = Vec::new();
    tokio::time::timeout(PATIENCE, socket.tcp().read_to_end(&mut behind)).await.unwrap().unwrap();
    assert!(behind.is_empty(), "{behind:?}");
    hub.stop().await;
}

#[actix_rt::test]
async fn handshakes_that_are_silent_or_drip_end_and_are_counted_and_others_connect_meanwhile() {
    let hub = TestHub::start_with(|c| c.server.handshake_timeout_seconds = 1).await;
    let mut slow = Vec::new();
    for n in 0..20 {
        let mut stream = tokio::net::TcpStream::connect(hub.address).await.unwrap();
        if n > 0 {
            stream.write_all(b"GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: x\r\nX: ").await.unwrap();
        }
        slow.push(stream);
    }
    let mut dripping = slow.pop().unwrap();
    let dripped = actix_rt::spawn(async move {
        while dripping.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    Socket::connect(hub.address, crate::support::hub::APP_KEY, "").await;
    for mut stream in slow {
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(PATIENCE, reading).await.expect("a slow handshake was kept");
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{answer:?}");
    }
    tokio::time::timeout(PATIENCE, dripped).await.expect("a dripping handshake was kept").unwrap();
    hub.wait_for_metric("bellwire_connections_refused_total{reason=\"slow_handshake\"} 20").await;
    hub.stop().await;
}
