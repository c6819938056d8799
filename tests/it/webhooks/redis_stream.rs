//! Deliveries as entries of a stream of a real Redis: signed, read by a consumer group, and none lost while it is away.

use super::holding_back::{breaker, breaker_when};
use super::world::{SECRET, World, loopback, until};
use crate::support::receiver::Certificate;
use crate::support::redis::Entry;
use crate::support::{Redis, TestDb, until as come_true, until_within};
use bellwire::domain::Clock;
use bellwire::webhooks::breaker::Breaker;
use bellwire::webhooks::client::Outbound;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::http::HeaderMap;

on_both_databases!(
    a_consumer_group_reads_signed_entries,
    while_redis_is_away_the_schedule_and_the_breaker_hold_and_then_all_is_drained,
    entries_come_in_order_where_that_is_wanted,
);

fn stream(redis: &Redis, rest: &str) -> Value {
    json!({"url": redis.url(rest), "strategy": "redis_stream"})
}

/// Checks both signatures as receivers of webhooks do.
fn assert_signed((id, entry): &Entry) {
    let mut headers = HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, entry[name].parse().unwrap());
    }
    let verified = standardwebhooks::Webhook::new(SECRET).unwrap().verify(entry["body"].as_bytes(), &headers);
    assert!(verified.is_ok(), "{id} {entry:?}");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(entry["body"].as_bytes());
    assert_eq!(entry["x-webhook-signature"], hex::encode(mac.finalize().into_bytes()));
}

fn ids(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|(_, entry)| entry["webhook-id"].as_str()).collect()
}

