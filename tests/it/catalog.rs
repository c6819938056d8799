//! Products and categories: their rules, the wall between tenants, and exactly which events a change leaves.

use crate::support::{Shop, TestDb, opening_time};
use bellwire::catalog::category::{self, CategoryChanges, CategoryResource, NewCategory};
use bellwire::catalog::product::{self, NewProduct, ProductChanges, ProductResource};
use bellwire::domain::{
    CategoryId, Code, Committed, Error, EventId, Fields, OrderId, ProductId, Result, SocketId,
};
use bellwire::storage::schema::{order_items, products};
use bellwire::storage::{Conn, outbox};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    a_product_tells_of_each_change_and_of_nothing_else,
    a_category_tells_of_each_change,
    an_event_carries_its_cause_and_reaches_the_endpoints_that_want_it,
    a_refused_change_leaves_no_event,
    a_sku_and_a_barcode_are_free_again_when_their_product_is_deleted,
    a_category_goes_when_its_last_product_has_gone,
    categories_of_one_slug_are_numbered,
    categories_made_at_once_get_slugs_of_their_own,
    a_low_stock_and_a_category_show_in_the_product,
    another_tenant_s_rows_are_not_there,
    the_database_itself_keeps_tenants_apart,
);

fn fields(body: Value) -> Fields {
    Fields::of(body).unwrap()
}

async fn patch(shop: &Shop, id: ProductId, body: Value) -> Result<ProductResource> {
    let changes = ProductChanges::parse(fields(body))?;
    shop.change(async |conn, unit| product::update(conn, unit, id, changes).await).await
}

async fn delete_product(shop: &Shop, id: ProductId) -> Result<()> {
    shop.change(async |conn, unit| product::delete(conn, unit, id).await).await
}

async fn new_category(shop: &Shop, body: Value) -> Result<CategoryResource> {
    let new = NewCategory::parse(fields(body))?;
    shop.change(async |conn, unit| category::create(conn, unit, &new).await).await
}

async fn patch_category(shop: &Shop, id: CategoryId, body: Value) -> Result<CategoryResource> {
    let changes = CategoryChanges::parse(fields(body))?;
    shop.change(async |conn, unit| category::update(conn, unit, id, changes).await).await
}

async fn delete_category(shop: &Shop, id: CategoryId) -> Result<()> {
    shop.change(async |conn, unit| category::delete(conn, unit, id).await).await
}

fn event(name: &str, data: impl serde::Serialize) -> (String, Value) {
    (name.to_owned(), serde_json::to_value(data).unwrap())
}

async fn a_product_tells_of_each_change_and_of_nothing_else(db: TestDb) {
    let shop = Shop::open(&db).await;
    let made = shop.product_of(json!({"stock": 5, "barcode": "480"})).await;
    let id = made.product.id;
    shop.clock.advance(Duration::from_secs(1));
    let renamed = patch(&shop, id, json!({"name": "Green tea", "stock": 5})).await.unwrap();
    let counted = patch(&shop, id, json!({"stock": 4, "price": 120})).await.unwrap();
    shop.clock.advance(Duration::from_secs(1));
    let same = patch(&shop, id, json!({"stock": 4, "name": "Green tea", "barcode": "480"})).await.unwrap();
    assert_eq!(same, counted);
    assert_eq!(same.product.updated_at, opening_time().plus(Duration::from_secs(1)));
    assert_eq!(patch(&shop, id, json!({})).await.unwrap(), counted);
    delete_product(&shop, id).await.unwrap();
    let expected = [
        event("product:created", &made),
        event("product:updated", &renamed),
        event("product:updated", &counted),
        event("stock:updated", json!({"productId": id, "newStock": 4})),
        event("product:deleted", json!({"id": id})),
    ];
    assert_eq!(shop.events_after(EventId(0)).await, expected);
    for gone in [patch(&shop, id, json!({"stock": 1})).await.map(drop), delete_product(&shop, id).await] {
        assert_eq!(gone.unwrap_err().code(), Code::NotFound);
    }
}

