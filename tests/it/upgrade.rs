//! The moment at which a connection becomes a WebSocket: its session takes it over from the HTTP dispatcher, and nothing
//! that the client has said by then is lost.

use crate::support::hub::TestHub;
use crate::support::socket::PATIENCE;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const UPGRADE: &str = "GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A client's text frame, with a mask that changes nothing.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length <= 125);
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

fn subscribe(channel: &str) -> Vec<u8> {
    frame(&format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}"}}}}"#))
}

/// Sends all this at once, and reads until the answer has `expected` in it.
async fn ask(address: SocketAddr, request: &[u8], expected: &[&str]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let reading = async {
        loop {
            let so_far = String::from_utf8_lossy(&answer).into_owned();
            if expected.iter().all(|expected| so_far.contains(expected)) {
                return so_far;
            }
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "it ended: {so_far}");
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("no such answer")
}

#[actix_rt::test]
async fn what_a_client_says_before_it_is_answered_is_heard() {
    let hub = TestHub::start().await;
    let many: Vec<String> = (0..50).map(|n| format!("news-{n}")).collect();
    let ahead = many.iter().flat_map(|channel| subscribe(channel));
    let request: Vec<u8> = UPGRADE.bytes().chain(ahead).collect();
    let answer = ask(hub.address, &request, &["subscription_succeeded", "news-49"]).await;
    let places: Vec<usize> =
        many.iter().map(|channel| answer.find(&format!(r#""{channel}""#)).expect("each")).collect();
    assert!(places.is_sorted(), "in order");
    hub.stop().await;
}

#[actix_rt::test]
async fn a_connection_may_become_a_websocket_after_other_requests_sent_in_one_go() {
    let hub = TestHub::start().await;
    let request = [b"GET /up HTTP/1.1\r\nHost: x\r\n\r\n", UPGRADE.as_bytes(), &subscribe("news")].concat();
    let answer = ask(hub.address, &request, &["subscription_succeeded"]).await;
    let at = |text: &str| answer.find(text).expect("all three");
    assert!(at("HTTP/1.1 200") < at("HTTP/1.1 101") && at("HTTP/1.1 101") < at("connection_established"));
    hub.stop().await;
}

#[actix_rt::test]
async fn a_client_that_leaves_before_it_is_answered_leaves_nothing_behind() {
    let hub = TestHub::start().await;
    for _ in 0..50 {
        let mut stream = TcpStream::connect(hub.address).await.unwrap();
        stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    }
    let mut client = hub.connect().await;
    client.join("news").await;
    hub.wait_for_metric("bellwire_connections 1").await;
    hub.stop().await;
}
