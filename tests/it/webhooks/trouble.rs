//! A database that is away or full, rows that make no sense, many endpoints at once.

use super::world::{World, loopback, start, until};
use crate::support::TestDb;
use crate::support::receiver::{Answer, Receiver};
use bellwire::domain::{Clock, Result};
use bellwire::storage::{Conn, Db};
use bellwire::webhooks::endpoint::Endpoint;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

on_both_databases!(
    a_row_that_cannot_be_read_stands_in_nobodys_way,
    a_secret_that_cannot_sign_is_told_in_the_log,
    no_more_is_in_flight_than_the_process_may_have,
);

async fn try_execute(db: &Db, statement: &str) -> Result<usize> {
    let run = async |conn: &mut Conn| -> Result<usize> {
        let query = diesel::sql_query(statement);
        Ok(on_conn!(conn, c => query.execute(c).await)?)
    };
    db.transaction(run).await
}

async fn execute(db: &Db, statement: &str) {
    try_execute(db, statement).await.unwrap();
}

/// To SQLite the disk is full where its file would need more pages.
async fn limit_pages(db: &Db, count: i64) {
    let statement = format!("PRAGMA max_page_count = {count}");
    let limit = async |conn: &mut Conn| -> Result<usize> {
        let query = diesel::sql_query(&statement);
        Ok(on_conn!(conn, c => query.execute(c).await)?)
    };
    db.transaction(limit).await.unwrap();
    db.transaction_relaxed(limit).await.unwrap();
}

async fn a_row_that_cannot_be_read_stands_in_nobodys_way(db: TestDb) {
    let world = World::new(db).await;
    let receiver = Receiver::start(Answer::Status(200)).await;
    let (bad, good) = (world.endpoint(&receiver.url()).await, world.endpoint(&receiver.url()).await);
    world.commit("{}").await;
    execute(&world.db, &format!("UPDATE webhooks SET events = '5' WHERE id = {}", bad.id)).await;
    world.sender.wake(&[bad.id, good.id]);
    world.rows_when(|rows| rows.iter().any(|r| r.status == "delivered")).await;
}

async fn a_secret_that_cannot_sign_is_told_in_the_log(db: TestDb) {
    let world = World::new(db).await;
    let receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    execute(&world.db, "UPDATE webhooks SET secret = 'hunter2'").await;
    world.publish(&endpoint, "{}").await;
    assert_eq!(world.row_after(1).await.status, "pending");
    let log = world.log().await;
    assert_eq!(log[0].outcome, "unsendable");
    assert!(!log[0].error.as_deref().unwrap().contains("hunter2"));
    assert_eq!(receiver.connections(), 0);
}

async fn no_more_is_in_flight_than_the_process_may_have(db: TestDb) {
    let config = bellwire::config::Webhooks { concurrency: 3, ..loopback() };
    let world = World::with(db, Clock::fixed(start()), config).await;
    let receiver = Receiver::start(Answer::Slow(200, Duration::from_millis(20))).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.endpoint(&receiver.url()).await.id);
    }
    for n in 0..5 {
        world.commit(&n.to_string()).await;
    }
    world.sender.wake(&ids);
    world.rows_when(|rows| rows.len() == 25 && rows.iter().all(|r| r.status == "delivered")).await;
    assert_eq!(receiver.most_at_once(), 3);
}

/// Lets seven deliveries through the gate, so that the endpoint has earned its eight lanes.
async fn warm_up(world: &World, endpoint: &Endpoint, (receiver, gate): (&mut Receiver, &Semaphore)) {
    gate.add_permits(7);
    for n in 0..7 {
        world.commit(&n.to_string()).await;
    }
    world.sender.wake(&[endpoint.id]);
    for _ in 0..7 {
        receiver.next().await;
    }
    world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered")).await;
}

#[actix_rt::test]
async fn a_database_that_goes_away_delays_what_was_posted_and_loses_nothing() {
    let mut world = World::new(TestDb::postgres().await).await;
    let gate = Arc::new(Semaphore::new(0));
    let mut receiver = Receiver::start(Answer::Gate(Arc::clone(&gate), Vec::new())).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    // The server takes its time to stop, and the receiver answers only then.
    execute(&world.db, "UPDATE webhooks SET timeout_ms = 20000").await;
    warm_up(&world, &endpoint, (&mut receiver, &gate)).await;
    for n in 0..5 {
        world.commit(&n.to_string()).await;
    }
    world.sender.wake(&[endpoint.id]);
    for _ in 0..5 {
        receiver.next().await;
    }
    world.db.server().unwrap().stop();
    gate.add_permits(6);
    until(|| receiver.in_work() == 0).await;
    assert_eq!(world.sender.endpoints.in_flight(), 5, "they wait to be written down");
    world.sender.wake(&[endpoint.id]);
    world.db.server().unwrap().start_again();
    world.rows_when(|rows| rows.iter().all(|r| r.status == "delivered" && r.attempts == 1)).await;
    assert!(receiver.already().is_none(), "nothing is posted twice");

    // What could not be claimed meanwhile is found again.
    world.sweep();
    world.commit("{}").await;
    world.rows_when(|rows| rows.len() == 13 && rows.iter().all(|r| r.status == "delivered")).await;
}

#[actix_rt::test]
async fn a_full_disk_delays_what_was_posted_and_loses_nothing() {
    #[derive(diesel::QueryableByName)]
    struct Pages {
        #[diesel(sql_type = BigInt)]
        page_count: i64,
    }
    let world = World::new(TestDb::sqlite().await).await;
    let gate = Arc::new(Semaphore::new(0));
    let mut receiver = Receiver::start(Answer::Gate(Arc::clone(&gate), vec![b'x'; 4_096])).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    warm_up(&world, &endpoint, (&mut receiver, &gate)).await;
    for n in 0..8 {
        world.commit(&n.to_string()).await;
    }
    world.sender.wake(&[endpoint.id]);
    for _ in 0..8 {
        receiver.next().await;
    }
    // The limit is a connection's own, and two of them write.
    let mut conn = world.db.read().await.unwrap();
    let count = diesel::sql_query("PRAGMA page_count");
    let pages: Pages = on_conn!(&mut conn, c => count.get_result(c).await).unwrap();
    limit_pages(&world.sender.db, pages.page_count).await;
    let filler = "INSERT INTO tenants (name, created_at, updated_at) \
        SELECT hex(randomblob(100)), '2026-01-01 00:00:00', '2026-01-01 00:00:00' FROM webhook_deliveries";
    while try_execute(&world.sender.db, filler).await.is_ok() {}
    let full = try_execute(&world.sender.db, filler).await.unwrap_err();
    assert_eq!(full.code(), bellwire::domain::Code::Unavailable);

    gate.add_permits(8);
    until(|| receiver.in_work() == 0).await;
    assert_eq!(world.sender.endpoints.in_flight(), 8, "they wait to be written down");
    limit_pages(&world.sender.db, 1_000_000).await;
    world.rows_when(|rows| rows.iter().all(|r| r.status == "delivered" && r.attempts == 1)).await;
    assert!(receiver.already().is_none(), "nothing is posted twice");
    assert_eq!(world.log().await.len(), 15);
}
