//! Orders: the stock they take and return, races for it, and the events they leave.

use crate::support::{Shop, TestDb, until};
use bellwire::catalog::Observer;
use bellwire::catalog::order::{self, NewOrder, OrderChanges, OrderResource, OrderStatus};
use bellwire::catalog::product;
use bellwire::domain::{Code, Error, EventId, Fields, OrderId, ProductId, Result};
use bellwire::storage::Db;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    an_order_takes_its_stock_and_tells_of_it,
    a_cancelled_order_returns_its_stock_once,
    an_order_that_asks_for_too_much_changes_nothing,
    an_order_goes_the_way_of_its_status_only,
    an_order_is_deleted_only_when_cancelled_and_nobody_is_told,
    an_order_of_a_deleted_product_can_still_be_cancelled,
    an_order_number_is_taken_once,
    an_order_is_in_one_currency,
    orders_that_race_for_the_last_item_leave_one_winner,
    orders_of_the_same_products_in_any_order_all_go_through,
    an_order_cancelled_by_many_at_once_returns_its_stock_once,
);

async fn stock(shop: &Shop, id: ProductId) -> i64 {
    let mut conn = shop.db.read().await.unwrap();
    product::find(&mut conn, shop.tenant, id).await.unwrap().product.stock
}

async fn patch(shop: &Shop, id: OrderId, body: Value) -> Result<OrderResource> {
    let changes = OrderChanges::parse(Fields::of(body)?)?;
    shop.change(async |conn, unit| order::update(conn, unit, id, changes).await).await
}

async fn delete(shop: &Shop, id: OrderId) -> Result<()> {
    shop.change(async |conn, unit| order::delete(conn, unit, id).await).await
}

fn items(items: &[(ProductId, i64)]) -> Value {
    let items: Vec<_> = items.iter().map(|(id, q)| json!({"product_id": id, "quantity": q})).collect();
    json!({ "items": items })
}

fn event(name: &str, data: impl serde::Serialize) -> (String, Value) {
    (name.to_owned(), serde_json::to_value(data).unwrap())
}

async fn an_order_takes_its_stock_and_tells_of_it(db: TestDb) {
    let shop = Shop::open(&db).await;
    let (tea, pot) = (shop.product(10).await.product.id, shop.product(3).await.product.id);
    let before = shop.last_event().await;
    let made = shop.order(items(&[(pot, 1), (tea, 4)])).await.unwrap();
    let order = &made.order;
    assert_eq!((order.status, order.items_count, order.total), (OrderStatus::Pending, 2, 500));
    assert_eq!((order.currency.as_str(), order.user_id), ("PHP", shop.user));
    assert!(order.order_number.starts_with("ORD-20260301-"), "{}", order.order_number);
    assert_eq!(made.items.iter().map(|i| i.product_id).collect::<Vec<_>>(), [pot, tea]);
    let mut conn = db.read().await.unwrap();
    let tea_now = product::find(&mut conn, shop.tenant, tea).await.unwrap();
    let pot_now = product::find(&mut conn, shop.tenant, pot).await.unwrap();
    assert_eq!(order::find(&mut conn, shop.tenant, order.id).await.unwrap(), made);
    drop(conn);
    let expected = [
        event("order:created", &made),
        event("product:updated", &tea_now),
        event("stock:updated", json!({"productId": tea, "newStock": 6})),
        event("product:updated", &pot_now),
        event("stock:updated", json!({"productId": pot, "newStock": 2})),
    ];
    assert_eq!(shop.events_after(before).await, expected);
}

async fn a_cancelled_order_returns_its_stock_once(db: TestDb) {
    let shop = Shop::open(&db).await;
    let tea = shop.product(10).await.product.id;
    let id = shop.order(items(&[(tea, 4)])).await.unwrap().order.id;
    let before = shop.last_event().await;
    let cancelled = patch(&shop, id, json!({"status": "cancelled"})).await.unwrap();
    let told = shop.events_after(before).await;
    assert_eq!(told[0], event("order:updated", &cancelled));
    assert_eq!(told[1].0, "product:updated");
    assert_eq!(told[2], event("stock:updated", json!({"productId": tea, "newStock": 10})));
    assert_eq!(told.len(), 3);
    let before = shop.last_event().await;
    assert_eq!(patch(&shop, id, json!({"status": "cancelled"})).await.unwrap(), cancelled);
    assert!(shop.events_after(before).await.is_empty());
    assert_eq!(stock(&shop, tea).await, 10);
}

