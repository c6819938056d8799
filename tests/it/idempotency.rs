//! `Idempotency-Key`: a POST sent twice acts once, also when both arrive at once.

use crate::support::rest::{Reply, Rest};
use crate::support::{Shop, TestDb};
use bellwire::domain::EventId;
use futures_util::future::join_all;
use serde_json::{Value, json};

on_both_databases!(
    a_repeated_post_is_answered_alike_and_acts_once,
    posts_that_race_with_one_key_act_once,
    orders_that_race_with_one_key_take_the_stock_once,
);

const PRODUCTS: &str = "/api/v1/products";
const CATEGORIES: &str = "/api/v1/categories";
const ORDERS: &str = "/api/v1/orders";

async fn post(rest: &Rest, path: &str, key: &str, body: &Value) -> Reply {
    rest.ask("POST", path).header("idempotency-key", key).json(body).send().await
}

fn replayed(reply: &Reply) -> bool {
    reply.header("idempotency-replayed") == Some("true")
}

async fn a_repeated_post_is_answered_alike_and_acts_once(db: TestDb) {
    let rest = Rest::open(db).await;
    let body = json!({"name": "Tea", "sku": "T-1", "price": 950});
    let first = post(&rest, PRODUCTS, "k1", &body).await;
    let again = post(&rest, PRODUCTS, "k1", &body).await;
    assert_eq!((first.status, replayed(&first)), (201, false));
    assert_eq!((again.status, replayed(&again), &again.bytes), (201, true, &first.bytes));
    assert_eq!(again.header("content-type"), first.header("content-type"));
    let other = json!({"name": "Tea", "sku": "T-2", "price": 950});
    for mismatch in [post(&rest, PRODUCTS, "k1", &other).await, post(&rest, CATEGORIES, "k1", &body).await] {
        assert!(matches!(mismatch.refusal(), (422, _)), "{mismatch:?}");
    }
    assert_eq!(post(&rest, PRODUCTS, "k1", &other).await.refusal(), (422, vec!["Idempotency-Key"]));
    assert_eq!(post(&rest, PRODUCTS, "k2", &other).await.status, 201);
    assert_eq!(rest.shop.events_after(EventId(0)).await.len(), 2);
}

async fn posts_that_race_with_one_key_act_once(db: TestDb) {
    let rest = Rest::open(db).await;
    for round in 0..5 {
        let before = rest.shop.last_event().await;
        let body = json!({"name": format!("Round {round}")});
        let key = format!("round-{round}");
        let replies = join_all((0..8).map(|_| post(&rest, CATEGORIES, &key, &body))).await;
        assert!(replies.iter().all(|reply| reply.status == 201), "{replies:?}");
        assert!(replies.iter().all(|reply| reply.bytes == replies[0].bytes));
        assert_eq!(replies.iter().filter(|reply| !replayed(reply)).count(), 1);
        assert_eq!(rest.shop.events_after(before).await.len(), 1);
    }
}

async fn orders_that_race_with_one_key_take_the_stock_once(db: TestDb) {
    let rest = Rest::open(db).await;
    let product = rest.shop.product(100).await.product.id;
    let body = json!({"items": [{"product_id": product, "quantity": 2}]});
    let replies = join_all((0..8).map(|_| post(&rest, ORDERS, "order", &body))).await;
    assert!(replies.iter().all(|reply| reply.status == 201), "{replies:?}");
    assert!(replies.iter().all(|reply| reply.bytes == replies[0].bytes));
    let shown = rest.get(&format!("{PRODUCTS}/{product}")).await;
    assert_eq!(shown.body["data"]["stock"], 98);
}

#[actix_rt::test]
async fn a_refused_post_may_be_tried_again_with_its_key() {
    let rest = Rest::open(TestDb::sqlite().await).await;
    let product = rest.shop.product(1).await.product.id;
    let body = json!({"items": [{"product_id": product, "quantity": 2}]});
    assert_eq!(post(&rest, ORDERS, "k", &body).await.status, 409);
    rest.patch(&format!("{PRODUCTS}/{product}"), json!({"stock": 2})).await;
    let made = post(&rest, ORDERS, "k", &body).await;
    assert_eq!((made.status, replayed(&made)), (201, false));
}

#[actix_rt::test]
async fn a_key_is_its_user_s_own() {
    let rest = Rest::open(TestDb::sqlite().await).await;
    let other = Shop::open(&rest.db).await;
    let token = other.token(&["*"]).await;
    let body = json!({"name": "Tea"});
    let mine = post(&rest, CATEGORIES, "k", &body).await;
    let ask = rest.ask("POST", CATEGORIES).token(&token).header("idempotency-key", "k").json(&body);
    let theirs = ask.send().await;
    assert!(!replayed(&theirs));
    assert_ne!(mine.id(), theirs.id());
}

#[actix_rt::test]
async fn a_key_that_cannot_be_kept_is_named() {
    let rest = Rest::open(TestDb::sqlite().await).await;
    for key in ["", &"x".repeat(256)] {
        let reply = post(&rest, CATEGORIES, key, &json!({"name": "Tea"})).await;
        assert_eq!(reply.refusal(), (422, vec!["Idempotency-Key"]));
    }
    assert_eq!(post(&rest, CATEGORIES, &"x".repeat(255), &json!({"name": "Tea"})).await.status, 201);
}
