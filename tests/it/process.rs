//! The process as an operator meets it: SIGTERM, and what stands in the logs.

use crate::support::caller::Caller;
use crate::support::receiver::{Answer, Receiver};
use crate::support::server::{CONFIG, Server};
use crate::support::socket::Socket;
use crate::support::{Program, until};
use serde_json::json;
use std::net::SocketAddr;

/// Of the settings that these tests serve with.
const APP_KEY: &str = "278d425bdf160c739803";
const APP_SECRET: &str = "7ad3773142a6692b25b8";

const ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn address(server: &Server) -> SocketAddr {
    server.url("").strip_prefix("http://").unwrap().parse().unwrap()
}

#[actix_rt::test]
async fn sigterm_closes_every_socket_with_4200_finishes_deliveries_and_exits_0() {
    let program = Program::new().with_config(CONFIG);
    let caller = Caller::made_by(&program).await;
    let mut receiver = Receiver::start(Answer::Slow(200, std::time::Duration::from_millis(300))).await;
    caller.subscribe(&program, &receiver.url(), "*").await;
    let server = Server::start(&program);
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(Socket::connect(address(&server), APP_KEY, "").await);
    }
    let product = json!({"name": "Rice", "sku": "A", "price": 1});
    assert_eq!(caller.post(&server.url("/api/v1/products"), &product).await.unwrap().0, 201);
    receiver.next().await;
    let ended = actix_rt::spawn(server.terminate());
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, 4200);
    }
    assert_eq!(ended.await.unwrap().code(), Some(0));
    assert!(receiver.already().is_none(), "the delivery in flight was not taken as done");
}

#[actix_rt::test]
async fn no_token_and_no_secret_reaches_the_log_even_at_its_most_talkative() {
    let program = Program::new().with_config(CONFIG).with_env("RUST_LOG", "trace");
    let caller = Caller::made_by(&program).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let webhook_secret = caller.subscribe(&program, &receiver.url(), "*").await;
    let own = json!({"headers": {"X-Shop": "HEADERCANARY"}, "encryption_key": ENCRYPTION_KEY,
        "auth": {"type": "api_key", "header": "X-Key", "value": "APIKEYCANARY"}});
    std::fs::write(program.folder().join("own.json"), own.to_string()).unwrap();
    let url = receiver.url();
    let create = ["webhook", "create", "--tenant", &caller.tenant, "--url", &url, "--events", "*"];
    program.json(&[&create[..], &["--secrets", "own.json"]].concat()).await;
    let server = Server::start(&program);
    let wrong = "7|WRONGTOKENCANARY";

    let query = |token: &str| format!("&token={}", token.replace('|', "%7C"));
    let mut socket = Socket::connect(address(&server), APP_KEY, &query(&caller.token)).await;
    socket.event("pusher:subscribe", json!({"channel": "private-a", "auth": "k:BADAUTHCANARY"})).await;
    socket.expect("pusher:subscription_error").await;
    let path = format!("/app/{APP_KEY}?protocol=7{}", query(wrong));
    assert_eq!(Socket::raw(address(&server), &path).await.closed().await, 4009);
    let product = json!({"name": "Rice", "sku": "A", "price": 1});
    caller.post(&server.url("/api/v1/products"), &product).await.unwrap();
    let refused = awc::Client::default().get(server.url("/api/v1/products")).bearer_auth(wrong).send().await;
    assert_eq!(refused.unwrap().status(), 401);
    let carries_key =
        [receiver.next().await, receiver.next().await].map(|r| r.header("x-key") == "APIKEYCANARY");
    assert_ne!(carries_key[0], carries_key[1], "one of the two endpoints has a key");
    until("the log speaks of the webhook", async || server.log().contains("webhook")).await;

    let log = server.log();
    let secret_of = |token: &str| token.split_once('|').unwrap().1.to_owned();
    let own =
        ["BADAUTHCANARY", "HEADERCANARY", "APIKEYCANARY", ENCRYPTION_KEY, APP_SECRET].map(str::to_owned);
    let secrets = [secret_of(&caller.token), secret_of(wrong), webhook_secret];
    for secret in own.into_iter().chain(secrets) {
        let line = log.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
    assert!(log.lines().all(|line| line.starts_with('{')), "not a terminal, so one JSON object a line");
    assert_eq!(server.terminate().await.code(), Some(0));
}
