//! Deliveries to where none may go, as real attempts: refused whatever the spelling, at every attempt anew, with the
//! reason in the server's log and nothing of the inner network in what the endpoint's owner is told.

use super::world::{World, loopback, start};
use crate::support::receiver::{Answer, Receiver};
use crate::support::server::{CONFIG, Server};
use crate::support::{Caller, Program, TestDb, until};
use bellwire::config::Webhooks;
use bellwire::domain::Clock;
use bellwire::storage::Conn;
use bellwire::webhooks::Resolve;
use bellwire::webhooks::client::Outbound;
use diesel_async::RunQueryDsl;
use futures_util::future::BoxFuture;
use serde_json::json;
use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

on_both_databases!(
    a_private_address_is_refused_in_every_spelling_that_a_row_may_hold,
    a_name_is_looked_up_and_judged_at_each_attempt,
);

/// A name server that gives one answer after another, and the last one for ever.
pub(super) struct Fickle(Mutex<VecDeque<Vec<IpAddr>>>);

impl Fickle {
    pub(super) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(answers.iter().map(parse).collect())))
    }
}

impl Resolve for Fickle {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(std::future::ready(answer.ok_or_else(|| io::ErrorKind::NotFound.into())))
    }
}

/// Past the door, which would bring a URL to one spelling.
async fn set_url(world: &World, url: &str) {
    let statement = format!("UPDATE webhooks SET url = '{url}'");
    let update = async |conn: &mut Conn| {
        let query = diesel::sql_query(statement);
        Ok(on_conn!(conn, c => query.execute(c).await)?)
    };
    world.db.transaction(update).await.unwrap();
}

async fn a_private_address_is_refused_in_every_spelling_that_a_row_may_hold(db: TestDb) {
    let world =
        World::with(db, Clock::fixed(start()), Webhooks { breaker_threshold: 10, ..Webhooks::default() })
            .await;
    let receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let hosts = ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "[::ffff:127.0.0.1]", "localhost"];
    for (count, host) in (1..).zip(hosts) {
        set_url(&world, &receiver.url_at(host)).await;
        world.publish(&endpoint, "{}").await;
        world.rows_when(|rows| rows.len() == count && rows.iter().all(|row| row.attempts == 1)).await;
    }
    let log = world.log().await;
    assert_eq!(log.len(), hosts.len());
    for (one, host) in log.into_iter().zip(hosts) {
        let told = one.error.unwrap();
        // Whatever is not an address as it stands is a name, and of names nothing is told.
        let class = if host.starts_with('[') { "blocked" } else { "dns" };
        assert_eq!(one.outcome, class, "{host}: {told}");
        assert!(!told.contains("127"), "{told}");
    }
    assert_eq!(receiver.connections(), 0);
}

async fn a_name_is_looked_up_and_judged_at_each_attempt(db: TestDb) {
    let config = Webhooks { allowed_networks: vec!["127.0.0.1/32".parse().unwrap()], ..loopback() };
    // What may be reached stands for a public address; then the name points inwards, alone and beside the other.
    let names = Fickle::new(&[&["127.0.0.1"], &["127.0.0.2"], &["10.0.0.1", "127.0.0.1"]]);
    let outbound = Outbound::resolving(&config, names).unwrap();
    let world = World::dialling(db, Clock::fixed(start()), config, outbound).await;
    let closing = b"HTTP/1.1 500 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let receiver = Receiver::start(Answer::Raw(closing)).await;
    let endpoint = world.endpoint(&receiver.url_at("shop.example")).await;
    world.publish(&endpoint, "{}").await;
    for attempts in 1..=2 {
        let row = world.row_after(attempts).await;
        world.clock.advance(row.due_at.since(world.clock.now()));
        world.sender.wake(&[endpoint.id]);
    }
    world.row_after(3).await;
    let log = world.log().await;
    let outcomes: Vec<&str> = log.iter().map(|one| one.outcome.as_str()).collect();
    assert_eq!(outcomes, ["http", "dns", "http"], "as if the name did not exist");
    assert_eq!(receiver.connections(), 2, "only what may be reached was dialled");
    assert!(!log[1].error.as_deref().unwrap().contains("127"));
}

#[actix_rt::test]
async fn the_servers_log_names_the_address_that_was_refused_and_why() {
    let strict = CONFIG.replace("allowed_networks = [\"127.0.0.0/8\"]", "");
    let program = Program::new().with_config(&strict);
    let caller = Caller::made_by(&program).await;
    let receiver = Receiver::start(Answer::Status(200)).await;
    caller.subscribe(&program, &receiver.url_at("localhost"), "*").await;
    let server = Server::start(&program);
    let product = json!({"name": "Rice", "sku": "A", "price": 1});
    caller.post(&server.url("/api/v1/products"), &product).await.unwrap();
    let told = async || {
        let log = server.log();
        let mut lines = log.lines();
        lines.any(|line| line.contains("its address is private") && line.contains("127.0.0.1"))
    };
    until("the log tells the address", told).await;
    assert_eq!(receiver.connections(), 0);
}

#[actix_rt::test]
async fn a_url_that_the_settings_do_not_allow_is_refused_when_it_is_saved() {
    let strict = CONFIG.replace("[webhooks]", "[webhooks]\nhttps_only = true\nallowed_ports = [\"443\"]");
    let program = Program::new().with_config(&strict);
    let caller = Caller::made_by(&program).await;
    for (url, rule) in [
        ("http://a.example/", "webhooks.https_only"),
        ("https://a.example:8443/", "webhooks.allowed_ports"),
        ("https://ana:secret@a.example/", "user name or password"),
    ] {
        let create = ["webhook", "create", "--tenant", &caller.tenant, "--url", url, "--events", "*"];
        let answer = program.run(&create).await;
        assert_eq!(answer.code, 1, "{url}");
        assert!(answer.stderr.contains(rule), "{url}: {}", answer.stderr);
    }
    caller.subscribe(&program, "https://a.example/", "*").await;
}