async fn an_order_that_asks_for_too_much_changes_nothing(db: TestDb) {
    let shop = Shop::open(&db).await;
    let (tea, pot) =
        (shop.product(10).await.product.id, shop.product_of(json!({"name": "Pot", "stock": 1})).await);
    let before = shop.last_event().await;
    let short = shop.order(items(&[(tea, 1), (pot.product.id, 2)])).await.unwrap_err();
    assert_eq!(short.code(), Code::Conflict);
    assert!(short.message().contains("Pot") && short.message().contains("1 are in stock"), "{short}");
    assert_eq!((stock(&shop, tea).await, stock(&shop, pot.product.id).await), (10, 1));
    assert!(shop.events_after(before).await.is_empty());
    let missing = shop.order(items(&[(tea, 1), (ProductId(999), 1)])).await.unwrap_err();
    assert_eq!(missing.fields().keys().collect::<Vec<_>>(), ["items.1.product_id"]);
}

async fn an_order_goes_the_way_of_its_status_only(db: TestDb) {
    let shop = Shop::open(&db).await;
    let tea = shop.product(10).await.product.id;
    let id = shop.order(items(&[(tea, 1)])).await.unwrap().order.id;
    let refused = async |status: &str| patch(&shop, id, json!({"status": status})).await.unwrap_err().code();
    assert_eq!(refused("completed").await, Code::Conflict);
    let names = shop.names_of_events(patch(&shop, id, json!({"status": "processing"}))).await;
    assert_eq!(names, ["order:updated"]);
    assert_eq!(refused("pending").await, Code::Conflict);
    let done = json!({"status": "completed", "customer_name": "Bo"});
    assert_eq!(shop.names_of_events(patch(&shop, id, done)).await, ["order:updated"]);
    for status in ["pending", "processing", "cancelled"] {
        assert_eq!(refused(status).await, Code::Conflict);
    }
    let last = patch(&shop, id, json!({"customer_name": null})).await.unwrap();
    assert_eq!((last.order.customer_name, last.order.status), (None, OrderStatus::Completed));
    assert_eq!(stock(&shop, tea).await, 9);
}

async fn an_order_is_deleted_only_when_cancelled_and_nobody_is_told(db: TestDb) {
    let shop = Shop::open(&db).await;
    let tea = shop.product(10).await.product.id;
    let id = shop.order(items(&[(tea, 1)])).await.unwrap().order.id;
    assert_eq!(delete(&shop, id).await.unwrap_err().code(), Code::Conflict);
    patch(&shop, id, json!({"status": "cancelled"})).await.unwrap();
    assert!(shop.names_of_events(delete(&shop, id)).await.is_empty());
    assert_eq!(delete(&shop, id).await.unwrap_err().code(), Code::NotFound);
}

async fn an_order_of_a_deleted_product_can_still_be_cancelled(db: TestDb) {
    let shop = Shop::open(&db).await;
    let (tea, pot) = (shop.product(10).await.product.id, shop.product(3).await.product.id);
    let id = shop.order(items(&[(tea, 1), (pot, 1)])).await.unwrap().order.id;
    shop.change(async |conn, unit| product::delete(conn, unit, tea).await).await.unwrap();
    let names = shop.names_of_events(patch(&shop, id, json!({"status": "cancelled"}))).await;
    assert_eq!(names, ["order:updated", "product:updated", "stock:updated"]);
    assert_eq!(stock(&shop, pot).await, 3);
}

async fn an_order_number_is_taken_once(db: TestDb) {
    let (shop, other) = (Shop::open(&db).await, Shop::open(&db).await);
    let numbered = async |shop: &Shop| {
        let tea = shop.product(10).await.product.id;
        let mut body = items(&[(tea, 1)]);
        body["order_number"] = json!("A-1");
        body["ordered_at"] = json!("2026-02-28T23:30:00-01:00");
        shop.order(body).await
    };
    let made = numbered(&shop).await.unwrap().order;
    assert_eq!(
        (made.order_number.as_str(), made.ordered_at.to_string().as_str()),
        ("A-1", "2026-03-01T00:30:00.000000Z")
    );
    assert_eq!(numbered(&shop).await.unwrap_err().fields().keys().collect::<Vec<_>>(), ["order_number"]);
    numbered(&other).await.unwrap();
}

