//! An order: its row and items, how it is shown, and every change to it. Making one takes the stock in the
//! same transaction, cancelling one returns it, and each product touched tells of it too.

mod input;
mod list;
mod status;

pub use input::{NewOrder, OrderChanges};
pub use list::{OrderFilter, list};
pub use status::OrderStatus;

use super::observer::Unit;
use super::product::{self, Product};
use super::stock::{self, Quantities};
use crate::domain::{Code, Error, OrderId, ProductId, Result, TenantId, Timestamp, UserId};
use crate::storage::schema::{order_items, orders};
use crate::storage::{Conn, Violation, on_conn, on_conn_locking};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use input::Priced;
use rand::distr::{Alphanumeric, SampleString};
use serde::Serialize;
use std::collections::BTreeMap;

/// A row of `orders`. Money is in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = orders, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Who took it.
    pub user_id: UserId,
    /// Who ordered.
    pub customer_name: Option<String>,
    /// Unique among the tenant's orders.
    pub order_number: String,
    /// When it was ordered.
    pub ordered_at: Timestamp,
    /// Where it stands.
    pub status: OrderStatus,
    /// How many items it has, each of one product.
    pub items_count: i64,
    /// The sum of the items.
    pub total: i64,
    /// Of all prices, ISO 4217.
    pub currency: String,
    /// When it was made here.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A row of `order_items`, as an order shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = order_items, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct OrderItem {
    #[serde(skip)]
    order_id: OrderId,
    /// What was ordered.
    pub product_id: ProductId,
    /// How many of it.
    pub quantity: i64,
    /// The price of one.
    pub unit_price: i64,
    /// The price of all.
    pub line_total: i64,
}

/// An order as REST and events show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderResource {
    /// Its row.
    #[serde(flatten)]
    pub order: Order,
    /// What was ordered, in the order in which it was sent.
    pub items: Vec<OrderItem>,
}

/// One order of the tenant.
pub async fn find(conn: &mut Conn, tenant: TenantId, id: OrderId) -> Result<OrderResource> {
    let query = of(tenant).filter(orders::id.eq(id));
    let found = on_conn!(conn, c => query.select(Order::as_select()).first(c).await.optional())?;
    show(conn, found.ok_or_else(|| Error::not_found("order"))?).await
}

/// Writes an order and takes its stock.
pub async fn create(conn: &mut Conn, unit: &mut Unit, user: UserId, new: &NewOrder) -> Result<OrderResource> {
    let quantities = new.quantities();
    let products = stock::lock(conn, unit.tenant(), quantities.keys().copied()).await?;
    let priced = new.price(&products)?;
    let left = stock::take(conn, (unit.tenant(), unit.now()), &quantities, &products).await?;
    let order = insert(conn, unit, user, new, &priced).await?;
    let items = insert_items(conn, &order, priced).await?;
    let order = OrderResource { order, items };
    unit.order_created(&order)?;
    tell_stock(conn, unit, left).await?;
    Ok(order)
}

/// Changes an order. What is the same already is no change: no event tells of it and `updated_at` stands.
pub async fn update(
    conn: &mut Conn,
    unit: &mut Unit,
    id: OrderId,
    changes: OrderChanges,
) -> Result<OrderResource> {
    let present = lock(conn, unit.tenant(), id).await?;
    let changes = changes.against(&present);
    if changes.is_empty() {
        return show(conn, present).await;
    }
    if let Some(next) = changes.status.filter(|next| !present.status.may_become(*next)) {
        let message = format!("An order that is {} cannot become {next}.", present.status);
        return Err(Error::new(Code::Conflict, message));
    }
    let row = of(unit.tenant()).filter(orders::id.eq(id));
    let order = on_conn!(conn, c => diesel::update(row)
        .set((&changes, orders::updated_at.eq(unit.now())))
        .returning(Order::as_returning())
        .get_result(c)
        .await)?;
    let order = show(conn, order).await?;
    unit.order_updated(&order)?;
    if changes.status == Some(OrderStatus::Cancelled) {
        let quantities: Quantities = order.items.iter().map(|i| (i.product_id, i.quantity)).collect();
        let refilled = stock::give_back(conn, (unit.tenant(), unit.now()), &quantities).await?;
        tell_stock(conn, unit, refilled).await?;
    }
    Ok(order)
}

