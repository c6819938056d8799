//! One attempt against receivers that do everything wrong: it ends in time, in bounds, and says what happened.

use super::world::SECRET;
use crate::support::receiver::{Answer, Certificate, Receiver};
use bellwire::config::Webhooks;
use bellwire::domain::{Clock, Secret};
use bellwire::webhooks::client::{Client, Outbound, Post};
use bellwire::webhooks::outcome::{Outcome, Report};
use bellwire::webhooks::signing::Signer;
use rustls::RootCertStore;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_millis(300);

fn post(url: &str) -> Post {
    let body = br#"{"event":"product:updated","data":{}}"#;
    let signatures = Signer::new(Secret::new(SECRET)).unwrap().sign("msg_1", Clock::System.now(), body);
    Post {
        url: url.parse().unwrap(),
        body: body.as_slice().into(),
        headers: signatures.headers("msg_1"),
        own_headers: Vec::new(),
        timeout: LIMIT,
    }
}

fn client(allowed: &[&str], roots: RootCertStore) -> Client {
    let allowed_networks = allowed.iter().map(|net| net.parse().unwrap()).collect();
    let config = Webhooks { allowed_networks, ..Webhooks::default() };
    Client::new(&Outbound::trusting(&config, roots).unwrap(), 8)
}

fn on_loopback() -> Client {
    client(&["127.0.0.0/8"], RootCertStore::empty())
}

/// The report of one attempt, which must not take longer than its limit and a little.
async fn send(client: &Client, url: &str) -> Report {
    let begun = Instant::now();
    let report = client.send(post(url)).await;
    assert!(begun.elapsed() < LIMIT + Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(report.error.is_none(), report.outcome == Outcome::Ok);
    report
}

async fn answered(answer: Answer) -> Report {
    let receiver = Receiver::start(answer).await;
    send(&on_loopback(), &receiver.url()).await
}

#[actix_rt::test]
async fn any_2xx_is_a_success() {
    for status in [200, 201, 202, 204, 299] {
        assert_eq!(answered(Answer::Status(status)).await.outcome, Outcome::Ok, "{status}");
    }
}

#[actix_rt::test]
async fn any_other_status_is_a_failure_with_its_body_kept() {
    for status in [400, 401, 404, 410, 429, 500, 503] {
        let report = answered(Answer::Body(status, b"a\0b\xff".to_vec())).await;
        assert_eq!((report.outcome, report.status), (Outcome::Http, Some(status)));
        assert_eq!(report.body.as_deref(), Some("ab\u{fffd}"));
    }
}

#[actix_rt::test]
async fn a_redirect_is_not_followed() {
    let mut aim = Receiver::start(Answer::Status(200)).await;
    let location: &'static str = Box::leak(format!("location: {}\r\n", aim.url()).into_boxed_str());
    for status in [301, 302, 303, 307, 308] {
        let report = answered(Answer::Headers(status, location, Vec::new())).await;
        assert_eq!((report.outcome, report.status), (Outcome::Redirect, Some(status)));
    }
    assert!(aim.already().is_none() && aim.connections() == 0);
}

#[actix_rt::test]
async fn silence_before_the_head_ends_in_time() {
    let report = answered(Answer::Hang).await;
    assert_eq!((report.outcome, report.status), (Outcome::Timeout, None));
}

#[actix_rt::test]
async fn a_body_that_drips_ends_in_time() {
    let report = answered(Answer::Drip).await;
    assert_eq!((report.outcome, report.status), (Outcome::Timeout, Some(200)));
    assert!(report.body.unwrap().starts_with("xxx"));
}

#[actix_rt::test]
async fn an_endless_body_is_left_at_its_limit() {
    let receiver = Receiver::start(Answer::Flood).await;
    let report = send(&on_loopback(), &receiver.url()).await;
    assert_eq!((report.outcome, report.status), (Outcome::Ok, Some(200)));
    assert_eq!(report.body.map(|b| b.len()), Some(4_096));
    // What the two sockets hold is beyond our counting; 10 GB were offered.
    assert!(receiver.sent() < 20_000_000, "{}", receiver.sent());
}

#[actix_rt::test]
async fn a_gzip_bomb_is_not_inflated() {
    let bomb = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff".to_vec();
    let mut receiver = Receiver::start(Answer::Headers(200, "content-encoding: gzip\r\n", bomb)).await;
    let report = send(&on_loopback(), &receiver.url()).await;
    assert_eq!(report.outcome, Outcome::Ok);
    assert!(report.body.unwrap().starts_with('\u{1f}'), "the bytes are kept as they came");
    assert_eq!(receiver.next().await.header("accept-encoding"), "identity");
}

#[actix_rt::test]
async fn a_refused_connection_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let report = send(&on_loopback(), &url).await;
    assert_eq!(report.outcome, Outcome::Connect);
    assert_eq!(report.error.as_deref(), Some("No connection could be made: connection refused."));
}

