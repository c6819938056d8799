//! Seeding makes a shop of any size as requests would, again and again, on both databases and by the verb.

use crate::support::{Program, Shop, TestDb};
use bellwire::catalog::order::{self, OrderFilter};
use bellwire::catalog::product::{self, ProductFilter};
use bellwire::catalog::seed::{self, Wanted};
use bellwire::catalog::{category, category::CategoryFilter};
use bellwire::domain::{Code, EventId, TenantId};
use serde_json::json;
use std::cell::Cell;
use std::collections::BTreeMap;

on_both_databases!(
    a_seeded_shop_has_what_was_wanted_and_the_events_of_it,
    a_second_run_adds_to_the_first,
    orders_take_stock_that_is_there,
    the_verb_seeds_a_tenant,
);

async fn seed(shop: &Shop, wanted: Wanted) -> bellwire::domain::Result<u64> {
    let told = Cell::new(0);
    let owner = (shop.tenant, Some(shop.user));
    seed::seed(&shop.db, &shop.clock, owner, wanted, |more| told.set(told.get() + more)).await?;
    Ok(told.get())
}

const fn wanted(categories: u32, products: u32, orders: u32) -> Wanted {
    Wanted { categories, products, orders }
}

/// Categories, products and orders.
async fn totals(shop: &Shop) -> (i64, i64, i64) {
    let mut conn = shop.db.read().await.unwrap();
    let (filter, page) = CategoryFilter::parse("").unwrap();
    let categories = category::list(&mut conn, shop.tenant, &filter, &page).await.unwrap().total;
    let (filter, page) = ProductFilter::parse("").unwrap();
    let products = product::list(&mut conn, shop.tenant, &filter, &page).await.unwrap().total;
    let (filter, page) = OrderFilter::parse("").unwrap();
    let orders = order::list(&mut conn, shop.tenant, &filter, &page).await.unwrap().total;
    (categories, products, orders)
}

async fn a_seeded_shop_has_what_was_wanted_and_the_events_of_it(db: TestDb) {
    let shop = Shop::open(&db).await;
    let endpoint = shop.webhook(json!(["product:created"])).await;
    assert_eq!(seed(&shop, wanted(5, 120, 7)).await.unwrap(), 132);
    assert_eq!(totals(&shop).await, (5, 120, 7));
    let mut counts = BTreeMap::new();
    for (name, _) in shop.events_after(EventId(0)).await {
        *counts.entry(name).or_insert(0) += 1;
    }
    assert_eq!((counts["category:created"], counts["product:created"], counts["order:created"]), (5, 120, 7));
    assert_eq!(counts["product:updated"], counts["stock:updated"]);
    assert_eq!(shop.deliveries(endpoint).await.len(), 120);
}

async fn a_second_run_adds_to_the_first(db: TestDb) {
    let shop = Shop::open(&db).await;
    let neighbour = Shop::open(&db).await;
    for round in 1..=3 {
        seed(&shop, wanted(3, 20, 4)).await.unwrap();
        seed(&neighbour, wanted(1, 1, 1)).await.unwrap();
        assert_eq!(totals(&shop).await, (3 * round, 20 * round, 4 * round));
    }
    assert_eq!(totals(&neighbour).await, (3, 3, 3));
}

async fn orders_take_stock_that_is_there(db: TestDb) {
    let shop = Shop::open(&db).await;
    assert_eq!(seed(&shop, wanted(0, 0, 1)).await.unwrap_err().code(), Code::Conflict);
    shop.product(7).await;
    seed(&shop, wanted(0, 0, 2)).await.unwrap();
    let refused = seed(&shop, wanted(0, 0, 3)).await.unwrap_err();
    assert!(refused.message().contains("short of stock"), "{refused:?}");
    assert_eq!(totals(&shop).await, (0, 1, 2));
}

async fn the_verb_seeds_a_tenant(db: TestDb) {
    let program = Program::on(db.url());
    program.json(&["tenant", "create", "--name", "Shop"]).await;
    let seed = ["seed", "--tenant", "1", "--products", "3", "--categories", "2"];
    assert_eq!(program.json(&seed).await, json!({"categories": 2, "products": 3, "orders": 0}));
    let with_orders = [&seed[..], &["--orders", "1"]].concat();
    let answer = program.run(&with_orders).await;
    assert_eq!(answer.code, 1);
    assert!(answer.stderr.contains("bellwire user create"), "{answer:?}");
    program.json(&["user", "create", "--tenant", "1", "--name", "Ann", "--email", "ann@shop.example"]).await;
    let answer = program.run(&with_orders).await;
    let said = "Made 2 categories, 3 products and 1 orders for tenant 1.\n";
    assert_eq!(
        (answer.code, answer.stdout.as_str(), answer.stderr.as_str()),
        (0, said, ""),
        "no bar in a pipe"
    );
}

#[actix_rt::test]
async fn the_help_says_that_events_are_written() {
    let help = Program::new().run(&["seed", "--help"]).await.stdout;
    assert!(help.contains("a running server publishes each of them"), "{help}");
}

#[actix_rt::test]
async fn a_tenant_that_is_not_there_is_named() {
    let db = TestDb::sqlite().await;
    let shop = Shop::open(&db).await;
    let nobody = (TenantId(77), None);
    let refused = seed::seed(&shop.db, &shop.clock, nobody, wanted(1, 1, 0), |_| ()).await.unwrap_err();
    assert_eq!(refused.fields()["tenant"], ["There is no tenant 77."]);
    let answer = Program::new().run(&["seed", "--tenant", "77"]).await;
    assert_eq!((answer.code, answer.stderr.lines().count()), (1, 1), "{answer:?}");
}