/// Deletes a cancelled order with its items. Observers are told of no such thing.
pub async fn delete(conn: &mut Conn, unit: &mut Unit, id: OrderId) -> Result<()> {
    let present = lock(conn, unit.tenant(), id).await?;
    if present.status != OrderStatus::Cancelled {
        let message = format!("An order that is {} cannot be deleted; cancel it first.", present.status);
        return Err(Error::new(Code::Conflict, message));
    }
    let row = of(unit.tenant()).filter(orders::id.eq(id));
    on_conn!(conn, c => diesel::delete(row).execute(c).await)?;
    Ok(())
}

/// Shows orders, with one query for the items of all.
async fn show_all(conn: &mut Conn, tenant: TenantId, rows: Vec<Order>) -> Result<Vec<OrderResource>> {
    let mut items: BTreeMap<OrderId, Vec<OrderItem>> = BTreeMap::new();
    let query = order_items::table
        .filter(order_items::tenant_id.eq(tenant))
        .filter(order_items::order_id.eq_any(rows.iter().map(|order| order.id)))
        .order(order_items::id);
    let found: Vec<OrderItem> = on_conn!(conn, c => query.select(OrderItem::as_select()).load(c).await)?;
    for item in found {
        items.entry(item.order_id).or_default().push(item);
    }
    let show = |order: Order| OrderResource { items: items.remove(&order.id).unwrap_or_default(), order };
    Ok(rows.into_iter().map(show).collect())
}

async fn show(conn: &mut Conn, order: Order) -> Result<OrderResource> {
    let shown = show_all(conn, order.tenant_id, vec![order]).await?;
    shown.into_iter().next().ok_or_else(|| Error::not_found("order"))
}

async fn lock(conn: &mut Conn, tenant: TenantId, id: OrderId) -> Result<Order> {
    let query = of(tenant).filter(orders::id.eq(id));
    let found = on_conn_locking!(conn, query, |q, c| q.select(Order::as_select()).first(c).await.optional())?;
    found.ok_or_else(|| Error::not_found("order"))
}

async fn insert(
    conn: &mut Conn,
    unit: &Unit,
    user: UserId,
    new: &NewOrder,
    priced: &Priced,
) -> Result<Order> {
    let values = (
        orders::tenant_id.eq(unit.tenant()),
        orders::user_id.eq(user),
        orders::customer_name.eq(&new.customer_name),
        orders::order_number.eq(new.order_number.clone().unwrap_or_else(|| generated_number(unit.now()))),
        orders::ordered_at.eq(new.ordered_at.unwrap_or(unit.now())),
        orders::status.eq(OrderStatus::Pending),
        orders::items_count.eq(i64::try_from(priced.items.len()).unwrap_or(i64::MAX)),
        orders::total.eq(priced.total),
        orders::currency.eq(&priced.currency),
        orders::created_at.eq(unit.now()),
        orders::updated_at.eq(unit.now()),
    );
    let written = on_conn!(conn, c => diesel::insert_into(orders::table)
        .values(values)
        .returning(Order::as_returning())
        .get_result(c)
        .await);
    written.map_err(|e| match Violation::of(&e) {
        Some(Violation::Unique) => {
            Error::field("order_number", "The order_number has already been taken.").because(e)
        }
        _ => e.into(),
    })
}

async fn insert_items(conn: &mut Conn, order: &Order, priced: Priced) -> Result<Vec<OrderItem>> {
    let mut items = Vec::with_capacity(priced.items.len());
    for item in priced.items {
        let values = (
            order_items::tenant_id.eq(order.tenant_id),
            order_items::order_id.eq(order.id),
            order_items::product_id.eq(item.product_id),
            order_items::quantity.eq(item.quantity),
            order_items::unit_price.eq(item.unit_price),
            order_items::line_total.eq(item.line_total),
        );
        let written = on_conn!(conn, c => diesel::insert_into(order_items::table)
            .values(values)
            .returning(OrderItem::as_returning())
            .get_result(c)
            .await)?;
        items.push(written);
    }
    Ok(items)
}

async fn tell_stock(conn: &mut Conn, unit: &mut Unit, touched: Vec<Product>) -> Result<()> {
    for product in product::show_all(conn, unit.tenant(), touched).await? {
        unit.product_updated(&product, true)?;
    }
    Ok(())
}

/// `ORD-20260301-` and ten letters and digits: some 50 bits of chance, and unique by the table's constraint.
fn generated_number(now: Timestamp) -> String {
    let chance = Alphanumeric.sample_string(&mut rand::rng(), 10).to_uppercase();
    format!("ORD-{}-{chance}", now.utc().format("%Y%m%d"))
}

/// The tenant's orders.
#[diesel::dsl::auto_type]
fn of(tenant: TenantId) -> _ {
    orders::table.filter(orders::tenant_id.eq(tenant))
}