#[actix_rt::test]
async fn a_name_that_does_not_exist_is_told() {
    assert_eq!(send(&on_loopback(), "http://name.invalid/").await.outcome, Outcome::Dns);
}

#[actix_rt::test]
async fn a_connection_that_closes_without_an_answer_is_told() {
    assert_eq!(answered(Answer::Close).await.outcome, Outcome::Closed);
    assert_eq!(answered(Answer::Raw(b"HTTP/1.1 200 O")).await.outcome, Outcome::Closed);
}

#[actix_rt::test]
async fn a_connection_that_is_reset_is_told() {
    let report = answered(Answer::Reset).await;
    assert_eq!((report.outcome, report.status), (Outcome::Closed, None));
}

#[actix_rt::test]
async fn what_is_not_http_is_told() {
    assert_eq!(answered(Answer::Raw(b"220 mail.example ESMTP\r\n\r\n")).await.outcome, Outcome::Protocol);
    let endless_head: &'static str = Box::leak("x-pad: 0123456789\r\n".repeat(20_000).into_boxed_str());
    assert_eq!(answered(Answer::Headers(200, endless_head, Vec::new())).await.outcome, Outcome::Protocol);
}

#[actix_rt::test]
async fn a_body_that_breaks_off_is_told() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
    let report = answered(Answer::Raw(half)).await;
    assert_eq!((report.outcome, report.status), (Outcome::Body, Some(200)));
    assert_eq!(report.body.as_deref(), Some("half"));
    let bad_chunk = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    assert_eq!(answered(Answer::Raw(bad_chunk)).await.outcome, Outcome::Body);
}

#[actix_rt::test]
async fn a_trusted_certificate_is_accepted() {
    let certificate = Certificate::new("localhost");
    let receiver = Receiver::start_tls(Answer::Status(200), &certificate).await;
    let client = client(&["127.0.0.0/8"], certificate.roots());
    for _ in 0..2 {
        assert_eq!(send(&client, &receiver.url_at("localhost")).await.outcome, Outcome::Ok);
    }
    assert_eq!(receiver.connections(), 1);
}

#[actix_rt::test]
async fn bad_tls_is_told() {
    let certificate = Certificate::new("localhost");
    let receiver = Receiver::start_tls(Answer::Status(200), &certificate).await;
    let unknown = send(&on_loopback(), &receiver.url_at("localhost")).await;
    assert_eq!(unknown.outcome, Outcome::Tls, "{unknown:?}");
    assert!(unknown.error.unwrap().contains("invalid peer certificate"));

    let trusting = client(&["127.0.0.0/8"], certificate.roots());
    assert_eq!(
        send(&trusting, &receiver.url()).await.outcome,
        Outcome::Tls,
        "a certificate for another name"
    );

    let plain = Receiver::start(Answer::Status(200)).await;
    let url = plain.url().replace("http:", "https:");
    let report = send(&trusting, &url).await;
    assert!(matches!(report.outcome, Outcome::Tls | Outcome::Timeout), "no TLS at all: {report:?}");
}

#[actix_rt::test]
async fn a_tls_handshake_that_hangs_ends_in_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    assert_eq!(send(&on_loopback(), &url).await.outcome, Outcome::Timeout);
}

#[actix_rt::test]
async fn a_private_address_is_refused_in_every_spelling() {
    let receiver = Receiver::start(Answer::Status(200)).await;
    let strict = client(&[], RootCertStore::empty());
    let hosts =
        ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]"];
    for host in hosts.into_iter().chain(["[::ffff:7f00:1]", "localhost", "0.0.0.0", "[::]"]) {
        let report = send(&strict, &receiver.url_at(host)).await;
        // Whatever is not an address as it stands is a name, and of names nothing is told.
        let is_address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
        let class = if is_address { Outcome::Blocked } else { Outcome::Dns };
        assert_eq!(report.outcome, class, "{host}");
        let told = report.error.unwrap();
        assert!(told.contains("webhooks.allowed_networks") == is_address && !told.contains("127"), "{told}");
    }
    for url in ["http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/"] {
        assert_eq!(send(&strict, url).await.outcome, Outcome::Blocked, "{url}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[actix_rt::test]
async fn a_connection_is_used_again_unless_the_receiver_closes_it() {
    let receiver = Receiver::start(Answer::Body(200, b"ok".to_vec())).await;
    let client = on_loopback();
    for _ in 0..5 {
        assert_eq!(send(&client, &receiver.url()).await.outcome, Outcome::Ok);
    }
    assert_eq!(receiver.connections(), 1);

    let receiver = Receiver::start(Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    for _ in 0..3 {
        assert_eq!(send(&client, &receiver.url()).await.outcome, Outcome::Ok);
    }
    assert!(receiver.connections() >= 2);
}
