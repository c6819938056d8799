//! How many statements a change costs: what a request asks of the database is written down here, so that a
//! needless one is noticed.

use crate::notifications::desk::{Desk, message};
use crate::support::statements::{listen, statements};
use crate::support::{Shop, TestDb};
use bellwire::catalog::product::{self, ProductChanges, ProductFilter};
use bellwire::catalog::{category, order};
use bellwire::domain::{Fields, ProductId};
use bellwire::notifications::Channel;
use bellwire::notifications::dispatch::Message;
use serde_json::{Value, json};

/// A shop whose statements are written down.
async fn observed() -> (TestDb, Shop) {
    listen();
    let db = TestDb::sqlite().await;
    let shop = Shop::open(&db).await;
    (db, shop)
}

async fn patch(shop: &Shop, id: ProductId, body: Value) {
    let changes = ProductChanges::parse(Fields::of(body).unwrap()).unwrap();
    shop.change(async |conn, unit| product::update(conn, unit, id, changes).await).await.unwrap();
}

#[actix_rt::test]
async fn a_change_of_a_product_asks_for_nothing_twice() {
    let (db, shop) = observed().await;
    let id = shop.product(5).await.product.id;
    let renamed = statements(&db, patch(&shop, id, json!({"name": "Green tea"}))).await;
    let expected =
        ["BEGIN", "SELECT products", "UPDATE products", "SELECT webhooks", "INSERT events", "COMMIT"];
    assert_eq!(renamed, expected);
    let same = statements(&db, patch(&shop, id, json!({"name": "Green tea"}))).await;
    assert_eq!(same, ["BEGIN", "SELECT products", "COMMIT"]);
}

#[actix_rt::test]
async fn a_list_of_any_length_is_two_or_three_statements() {
    let (db, shop) = observed().await;
    let new = category::NewCategory::parse(Fields::of(json!({"name": "Tea"})).unwrap()).unwrap();
    let shelf = shop.change(async |conn, unit| category::create(conn, unit, &new).await).await.unwrap();
    for _ in 0..20 {
        let product = shop.product_of(json!({"stock": 5, "category_id": shelf.category.id})).await.product.id;
        shop.order(json!({"items": [{"product_id": product, "quantity": 1}]})).await.unwrap();
    }
    let (filter, page) = ProductFilter::parse("per_page=10").unwrap();
    let products = statements(&db, async {
        let mut conn = db.read().await.unwrap();
        product::list(&mut conn, shop.tenant, &filter, &page).await.unwrap()
    });
    assert_eq!(products.await, ["SELECT products", "SELECT products", "SELECT categories"]);
    let (filter, page) = order::OrderFilter::parse("per_page=100").unwrap();
    let orders = statements(&db, async {
        let mut conn = db.read().await.unwrap();
        order::list(&mut conn, shop.tenant, &filter, &page).await.unwrap()
    });
    assert_eq!(orders.await, ["SELECT orders", "SELECT order_items"]);
}

#[actix_rt::test]
async fn a_batch_of_notifications_costs_as_many_statements_as_one() {
    let (db, shop) = observed().await;
    let desk = Desk { shop };
    let everywhere = || Message { channels: Some(Channel::ALL.iter().copied().collect()), ..message() };
    for count in [1, 20] {
        let notices: Vec<_> = (0..count).map(|_| desk.notice(desk.shop.user, everywhere())).collect();
        let mut asked = statements(&db, desk.dispatch(&notices)).await;
        // SQLite is given the rows of one insert one by one, without a way to the database between them.
        asked.dedup();
        let expected = [
            "BEGIN",
            // Users with their tenants.
            "SELECT WHERE",
            "SELECT user_notification_preferences",
            "INSERT in_app_notifications",
            "INSERT notification_log",
            "INSERT notification_engagement",
            "INSERT notification_engagement_totals",
            "SELECT webhooks",
            "INSERT events",
            "COMMIT",
        ];
        assert_eq!(asked, expected, "of {count}");
    }
}