async fn a_category_tells_of_each_change(db: TestDb) {
    let shop = Shop::open(&db).await;
    let made = new_category(&shop, json!({"name": "Tea", "icon": "cup"})).await.unwrap();
    let id = made.category.id;
    let hidden = patch_category(&shop, id, json!({"is_active": false, "icon": null})).await.unwrap();
    assert_eq!(patch_category(&shop, id, json!({"name": "Tea", "icon": null})).await.unwrap(), hidden);
    delete_category(&shop, id).await.unwrap();
    let expected = [
        event("category:created", &made),
        event("category:updated", &hidden),
        event("category:deleted", json!({"id": id})),
    ];
    assert_eq!(shop.events_after(EventId(0)).await, expected);
    assert_eq!(delete_category(&shop, id).await.unwrap_err().code(), Code::NotFound);
}

async fn an_event_carries_its_cause_and_reaches_the_endpoints_that_want_it(db: TestDb) {
    let (shop, other) = (Shop::open(&db).await, Shop::open(&db).await);
    let all = shop.webhook(json!(["*"])).await;
    let stock = shop.webhook(json!(["stock:updated", "order:*"])).await;
    let foreign = other.webhook(json!(["*"])).await;
    let id = shop.product(5).await.product.id;
    let socket: SocketId = "12.34".parse().unwrap();
    let changes = ProductChanges::parse(fields(json!({"stock": 6}))).unwrap();
    shop.change_by(socket, async |conn, unit| product::update(conn, unit, id, changes).await).await.unwrap();
    assert_eq!(shop.deliveries(all).await, ["product:created", "product:updated", "stock:updated"]);
    assert_eq!(shop.deliveries(stock).await, ["stock:updated"]);
    assert!(other.deliveries(foreign).await.is_empty());
    let mut conn = db.read().await.unwrap();
    let written = outbox::read_after(&mut conn, EventId(0), 10).await.unwrap();
    assert!(written.iter().all(|e| e.channel.as_str() == format!("private-tenant.{}", shop.tenant)));
    assert_eq!(written.iter().map(|e| e.except).collect::<Vec<_>>(), [None, Some(socket), Some(socket)]);
    crate::support::until("both commits are told of", async || shop.nudges().len() == 2).await;
    let nudges = shop.nudges();
    assert_eq!([&*nudges[0].events, &*nudges[1].events].concat(), written);
    assert_eq!((&nudges[0].endpoints, &nudges[1].endpoints), (&vec![all], &vec![all, stock]));
}

async fn a_refused_change_leaves_no_event(db: TestDb) {
    let shop = Shop::open(&db).await;
    let id = shop.product(1).await.product.id;
    let before = shop.last_event().await;
    let refused: Result<()> = shop
        .change(async |conn, unit| {
            product::delete(conn, unit, id).await?;
            Err(Error::new(Code::Conflict, "no"))
        })
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Conflict);
    assert!(shop.events_after(before).await.is_empty());
    assert!(patch(&shop, id, json!({"stock": 2})).await.is_ok());
}

async fn a_sku_and_a_barcode_are_free_again_when_their_product_is_deleted(db: TestDb) {
    let (shop, other) = (Shop::open(&db).await, Shop::open(&db).await);
    let body = json!({"sku": "A", "barcode": "1"});
    let first = shop.product_of(body.clone()).await.product.id;
    other.product_of(body.clone()).await;
    for (field, body) in [("sku", json!({"sku": "A"})), ("barcode", json!({"sku": "B", "barcode": "1"}))] {
        let mut body = body;
        body.as_object_mut().unwrap().extend([("name".into(), json!("x")), ("price".into(), json!(1))]);
        let new = NewProduct::parse(fields(body)).unwrap();
        let taken =
            shop.change(async |conn, unit| product::create(conn, unit, &new).await).await.unwrap_err();
        assert_eq!(taken.fields().keys().collect::<Vec<_>>(), [field]);
    }
    let second = shop.product_of(json!({"sku": "B"})).await.product.id;
    let taken = patch(&shop, second, json!({"sku": "A"})).await.unwrap_err();
    assert_eq!(taken.fields()["sku"], ["The sku has already been taken."]);
    delete_product(&shop, first).await.unwrap();
    shop.product_of(body).await;
}

