//! Redis servers that refuse, servers that are none, and addresses that may not be dialled: each attempt ends in time,
//! in bounds, and says what happened.

use super::dialling::Fickle;
use super::world::{Log, World, loopback, start};
use crate::support::{Redis, TestDb};
use bellwire::config::Webhooks;
use bellwire::domain::Clock;
use bellwire::webhooks::client::Outbound;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

on_both_databases!(a_name_is_looked_up_and_judged_at_each_attempt);

/// What a server that is no Redis does with a connection.
#[derive(Clone, Copy)]
enum Manner {
    /// Nothing, for ever.
    Hang,
    /// It closes the connection once it was asked something.
    Close,
    /// It says this, and no more.
    Say(&'static [u8]),
    /// It says this, and then goes on for ever.
    Flood(&'static [u8]),
}

/// A server with bad manners.
struct Impostor {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl Impostor {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, sent) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (counted, bytes) = (Arc::clone(&connections), Arc::clone(&sent));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(behave(stream, manner, Arc::clone(&bytes)));
            }
        });
        Self { address, connections, sent }
    }

    fn url(&self) -> String {
        format!("redis://{}?stream=s", self.address)
    }
}

async fn behave(mut stream: TcpStream, manner: Manner, sent: Arc<AtomicUsize>) {
    let mut asked = [0; 1_024];
    let _ = stream.read(&mut asked).await;
    match manner {
        Manner::Hang => std::future::pending().await,
        Manner::Close => {}
        Manner::Say(bytes) => {
            let _ = stream.write_all(bytes).await;
            std::future::pending::<()>().await;
        }
        Manner::Flood(bytes) => {
            let mut goes_on = stream.write_all(bytes).await.is_ok();
            while goes_on {
                goes_on = stream.write_all(&[b'x'; 16_384]).await.is_ok();
                sent.fetch_add(16_384, Ordering::SeqCst);
            }
        }
    }
}

fn stream(url: &str) -> Value {
    json!({"url": url, "strategy": "redis_stream"})
}

/// The attempt that a new endpoint's first delivery comes to, which must not take much longer than its second.
async fn attempt(said: Value) -> Log {
    let world = World::today(TestDb::sqlite().await).await;
    let endpoint = world.endpoint_as(said).await;
    let begun = Instant::now();
    world.publish(&endpoint, "{}").await;
    let row = world.row_after(1).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!((row.status.as_str(), row.lease_owner), ("pending", None));
    world.log().await.remove(0)
}

#[actix_rt::test]
async fn what_redis_refuses_is_a_failure_with_its_words_kept() {
    let redis = Redis::start_with(&["--requirepass", "right"]);
    let mut client = redis.client_with("right").await;
    client.ask(&["SET", "taken", "x"]).await;
    client.ask(&["ACL", "SETUSER", "poor", "on", ">p", "~*", "+select"]).await;
    let as_user = |rest: &str, username: &str, password: &str| {
        let mut said = stream(&redis.url(rest));
        said["auth"] = json!({"type": "basic", "username": username, "password": password});
        said
    };
    let right = |rest: &str| as_user(rest, "default", "right");
    for (said, words) in [
        (stream(&redis.url("?stream=s")), "ERR Protocol error: unauthenticated"),
        (as_user("?stream=s", "default", "CANARY"), "WRONGPASS "),
        (as_user("?stream=s", "nobody", "CANARY"), "WRONGPASS "),
        (as_user("?stream=s", "poor", "p"), "NOPERM "),
        (right("?stream=taken"), "WRONGTYPE Operation against a key holding the wrong kind of value"),
        (right("/99?stream=s"), "ERR DB index is out of range"),
    ] {
        let log = attempt(said).await;
        assert_eq!((log.outcome.as_str(), log.status), ("redis", None), "{log:?}");
        let (body, error) = (log.body.unwrap(), log.error.unwrap());
        assert!(body.starts_with(words), "{body}");
        assert!(error.starts_with(&format!("Redis answered with an error: {words}")), "{error}");
        assert!(!format!("{body}{error}").contains("CANARY"));
    }
    client.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(attempt(right("?stream=s")).await.body.unwrap().starts_with("OOM "));
    client.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
    client.ask(&["REPLICAOF", "127.0.0.1", "1"]).await;
    assert!(attempt(right("?stream=s")).await.body.unwrap().starts_with("READONLY "));
}

#[actix_rt::test]
async fn a_server_that_is_no_redis_fails_in_time_and_in_bounds() {
    for (n, (manner, outcome)) in (1..).zip([
        (Manner::Hang, "timeout"),
        (Manner::Say(b"$10\r\n123"), "timeout"),
        (Manner::Say(b"*2000000000\r\n"), "timeout"),
        (Manner::Close, "closed"),
        (Manner::Say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "protocol"),
        (Manner::Say(b":1\r\n"), "protocol"),
        (Manner::Say(b"*0\r\n"), "protocol"),
        (Manner::Say(b"$-1\r\n"), "protocol"),
        (Manner::Say(b"|-1\r\n"), "timeout"),
        (Manner::Say(b"\xff\xfe"), "protocol"),
        (Manner::Flood(b"$500000000\r\n"), "protocol"),
        (Manner::Flood(b"+"), "protocol"),
        (Manner::Flood(b"*9000000000000000000\r\n"), "protocol"),
    ]) {
        let impostor = Impostor::start(manner).await;
        let log = attempt(stream(&impostor.url())).await;
        assert_eq!((log.outcome.as_str(), log.body), (outcome, None), "{n}: {:?}", log.error);
        // What the two sockets hold is beyond our counting; it would have gone on for a second.
        let sent = impostor.sent.load(Ordering::SeqCst);
        assert!(sent < 20_000_000, "{sent}");
    }
}

