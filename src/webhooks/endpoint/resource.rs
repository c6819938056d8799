//! `EndpointResource`: an endpoint as its owner sees it, with the state of its breaker and without its secret.

use super::Endpoint;
use crate::domain::{EndpointId, EventFilter, Result, TenantId, Timestamp};
use crate::storage::schema::webhook_breakers;
use crate::storage::{Conn, on_conn};
use crate::webhooks::strategy::{Strategy, pusher_batch};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use std::collections::BTreeMap;

/// What REST and the command line show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointResource {
    /// Its id.
    pub id: EndpointId,
    /// Whose events it gets.
    pub tenant_id: TenantId,
    /// What its owner calls it.
    pub name: String,
    /// Where its deliveries are posted.
    pub url: String,
    /// Which events it gets.
    pub events: Vec<EventFilter>,
    /// Whether it gets any.
    pub is_active: bool,
    /// Whether its deliveries wait until its owner resumes it.
    pub is_paused: bool,
    /// Why it is not active, if that was not its owner's wish.
    pub disabled_reason: Option<String>,
    /// Tries after the first one.
    pub max_retries: u32,
    /// Percent of the schedule.
    pub retry_delay: u32,
    /// From connecting to the end of the answer's body.
    pub timeout_ms: u128,
    /// Requests in flight to it; null = the configuration's.
    pub concurrency: Option<usize>,
    /// Requests a minute; null = no bound.
    pub rate_per_minute: Option<u32>,
    /// Whether each delivery waits for the one before it to end.
    pub is_ordered: bool,
    /// Failures in a row that open its breaker; null = the configuration's.
    pub breaker_threshold: Option<u32>,
    /// How long its breaker stays open; null = the configuration's.
    pub breaker_open_seconds: Option<u64>,
    /// How it is sent to.
    pub strategy: Strategy,
    /// Of an endpoint that is sent Pusher's webhooks: what their `X-Pusher-Key` says.
    pub pusher_key: Option<String>,
    /// What its breaker does.
    pub breaker: BreakerView,
    /// When it was last called, give or take a second.
    pub last_triggered_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its owner last changed it.
    pub updated_at: Timestamp,
}

/// A breaker as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = webhook_breakers, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct BreakerView {
    /// `closed`, `open` or `half_open`.
    pub state: String,
    /// Attempts that failed one after another.
    pub failures: i32,
    /// Of an open one: when it is probed.
    pub until: Option<Timestamp>,
    /// Nothing is sent before, because the endpoint asked for a pause.
    pub deferred_until: Option<Timestamp>,
}

impl BreakerView {
    /// Of an endpoint that nothing is noted of.
    pub(in crate::webhooks) fn closed() -> Self {
        Self { state: "closed".to_owned(), failures: 0, until: None, deferred_until: None }
    }
}

impl EndpointResource {
    fn of(endpoint: Endpoint, breaker: BreakerView) -> Self {
        Self {
            id: endpoint.id,
            tenant_id: endpoint.tenant_id,
            name: endpoint.name,
            url: endpoint.url,
            events: endpoint.events,
            is_active: endpoint.is_active,
            is_paused: endpoint.is_paused,
            disabled_reason: endpoint.disabled_reason,
            max_retries: endpoint.backoff.max_retries,
            retry_delay: endpoint.backoff.delay_percent,
            timeout_ms: endpoint.timeout.as_millis(),
            concurrency: endpoint.concurrency,
            rate_per_minute: endpoint.rate_per_minute,
            is_ordered: endpoint.is_ordered,
            breaker_threshold: endpoint.breaker_threshold,
            breaker_open_seconds: endpoint.breaker_open.map(|open| open.as_secs()),
            strategy: endpoint.strategy,
            pusher_key: (endpoint.strategy == Strategy::PusherBatch).then(|| pusher_batch::key(endpoint.id)),
            breaker,
            last_triggered_at: endpoint.last_triggered_at,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

/// Shows endpoints, with one query for the breakers of all.
pub async fn show_all(conn: &mut Conn, endpoints: Vec<Endpoint>) -> Result<Vec<EndpointResource>> {
    use webhook_breakers as b;
    let ids: Vec<EndpointId> = endpoints.iter().map(|endpoint| endpoint.id).collect();
    let query = b::table.filter(b::webhook_id.eq_any(ids));
    let found: Vec<(EndpointId, BreakerView)> = on_conn!(conn, c =>
        query.select((b::webhook_id, BreakerView::as_select())).load(c).await)?;
    let mut breakers: BTreeMap<EndpointId, BreakerView> = found.into_iter().collect();
    let mut breaker = |id| breakers.remove(&id).unwrap_or_else(BreakerView::closed);
    Ok(endpoints
        .into_iter()
        .map(|endpoint| {
            let breaker = breaker(endpoint.id);
            EndpointResource::of(endpoint, breaker)
        })
        .collect())
}

/// Shows one.
pub async fn show(conn: &mut Conn, endpoint: Endpoint) -> Result<EndpointResource> {
    let breaker = breaker(conn, endpoint.id).await?;
    Ok(EndpointResource::of(endpoint, breaker))
}

/// What the endpoint's breaker does.
pub async fn breaker(conn: &mut Conn, id: EndpointId) -> Result<BreakerView> {
    let query = webhook_breakers::table.filter(webhook_breakers::webhook_id.eq(id));
    let row: Option<BreakerView> =
        on_conn!(conn, c => query.select(BreakerView::as_select()).first(c).await.optional())?;
    Ok(row.unwrap_or_else(BreakerView::closed))
}

/// Closes the endpoint's breaker and forgets its failures, and a pause that the endpoint asked for.
pub async fn reset_breaker(conn: &mut Conn, id: EndpointId) -> Result<()> {
    let row = webhook_breakers::table.filter(webhook_breakers::webhook_id.eq(id));
    on_conn!(conn, c => diesel::delete(row).execute(c).await)?;
    Ok(())
}
