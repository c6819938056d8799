//! The stack's traps: readers that stop, frames that lie about their length, connections that pile up.

use crate::support::hub::{APP_KEY, TestHub};
use crate::support::socket::{PATIENCE, Socket};
use socket2::{Domain, Socket as RawSocket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A client with a small receive buffer that subscribes to `news` and never reads again.
async fn stopped_reader(address: SocketAddr) -> TcpStream {
    // It blocks, and the hub must go on meanwhile.
    actix_rt::task::spawn_blocking(move || stop_reading(address)).await.unwrap()
}

fn stop_reading(address: SocketAddr) -> TcpStream {
    let socket = RawSocket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let upgrade = format!(
        "GET /app/{APP_KEY}?protocol=7 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(upgrade.as_bytes()).unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    let subscribe = r#"{"event":"pusher:subscribe","data":{"channel":"news"}}"#;
    stream.write_all(&masked(0x81, subscribe.as_bytes())).unwrap();
    stream
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(payload);
    frame
}

#[actix_rt::test]
async fn a_reader_that_stops_is_cut_off_at_its_budget_and_the_others_get_everything() {
    let hub = TestHub::start().await;
    let mut good = hub.connect().await;
    good.join("news").await;
    let _slow = stopped_reader(hub.address).await;
    hub.wait_for_metric("bellwire_subscriptions 2").await;
    let data = "x".repeat(10_000);
    for _ in 0..200 {
        hub.publish("news", "n", &data).await;
        good.expect("n").await;
    }
    hub.wait_for_metric("bellwire_connections_refused_total{reason=\"slow_consumer\"} 1").await;
    // Its actor was frozen: only the shutdown of the socket under it ends it.
    hub.wait_for_metric("bellwire_connections 1").await;
    hub.wait_for_metric("bellwire_subscriptions 1").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_reader_that_stops_below_its_budget_is_cut_off_when_it_makes_no_progress() {
    let hub = TestHub::start_with(|c| {
        c.limits.queue_bytes = 64 << 20;
        c.limits.stall_seconds = 1;
    })
    .await;
    let _slow = stopped_reader(hub.address).await;
    hub.wait_for_metric("bellwire_subscriptions 1").await;
    let data = "x".repeat(10_000);
    for _ in 0..100 {
        hub.publish("news", "n", &data).await;
    }
    hub.wait_for_metric("bellwire_connections_refused_total{reason=\"stalled\"} 1").await;
    hub.wait_for_metric("bellwire_connections 0").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_jammed_reader_does_not_hold_up_a_drain() {
    let mut hub = TestHub::start_with(|c| c.limits.queue_bytes = 64 << 20).await;
    let _slow = stopped_reader(hub.address).await;
    hub.wait_for_metric("bellwire_subscriptions 1").await;
    let data = "x".repeat(10_000);
    for _ in 0..100 {
        hub.publish("news", "n", &data).await;
    }
    let began = Instant::now();
    hub.begin_drain();
    hub.stop().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[actix_rt::test]
async fn a_declared_400_mib_frame_is_cut_at_its_header_and_costs_no_memory() {
    let hub = TestHub::start().await;
    let mut liar = hub.connect().await;
    let before = resident_mib();
    let mut header = vec![0x81, 0x80 | 127];
    header.extend((400_u64 << 20).to_be_bytes());
    header.extend([0; 4]);
    let address = hub.address;
    send_until_cut(liar.tcp(), &header, &vec![0; 65_536], 4 << 30).await;
    assert!(resident_mib() < before + 32, "{} MiB after {before}", resident_mib());
    Socket::connect(address, APP_KEY, "").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_million_small_fragments_are_cut_at_the_fragment_limit() {
    let hub = TestHub::start().await;
    let mut bomber = hub.connect().await;
    let before = resident_mib();
    let first = masked(0x01, b"x");
    let more: Vec<u8> = std::iter::repeat_n(masked(0x00, b"x"), 10_000).flatten().collect();
    send_until_cut(bomber.tcp(), &first, &more, 4 << 30).await;
    assert!(resident_mib() < before + 32, "{} MiB after {before}", resident_mib());
    hub.wait_for_metric("bellwire_connections 0").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn more_connections_than_the_server_holds_are_refused_with_503() {
    let hub = TestHub::start_with(|c| c.limits.connections = 2).await;
    let (_one, _two) = (hub.connect().await, hub.connect().await);
    let refused = Socket::try_raw(hub.address, "/app/app-key?protocol=7", &[]).await;
    assert_eq!(refused.err(), Some(503));
    hub.stop().await;
}

#[actix_rt::test]
async fn a_client_that_ignores_its_goodbye_keeps_no_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let hub = TestHub::start_with(|c| c.limits.auth_timeout_seconds = 1).await;
    for (path, code) in [("/app/nobody?protocol=7", 4001_u16), ("/app/app-key?protocol=7", 4009)] {
        let mut stream = tokio::net::TcpStream::connect(hub.address).await.unwrap();
        let upgrade = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap().unwrap();
        let code = code.to_be_bytes();
        assert!(said.windows(2).any(|pair| pair == code), "{path}: the goodbye came before the end");
    }
    hub.stop().await;
}

/// Sends `head` and then `chunk` again and again until the other side ends the connection, which it must do
/// before it has been sent so many bytes (it reads on, and forgets, for the moment that a goodbye lingers).
async fn send_until_cut(stream: &mut tokio::net::TcpStream, head: &[u8], chunk: &[u8], most: usize) {
    use tokio::io::AsyncWriteExt;
    stream.write_all(head).await.unwrap();
    let mut sent = 0;
    while sent < most {
        let writing = tokio::time::timeout(PATIENCE, stream.write_all(chunk));
        if writing.await.expect("neither taken nor ended").is_err() {
            return;
        }
        sent += chunk.len();
    }
    panic!("{sent} bytes were taken");
}

/// Resident memory of this process, which the hub runs in.
fn resident_mib() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096 / (1 << 20)
}