#[actix_rt::test]
async fn a_password_that_redis_repeats_is_not_kept() {
    let echo = b"-ERR unknown command `AUTH`, with args beginning with: `ann`, `CANARY`, \r\n";
    let impostor = Impostor::start(Manner::Say(echo)).await;
    let mut said = stream(&impostor.url());
    said["auth"] = json!({"type": "basic", "username": "ann", "password": "CANARY"});
    let log = attempt(said).await;
    assert_eq!((log.outcome.as_str(), log.body.as_deref()), ("redis", Some("ERR (to AUTH)")));
    assert!(!log.error.unwrap().contains("CANARY"));
}

#[actix_rt::test]
async fn an_answer_that_is_no_entrys_id_is_not_taken_for_one() {
    for said in [b"+QUEUED\r\n".as_slice(), b"$4\r\nPONG\r\n", b"+1-2\r\n"] {
        let impostor = Impostor::start(Manner::Say(said)).await;
        assert_eq!(attempt(stream(&impostor.url())).await.outcome, "protocol");
    }
}

#[actix_rt::test]
async fn an_error_without_end_is_kept_to_its_bound() {
    let long = Box::leak(format!("-ERR {}\r\n", "x".repeat(6_000)).into_boxed_str());
    let impostor = Impostor::start(Manner::Say(long.as_bytes())).await;
    let log = attempt(stream(&impostor.url())).await;
    assert_eq!((log.outcome.as_str(), log.body.unwrap().len()), ("redis", 4_096));
    assert_eq!(log.error.unwrap().len(), 200);
}

#[actix_rt::test]
async fn where_nobody_listens_is_no_connection() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let log = attempt(stream(&format!("redis://{free}?stream=s"))).await;
    assert_eq!(log.outcome, "connect", "{log:?}");
    let log = attempt(stream("redis://name.invalid?stream=s")).await;
    assert_eq!(log.outcome, "dns", "{log:?}");
}

#[actix_rt::test]
async fn a_private_address_is_refused_in_every_spelling() {
    let config = Webhooks { breaker_threshold: 10, redis_streams: true, ..Webhooks::default() };
    let world = World::with(TestDb::sqlite().await, Clock::fixed(start()), config).await;
    let impostor = Impostor::start(Manner::Close).await;
    for (count, host) in (1..).zip(["127.1", "0x7f000001", "localhost", "[::ffff:127.0.0.1]", "[::1]"]) {
        let url = format!("redis://{host}:{}?stream=s", impostor.address.port());
        world.endpoint_as(stream(&url)).await;
        world.sweep();
        world.commit("{}").await;
        world
            .rows_when(|rows| rows.iter().filter(|row| row.attempts == 1).count() == count * (count + 1) / 2)
            .await;
    }
    for one in world.log().await {
        let told = one.error.unwrap();
        // What is an address is told so; of names nothing is told.
        assert!(one.outcome == "blocked" || one.outcome == "dns", "{told}");
        assert!(!told.contains("127"), "{told}");
    }
    assert_eq!(impostor.connections.load(Ordering::SeqCst), 0);
}

#[actix_rt::test]
async fn what_the_settings_forbid_since_is_not_dialled() {
    let db = TestDb::sqlite().await;
    let impostor = Impostor::start(Manner::Close).await;
    let world = World::with(db, Clock::fixed(start()), loopback()).await;
    let endpoint = world.endpoint_as(stream(&impostor.url())).await;
    world.sender.endpoints.drain(Duration::from_secs(9)).await;
    world.commit("{}").await;
    let strict = Webhooks { https_only: true, secret_keys: world.config.secret_keys.clone(), ..loopback() };
    let next = super::world::Sender::start(world.db.open_another(), world.clock.clone(), &strict).await;
    next.wake(&[endpoint.id]);
    world.row_after(1).await;
    let log = world.log().await;
    assert_eq!(log[0].outcome, "blocked");
    assert!(log[0].error.as_ref().unwrap().contains("rediss://"), "{log:?}");
    assert_eq!(impostor.connections.load(Ordering::SeqCst), 0);
}

async fn a_name_is_looked_up_and_judged_at_each_attempt(db: TestDb) {
    let config = Webhooks { allowed_networks: vec!["127.0.0.1/32".parse().unwrap()], ..loopback() };
    // What may be reached stands for a public address; then the name points inwards, alone and beside the other.
    let names = Fickle::new(&[&["127.0.0.1"], &["127.0.0.2"], &["10.0.0.1", "127.0.0.1"]]);
    let outbound = Outbound::resolving(&config, names).unwrap();
    let world = World::dialling(db, Clock::fixed(start()), config, outbound).await;
    let impostor = Impostor::start(Manner::Close).await;
    let url = format!("redis://cache.example:{}?stream=s", impostor.address.port());
    let endpoint = world.endpoint_as(stream(&url)).await;
    world.publish(&endpoint, "{}").await;
    for attempts in 1..=2 {
        let row = world.row_after(attempts).await;
        world.clock.advance(row.due_at.since(world.clock.now()));
        world.sender.wake(&[endpoint.id]);
    }
    world.row_after(3).await;
    let log = world.log().await;
    let outcomes: Vec<&str> = log.iter().map(|one| one.outcome.as_str()).collect();
    assert_eq!(outcomes, ["closed", "dns", "closed"], "as if the name did not exist");
    assert_eq!(impostor.connections.load(Ordering::SeqCst), 2, "only what may be reached was dialled");
    assert!(!log[1].error.as_deref().unwrap().contains("127"));
}
