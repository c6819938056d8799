//! A category: its row, how it is shown, and every change to it.

mod input;
mod list;
mod slug;

pub use input::{CategoryChanges, NewCategory};
pub use list::{CategoryFilter, list};

use super::observer::Unit;
use super::product;
use crate::domain::{CategoryId, Code, Error, Result, TenantId, Timestamp};
use crate::storage::schema::{categories, products};
use crate::storage::{Conn, Violation, on_conn, on_conn_locking};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use slug::free_slug;
use std::collections::{BTreeMap, BTreeSet};

/// A row of `categories`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = categories, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct Category {
    /// Its id.
    pub id: CategoryId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Unique among the tenant's categories.
    pub name: String,
    /// The name for addresses, unique too; it follows the name.
    pub slug: String,
    /// What there is to say about it.
    pub description: Option<String>,
    /// Name or address of a picture.
    pub icon: Option<String>,
    /// Whether it is shown to customers.
    pub is_active: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A category as REST and events show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CategoryResource {
    /// Its row.
    #[serde(flatten)]
    pub category: Category,
    /// Its products, without deleted ones.
    pub product_count: i64,
}

/// What a product shows of its category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = categories, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct CategoryBrief {
    /// Its id.
    pub id: CategoryId,
    /// Its name.
    pub name: String,
    /// Its name for addresses.
    pub slug: String,
    /// Name or address of its picture.
    pub icon: Option<String>,
    /// Whether it is shown to customers.
    pub is_active: bool,
}

/// One category of the tenant.
pub async fn find(conn: &mut Conn, tenant: TenantId, id: CategoryId) -> Result<CategoryResource> {
    let query = of(tenant).filter(categories::id.eq(id));
    let found = on_conn!(conn, c => query.select(Category::as_select()).first(c).await.optional())?;
    show(conn, found.ok_or_else(|| Error::not_found("category"))?).await
}

/// Writes a category with the next free slug of its name.
pub async fn create(conn: &mut Conn, unit: &mut Unit, new: &NewCategory) -> Result<CategoryResource> {
    let slug = free_slug(conn, unit.tenant(), &new.name, None).await?;
    let values = (
        categories::tenant_id.eq(unit.tenant()),
        new,
        categories::slug.eq(slug),
        categories::created_at.eq(unit.now()),
        categories::updated_at.eq(unit.now()),
    );
    let written = on_conn!(conn, c => diesel::insert_into(categories::table)
        .values(values)
        .returning(Category::as_returning())
        .get_result(c)
        .await);
    let category = CategoryResource { category: written.map_err(refused)?, product_count: 0 };
    unit.category_created(&category)?;
    Ok(category)
}

/// Changes a category. What is the same already is no change: no event tells of it and `updated_at` stands.
pub async fn update(
    conn: &mut Conn,
    unit: &mut Unit,
    id: CategoryId,
    changes: CategoryChanges,
) -> Result<CategoryResource> {
    let query = of(unit.tenant()).filter(categories::id.eq(id));
    let present =
        on_conn_locking!(conn, query, |q, c| q.select(Category::as_select()).first(c).await.optional())?;
    let present = present.ok_or_else(|| Error::not_found("category"))?;
    let mut changes = changes.against(&present);
    if changes.is_empty() {
        return show(conn, present).await;
    }
    if let Some(name) = &changes.name {
        changes.slug = Some(free_slug(conn, unit.tenant(), name, Some(id)).await?);
    }
    let written = on_conn!(conn, c => diesel::update(query)
        .set((&changes, categories::updated_at.eq(unit.now())))
        .returning(Category::as_returning())
        .get_result(c)
        .await);
    let category = show(conn, written.map_err(refused)?).await?;
    unit.category_updated(&category)?;
    Ok(category)
}

/// Deletes a category that has no products.
pub async fn delete(conn: &mut Conn, unit: &mut Unit, id: CategoryId) -> Result<()> {
    let count = product_counts(conn, unit.tenant(), [id]).await?.get(&id).copied().unwrap_or(0);
    if count > 0 {
        let message = format!("The category has {count} product(s); move or delete them first.");
        return Err(Error::new(Code::Conflict, message));
    }
    let query = of(unit.tenant()).filter(categories::id.eq(id));
    match on_conn!(conn, c => diesel::delete(query).execute(c).await)? {
        0 => Err(Error::not_found("category")),
        _ => unit.category_deleted(id),
    }
}

/// The tenant's categories of these ids, in brief. No ids, no query.
pub(super) async fn briefs(
    conn: &mut Conn,
    tenant: TenantId,
    ids: impl IntoIterator<Item = CategoryId>,
) -> Result<BTreeMap<CategoryId, CategoryBrief>> {
    let ids: BTreeSet<_> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let query = of(tenant).filter(categories::id.eq_any(ids));
    let rows: Vec<CategoryBrief> =
        on_conn!(conn, c => query.select(CategoryBrief::as_select()).load(c).await)?;
    Ok(rows.into_iter().map(|category| (category.id, category)).collect())
}

#[diesel::dsl::auto_type]
fn of(tenant: TenantId) -> _ {
    categories::table.filter(categories::tenant_id.eq(tenant))
}

/// Shows categories, with one query for the counts of all.
async fn show_all(conn: &mut Conn, tenant: TenantId, rows: Vec<Category>) -> Result<Vec<CategoryResource>> {
    let counts = product_counts(conn, tenant, rows.iter().map(|c| c.id)).await?;
    let show = |category: Category| CategoryResource {
        product_count: counts.get(&category.id).copied().unwrap_or(0),
        category,
    };
    Ok(rows.into_iter().map(show).collect())
}

async fn show(conn: &mut Conn, category: Category) -> Result<CategoryResource> {
    let counts = product_counts(conn, category.tenant_id, [category.id]).await?;
    Ok(CategoryResource { product_count: counts.get(&category.id).copied().unwrap_or(0), category })
}

async fn product_counts(
    conn: &mut Conn,
    tenant: TenantId,
    ids: impl IntoIterator<Item = CategoryId>,
) -> Result<BTreeMap<CategoryId, i64>> {
    let query = product::live(tenant)
        .filter(products::category_id.eq_any(ids))
        .group_by(products::category_id)
        .select((products::category_id, diesel::dsl::count_star()));
    let rows: Vec<(Option<CategoryId>, i64)> = on_conn!(conn, c => query.load(c).await)?;
    Ok(rows.into_iter().filter_map(|(id, count)| Some((id?, count))).collect())
}

/// The database's refusal in words about a field. Slugs cannot clash, by the lock of `free_slug`.
fn refused(error: DieselError) -> Error {
    match Violation::of(&error) {
        Some(Violation::Unique) => Error::field("name", "The name has already been taken.").because(error),
        _ => error.into(),
    }
}
