//! `Endpoint`: a subscriber's URL, its secret and its event filters; a row of `webhooks` and its queries.
//!
//! A deleted endpoint is inactive, and for its owner no longer there; its row and its deliveries, of which there
//! may be millions, go at the next pruning.

mod changes;
mod destination;
mod draft;
mod input;
mod list;
mod resource;
mod row;

pub use changes::EndpointChanges;
pub use draft::{EndpointDraft, NewEndpoint};
pub(super) use input::events as read_events;
pub use list::{EndpointFilter, page};
pub use resource::{BreakerView, EndpointResource, breaker, reset_breaker, show, show_all};

use super::backoff::Backoff;
use super::judgement::DisabledReason;
use super::secrets::{Sealed, Secrets, Shown};
use super::strategy::Strategy;
use super::vault::{Unopened, Vault};
use crate::domain::{Code, EndpointId, Error, EventFilter, Result, TenantId, Timestamp};
use crate::storage::schema::webhooks;
use crate::storage::{Conn, Violation, on_conn, on_conn_locking, on_conn_skipping_locked};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use row::EndpointRow;
use std::collections::BTreeMap;
use std::time::Duration;

/// A row of `webhooks`.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Whose events it gets.
    pub tenant_id: TenantId,
    /// What its owner calls it.
    pub name: String,
    /// Where its deliveries go.
    pub url: String,
    /// How they are sent.
    pub strategy: Strategy,
    /// What it keeps secret, as it stands in the row.
    pub sealed: Sealed,
    /// Which events it gets.
    pub events: Vec<EventFilter>,
    /// Whether it gets any.
    pub is_active: bool,
    /// Whether its deliveries wait until its owner resumes it.
    pub is_paused: bool,
    /// Why it is not active, if that was not its owner's wish.
    pub disabled_reason: Option<String>,
    /// When failed deliveries are tried again.
    pub backoff: Backoff,
    /// From connecting to the end of the answer's body.
    pub timeout: Duration,
    /// Requests in flight to it; the configuration's unless said.
    pub concurrency: Option<usize>,
    /// Requests a minute; no bound unless said.
    pub rate_per_minute: Option<u32>,
    /// Whether each delivery waits for the one before it to end.
    pub is_ordered: bool,
    /// Failures in a row that open its breaker; the configuration's unless said.
    pub breaker_threshold: Option<u32>,
    /// How long its breaker stays open; the configuration's unless said.
    pub breaker_open: Option<Duration>,
    /// When it was last called, give or take a second.
    pub last_triggered_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its owner last changed it.
    pub updated_at: Timestamp,
    /// Grows with each change of it.
    pub revision: i32,
}

impl Endpoint {
    /// Opens what it keeps secret.
    pub fn secrets(&self, vault: &Vault) -> Result<Secrets, Unopened> {
        Secrets::open(vault, self.tenant_id, &self.sealed)
    }
}

/// Inserts the endpoint, its secrets sealed; beside it, what its owner is shown this once.
pub async fn create(
    conn: &mut Conn,
    vault: &Vault,
    new: NewEndpoint,
    now: Timestamp,
) -> Result<(Endpoint, Shown)> {
    let values = (
        webhooks::tenant_id.eq(new.tenant_id),
        webhooks::name.eq(&new.name),
        webhooks::url.eq(&new.url),
        webhooks::strategy.eq(new.strategy.as_str()),
        new.secrets.seal(vault, new.tenant_id)?,
        webhooks::events.eq(input::column(&new.events)),
        webhooks::is_active.eq(new.is_active),
        webhooks::max_retries.eq(column(new.backoff.max_retries)),
        webhooks::retry_delay.eq(column(new.backoff.delay_percent)),
        webhooks::timeout_ms.eq(column(new.timeout.as_millis())),
        webhooks::concurrency.eq(new.concurrency.map(column)),
        webhooks::rate_per_minute.eq(new.rate_per_minute.map(column)),
        webhooks::is_ordered.eq(new.is_ordered),
        webhooks::breaker_threshold.eq(new.breaker_threshold.map(column)),
        webhooks::breaker_open_seconds.eq(new.breaker_open.map(|open| column(open.as_secs()))),
        webhooks::created_at.eq(now.whole_seconds()),
        webhooks::updated_at.eq(now.whole_seconds()),
    );
    let inserted: diesel::QueryResult<EndpointRow> = on_conn!(conn, c =>
        diesel::insert_into(webhooks::table)
            .values(values)
            .returning(EndpointRow::as_returning())
            .get_result(c)
            .await);
    match inserted {
        Err(e) if Violation::of(&e) == Some(Violation::ForeignKey) => {
            Err(Error::not_found("tenant").because(e))
        }
        row => Ok((Endpoint::try_from(row?)?, new.secrets.current.shown())),
    }
}

