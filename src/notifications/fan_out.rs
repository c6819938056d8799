//! `FanOut`: a notification on its way to more users than one transaction takes.
//!
//! Its row says what is sent, to whom, and who was the last to have it. A page of a thousand users and the place where
//! the next begins are one transaction, so that whoever dies in between has sent nothing twice and left nobody out.
//! Several processes share them: who is at a page holds its row. The one that was touched longest ago goes first, so
//! that of two large ones neither waits for the other.
//!
//! It is sent in the words that there were when it was asked for, to the last page. What cannot succeed is not tried again;
//! what failed can be, by hand, and goes on where it ended.

use super::charges::Charges;
use super::dispatch::{self, Content, Message, Outcome, Terms};
use super::draft::Draft;
use super::retry::RetryRule;
use super::send_limits::SendLimits;
use super::templates::Shelf;
use super::words::words;
use super::worker::Turn;
use super::{send, send_best};
use crate::domain::{Code, Committed, Error, FanOutId, Result, TenantId, Timestamp, UserId};
use crate::storage::outbox::NewEvent;
use crate::storage::page::keyset::{TenantBefore, TenantNewest};
use crate::storage::page::{Cursor, ListQuery, Slice};
use crate::storage::schema::notification_fan_outs as f;
use crate::storage::{Conn, Db, condition, on_conn, on_conn_locking, on_conn_skipping_locked, outbox};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;

words! {
    /// How far a fan-out is.
    FanOutStatus ("status") {
        /// It goes on.
        Pending = "pending",
        /// Everybody has had their turn.
        Delivered = "delivered",
        /// It ended before that; it may be tried again by hand.
        Failed = "failed",
    }
}

/// How a fan-out stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = f, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct FanOut {
    /// By which it can be asked for.
    pub id: FanOutId,
    /// The role it goes to; null for everybody.
    pub role: Option<String>,
    /// How far it is.
    pub status: FanOutStatus,
    /// How many it went to, or was scheduled for.
    pub sent: i64,
    /// How many did not want it.
    pub skipped: i64,
    /// To how many it could not be sent.
    pub failed: i64,
    /// Tries of its next page so far.
    pub attempts: i32,
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
    (draft, message): (&Draft, &Message),
    now: Timestamp,
) -> Result<FanOut> {
    let request = text(draft)?;
    let shelf = match &message.content {
        Content::Words { .. } => None,
        Content::Template { wordings, .. } => wordings.shelf(),
    };
    let values = (
        f::tenant_id.eq(tenant),
        f::role.eq(role),
        f::request.eq(request),
        f::wordings.eq(shelf.map(text).transpose()?),
        f::status.eq(FanOutStatus::Pending),
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

fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(Code::Internal, "The notification could not be written down.").because(e))
}

/// The tenant's, newest first; `filter[status]` leaves out the others, and looks at so many at most in one answer.
pub async fn list(
    conn: &mut Conn,
    tenant: TenantId,
    filter: FanOutFilter,
    cursor: Cursor,
) -> Result<Slice<FanOut>> {
    let size = if filter.status.is_some() { WINDOW } else { cursor.per_page + 1 };
    let query = f::table
        .filter(TenantBefore(tenant, cursor.after.unwrap_or(i64::MAX)))
        .order(TenantNewest)
        .limit(i64::try_from(size).unwrap_or(i64::MAX));
    let window: Vec<FanOut> = on_conn!(conn, c => query.select(FanOut::as_select()).load(c).await)?;
    let more = window.last().filter(|_| window.len() == size).map(|last| last.id.0);
    let mut rows: Vec<FanOut> =
        window.into_iter().filter(|row| filter.status.is_none_or(|status| row.status == status)).collect();
    if rows.len() <= cursor.per_page {
        return Ok(Slice { rows, next: more });
    }
    rows.truncate(cursor.per_page);
    let next = rows.last().map(|row| row.id.0);
    Ok(Slice { rows, next })
}

/// Rows that are looked at where a filter may leave most of them out.
const WINDOW: usize = 500;

/// Which fan-outs are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct FanOutFilter {
    status: Option<FanOutStatus>,
}

impl FanOutFilter {
    /// Reads a list's query string.
    pub fn parse(query: &str) -> Result<(Self, Cursor)> {
        let mut query = ListQuery::parse_cursor(query, &["status"]);
        let filter = Self { status: query.value("status", "pending, delivered or failed") };
        Ok((filter, query.finish_cursor()?))
    }
}

/// One that failed goes on where it ended, its tries counted from the beginning.
pub async fn retry(conn: &mut Conn, tenant: TenantId, id: FanOutId, now: Timestamp) -> Result<FanOut> {
    let query = f::table.filter(f::tenant_id.eq(tenant).and(f::id.eq(id))).select(f::status);
    let status: Option<FanOutStatus> = on_conn_locking!(conn, query, |q, c| q.first(c).await.optional())?;
    let status = status.ok_or_else(|| Error::not_found("send"))?;
    if status != FanOutStatus::Failed {
        let message = format!("It is {status}; only what failed can be tried again.");
        return Err(Error::new(Code::Conflict, message));
    }
    let set = (
        f::status.eq(FanOutStatus::Pending),
        f::attempts.eq(0),
        f::last_error.eq(None::<String>),
        f::next_attempt_at.eq(now),
        f::updated_at.eq(now),
    );
    let row = f::table.find(id);
    Ok(on_conn!(conn, c =>
        diesel::update(row).set(set).returning(FanOut::as_returning()).get_result(c).await)?)
}