async fn a_category_goes_when_its_last_product_has_gone(db: TestDb) {
    let shop = Shop::open(&db).await;
    let tea = new_category(&shop, json!({"name": "Tea"})).await.unwrap().category.id;
    let product = shop.product_of(json!({"category_id": tea})).await.product.id;
    let kept = delete_category(&shop, tea).await.unwrap_err();
    assert_eq!(kept.code(), Code::Conflict);
    assert!(kept.message().contains("1 product"), "{kept}");
    delete_product(&shop, product).await.unwrap();
    delete_category(&shop, tea).await.unwrap();
    let homeless = patch(&shop, shop.product(1).await.product.id, json!({"category_id": tea})).await;
    assert!(homeless.unwrap_err().fields().contains_key("category_id"));
}

async fn categories_of_one_slug_are_numbered(db: TestDb) {
    let shop = Shop::open(&db).await;
    let slug = async |name: &str| new_category(&shop, json!({"name": name})).await.unwrap().category;
    let plain = slug("Hot Tea").await;
    assert_eq!(plain.slug, "hot-tea");
    assert_eq!(slug("hot tea!").await.slug, "hot-tea-2");
    assert_eq!(slug("Hot, tea").await.slug, "hot-tea-3");
    assert_eq!(slug("Hot Tea Pots").await.slug, "hot-tea-pots");
    let taken = new_category(&shop, json!({"name": "Hot Tea"})).await.unwrap_err();
    assert_eq!(taken.fields().keys().collect::<Vec<_>>(), ["name"]);
    let renamed = patch_category(&shop, plain.id, json!({"name": "HOT TEA"})).await.unwrap();
    assert_eq!(renamed.category.slug, "hot-tea");
    let renamed = patch_category(&shop, plain.id, json!({"name": "Hot tea pots"})).await.unwrap();
    assert_eq!(renamed.category.slug, "hot-tea-pots-2");
    assert_eq!(slug("Hot  Tea").await.slug, "hot-tea");
}

async fn categories_made_at_once_get_slugs_of_their_own(db: TestDb) {
    let shop = Shop::open(&db).await;
    let names = ["Tea", "tea", "TEA", "Tea!", "Tea?", "(tea)"];
    let made = names.map(|name| new_category(&shop, json!({"name": name})));
    let mut slugs: Vec<_> = join_all(made).await.into_iter().map(|c| c.unwrap().category.slug).collect();
    slugs.sort();
    assert_eq!(slugs, ["tea", "tea-2", "tea-3", "tea-4", "tea-5", "tea-6"]);
}

async fn a_low_stock_and_a_category_show_in_the_product(db: TestDb) {
    let shop = Shop::open(&db).await;
    let tea = new_category(&shop, json!({"name": "Tea"})).await.unwrap().category;
    let made = shop.product_of(json!({"category_id": tea.id, "stock": 3, "min_stock": 3})).await;
    assert!(made.is_low_stock && !made.has_barcode);
    assert_eq!(made.category.as_ref().unwrap().slug, "tea");
    let filled = patch(&shop, made.product.id, json!({"stock": 4, "barcode": "4"})).await.unwrap();
    assert!(!filled.is_low_stock && filled.has_barcode);
    let mut conn = db.read().await.unwrap();
    assert_eq!(product::find(&mut conn, shop.tenant, made.product.id).await.unwrap(), filled);
    assert_eq!(category::find(&mut conn, shop.tenant, tea.id).await.unwrap().product_count, 1);
    drop(conn);
    let loose = patch(&shop, made.product.id, json!({"category_id": null})).await.unwrap();
    assert_eq!((loose.product.category_id, loose.category), (None, None));
}

async fn another_tenant_s_rows_are_not_there(db: TestDb) {
    let (shop, other) = (Shop::open(&db).await, Shop::open(&db).await);
    let theirs = other.product(5).await.product.id;
    let category = new_category(&other, json!({"name": "Tea"})).await.unwrap().category.id;
    let before = shop.last_event().await;
    for refused in [
        patch(&shop, theirs, json!({"stock": 1})).await.map(drop),
        delete_product(&shop, theirs).await,
        patch_category(&shop, category, json!({"name": "Mine"})).await.map(drop),
        delete_category(&shop, category).await,
    ] {
        assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    }
    let order = shop.order(json!({"items": [{"product_id": theirs, "quantity": 1}]})).await.unwrap_err();
    assert!(order.fields().contains_key("items.0.product_id"), "{order}");
    let mine = shop.product(1).await.product.id;
    let moved = patch(&shop, mine, json!({"category_id": category})).await.unwrap_err();
    assert!(moved.fields().contains_key("category_id"), "{moved}");
    assert!(other.events_after(before).await.is_empty());
}

