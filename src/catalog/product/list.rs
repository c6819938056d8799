//! Lists of products: what they can be filtered and sorted by.

use super::{Product, ProductResource, live, show_all};
use crate::domain::{CategoryId, Result, TenantId};
use crate::storage::page::{Columns, ListQuery, Listed, Page, lower, paged};
use crate::storage::schema::products;
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

const COLUMNS: Columns = Columns {
    sorts: &["id", "name", "sku", "price", "stock", "created_at", "updated_at"],
    filters: &["name", "sku", "barcode", "category_id", "is_active", "is_ecommerce", "is_low_stock"],
};

/// Which products are asked for.
#[derive(Debug, Clone, Default)]
pub struct ProductFilter {
    name: Option<String>,
    sku: Option<String>,
    barcode: Option<String>,
    category_id: Option<CategoryId>,
    is_active: Option<bool>,
    is_ecommerce: Option<bool>,
    is_low_stock: Option<bool>,
}

impl ProductFilter {
    /// Reads a list's query string. `filter[name]` finds its text anywhere in the name, whatever the case.
    pub fn parse(query: &str) -> Result<(Self, Page)> {
        let mut query = ListQuery::parse(query, &COLUMNS);
        let filter = Self {
            name: query.contains("name"),
            sku: query.text("sku"),
            barcode: query.text("barcode"),
            category_id: query.value("category_id", "a number"),
            is_active: query.boolean("is_active"),
            is_ecommerce: query.boolean("is_ecommerce"),
            is_low_stock: query.boolean("is_low_stock"),
        };
        Ok((filter, query.finish()?))
    }
}

/// The products that the filter lets through, for one back end.
macro_rules! matching {
    ($filter:expr, $tenant:expr, $backend:ty) => {{
        let filter: &ProductFilter = $filter;
        let mut query = live($tenant).into_boxed::<$backend>();
        if let Some(pattern) = &filter.name {
            query = query.filter(lower(products::name).like(lower(pattern)).escape('\\'));
        }
        if let Some(sku) = &filter.sku {
            query = query.filter(products::sku.eq(sku));
        }
        if let Some(barcode) = &filter.barcode {
            query = query.filter(products::barcode.eq(barcode));
        }
        if let Some(category) = filter.category_id {
            query = query.filter(products::category_id.eq(category));
        }
        if let Some(active) = filter.is_active {
            query = query.filter(products::is_active.eq(active));
        }
        if let Some(ecommerce) = filter.is_ecommerce {
            query = query.filter(products::is_ecommerce.eq(ecommerce));
        }
        match filter.is_low_stock {
            Some(true) => query.filter(products::stock.le(products::min_stock)),
            Some(false) => query.filter(products::stock.gt(products::min_stock)),
            None => query,
        }
    }};
}

/// A page of the tenant's products.
pub async fn list(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &ProductFilter,
    page: &Page,
) -> Result<Listed<ProductResource>> {
    let rows: Vec<Product> = on_conn!(conn, c: B => {
        let columns = paged!(matching!(filter, tenant, B), page, products {
            id, name, sku, price, stock, created_at, updated_at
        });
        columns.select(Product::as_select()).load(c).await
    })?;
    let total = match page.total_if_last(rows.len()) {
        Some(total) => total,
        None => on_conn!(conn, c: B => matching!(filter, tenant, B).count().get_result(c).await)?,
    };
    Ok(Listed { rows: show_all(conn, tenant, rows).await?, total })
}
