//! The process is killed at random while endpoints fail, hang and recover: no delivery is forgotten, none is tried
//! more often or sooner than the schedule says, and what a breaker held back before a kill it holds back after it.

use crate::support::receiver::{Answer, Receiver};
use crate::support::{Caller, Program, Server, TestDb, server, until_within};
use bellwire::domain::{EndpointId, Timestamp};
use bellwire::storage::schema::{webhook_deliveries, webhook_delivery_logs, webhooks};
use bellwire::webhooks::breaker::{Breaker, BreakerRule, BreakerState, Sign};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use webhook_delivery_logs as l;

on_both_databases!(nothing_is_lost_when_endpoints_fail_and_the_process_is_killed);

const KILLS: usize = 16;
/// The schedule of this test, in place of minutes and hours.
const WAIT: Duration = Duration::from_secs(1);
const RULE: BreakerRule = BreakerRule { threshold: 5, open_for: Duration::from_secs(2) };

/// A row of `webhook_delivery_logs`.
#[derive(Debug, Queryable)]
struct Logged {
    endpoint: EndpointId,
    delivery: i64,
    number: i32,
    outcome: String,
    duration_ms: i64,
    at: Timestamp,
}

async fn nothing_is_lost_when_endpoints_fail_and_the_process_is_killed(db: TestDb) {
    let settings = "retry_seconds = [1, 1, 1, 1, 1]\nbreaker_open_seconds = 2\n";
    let config = server::CONFIG.replace("[webhooks]\n", &format!("[webhooks]\n{settings}"));
    assert!(config.contains(settings), "the section is there");
    let program = Program::on(db.url()).with_config(&config);
    let caller = Caller::made_by(&program).await;
    let receivers = [
        Receiver::start(Answer::Status(204)).await,
        Receiver::start(Answer::Status(500)).await,
        Receiver::start(Answer::Hang).await,
        Receiver::start(Answer::Close).await,
    ];
    for receiver in &receivers {
        caller.subscribe(&program, &receiver.url(), "*").await;
    }
    shorten_timeouts(&db).await;
    let mut made = 0;
    for round in 0..KILLS {
        if round == KILLS / 2 {
            for receiver in &receivers {
                receiver.answer(Answer::Status(204));
            }
        }
        made += one_life(&program, &caller, round).await;
    }
    let last = Server::start(&program);
    until_within(Duration::from_mins(2), "every delivery ends", async || pending(&db).await == 0).await;
    assert!(last.terminate().await.success());
    let report = audit(&db, made * receivers.len()).await;
    println!(
        "{}: {KILLS} kills, {made} events, {report}",
        if db.is_sqlite() { "SQLite" } else { "PostgreSQL" }
    );
}

/// Starts the server, makes products until it is killed; how many were acknowledged.
async fn one_life(program: &Program, caller: &Caller, round: usize) -> usize {
    let server = Server::start(program);
    let url = format!("{}/api/v1/products", server.url(""));
    let caller = caller.clone();
    let writing = actix_rt::spawn(async move {
        let mut made = 0;
        for n in 0..20 {
            let new = json!({"name": "Tea", "sku": format!("SKU-{round}-{n}"), "price": 1, "stock": 5});
            match caller.post(&url, &new).await {
                Ok((201, _)) => made += 1,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        made
    });
    actix_rt::time::sleep(Duration::from_millis(rand::random_range(300..1_500))).await;
    server.kill();
    writing.await.unwrap()
}

async fn shorten_timeouts(db: &TestDb) {
    let change = async |conn: &mut bellwire::storage::Conn| {
        let all = diesel::update(webhooks::table).set(webhooks::timeout_ms.eq(200));
        Ok(on_conn!(conn, c => all.execute(c).await)?)
    };
    db.transaction(change).await.unwrap();
}

async fn pending(db: &TestDb) -> i64 {
    let query = webhook_deliveries::table.filter(webhook_deliveries::status.eq("pending")).count();
    let mut conn = db.read().await.unwrap();
    on_conn!(&mut conn, c => query.get_result(c).await).unwrap()
}

/// Holds rows and logs against the rules.
async fn audit(db: &TestDb, least: usize) -> String {
    let mut conn = db.read().await.unwrap();
    let query = webhook_deliveries::table.select((
        webhook_deliveries::id,
        webhook_deliveries::status,
        webhook_deliveries::attempts,
    ));
    let rows: Vec<(i64, String, i32)> = on_conn!(&mut conn, c => query.load(c).await).unwrap();
    assert!(rows.len() >= least, "{} deliveries of {least} that were acknowledged", rows.len());
    for (id, status, attempts) in &rows {
        assert!(*attempts <= 6, "delivery {id} was tried {attempts} times");
        assert!(status == "delivered" || *attempts == 6, "delivery {id} is {status} after {attempts}");
    }
    let columns =
        (l::webhook_id, l::delivery_id, l::attempt_number, l::outcome, l::duration_ms, l::created_at);
    let query = l::table.order((l::created_at, l::id)).select(columns);
    let logs: Vec<Logged> = on_conn!(&mut conn, c => query.load(c).await).unwrap();
    schedule_was_kept(&logs);
    let openings = breakers_held(&logs);
    let given_up = rows.iter().filter(|(_, status, _)| status == "failed").count();
    format!(
        "{} deliveries in {} attempts, {given_up} given up after six, breakers opened {openings} times, 0 lost",
        rows.len(),
        logs.len()
    )
}

/// Attempts at one delivery are numbered without gaps and never closer than the schedule allows.
fn schedule_was_kept(logs: &[Logged]) {
    let mut last: BTreeMap<i64, (i32, Timestamp)> = BTreeMap::new();
    for log in logs {
        let (number, at) = last.get(&log.delivery).copied().unwrap_or((0, log.at.minus(WAIT)));
        assert_eq!(log.number, number + 1, "{log:?}");
        let began = log.at.minus(Duration::from_millis(log.duration_ms.unsigned_abs()));
        assert!(began.since(at) >= WAIT * 89 / 100 || number == 0, "too soon after {at}: {log:?}");
        last.insert(log.delivery, (log.number, log.at));
    }
}

/// No attempt began while its endpoint's breaker was open; kills in between change nothing in that.
fn breakers_held(logs: &[Logged]) -> usize {
    let mut breakers: BTreeMap<EndpointId, (Breaker, Timestamp)> = BTreeMap::new();
    let mut openings = 0;
    for log in logs {
        let began = log.at.minus(Duration::from_millis(log.duration_ms.unsigned_abs()));
        let (breaker, opened_at) = breakers.entry(log.endpoint).or_insert((Breaker::default(), log.at));
        if let BreakerState::Open { probe_at } = breaker.state
            && began > *opened_at
        {
            // The times are of two clocks, cut to milliseconds.
            assert!(
                probe_at.since(began) < Duration::from_millis(20),
                "sent while open until {probe_at}: {log:?}"
            );
            breaker.probe(log.at);
        }
        let sign = if log.outcome == "ok" { Sign::Good } else { Sign::Bad };
        if breaker.record(sign, log.at, RULE, log.at).is_some() && !breaker.is_closed() {
            openings += 1;
            *opened_at = log.at;
        }
    }
    assert!(openings > 0, "the trouble was no trouble");
    openings
}