/// What code forgets, the tables hold: a row cannot refer to a row of another tenant.
async fn the_database_itself_keeps_tenants_apart(db: TestDb) {
    let (shop, other) = (Shop::open(&db).await, Shop::open(&db).await);
    let (mine, theirs) = (shop.product(5).await.product.id, other.product(5).await.product.id);
    let category = new_category(&other, json!({"name": "Tea"})).await.unwrap().category.id;
    let order = shop.order(json!({"items": [{"product_id": mine, "quantity": 1}]})).await.unwrap().order.id;
    let shelve = async |conn: &mut Conn| {
        let row = products::table.filter(products::id.eq(mine));
        let moved = products::category_id.eq(category);
        Ok(on_conn!(conn, c => diesel::update(row).set(moved).execute(c).await)?)
    };
    assert_eq!(db.transaction(shelve).await.unwrap_err().code(), Code::Conflict);
    let item = async |order: OrderId, product: ProductId, tenant| {
        let values = (
            order_items::tenant_id.eq(tenant),
            order_items::order_id.eq(order),
            order_items::product_id.eq(product),
            order_items::quantity.eq(1_i64),
            order_items::unit_price.eq(1_i64),
            order_items::line_total.eq(1_i64),
        );
        let insert = async |conn: &mut Conn| {
            Ok(on_conn!(conn, c => diesel::insert_into(order_items::table).values(values).execute(c).await)?)
        };
        db.transaction(insert).await
    };
    assert_eq!(item(order, theirs, shop.tenant).await.unwrap_err().code(), Code::Conflict);
    assert_eq!(item(order, theirs, other.tenant).await.unwrap_err().code(), Code::Conflict);
    assert!(item(order, mine, shop.tenant).await.is_ok());
}

/// Takes nudges as fast as the test lets it: not at all.
struct Stuck;

impl actix::Actor for Stuck {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1);
    }
}

impl actix::Handler<Committed> for Stuck {
    type Result = actix::ResponseFuture<()>;

    fn handle(&mut self, _: Committed, ctx: &mut Self::Context) -> Self::Result {
        use actix::AsyncContext;
        ctx.wait(actix::fut::wrap_future(std::future::pending::<()>()));
        Box::pin(std::future::ready(()))
    }
}

#[actix_rt::test]
async fn a_full_mailbox_is_counted_and_loses_nothing() {
    let db = TestDb::sqlite().await;
    let shop = Shop::telling(&db, actix::Actor::start(Stuck).recipient()).await;
    for _ in 0..10 {
        shop.product(1).await;
    }
    assert!(shop.metrics.mailbox_full.with_label_values(&["registry"]).get() > 0);
    assert_eq!(shop.events_after(EventId(0)).await.len(), 10);
}

#[actix_rt::test]
async fn a_registry_that_is_gone_stops_no_change() {
    use actix::{Actor, Addr};
    let db = TestDb::sqlite().await;
    let gone: Addr<Gone> = Gone.start();
    let shop = Shop::telling(&db, gone.clone().recipient()).await;
    gone.send(Go).await.unwrap();
    crate::support::until("the actor is gone", async || !gone.connected()).await;
    shop.product(1).await;
    assert_eq!(shop.events_after(EventId(0)).await.len(), 1);
}

struct Gone;

#[derive(actix::Message)]
#[rtype(result = "()")]
struct Go;

impl actix::Actor for Gone {
    type Context = actix::Context<Self>;
}

impl actix::Handler<Go> for Gone {
    type Result = ();

    fn handle(&mut self, _: Go, ctx: &mut Self::Context) {
        actix::ActorContext::stop(ctx);
    }
}

impl actix::Handler<Committed> for Gone {
    type Result = ();

    fn handle(&mut self, _: Committed, _: &mut Self::Context) {}
}
