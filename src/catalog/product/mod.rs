//! A product: its row, how it is shown, and every change to it. A deleted product is a row that nobody finds.

mod input;
mod list;

pub use input::{NewProduct, ProductChanges};
pub use list::{ProductFilter, list};

use super::category::{self, CategoryBrief};
use super::observer::Unit;
use crate::domain::{CategoryId, Error, ProductId, Result, TenantId, Timestamp};
use crate::storage::schema::products;
use crate::storage::{Conn, Violation, on_conn, on_conn_locking};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorInformation, Error as DieselError};
use diesel_async::RunQueryDsl;
use serde::Serialize;

/// A row of `products`. Money is in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = products, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Where it is shelved; null for nowhere.
    pub category_id: Option<CategoryId>,
    /// What it is called.
    pub name: String,
    /// What there is to say about it.
    pub description: Option<String>,
    /// The shop's own code, unique among the tenant's products.
    pub sku: String,
    /// The code on the package, unique among the tenant's products.
    pub barcode: Option<String>,
    /// What it sells for.
    pub price: i64,
    /// What it was bought for.
    pub cost: Option<i64>,
    /// Of both prices, ISO 4217.
    pub currency: String,
    /// What one of it is: `pc`, `kg`, …
    pub unit: String,
    /// How many there are; never below zero.
    pub stock: i64,
    /// At this stock or below it is low.
    pub min_stock: i64,
    /// How many there should be at most; for people, not enforced.
    pub max_stock: Option<i64>,
    /// Address of a picture.
    pub image: Option<String>,
    /// Whether it is for sale.
    pub is_active: bool,
    /// Whether it is for sale on the web too.
    pub is_ecommerce: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed; its stock counts.
    pub updated_at: Timestamp,
    /// When it was deleted; null for all that anyone is shown.
    pub deleted_at: Option<Timestamp>,
}

/// A product as REST and events show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProductResource {
    /// Its row.
    #[serde(flatten)]
    pub product: Product,
    /// The category in brief, or null.
    pub category: Option<CategoryBrief>,
    /// Whether it has a barcode.
    pub has_barcode: bool,
    /// Whether the stock is at its minimum or below.
    pub is_low_stock: bool,
}

impl ProductResource {
    fn new(product: Product, category: Option<CategoryBrief>) -> Self {
        let (has_barcode, is_low_stock) = (product.barcode.is_some(), product.stock <= product.min_stock);
        Self { product, category, has_barcode, is_low_stock }
    }
}

/// Shows products, with one query for the categories of all.
pub(super) async fn show_all(
    conn: &mut Conn,
    tenant: TenantId,
    products: Vec<Product>,
) -> Result<Vec<ProductResource>> {
    let categories = category::briefs(conn, tenant, products.iter().filter_map(|p| p.category_id)).await?;
    let show = |product: Product| {
        let category = product.category_id.and_then(|id| categories.get(&id).cloned());
        ProductResource::new(product, category)
    };
    Ok(products.into_iter().map(show).collect())
}

async fn show(conn: &mut Conn, product: Product) -> Result<ProductResource> {
    let categories = category::briefs(conn, product.tenant_id, product.category_id).await?;
    let category = categories.into_values().next();
    Ok(ProductResource::new(product, category))
}

/// One product of the tenant.
pub async fn find(conn: &mut Conn, tenant: TenantId, id: ProductId) -> Result<ProductResource> {
    let query = live(tenant).filter(products::id.eq(id));
    let found = on_conn!(conn, c => query.select(Product::as_select()).first(c).await.optional())?;
    show(conn, found.ok_or_else(|| Error::not_found("product"))?).await
}

/// Writes a product.
pub async fn create(conn: &mut Conn, unit: &mut Unit, new: &NewProduct) -> Result<ProductResource> {
    let values = (
        products::tenant_id.eq(unit.tenant()),
        new,
        products::created_at.eq(unit.now()),
        products::updated_at.eq(unit.now()),
    );
    let written = on_conn!(conn, c => diesel::insert_into(products::table)
        .values(values)
        .returning(Product::as_returning())
        .get_result(c)
        .await);
    let product = show(conn, written.map_err(refused)?).await?;
    unit.product_created(&product)?;
    Ok(product)
}

/// Changes a product. What is the same already is no change: no event tells of it and `updated_at` stands.
pub async fn update(
    conn: &mut Conn,
    unit: &mut Unit,
    id: ProductId,
    changes: ProductChanges,
) -> Result<ProductResource> {
    let present = lock(conn, unit.tenant(), id).await?;
    let changes = changes.against(&present);
    if changes.is_empty() {
        return show(conn, present).await;
    }
    let row = live(unit.tenant()).filter(products::id.eq(id));
    let written = on_conn!(conn, c => diesel::update(row)
        .set((&changes, products::updated_at.eq(unit.now())))
        .returning(Product::as_returning())
        .get_result(c)
        .await);
    let product = show(conn, written.map_err(refused)?).await?;
    unit.product_updated(&product, product.product.stock != present.stock)?;
    Ok(product)
}

/// Deletes a product. Its row stays, for the orders that speak of it, and lets go of its category, so that
/// the category can go too.
pub async fn delete(conn: &mut Conn, unit: &mut Unit, id: ProductId) -> Result<()> {
    let row = live(unit.tenant()).filter(products::id.eq(id));
    let gone = (
        products::deleted_at.eq(unit.now()),
        products::updated_at.eq(unit.now()),
        products::category_id.eq(None::<CategoryId>),
    );
    match on_conn!(conn, c => diesel::update(row).set(gone).execute(c).await)? {
        0 => Err(Error::not_found("product")),
        _ => unit.product_deleted(id),
    }
}

async fn lock(conn: &mut Conn, tenant: TenantId, id: ProductId) -> Result<Product> {
    let query = live(tenant).filter(products::id.eq(id));
    let found =
        on_conn_locking!(conn, query, |q, c| q.select(Product::as_select()).first(c).await.optional())?;
    found.ok_or_else(|| Error::not_found("product"))
}

/// The tenant's products that are not deleted.
#[diesel::dsl::auto_type]
pub(super) fn live(tenant: TenantId) -> _ {
    products::table.filter(products::tenant_id.eq(tenant)).filter(products::deleted_at.is_null())
}

/// The database's refusal in words about a field.
fn refused(error: DieselError) -> Error {
    match (Violation::of(&error), &error) {
        (Some(Violation::Unique), DieselError::DatabaseError(_, info)) => {
            let field = taken_field(info.as_ref());
            Error::field(field, format!("The {field} has already been taken.")).because(error)
        }
        (Some(Violation::ForeignKey), _) => {
            Error::field("category_id", "There is no such category.").because(error)
        }
        _ => error.into(),
    }
}

/// Both databases name the constraint or its columns in the message, and never a value.
fn taken_field(info: &(dyn DatabaseErrorInformation + Send + Sync)) -> &'static str {
    if info.message().contains("barcode") { "barcode" } else { "sku" }
}
