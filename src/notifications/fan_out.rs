//! `FanOut`: a notification on its way to more users than one transaction takes.
//!
//! Its row says what is sent, to whom, and who was the last to have it. A page of a thousand users and the place where
//! the next begins are one transaction, so that whoever dies in between has sent nothing twice and left nobody out.
//! Several processes share them: who is at a page holds its row. The one that was touched longest ago goes first, so
//! that of two large ones neither waits for the other.

use super::dispatch::{self, Outcome, Terms};
use super::draft::Draft;
use super::retry::RetryRule;
use super::send_limits::SendLimits;
use super::worker::Turn;
use super::{send, send_best};
use crate::domain::{Code, Committed, Error, FanOutId, Result, TenantId, Timestamp, UserId};
use crate::storage::outbox::NewEvent;
use crate::storage::schema::notification_fan_outs as f;
use crate::storage::{Conn, Db, on_conn, on_conn_skipping_locked, outbox};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;

/// How a fan-out stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = f, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct FanOut {
    /// By which it can be asked for.
    pub id: FanOutId,
    /// The role it goes to; null for everybody.
    pub role: Option<String>,
    /// `pending`, `delivered` or `failed`.
    pub status: String,
    /// How many it went to, or was scheduled for.
    pub sent: i64,
    /// How many did not want it.
    pub skipped: i64,
    /// To how many it could not be sent.
    pub failed: i64,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its last page went.
    pub updated_at: Timestamp,
}

/// Writes down what is to be sent, due now.
pub(super) async fn begin(
    conn: &mut Conn,
    tenant: TenantId,
    role: Option<&str>,
    draft: &Draft,
    now: Timestamp,
) -> Result<FanOut> {
    let request = serde_json::to_string(draft)
        .map_err(|e| Error::new(Code::Internal, "The notification could not be written down.").because(e))?;
    let values = (
        f::tenant_id.eq(tenant),
        f::role.eq(role),
        f::request.eq(request),
        f::status.eq("pending"),
        f::next_attempt_at.eq(now),
        f::created_at.eq(now),
        f::updated_at.eq(now),
    );
    Ok(on_conn!(conn, c => diesel::insert_into(f::table)
        .values(values)
        .returning(FanOut::as_returning())
        .get_result(c)
        .await)?)
}

/// How a fan-out of the tenant stands.
pub async fn find(conn: &mut Conn, tenant: TenantId, id: FanOutId) -> Result<FanOut> {
    let query = f::table.filter(f::tenant_id.eq(tenant).and(f::id.eq(id)));
    let found = on_conn!(conn, c => query.select(FanOut::as_select()).first(c).await.optional())?;
    found.ok_or_else(|| Error::not_found("send"))
}

type Due = (FanOutId, TenantId, Option<String>, String, UserId, i32);

/// Sends the next page of the fan-out that waits longest, and says what was committed and when to look again.
pub async fn turn(db: &Db, limits: &SendLimits, now: Timestamp) -> Result<(Turn, Option<Committed>)> {
    let mut taken = None;
    let done = db
        .transaction(async |conn| {
            let Some(due) = claim(conn, now).await? else { return Ok(None) };
            taken = Some((due.0, due.5));
            send_page(conn, due, limits, now).await.map(Some)
        })
        .await;
    match (done, taken) {
        (Ok(Some(committed)), _) => Ok((Turn::Again, Some(committed))),
        (Ok(None), _) => Ok((Turn::Sleep(next(db).await?), None)),
        // The page is undone; that it failed is not.
        (Err(error), Some(failed)) => {
            tracing::warn!(%error, fan_out = %failed.0, "a page of a notification to many could not be sent");
            db.transaction(async |conn| put_off(conn, failed, &error, now).await).await?;
            Ok((Turn::Again, None))
        }
        (Err(error), None) => Err(error),
    }
}

