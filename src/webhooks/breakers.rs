//! Rows of `webhook_breakers`: each endpoint's breaker, read and written in the transactions of the ledger. No
//! row stands for a breaker that is closed and has seen no failure, which is most of them.

use super::breaker::{Breaker, BreakerState};
use crate::domain::{EndpointId, Result, Timestamp};
use crate::storage::schema::webhook_breakers;
use crate::storage::{Conn, execute_rows, on_conn, on_conn_locking};
use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;
use std::collections::{BTreeSet, HashMap};

/// The breakers of these endpoints that are not as new, held to the end of the transaction.
pub(super) async fn load(
    conn: &mut Conn,
    ids: &BTreeSet<EndpointId>,
) -> Result<HashMap<EndpointId, Breaker>> {
    use webhook_breakers as b;
    // In one order everywhere, so that two processes never wait for each other.
    let query = b::table.filter(b::webhook_id.eq_any(ids)).order(b::webhook_id);
    let rows: Vec<Row> = on_conn_locking!(conn, query.select(Row::as_select()), |q, c| q.load(c).await)?;
    Ok(rows.into_iter().map(|row| (row.webhook_id, row.breaker())).collect())
}

/// Makes rows for those that have none: what is not there cannot be locked, and two processes that both count a
/// first failure would forget one.
pub async fn make_rows(conn: &mut Conn, ids: BTreeSet<EndpointId>, now: Timestamp) -> Result<()> {
    let rows: Vec<Row> = ids.into_iter().map(|id| Row::of(id, &Breaker::default(), now)).collect();
    if !rows.is_empty() {
        execute_rows!(conn, rows, |rows| diesel::insert_into(webhook_breakers::table)
            .values(rows)
            .on_conflict_do_nothing());
    }
    Ok(())
}

/// The breaker of one endpoint, to be shown.
pub async fn find(conn: &mut Conn, id: EndpointId) -> Result<Breaker> {
    let query = webhook_breakers::table.find(id);
    let row: Option<Row> = on_conn!(conn, c => query.select(Row::as_select()).first(c).await.optional())?;
    Ok(row.map(|row| row.breaker()).unwrap_or_default())
}

/// Writes the breakers down; those as good as new lose their rows.
pub(super) async fn save(
    conn: &mut Conn,
    breakers: impl IntoIterator<Item = (EndpointId, Breaker)>,
    now: Timestamp,
) -> Result<()> {
    use webhook_breakers as b;
    let (good, others): (Vec<_>, Vec<_>) =
        breakers.into_iter().partition(|(_, breaker)| *breaker == Breaker::default());
    if !good.is_empty() {
        forget(conn, good.iter().map(|(id, _)| *id)).await?;
    }
    let rows: Vec<Row> = others.iter().map(|(id, breaker)| Row::of(*id, breaker, now)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let changes = (
        b::state.eq(excluded(b::state)),
        b::failures.eq(excluded(b::failures)),
        b::until.eq(excluded(b::until)),
        b::deferred_until.eq(excluded(b::deferred_until)),
        b::updated_at.eq(excluded(b::updated_at)),
    );
    execute_rows!(conn, rows, |rows| diesel::insert_into(b::table)
        .values(rows)
        .on_conflict(b::webhook_id)
        .do_update()
        .set(changes));
    Ok(())
}

/// Makes these breakers as good as new: closed, nothing failed, no pause.
pub async fn forget(conn: &mut Conn, ids: impl IntoIterator<Item = EndpointId>) -> Result<()> {
    let rows = webhook_breakers::table.filter(webhook_breakers::webhook_id.eq_any(ids));
    on_conn!(conn, c => diesel::delete(rows).execute(c).await)?;
    Ok(())
}

const fn columns(state: BreakerState) -> (&'static str, Option<Timestamp>) {
    match state {
        BreakerState::Closed => ("closed", None),
        BreakerState::Open { probe_at } => ("open", Some(probe_at)),
        BreakerState::HalfOpen { lost_at } => ("half_open", Some(lost_at)),
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = webhook_breakers, treat_none_as_default_value = false)]
#[diesel(check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct Row {
    webhook_id: EndpointId,
    state: String,
    failures: i32,
    until: Option<Timestamp>,
    deferred_until: Option<Timestamp>,
    updated_at: Timestamp,
}

impl Row {
    fn of(webhook_id: EndpointId, breaker: &Breaker, now: Timestamp) -> Self {
        let (state, until) = columns(breaker.state);
        let failures = i32::try_from(breaker.failures).unwrap_or(i32::MAX);
        let deferred_until = breaker.deferred_until;
        Self { webhook_id, state: state.to_owned(), failures, until, deferred_until, updated_at: now }
    }

    fn breaker(&self) -> Breaker {
        let state = match (self.state.as_str(), self.until) {
            ("open", Some(probe_at)) => BreakerState::Open { probe_at },
            ("half_open", Some(lost_at)) => BreakerState::HalfOpen { lost_at },
            // A CHECK of the table leaves nothing else.
            _ => BreakerState::Closed,
        };
        Breaker { state, failures: self.failures.unsigned_abs(), deferred_until: self.deferred_until }
    }
}
