//! How a batch ends: what became of each of its rows, written in a statement for each kind of end, and the next rows
//! of what recurs.

use super::due::{Asked, due};
use super::row::{NewRow, Payload, Row};
use crate::domain::{Result, ScheduledId, Timestamp, UserId};
use crate::notifications::dispatch::{Failure, Outcome};
use crate::notifications::effective_time::DueReason;
use crate::notifications::recipients::{self, Recipients};
use crate::notifications::recurrence::{Recurrence, RecurrenceRule};
use crate::notifications::status::ScheduleStatus;
use crate::storage::schema::scheduled_notifications as s;
use crate::storage::{Conn, insert_new_rows, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Endings {
    delivered: Vec<ScheduledId>,
    /// By when and why.
    deferred: BTreeMap<(Timestamp, DueReason), Vec<ScheduledId>>,
    unwanted: Vec<ScheduledId>,
    /// By what went wrong.
    failed: BTreeMap<String, Vec<ScheduledId>>,
    /// What has ended and recurs.
    recurring: Vec<Row>,
}

impl Endings {
    /// What `dispatch` made of a row.
    pub(super) fn note(&mut self, row: Row, outcome: &Outcome) {
        match outcome {
            Outcome::Sent(_) => self.delivered.push(row.id),
            Outcome::Deferred(time) => {
                self.deferred.entry((time.due_at, time.reason)).or_default().push(row.id);
                return;
            }
            Outcome::Skipped(_) => self.unwanted.push(row.id),
            Outcome::Failed(Failure { message, .. }) => {
                self.failed.entry(message.clone()).or_default().push(row.id);
            }
        }
        self.recurs(row);
    }

    /// It cannot be sent, and trying again would not mend that.
    pub(super) fn fail(&mut self, row: Row, message: String) {
        self.failed.entry(message).or_default().push(row.id);
        self.recurs(row);
    }

    fn recurs(&mut self, row: Row) {
        if row.recurrence.is_some() {
            self.recurring.push(row);
        }
    }

    /// How many went out, were put off, are not wanted, failed.
    pub(super) fn counts(&self) -> super::Counts {
        super::Counts {
            delivered: self.delivered.len(),
            deferred: self.deferred.values().map(Vec::len).sum(),
            unwanted: self.unwanted.len(),
            failed: self.failed.values().map(Vec::len).sum(),
        }
    }

    /// Writes all of it. The rows are held by the caller's transaction.
    pub(super) async fn write(self, conn: &mut Conn, now: Timestamp) -> Result<()> {
        if !self.delivered.is_empty() {
            let rows = s::table.filter(s::id.eq_any(self.delivered));
            let set = (ended(ScheduleStatus::Delivered, now), s::delivered_at.eq(now));
            on_conn!(conn, c => diesel::update(rows).set(set).execute(c).await)?;
        }
        if !self.unwanted.is_empty() {
            let rows = s::table.filter(s::id.eq_any(self.unwanted));
            let why = "Its recipient has turned this off.";
            let set =
                (ended(ScheduleStatus::Cancelled, now), s::reason.eq("turned_off"), s::last_error.eq(why));
            on_conn!(conn, c => diesel::update(rows).set(set).execute(c).await)?;
        }
        for (message, ids) in self.failed {
            let rows = s::table.filter(s::id.eq_any(ids));
            let set = (ended(ScheduleStatus::Failed, now), s::last_error.eq(message));
            on_conn!(conn, c => diesel::update(rows).set(set).execute(c).await)?;
        }
        for ((due_at, reason), ids) in self.deferred {
            let rows = s::table.filter(s::id.eq_any(ids));
            let set = (
                s::due_at.eq(due_at),
                s::reason.eq(reason.as_str()),
                s::next_attempt_at.eq(due_at),
                s::claim_token.eq(None::<String>),
                s::updated_at.eq(now),
            );
            on_conn!(conn, c => diesel::update(rows).set(set).execute(c).await)?;
        }
        go_on(conn, &self.recurring, now).await
    }
}

#[diesel::dsl::auto_type]
fn ended(status: ScheduleStatus, now: Timestamp) -> _ {
    let nobody: Option<String> = None;
    (s::status.eq(status), s::claim_token.eq(nobody), s::updated_at.eq(now))
}

/// A try that failed for a reason that may pass: the row goes back in line.
pub(super) async fn put_off(
    conn: &mut Conn,
    row: &Row,
    wait: Duration,
    message: &str,
    now: Timestamp,
) -> Result<()> {
    let rows = s::table.filter(s::id.eq(row.id));
    let set = (
        s::attempts.eq(row.attempts.saturating_add(1)),
        s::next_attempt_at.eq(now.plus(wait)),
        s::claim_token.eq(None::<String>),
        s::last_error.eq(message),
        s::updated_at.eq(now),
    );
    on_conn!(conn, c => diesel::update(rows).set(set).execute(c).await)?;
    Ok(())
}

/// Writes the next row of each series. What should have come while nobody was there comes once: the next is after now.
async fn go_on(conn: &mut Conn, ended: &[Row], now: Timestamp) -> Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    let users: BTreeSet<UserId> = ended.iter().map(|row| row.recipient_id).collect();
    let recipients = recipients::read(conn, &users).await?;
    let latest = latest(conn, ended).await?;
    // One that was tried again by hand may have successors; they go on, and so does one that was called off.
    let is_latest = |row: &&Row| {
        row.series_id.and_then(|series| latest.get(&series)).is_none_or(|latest| *latest <= row.scheduled_at)
    };
    let next = ended.iter().filter(is_latest).filter_map(|row| next(row, &recipients, now));
    let rows: Vec<NewRow> = next.collect();
    if !rows.is_empty() {
        let _: Vec<ScheduledId> = insert_new_rows!(conn, s::table, rows, s::id);
    }
    Ok(())
}

/// The last time of each series.
async fn latest(conn: &mut Conn, ended: &[Row]) -> Result<HashMap<ScheduledId, Timestamp>> {
    let series: BTreeSet<ScheduledId> = ended.iter().filter_map(|row| row.series_id).collect();
    let query = s::table
        .filter(s::series_id.eq_any(series))
        .group_by(s::series_id)
        .select((s::series_id, diesel::dsl::max(s::scheduled_at)));
    let rows: Vec<(Option<ScheduledId>, Option<Timestamp>)> = on_conn!(conn, c => query.load(c).await)?;
    Ok(rows.into_iter().filter_map(|(series, at)| series.zip(at)).collect())
}

fn next(row: &Row, recipients: &Recipients, now: Timestamp) -> Option<NewRow> {
    let wishes = &recipients.get(&row.recipient_id)?.wishes;
    let recurrence = Recurrence::parse(row.recurrence.as_deref()?, RecurrenceRule::default());
    let recurrence = recurrence
        .inspect_err(|error| tracing::error!(scheduled.id = %row.id, error, "a series has ended"))
        .ok()?;
    let at = recurrence.next_after(row.scheduled_at.max(now), &wishes.zone)?;
    let (kind, payload) = (row.kind().ok()?, Payload::read(&row.payload).ok()?);
    let asked = Asked { kind: &kind, priority: row.priority, channels: payload.channels.as_ref(), at };
    Some(NewRow::after(row, at, &due(asked, wishes), now))
}