/// How a fan-out of the tenant stands.
pub async fn find(conn: &mut Conn, tenant: TenantId, id: FanOutId) -> Result<FanOut> {
    let query = f::table.filter(f::tenant_id.eq(tenant).and(f::id.eq(id)));
    let found = on_conn!(conn, c => query.select(FanOut::as_select()).first(c).await.optional())?;
    found.ok_or_else(|| Error::not_found("send"))
}

/// A fan-out whose next page is due.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = f, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct Due {
    id: FanOutId,
    tenant_id: TenantId,
    role: Option<String>,
    request: String,
    wordings: Option<String>,
    after_user_id: UserId,
    attempts: i32,
}

/// Sends the next page of the fan-out that waits longest, and says what was committed and when to look again.
pub async fn turn(db: &Db, limits: &SendLimits, now: Timestamp) -> Result<(Turn, Option<Committed>)> {
    let mut taken = None;
    let charges = Charges::new(limits);
    let done = db
        .transaction(async |conn| {
            let Some(due) = claim(conn, now).await? else { return Ok(None) };
            taken = Some((due.id, due.attempts));
            send_page(conn, due, &charges, now).await.map(Some)
        })
        .await;
    match (done, taken) {
        (Ok(Some(committed)), _) => {
            charges.keep();
            Ok((Turn::Again, Some(committed)))
        }
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

condition!(
    /// As text, so that the partial index is used.
    Pending, "notification_fan_outs.status = 'pending'"
);

async fn claim(conn: &mut Conn, now: Timestamp) -> Result<Option<Due>> {
    let query = f::table
        .filter(Pending)
        .filter(f::next_attempt_at.le(now))
        .order((f::next_attempt_at, f::id))
        .limit(1);
    Ok(on_conn_skipping_locked!(conn, query, |q, c| q.select(Due::as_select()).first(c).await.optional())?)
}

async fn next(db: &Db) -> Result<Option<Timestamp>> {
    let query = f::table.filter(Pending).select(diesel::dsl::min(f::next_attempt_at));
    Ok(on_conn!(&mut db.read().await?, c => query.first(c).await)?)
}

async fn send_page(conn: &mut Conn, due: Due, charges: &Charges<'_>, now: Timestamp) -> Result<Committed> {
    let Due { id, tenant_id: tenant, role, request, wordings, after_user_id: after, .. } = due;
    let draft: Draft = read(&request)?;
    let shelf: Option<Shelf> = wordings.as_deref().map(read).transpose()?;
    let users = send::page(conn, tenant, role.as_deref(), after, dispatch::MOST).await?;
    let admitted = if users.is_empty() { Ok(()) } else { charges.admit_tenant(tenant, users.len(), now) };
    if let Err(wait) = admitted {
        let change = f::next_attempt_at.eq(now.plus(wait));
        on_conn!(conn, c => diesel::update(f::table.find(id)).set(change).execute(c).await)?;
        return outbox::write(conn, Vec::new(), now).await;
    }
    let terms = Terms { limits: Some(charges), except: None, now };
    let ([sent, skipped, failed], events) =
        send_to_page(conn, tenant, &users, (&draft, shelf), terms).await?;
    let is_last = users.len() < dispatch::MOST;
    let moved = (
        f::after_user_id.eq(users.last().copied().unwrap_or(after)),
        f::status.eq(if is_last { FanOutStatus::Delivered } else { FanOutStatus::Pending }),
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
    (draft, shelf): (&Draft, Option<Shelf>),
    terms: Terms<'_>,
) -> Result<([i64; 3], Vec<NewEvent>)> {
    if draft.window.is_some() {
        let (scheduled, failed) = send_best::page(conn, tenant, users, (draft, shelf), terms.now).await?;
        return Ok(([scheduled, 0, failed], Vec::new()));
    }
    let message = draft.message_from(conn, shelf).await?;
    let (outcomes, events) = send::send_to(conn, tenant, users, message, terms).await?;
    let count = |which: fn(&Outcome) -> bool| {
        i64::try_from(outcomes.iter().filter(|(_, outcome)| which(outcome)).count()).unwrap_or(i64::MAX)
    };
    let sent = count(|outcome| matches!(outcome, Outcome::Sent(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    Ok(([sent, skipped, failed], events))
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|e| Error::new(Code::Invalid, "What is to be sent cannot be read any more.").because(e))
}

/// The page is tried again later, unless that would come to the same.
async fn put_off(
    conn: &mut Conn,
    (id, attempts): (FanOutId, i32),
    error: &Error,
    now: Timestamp,
) -> Result<()> {
    let attempt = attempts.saturating_add(1);
    let wait = RetryRule::default().after(u32::try_from(attempt).unwrap_or(u32::MAX), rand::random());
    let wait = wait.filter(|_| error.code() != Code::Invalid);
    let change = (
        f::attempts.eq(attempt),
        f::last_error.eq(error.message()),
        f::status.eq(if wait.is_some() { FanOutStatus::Pending } else { FanOutStatus::Failed }),
        f::next_attempt_at.eq(now.plus(wait.unwrap_or_default())),
        f::updated_at.eq(now),
    );
    let row = f::table.filter(Pending).filter(f::id.eq(id).and(f::attempts.eq(attempts)));
    on_conn!(conn, c => diesel::update(row).set(change).execute(c).await)?;
    Ok(())
}