async fn an_order_is_in_one_currency(db: TestDb) {
    let shop = Shop::open(&db).await;
    let tea = shop.product(10).await.product.id;
    let pot = shop.product_of(json!({"currency": "USD", "stock": 5})).await.product.id;
    let mixed = shop.order(items(&[(tea, 1), (pot, 1)])).await.unwrap_err();
    assert_eq!(mixed.fields().keys().collect::<Vec<_>>(), ["items.1.product_id"]);
    let mut dollars = items(&[(pot, 1)]);
    dollars["currency"] = json!("USD");
    assert_eq!(shop.order(dollars).await.unwrap().order.currency, "USD");
    let mut pesos = items(&[(pot, 1)]);
    pesos["currency"] = json!("PHP");
    assert!(shop.order(pesos).await.unwrap_err().fields().contains_key("items.0.product_id"));
}

/// The shop as a second process sees it: with pools of its own on the same database.
fn observer_of_another_process(db: &TestDb, shop: &Shop) -> (Db, Observer) {
    let other = db.open_another();
    let nowhere = actix::Actor::start(crate::support::shop::Probe::default()).recipient();
    let observer = Observer::new(other.clone(), shop.clock.clone(), nowhere, shop.metrics.clone());
    (other, observer)
}

async fn orders_that_race_for_the_last_item_leave_one_winner(db: TestDb) {
    let shop = Shop::open(&db).await;
    let (_pools, elsewhere) = observer_of_another_process(&db, &shop);
    for _ in 0..5 {
        let tea = shop.product(1).await.product.id;
        let before = shop.last_event().await;
        let new = NewOrder::parse(Fields::of(items(&[(tea, 1)])).unwrap()).unwrap();
        let race = (0..12).map(|n| {
            let observer = if n % 2 == 0 { &shop.observer } else { &elsewhere };
            let (new, user) = (&new, shop.user);
            observer
                .commit(shop.tenant, None, async move |conn, unit| order::create(conn, unit, user, new).await)
        });
        let outcomes: Vec<Result<OrderResource>> = join_all(race).await;
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        for error in lost.into_iter().map(|outcome| outcome.unwrap_err()) {
            assert_eq!(error.code(), Code::Conflict, "{error}");
        }
        assert_eq!(stock(&shop, tea).await, 0);
        let names: Vec<_> = shop.events_after(before).await.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["order:created", "product:updated", "stock:updated"]);
    }
}

async fn orders_of_the_same_products_in_any_order_all_go_through(db: TestDb) {
    let shop = Shop::open(&db).await;
    let (_pools, elsewhere) = observer_of_another_process(&db, &shop);
    let (tea, pot) = (shop.product(100).await.product.id, shop.product(100).await.product.id);
    let forth = NewOrder::parse(Fields::of(items(&[(tea, 1), (pot, 1)])).unwrap()).unwrap();
    let back = NewOrder::parse(Fields::of(items(&[(pot, 1), (tea, 1)])).unwrap()).unwrap();
    let before = shop.last_event().await;
    let race = (0..40).map(|n| {
        let observer = if n % 4 < 2 { &shop.observer } else { &elsewhere };
        let new = if n % 2 == 0 { &forth } else { &back };
        let user = shop.user;
        observer.commit(shop.tenant, None, async move |conn, unit| order::create(conn, unit, user, new).await)
    });
    let all = tokio::time::timeout(Duration::from_secs(30), join_all(race)).await.unwrap();
    let failed: Vec<Error> = all.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!((stock(&shop, tea).await, stock(&shop, pot).await), (60, 60));
    let told = shop.events_after(before).await;
    let levels: Vec<&Value> = told
        .iter()
        .filter(|(_, data)| data["productId"] == json!(tea))
        .map(|(_, data)| &data["newStock"])
        .collect();
    let falling: Vec<Value> = (60..100).rev().map(|level| json!(level)).collect();
    assert_eq!(levels, falling.iter().collect::<Vec<_>>(), "events stand in commit order");
}

async fn an_order_cancelled_by_many_at_once_returns_its_stock_once(db: TestDb) {
    let shop = Shop::open(&db).await;
    let tea = shop.product(10).await.product.id;
    let id = shop.order(items(&[(tea, 4)])).await.unwrap().order.id;
    let race = (0..8).map(|_| patch(&shop, id, json!({"status": "cancelled"})));
    let outcomes = join_all(race).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(stock(&shop, tea).await, 10);
    let told = shop.events_after(EventId(0)).await;
    assert_eq!(told.iter().filter(|(name, _)| name == "order:updated").count(), 1);
    until("the nudges are through", async || shop.nudges().len() == 3).await;
}
