//! Lists of categories: what they can be filtered and sorted by.

use super::{Category, CategoryResource, of, show_all};
use crate::domain::{Result, TenantId};
use crate::storage::page::{Columns, ListQuery, Listed, Page, lower, paged};
use crate::storage::schema::categories;
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

const COLUMNS: Columns = Columns {
    sorts: &["id", "name", "slug", "created_at", "updated_at"],
    filters: &["name", "slug", "is_active"],
};

/// Which categories are asked for.
#[derive(Debug, Clone, Default)]
pub struct CategoryFilter {
    name: Option<String>,
    slug: Option<String>,
    is_active: Option<bool>,
}

impl CategoryFilter {
    /// Reads a list's query string. `filter[name]` finds its text anywhere in the name, whatever the case.
    pub fn parse(query: &str) -> Result<(Self, Page)> {
        let mut query = ListQuery::parse(query, &COLUMNS);
        let (name, slug) = (query.contains("name"), query.text("slug"));
        let filter = Self { name, slug, is_active: query.boolean("is_active") };
        Ok((filter, query.finish()?))
    }
}

/// The categories that the filter lets through, for one back end.
macro_rules! matching {
    ($filter:expr, $tenant:expr, $backend:ty) => {{
        let filter: &CategoryFilter = $filter;
        let mut query = of($tenant).into_boxed::<$backend>();
        if let Some(pattern) = &filter.name {
            query = query.filter(lower(categories::name).like(lower(pattern)).escape('\\'));
        }
        if let Some(slug) = &filter.slug {
            query = query.filter(categories::slug.eq(slug));
        }
        match filter.is_active {
            Some(active) => query.filter(categories::is_active.eq(active)),
            None => query,
        }
    }};
}

/// A page of the tenant's categories.
pub async fn list(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &CategoryFilter,
    page: &Page,
) -> Result<Listed<CategoryResource>> {
    let rows: Vec<Category> = on_conn!(conn, c: B => {
        let columns = paged!(matching!(filter, tenant, B), page, categories {
            id, name, slug, created_at, updated_at
        });
        columns.select(Category::as_select()).load(c).await
    })?;
    let total = match page.total_if_last(rows.len()) {
        Some(total) => total,
        None => on_conn!(conn, c: B => matching!(filter, tenant, B).count().get_result(c).await)?,
    };
    Ok(Listed { rows: show_all(conn, tenant, rows).await?, total })
}