async fn claim(conn: &mut Conn, now: Timestamp) -> Result<Option<Due>> {
    let query = f::table
        .filter(f::status.eq("pending").and(f::next_attempt_at.le(now)))
        .order((f::next_attempt_at, f::id))
        .limit(1)
        .select((f::id, f::tenant_id, f::role, f::request, f::after_user_id, f::attempts));
    Ok(on_conn_skipping_locked!(conn, query, |q, c| q.first(c).await.optional())?)
}

async fn next(db: &Db) -> Result<Option<Timestamp>> {
    let query = f::table.filter(f::status.eq("pending")).select(diesel::dsl::min(f::next_attempt_at));
    Ok(on_conn!(&mut db.read().await?, c => query.first(c).await)?)
}

async fn send_page(conn: &mut Conn, due: Due, limits: &SendLimits, now: Timestamp) -> Result<Committed> {
    let (id, tenant, role, request, after, _) = due;
    let draft: Draft = serde_json::from_str(&request)
        .map_err(|e| Error::new(Code::Internal, "What is to be sent cannot be read.").because(e))?;
    let users = send::page(conn, tenant, role.as_deref(), after, dispatch::MOST).await?;
    let admitted = if users.is_empty() { Ok(()) } else { limits.admit_tenant(tenant, users.len(), now) };
    if let Err(wait) = admitted {
        let change = f::next_attempt_at.eq(now.plus(wait));
        on_conn!(conn, c => diesel::update(f::table.find(id)).set(change).execute(c).await)?;
        return outbox::write(conn, Vec::new(), now).await;
    }
    let terms = Terms { limits: Some(limits), except: None, now };
    let ([sent, skipped, failed], events) = send_to_page(conn, tenant, &users, &draft, terms).await?;
    let is_last = users.len() < dispatch::MOST;
    let moved = (
        f::after_user_id.eq(users.last().copied().unwrap_or(after)),
        f::status.eq(if is_last { "delivered" } else { "pending" }),
        f::sent.eq(f::sent + sent),
        f::skipped.eq(f::skipped + skipped),
        f::failed.eq(f::failed + failed),
        f::attempts.eq(0),
        f::next_attempt_at.eq(now),
        f::updated_at.eq(now),
    );
    on_conn!(conn, c => diesel::update(f::table.find(id)).set(moved).execute(c).await)?;
    outbox::write(conn, events, now).await
}

/// Sends it to these users now, or schedules it for each: how many it goes to, do not want it, and cannot have it.
async fn send_to_page(
    conn: &mut Conn,
    tenant: TenantId,
    users: &[UserId],
    draft: &Draft,
    terms: Terms<'_>,
) -> Result<([i64; 3], Vec<NewEvent>)> {
    if draft.window.is_some() {
        let (scheduled, failed) = send_best::page(conn, tenant, users, draft, terms.now).await?;
        return Ok(([scheduled, 0, failed], Vec::new()));
    }
    let (outcomes, events) = send::send_to(conn, tenant, users, draft, terms).await?;
    let count = |which: fn(&Outcome) -> bool| {
        i64::try_from(outcomes.iter().filter(|(_, outcome)| which(outcome)).count()).unwrap_or(i64::MAX)
    };
    let sent = count(|outcome| matches!(outcome, Outcome::Sent(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    Ok(([sent, skipped, failed], events))
}

/// The page is tried again later, or never.
async fn put_off(
    conn: &mut Conn,
    (id, attempts): (FanOutId, i32),
    error: &Error,
    now: Timestamp,
) -> Result<()> {
    let attempt = attempts.saturating_add(1);
    let wait = RetryRule::default().after(u32::try_from(attempt).unwrap_or(u32::MAX), rand::random());
    let change = (
        f::attempts.eq(attempt),
        f::last_error.eq(error.message()),
        f::status.eq(if wait.is_some() { "pending" } else { "failed" }),
        f::next_attempt_at.eq(now.plus(wait.unwrap_or_default())),
        f::updated_at.eq(now),
    );
    let row = f::table.filter(f::id.eq(id).and(f::status.eq("pending")).and(f::attempts.eq(attempts)));
    on_conn!(conn, c => diesel::update(row).set(change).execute(c).await)?;
    Ok(())
}
