//! Lists of orders: what they can be filtered and sorted by.

use super::{Order, OrderResource, OrderStatus, of, show_all};
use crate::domain::{Result, TenantId, Timestamp, UserId};
use crate::storage::page::{Columns, ListQuery, Listed, Page, lower, paged};
use crate::storage::schema::orders;
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

const COLUMNS: Columns = Columns {
    sorts: &["id", "order_number", "ordered_at", "status", "total", "created_at", "updated_at"],
    filters: &["status", "order_number", "customer_name", "user_id", "ordered_from", "ordered_to"],
};

/// Which orders are asked for.
#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    status: Option<OrderStatus>,
    order_number: Option<String>,
    customer_name: Option<String>,
    user_id: Option<UserId>,
    ordered_from: Option<Timestamp>,
    ordered_to: Option<Timestamp>,
}

impl OrderFilter {
    /// Reads a list's query string. `filter[customer_name]` finds its text anywhere in the name, whatever the
    /// case; `ordered_from` is in, `ordered_to` is out.
    pub fn parse(query: &str) -> Result<(Self, Page)> {
        let mut query = ListQuery::parse(query, &COLUMNS);
        let filter = Self {
            status: query.value("status", "pending, processing, completed or cancelled"),
            order_number: query.text("order_number"),
            customer_name: query.contains("customer_name"),
            user_id: query.value("user_id", "a number"),
            ordered_from: query.timestamp("ordered_from"),
            ordered_to: query.timestamp("ordered_to"),
        };
        Ok((filter, query.finish()?))
    }
}

/// The orders that the filter lets through, for one back end.
macro_rules! matching {
    ($filter:expr, $tenant:expr, $backend:ty) => {{
        let filter: &OrderFilter = $filter;
        let mut query = of($tenant).into_boxed::<$backend>();
        if let Some(status) = filter.status {
            query = query.filter(orders::status.eq(status));
        }
        if let Some(number) = &filter.order_number {
            query = query.filter(orders::order_number.eq(number));
        }
        if let Some(pattern) = &filter.customer_name {
            query = query.filter(lower(orders::customer_name).like(lower(pattern)).escape('\\'));
        }
        if let Some(user) = filter.user_id {
            query = query.filter(orders::user_id.eq(user));
        }
        if let Some(from) = filter.ordered_from {
            query = query.filter(orders::ordered_at.ge(from));
        }
        match filter.ordered_to {
            Some(to) => query.filter(orders::ordered_at.lt(to)),
            None => query,
        }
    }};
}

/// A page of the tenant's orders, with one query for the items of all.
pub async fn list(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &OrderFilter,
    page: &Page,
) -> Result<Listed<OrderResource>> {
    let rows: Vec<Order> = on_conn!(conn, c: B => {
        let columns = paged!(matching!(filter, tenant, B), page, orders {
            id, order_number, ordered_at, status, total, created_at, updated_at
        });
        columns.select(Order::as_select()).load(c).await
    })?;
    let total = match page.total_if_last(rows.len()) {
        Some(total) => total,
        None => on_conn!(conn, c: B => matching!(filter, tenant, B).count().get_result(c).await)?,
    };
    Ok(Listed { rows: show_all(conn, tenant, rows).await?, total })
}
