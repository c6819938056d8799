//! The process is killed at random while it sends batches and adds entries to a stream of Redis, which is itself killed
//! in between: whatever was committed is in the stream and came in a batch.

use crate::support::receiver::{Answer, Receiver};
use crate::support::{Caller, Program, Redis, Server, TestDb, server, until_within};
use bellwire::storage::schema::{events, webhook_deliveries};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

on_both_databases!(nothing_is_lost_whatever_the_strategy);

const KILLS: usize = 8;
const WRITERS: usize = 4;

async fn nothing_is_lost_whatever_the_strategy(db: TestDb) {
    let settings = "retry_seconds = [1, 1, 1, 1, 1]\nbreaker_threshold = 1000\n";
    let config = server::CONFIG.replace("[webhooks]\n", &format!("[webhooks]\n{settings}"));
    assert!(config.contains(settings), "the section is there");
    let program = Program::on(db.url()).with_config(&config);
    let caller = Caller::made_by(&program).await;
    let mut redis = Redis::start();
    let mut receiver = Receiver::start(Answer::Slow(204, Duration::from_millis(5))).await;
    for (url, strategy) in [(redis.url("?stream=s"), "redis_stream"), (receiver.url(), "pusher_batch")] {
        let args = ["webhook", "create", "--tenant", &caller.tenant, "--url", &url, "--events", "*"];
        program.json(&[&args[..], &["--strategy", strategy]].concat()).await;
    }
    let mut made = 0;
    for round in 0..KILLS {
        made += one_life(&program, &caller, round).await;
        if round == KILLS / 2 {
            redis.stop();
            made += one_life(&program, &caller, KILLS).await;
            redis.start_again();
        }
    }
    let last = Server::start(&program);
    until_within(Duration::from_mins(1), "every delivery is made", async || unfinished(&db).await == 0).await;
    let written = message_ids(&db).await;
    assert!(written.len() >= made && made > KILLS, "{} events of {made} acknowledged", written.len());
    let entries = redis.client().await.read_group("s", "g").await;
    let streamed: BTreeSet<String> = entries.iter().map(|(_, entry)| entry["webhook-id"].clone()).collect();
    let (batched, requests) = batched(&mut receiver);
    assert_eq!((&streamed, &batched), (&written, &written), "what was committed came, and nothing else");
    assert!(requests < written.len(), "{requests} requests for {} events", written.len());
    println!(
        "{KILLS} kills, {} events, {} entries, {requests} batches, 0 lost",
        written.len(),
        entries.len()
    );
    assert!(last.terminate().await.success());
}

/// Starts the server, makes products until it is killed; how many were acknowledged.
async fn one_life(program: &Program, caller: &Caller, round: usize) -> usize {
    let server = Server::start(program);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (url, caller) = (server.url("/api/v1/products"), caller.clone());
            actix_rt::spawn(async move {
                let mut made = 0;
                loop {
                    let sku = format!("SKU-{round}-{writer}-{made}");
                    match caller.post(&url, &json!({"name": "Tea", "sku": sku, "price": 1})).await {
                        Ok((201, _)) => made += 1,
                        Ok((status, body)) => assert_eq!(status, 503, "{body}"),
                        Err(_) => break made,
                    }
                }
            })
        })
        .collect();
    actix_rt::time::sleep(Duration::from_millis(rand::random_range(100..700))).await;
    server.kill();
    futures_util::future::join_all(writers).await.into_iter().map(Result::unwrap).sum()
}

async fn unfinished(db: &TestDb) -> i64 {
    let query = webhook_deliveries::table.filter(webhook_deliveries::status.ne("delivered")).count();
    let mut conn = db.read().await.unwrap();
    on_conn!(&mut conn, c => query.get_result(c).await).unwrap()
}

async fn message_ids(db: &TestDb) -> BTreeSet<String> {
    let query = events::table.select(events::message_id);
    let mut conn = db.read().await.unwrap();
    let ids: Vec<String> = on_conn!(&mut conn, c => query.load(c).await).unwrap();
    ids.into_iter().collect()
}

/// The ids of all events that came, and the number of requests.
fn batched(receiver: &mut Receiver) -> (BTreeSet<String>, usize) {
    let (mut ids, mut requests) = (BTreeSet::new(), 0);
    while let Some(request) = receiver.already() {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        ids.extend(body["events"].as_array().unwrap().iter().map(|e| e["id"].as_str().unwrap().to_owned()));
        requests += 1;
    }
    (ids, requests)
}
