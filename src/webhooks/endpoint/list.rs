//! Lists of endpoints: what they can be filtered and sorted by.

use super::row::EndpointRow;
use super::{Endpoint, of};
use crate::domain::{Result, TenantId};
use crate::storage::page::{Columns, ListQuery, Listed, Page, lower, paged};
use crate::storage::schema::webhooks;
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

const COLUMNS: Columns = Columns {
    sorts: &["id", "name", "url", "last_triggered_at", "created_at", "updated_at"],
    filters: &["name", "url", "is_active", "is_paused"],
};

/// Which endpoints are asked for.
#[derive(Debug, Clone, Default)]
pub struct EndpointFilter {
    name: Option<String>,
    url: Option<String>,
    is_active: Option<bool>,
    is_paused: Option<bool>,
}

impl EndpointFilter {
    /// Reads a list's query string. `filter[name]` and `filter[url]` find their text anywhere, whatever the case.
    pub fn parse(query: &str) -> Result<(Self, Page)> {
        let mut query = ListQuery::parse(query, &COLUMNS);
        let filter = Self {
            name: query.contains("name"),
            url: query.contains("url"),
            is_active: query.boolean("is_active"),
            is_paused: query.boolean("is_paused"),
        };
        Ok((filter, query.finish()?))
    }
}

/// The endpoints that the filter lets through, for one back end.
macro_rules! matching {
    ($filter:expr, $tenant:expr, $backend:ty) => {{
        let filter: &EndpointFilter = $filter;
        let mut query = of($tenant).into_boxed::<$backend>();
        if let Some(pattern) = &filter.name {
            query = query.filter(lower(webhooks::name).like(lower(pattern)).escape('\\'));
        }
        if let Some(pattern) = &filter.url {
            query = query.filter(lower(webhooks::url).like(lower(pattern)).escape('\\'));
        }
        if let Some(is_active) = filter.is_active {
            query = query.filter(webhooks::is_active.eq(is_active));
        }
        match filter.is_paused {
            Some(is_paused) => query.filter(webhooks::is_paused.eq(is_paused)),
            None => query,
        }
    }};
}

/// A page of the tenant's endpoints.
pub async fn page(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &EndpointFilter,
    page: &Page,
) -> Result<Listed<Endpoint>> {
    let rows: Vec<EndpointRow> = on_conn!(conn, c: B => {
        let columns = paged!(matching!(filter, tenant, B), page, webhooks {
            id, name, url, last_triggered_at, created_at, updated_at
        });
        columns.select(EndpointRow::as_select()).load(c).await
    })?;
    let total = match page.total_if_last(rows.len()) {
        Some(total) => total,
        None => on_conn!(conn, c: B => matching!(filter, tenant, B).count().get_result(c).await)?,
    };
    Ok(Listed { rows: rows.into_iter().map(Endpoint::try_from).collect::<Result<_>>()?, total })
}