/// Refuses when the tenant has `most` endpoints. Two requests at once may both find the last place free.
pub async fn make_room(conn: &mut Conn, tenant: TenantId, most: usize) -> Result<()> {
    let count: i64 = on_conn!(conn, c => of(tenant).count().get_result(c).await)?;
    if usize::try_from(count).is_ok_and(|count| count < most) {
        return Ok(());
    }
    let message = format!(
        "The tenant has {count} webhooks, and may have {most} (webhooks.endpoints_per_tenant): delete one first."
    );
    Err(Error::new(Code::Conflict, message))
}

/// The tenant's endpoint of this id.
pub async fn find(conn: &mut Conn, tenant: TenantId, id: EndpointId) -> Result<Endpoint> {
    let query = of(tenant).filter(webhooks::id.eq(id));
    let row: Option<EndpointRow> =
        on_conn!(conn, c => query.select(EndpointRow::as_select()).first(c).await.optional())?;
    row.map_or_else(|| Err(Error::not_found("webhook")), Endpoint::try_from)
}

/// The tenant's endpoints, oldest first.
pub async fn list(conn: &mut Conn, tenant: TenantId) -> Result<Vec<Endpoint>> {
    let query = of(tenant).order(webhooks::id);
    let rows: Vec<EndpointRow> = on_conn!(conn, c => query.select(EndpointRow::as_select()).load(c).await)?;
    rows.into_iter().map(Endpoint::try_from).collect()
}

/// The ids of the tenant's endpoints.
pub async fn ids(conn: &mut Conn, tenant: TenantId) -> Result<Vec<EndpointId>> {
    let query = of(tenant).order(webhooks::id).select(webhooks::id);
    Ok(on_conn!(conn, c => query.load(c).await)?)
}

/// The ids of all endpoints that are active, of every tenant.
pub async fn active_ids(conn: &mut Conn) -> Result<Vec<EndpointId>> {
    let query = webhooks::table.filter(webhooks::is_active.eq(true)).select(webhooks::id);
    Ok(on_conn!(conn, c => query.load(c).await)?)
}

/// Those of `ids` that are active, as they are now. A row that cannot be read is logged and left out: it must
/// not stand in the way of the others.
pub(super) async fn load_active(conn: &mut Conn, ids: &[EndpointId]) -> Result<Vec<Endpoint>> {
    let query = webhooks::table.filter(webhooks::id.eq_any(ids).and(webhooks::is_active.eq(true)));
    let rows: Vec<EndpointRow> = on_conn!(conn, c => query.select(EndpointRow::as_select()).load(c).await)?;
    let readable =
        |row| Endpoint::try_from(row).inspect_err(|error| tracing::error!(%error, "webhook left out")).ok();
    Ok(rows.into_iter().filter_map(readable).collect())
}

/// Notes that these endpoints were called, at most once a second each. On PostgreSQL a row that another process
/// holds is passed over: it is noting the same, and waiting in another order would be a deadlock.
pub(super) async fn note_triggered(conn: &mut Conn, ids: &[EndpointId], now: Timestamp) -> Result<()> {
    let a_second_ago = now.minus(Duration::from_secs(1));
    let stale = webhooks::table
        .filter(webhooks::id.eq_any(ids))
        .filter(webhooks::last_triggered_at.is_null().or(webhooks::last_triggered_at.lt(a_second_ago)))
        .order(webhooks::id)
        .select(webhooks::id);
    let stale: Vec<EndpointId> = on_conn_skipping_locked!(conn, stale, |q, c| q.load(c).await)?;
    if !stale.is_empty() {
        let rows = webhooks::table.filter(webhooks::id.eq_any(stale));
        let change = webhooks::last_triggered_at.eq(now);
        on_conn!(conn, c => diesel::update(rows).set(change).execute(c).await)?;
    }
    Ok(())
}

