//! Stock on its way into an order and back: always in the order of product ids, so that orders that race for
//! the same products queue up and never wait for each other in a ring.

use super::product::{self, Product};
use crate::domain::{Code, Error, ProductId, Result, TenantId, Timestamp};
use crate::storage::schema::products;
use crate::storage::{Conn, on_conn, on_conn_locking};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::BTreeMap;

/// How many of each product.
pub(super) type Quantities = BTreeMap<ProductId, i64>;

/// The products that exist for the tenant, standing still from here to the end of the transaction.
pub(super) async fn lock(
    conn: &mut Conn,
    tenant: TenantId,
    wanted: impl Iterator<Item = ProductId>,
) -> Result<BTreeMap<ProductId, Product>> {
    let query = product::live(tenant).filter(products::id.eq_any(wanted)).order(products::id);
    let rows: Vec<Product> =
        on_conn_locking!(conn, query, |q, c| q.select(Product::as_select()).load(c).await)?;
    Ok(rows.into_iter().map(|p| (p.id, p)).collect())
}

/// Takes the quantities away and returns the products as they are then. The update itself refuses to go below
/// zero; whoever finds too little gets a conflict that names the product.
pub(super) async fn take(
    conn: &mut Conn,
    (tenant, now): (TenantId, Timestamp),
    quantities: &Quantities,
    present: &BTreeMap<ProductId, Product>,
) -> Result<Vec<Product>> {
    let mut left = Vec::with_capacity(quantities.len());
    for (id, quantity) in quantities {
        let enough = product::live(tenant).filter(products::id.eq(*id)).filter(products::stock.ge(*quantity));
        let taken = (products::stock.eq(products::stock - *quantity), products::updated_at.eq(now));
        let row = on_conn!(conn, c => diesel::update(enough)
            .set(taken)
            .returning(Product::as_returning())
            .get_result(c)
            .await
            .optional())?;
        left.push(row.ok_or_else(|| short(*id, *quantity, present.get(id)))?);
    }
    Ok(left)
}

/// Gives the quantities back, to deleted products too, and returns those that are not deleted.
pub(super) async fn give_back(
    conn: &mut Conn,
    (tenant, now): (TenantId, Timestamp),
    quantities: &Quantities,
) -> Result<Vec<Product>> {
    let mut refilled = Vec::with_capacity(quantities.len());
    for (id, quantity) in quantities {
        let row = products::table.filter(products::tenant_id.eq(tenant)).filter(products::id.eq(*id));
        let given = (products::stock.eq(products::stock + *quantity), products::updated_at.eq(now));
        let row: Product = on_conn!(conn, c => diesel::update(row)
            .set(given)
            .returning(Product::as_returning())
            .get_result(c)
            .await)?;
        refilled.push(row);
    }
    refilled.retain(|product| product.deleted_at.is_none());
    Ok(refilled)
}

fn short(id: ProductId, wanted: i64, present: Option<&Product>) -> Error {
    let (name, stock) = present.map_or(("", 0), |p| (p.name.as_str(), p.stock));
    Error::new(
        Code::Conflict,
        format!("Product {id} ({name}) is short: {wanted} are wanted and {stock} are in stock."),
    )
}
