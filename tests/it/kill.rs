//! The process is killed at random while writes run, again and again: nothing that was acknowledged or
//! committed is missing afterwards, in `events` or at the webhook receiver.

use crate::support::receiver::{Answer, Receiver};
use crate::support::{Caller, Program, Server, TestDb, server, until_within};
use bellwire::storage::schema::{events, products, webhook_deliveries};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

on_both_databases!(nothing_is_lost_when_the_process_is_killed);

const KILLS: usize = 20;
const WRITERS: i64 = 4;

/// What the server said yes to: prices set, and names of products made. Each value is used once.
#[derive(Default)]
struct Acknowledged {
    prices: BTreeSet<i64>,
    skus: BTreeSet<String>,
    refused: usize,
}

async fn nothing_is_lost_when_the_process_is_killed(db: TestDb) {
    let program = Program::on(db.url()).with_config(server::CONFIG);
    let (caller, mut receiver) =
        (Caller::made_by(&program).await, Receiver::start(Answer::Status(204)).await);
    caller.subscribe(&program, &receiver.url(), "*").await;
    let acknowledged = Rc::new(RefCell::new(Acknowledged::default()));
    for round in 0..KILLS {
        let server = Server::start(&program);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let serial = i64::try_from(round).unwrap() * WRITERS + writer;
                actix_rt::spawn(write(caller.clone(), server.url(""), serial, acknowledged.clone()))
            })
            .collect();
        let life = Duration::from_millis(rand::random_range(30..500));
        actix_rt::time::sleep(life).await;
        server.kill();
        futures_util::future::join_all(writers).await;
    }
    let last = Server::start(&program);
    until_within(Duration::from_mins(2), "every delivery is made", async || unfinished(&db).await == 0).await;
    let acknowledged = acknowledged.take();
    let written = audit(&db, &acknowledged).await;
    let report = compare(&written, &mut receiver);
    println!(
        "{}: {KILLS} kills, {} changes acknowledged ({} answers were errors), {} events, {report}",
        if db.is_sqlite() { "SQLite" } else { "PostgreSQL" },
        acknowledged.prices.len() + acknowledged.skus.len(),
        acknowledged.refused,
        written.len(),
    );
    assert!(acknowledged.prices.len() > KILLS, "the load was no load");
    assert!(last.terminate().await.success());
}

/// Makes a product and then changes its price, one request after the other, until the server is gone.
async fn write(caller: Caller, url: String, serial: i64, acknowledged: Rc<RefCell<Acknowledged>>) {
    let sku = format!("SKU-{serial}");
    let new = json!({"name": "Tea", "sku": sku, "price": 0, "stock": 5});
    let Ok((201, made)) = caller.post(&format!("{url}/api/v1/products"), &new).await else { return };
    acknowledged.borrow_mut().skus.insert(sku);
    let product = format!("{url}/api/v1/products/{}", made["data"]["id"]);
    for turn in 1.. {
        let price = serial * 1_000_000 + turn;
        match caller.patch(&product, &json!({ "price": price })).await {
            Ok((200, _)) => {
                acknowledged.borrow_mut().prices.insert(price);
            }
            Ok((status, body)) => {
                assert_eq!(status, 503, "{body}");
                acknowledged.borrow_mut().refused += 1;
            }
            Err(_) => return,
        }
    }
}

async fn unfinished(db: &TestDb) -> i64 {
    let query = webhook_deliveries::table.filter(webhook_deliveries::status.ne("delivered")).count();
    let mut conn = db.read().await.unwrap();
    on_conn!(&mut conn, c => query.get_result(c).await).unwrap()
}

/// Every acknowledged change is an event, and so is every change that the product rows show. The events'
/// data by message id.
async fn audit(db: &TestDb, acknowledged: &Acknowledged) -> BTreeMap<String, Value> {
    let mut conn = db.read().await.unwrap();
    let query = events::table.order(events::id).select((events::message_id, events::name, events::data));
    let rows: Vec<(String, String, String)> = on_conn!(&mut conn, c => query.load(c).await).unwrap();
    let (mut prices, mut skus, mut last) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    let mut written = BTreeMap::new();
    for (message, name, data) in rows {
        let data: Value = serde_json::from_str(&data).unwrap();
        let price = data["price"].as_i64().unwrap();
        match &*name {
            "product:created" => skus.insert(data["sku"].as_str().unwrap().to_owned()),
            "product:updated" => prices.insert(price),
            other => panic!("nobody caused {other}"),
        };
        last.insert(data["id"].as_i64().unwrap(), price);
        written.insert(message, json!({"event": name, "data": data}));
    }
    assert!(acknowledged.skus.is_subset(&skus), "products made and not told");
    assert!(acknowledged.prices.is_subset(&prices), "prices changed and not told");
    let query = products::table.select((products::id, products::price));
    let committed: Vec<(i64, i64)> = on_conn!(&mut conn, c => query.load(c).await).unwrap();
    assert_eq!(committed.into_iter().collect::<BTreeMap<_, _>>(), last, "rows and events tell of one state");
    written
}

/// Every event came to the receiver, whole, and what came twice is the same under the same id.
fn compare(written: &BTreeMap<String, Value>, receiver: &mut Receiver) -> String {
    let (mut seen, mut repeats) = (BTreeSet::new(), 0);
    while let Some(delivery) = receiver.already() {
        let id = delivery.header("webhook-id");
        let body: Value = serde_json::from_slice(&delivery.body).unwrap();
        assert_eq!(written.get(id), Some(&body), "{id} is not what was written");
        repeats += usize::from(!seen.insert(id.to_owned()));
    }
    let lost: Vec<&String> = written.keys().filter(|id| !seen.contains(*id)).collect();
    assert!(lost.is_empty(), "{} deliveries lost: {lost:?}", lost.len());
    format!("{} deliveries received, {repeats} more were repeats, 0 lost", seen.len())
}