/// Changes the endpoint. An attempt that is being made ends as it began.
pub async fn update(
    conn: &mut Conn,
    (tenant, id): (TenantId, EndpointId),
    changes: &EndpointChanges,
    now: Timestamp,
) -> Result<Endpoint> {
    destination::check(conn, (tenant, id), changes).await?;
    if changes.is_empty() {
        return find(conn, tenant, id).await;
    }
    let row = of(tenant).filter(webhooks::id.eq(id));
    let EndpointChanges { target, settings, reason, strategy: _, secrets: _ } = changes;
    let set = (target, settings, reason, changed_at(now));
    let present: Option<EndpointRow> = on_conn!(conn, c =>
        diesel::update(row).set(set).returning(EndpointRow::as_returning()).get_result(c).await.optional())?;
    present.map_or_else(|| Err(Error::not_found("webhook")), Endpoint::try_from)
}

/// Holds the endpoint's deliveries back, or lets them go. It still gets delivery rows, which wait.
pub async fn set_paused(
    conn: &mut Conn,
    (tenant, id): (TenantId, EndpointId),
    is_paused: bool,
    now: Timestamp,
) -> Result<Endpoint> {
    let row = of(tenant).filter(webhooks::id.eq(id));
    let set = (webhooks::is_paused.eq(is_paused), changed_at(now));
    let present: Option<EndpointRow> = on_conn!(conn, c =>
        diesel::update(row).set(set).returning(EndpointRow::as_returning()).get_result(c).await.optional())?;
    present.map_or_else(|| Err(Error::not_found("webhook")), Endpoint::try_from)
}

/// The sender's own stop: the endpoints asked for it. Returns those that were not stopped already.
pub(super) async fn disable(
    conn: &mut Conn,
    reasons: &BTreeMap<EndpointId, DisabledReason>,
    now: Timestamp,
) -> Result<Vec<EndpointId>> {
    if reasons.is_empty() {
        return Ok(Vec::new());
    }
    // In one order everywhere, so that two processes never wait for each other.
    let active = webhooks::table
        .filter(webhooks::id.eq_any(reasons.keys()).and(webhooks::is_active.eq(true)))
        .order(webhooks::id)
        .select(webhooks::id);
    let active: Vec<EndpointId> = on_conn_locking!(conn, active, |q, c| q.load(c).await)?;
    for reason in [DisabledReason::Gone, DisabledReason::Asked] {
        let ids: Vec<&EndpointId> = active.iter().filter(|id| reasons.get(id) == Some(&reason)).collect();
        if ids.is_empty() {
            continue;
        }
        let rows = webhooks::table.filter(webhooks::id.eq_any(ids));
        let changes =
            (webhooks::is_active.eq(false), webhooks::disabled_reason.eq(reason.as_str()), changed_at(now));
        on_conn!(conn, c => diesel::update(rows).set(changes).execute(c).await)?;
    }
    Ok(active)
}

/// Stops the endpoint: no new deliveries, and none of those that wait. Its rows stay.
pub async fn deactivate(conn: &mut Conn, tenant: TenantId, id: EndpointId, now: Timestamp) -> Result<()> {
    update(conn, (tenant, id), &EndpointChanges::active(false), now).await.map(drop)
}

/// Deletes the endpoint for its owner: it is there no more, gets nothing more, and its credentials are gone.
/// Pruning takes the rows away.
pub async fn delete(conn: &mut Conn, tenant: TenantId, id: EndpointId, now: Timestamp) -> Result<()> {
    let row = of(tenant).filter(webhooks::id.eq(id));
    let set = (
        webhooks::is_active.eq(false),
        webhooks::secret.eq("deleted"),
        webhooks::old_secrets.eq("[]"),
        webhooks::signing_key.eq(None::<&str>),
        webhooks::headers.eq(None::<&str>),
        webhooks::auth.eq(None::<&str>),
        webhooks::encryption_key.eq(None::<&str>),
        webhooks::deleted_at.eq(now.whole_seconds()),
        changed_at(now),
    );
    match on_conn!(conn, c => diesel::update(row).set(set).execute(c).await)? {
        0 => Err(Error::not_found("webhook")),
        _ => Ok(()),
    }
}

/// The tenant's endpoints.
#[diesel::dsl::auto_type]
fn of(tenant: TenantId) -> _ {
    webhooks::table.filter(webhooks::tenant_id.eq(tenant)).filter(webhooks::deleted_at.is_null())
}

/// What every change of an endpoint sets beside it.
#[diesel::dsl::auto_type]
pub(super) fn changed_at(now: Timestamp) -> _ {
    let now: Timestamp = now.whole_seconds();
    (webhooks::updated_at.eq(now), webhooks::revision.eq(webhooks::revision + 1_i32))
}

/// A number for an INTEGER column; one out of range meets the column's CHECK.
fn column(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}