async fn a_consumer_group_reads_signed_entries(db: TestDb) {
    let world = World::today(db).await;
    let redis = Redis::start();
    let endpoint = world.endpoint_as(stream(&redis, "/0?stream=shop:events")).await;
    let data = r#"{"b": 1.50,"a":"\u00e4"}"#;
    let message_id = world.publish(&endpoint, data).await;
    let row = world.row_after(1).await;
    assert_eq!((row.status.as_str(), row.lease_owner), ("delivered", None));

    let mut client = redis.client().await;
    let entries = client.read_group("shop:events", "erp").await;
    let [(id, entry)] = &entries[..] else { panic!("{entries:?}") };
    assert_signed(&entries[0]);
    assert_eq!((&entry["webhook-id"], entry["event"].as_str()), (&message_id, "product:updated"));
    assert_eq!(entry["body"], format!(r#"{{"event":"product:updated","data":{data}}}"#));
    assert_eq!(entry["webhook-timestamp"], world.clock.now().unix_seconds().to_string());
    assert_eq!(entry.len(), 6, "{entry:?}");
    assert_eq!(client.text(&["XACK", "shop:events", "erp", id]).await, "1");

    let log = world.log().await;
    assert_eq!((log.len(), log[0].outcome.as_str(), log[0].status), (1, "ok", None));
    assert_eq!((log[0].body.as_ref(), log[0].error.as_ref()), (Some(id), None), "the log has the entry's id");
    assert!(log[0].delivered_at.is_some());
    until(|| world.sender.attempts("ok") == 1).await;
}

async fn while_redis_is_away_the_schedule_and_the_breaker_hold_and_then_all_is_drained(db: TestDb) {
    let world = World::today(db).await;
    let mut redis = Redis::start();
    let endpoint = world.endpoint_as(stream(&redis, "?stream=s")).await;
    let mut committed = vec![world.publish(&endpoint, "0").await];
    world.row_after(1).await;
    redis.stop();
    for n in 1..20 {
        committed.push(world.commit(&n.to_string()).await);
    }
    world.sender.wake(&[endpoint.id]);
    let open = breaker_when(&world, &endpoint, |b| !b.is_closed()).await;
    assert_eq!(open.failures, 5);
    let rows = world.rows_when(|rows| rows.iter().all(|row| row.lease_owner.is_none())).await;
    assert_eq!(rows.iter().map(|row| row.attempts).sum::<i32>(), 1 + 5, "those that wait were not tried");
    let log = world.log().await;
    assert!(log[1..].iter().all(|one| one.outcome == "connect" || one.outcome == "closed"), "{log:?}");

    redis.start_again();
    let _sweep = world.sweep();
    world.clock.advance(Duration::from_hours(1));
    world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered")).await;
    assert_eq!(breaker(&world, &endpoint).await, Breaker::default());
    let entries = redis.client().await.read_group("s", "g").await;
    let mut found = ids(&entries);
    found.sort_unstable();
    committed.sort_unstable();
    assert_eq!(found, committed, "each once");
}

async fn entries_come_in_order_where_that_is_wanted(db: TestDb) {
    let world = World::today(db).await;
    let redis = Redis::start();
    let mut said = stream(&redis, "?stream=s");
    said["is_ordered"] = true.into();
    let endpoint = world.endpoint_as(said).await;
    let mut committed = Vec::new();
    for n in 0..30 {
        committed.push(world.commit(&n.to_string()).await);
    }
    world.sender.wake(&[endpoint.id]);
    world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered")).await;
    assert_eq!(ids(&redis.client().await.read_group("s", "g").await), committed);
}

#[actix_rt::test]
async fn a_stream_is_cut_back_to_about_what_it_may_hold_over_few_connections() {
    let world = World::today(TestDb::sqlite().await).await;
    let redis = Redis::start();
    let endpoint = world.endpoint_as(stream(&redis, "?stream=s&maxlen=10")).await;
    for n in 0..500 {
        world.commit(&n.to_string()).await;
    }
    world.sender.wake(&[endpoint.id]);
    world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered")).await;
    let mut client = redis.client().await;
    // Redis cuts whole nodes off, of a hundred entries each.
    let length: usize = client.text(&["XLEN", "s"]).await.parse().unwrap();
    assert!((10..=200).contains(&length), "{length}");
    assert!(client.info("stats", "total_connections_received").await <= 9, "connections are kept");
    let alone = async || redis.client().await.info("clients", "connected_clients").await <= 2;
    until_within(Duration::from_secs(20), "connections that rest are closed", alone).await;
    world.publish(&endpoint, "\"more\"").await;
    world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered")).await;
}

#[actix_rt::test]
async fn a_user_a_password_and_a_database_are_heeded() {
    let world = World::today(TestDb::sqlite().await).await;
    let redis = Redis::start();
    let mut client = redis.client().await;
    client.ask(&["ACL", "SETUSER", "hook", "on", ">pä:ss", "~shop:*", "+xadd", "+select"]).await;
    let mut said = stream(&redis, "/3?stream=shop:events");
    said["auth"] = json!({"type": "basic", "username": "hook", "password": "pä:ss"});
    let endpoint = world.endpoint_as(said).await;
    world.publish(&endpoint, "{}").await;
    world.row_after(1).await;
    assert_eq!(world.log().await[0].outcome, "ok");
    client.ask(&["CONFIG", "SET", "requirepass", "just this"]).await;
    let mut said = stream(&redis, "/3?stream=other");
    said["auth"] = json!({"type": "basic", "username": "default", "password": "just this"});
    world.endpoint_as(said).await;
    let _sweep = world.sweep();
    world.commit("{}").await;
    come_true("all were delivered", async || world.rows().await.iter().all(|row| row.status == "delivered"))
        .await;
    client.ask(&["SELECT", "3"]).await;
    assert_eq!(client.read_group("shop:events", "g").await.len(), 2);
    assert_eq!(client.read_group("other", "g").await.len(), 1);
}

#[actix_rt::test]
async fn an_encrypted_entry_is_signed_as_it_stands_there() {
    let world = World::today(TestDb::sqlite().await).await;
    let redis = Redis::start();
    let mut said = stream(&redis, "?stream=s");
    said["encryption_key"] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into();
    let endpoint = world.endpoint_as(said).await;
    world.publish(&endpoint, r#"{"name":"CANARY"}"#).await;
    world.row_after(1).await;
    let entries = redis.client().await.read_group("s", "g").await;
    assert_signed(&entries[0]);
    let entry = &entries[0].1;
    assert_eq!(entry["content-type"], "application/jose");
    assert!(
        entry["body"].starts_with("eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..")
            && !entry["body"].contains("CANARY")
    );
}

#[actix_rt::test]
async fn a_redis_behind_tls_must_have_a_certificate_that_is_trusted() {
    let certificate = Certificate::new("localhost");
    let redis = Redis::start_tls(&certificate);
    for (roots, outcome) in [(certificate.roots(), "ok"), (Certificate::new("localhost").roots(), "tls")] {
        let config = loopback();
        let outbound = Outbound::trusting(&config, roots).unwrap();
        let clock = Clock::fixed(Clock::System.now());
        let world = World::dialling(TestDb::sqlite().await, clock, config, outbound).await;
        let url = redis.url_at("localhost", "?stream=s");
        let endpoint = world.endpoint_as(json!({"url": url, "strategy": "redis_stream"})).await;
        world.publish(&endpoint, "{}").await;
        world.row_after(1).await;
        let log = world.log().await;
        assert_eq!(log[0].outcome, outcome, "{log:?}");
    }
}
