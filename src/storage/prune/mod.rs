//! Pruning: deletes rows that have had their time, in short transactions that a server beside it hardly feels.
//!
//! In this order, as each refers to the next: deleted endpoints with all they have; webhook deliveries that have
//! ended, with the logs of their attempts; events that no delivery refers to; counters of statistics; answers kept
//! for idempotency keys; of notifications the history, what has expired in inboxes, scheduled ones, digests and sendings to many that have
//! ended, and deleted templates.
//! A pending delivery of an endpoint that is there is never touched, nor is its event. The
//! newest event stays whatever its age: a server that starts reads on from it.
//!
//! A table is walked by its ids, up to the last row that is old enough, which an index knows. Each window of the
//! walk is found by reading; then one transaction deletes in it, and looks at every row again. So its length is
//! bounded even where most rows have to stay.

mod batch;
mod counters;
mod endpoints;
mod notifications;

use batch::Batch;
pub use batch::MOST;

use super::schema::{events, idempotency_keys, webhook_deliveries, webhook_delivery_logs};
use super::{Conn, Db, on_conn, on_conn_locking, outbox};
use crate::domain::{DeliveryId, EndpointId, Error, EventId, Result, Timestamp};
use diesel::dsl::{auto_type, exists, not};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use std::cell::Cell;
use std::time::{Duration, Instant};
use {events as e, idempotency_keys as k, webhook_deliveries as d, webhook_delivery_logs as l};

/// How long a repeated request is answered as before.
pub const KEYS_KEPT: Duration = Duration::from_hours(24);

/// Younger events may still be on their way to a server that has fallen behind.
pub const MIN_AGE: Duration = Duration::from_hours(1);

/// Whether to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Delete the rows.
    Delete,
    /// Count the rows that `Delete` would delete.
    Count,
}

/// How many rows of each table were deleted, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Deleted endpoints.
    pub webhooks: i64,
    /// Ended deliveries, and all of deleted endpoints.
    pub webhook_deliveries: i64,
    /// The logs of their attempts.
    pub webhook_delivery_logs: i64,
    /// Counters of attempts, by minute and by hour.
    pub webhook_stats: i64,
    /// Events that no delivery refers to.
    pub events: i64,
    /// Answers kept for a repeat of their request.
    pub idempotency_keys: i64,
    /// The history of notifications.
    pub notification_log: i64,
    /// Inbox rows that have expired.
    pub in_app_notifications: i64,
    /// Scheduled notifications that have ended.
    pub scheduled_notifications: i64,
    /// Digests that have gone, or will not.
    pub notification_digests: i64,
    /// Sendings to many that have ended.
    pub notification_fan_outs: i64,
    /// Deleted templates that nothing is sent with any more.
    pub notification_templates: i64,
    /// Runs of tasks.
    pub scheduler_runs: i64,
}

/// What a pruning came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// How much is gone.
    pub pruned: Pruned,
    /// How long the longest transaction lasted, and so every statement that changed something at the most.
    pub longest: Duration,
}

/// Deletes, or counts, what is older than `older_than`; of idempotency keys what is older than [`KEYS_KEPT`].
pub async fn run(db: &Db, older_than: Duration, mode: Mode, now: Timestamp) -> Result<Done> {
    if older_than < MIN_AGE {
        let message = "Rows are kept for an hour at least, as a server may not have sent them yet.";
        return Err(Error::field("older_than", message));
    }
    let deleted = endpoints::deleted(&mut db.read().await?).await?;
    let walk = Walk {
        db,
        mode,
        before: now.minus(older_than),
        keys_before: now.minus(KEYS_KEPT),
        deleted,
        longest: Cell::default(),
        batch: Cell::default(),
    };
    let gone = walk.deleted_endpoints().await?;
    let (webhook_deliveries, webhook_delivery_logs) = walk.deliveries().await?;
    let told = walk.notifications(now).await?;
    let pruned = Pruned {
        webhooks: gone.webhooks,
        webhook_deliveries: gone.webhook_deliveries + webhook_deliveries,
        webhook_delivery_logs: gone.webhook_delivery_logs + webhook_delivery_logs,
        webhook_stats: gone.webhook_stats + walk.counters(now).await?,
        events: walk.events().await?,
        idempotency_keys: walk.keys().await?,
        notification_log: told.history,
        in_app_notifications: told.inboxes,
        scheduled_notifications: told.schedules,
        notification_digests: told.digests,
        notification_fan_outs: told.fan_outs,
        notification_templates: told.templates,
        scheduler_runs: told.runs,
    };
    Ok(Done { pruned, longest: walk.longest.get() })
}

struct Walk<'a> {
    db: &'a Db,
    mode: Mode,
    before: Timestamp,
    keys_before: Timestamp,
    deleted: Vec<EndpointId>,
    longest: Cell<Duration>,
    batch: Cell<Batch>,
}

impl Walk<'_> {
    async fn deliveries(&self) -> Result<(i64, i64)> {
        let mut gone = (0, 0);
        let Some(end) = last_old_delivery(&mut self.db.read().await?, self.before).await? else {
            return Ok(gone);
        };
        let mut after = DeliveryId(0);
        while let Some(last) = delivery_window(self.db, (after, end), self.batch()).await? {
            let window = Window { after, last, before: self.before };
            let (deliveries, logs) = match self.mode {
                Mode::Delete => self.change(async |conn| delete_deliveries(conn, window).await).await?,
                Mode::Count => count_deliveries(&mut self.db.read().await?, window, &self.deleted).await?,
            };
            gone = (gone.0 + deliveries, gone.1 + logs);
            after = last;
        }
        Ok(gone)
    }

    async fn events(&self) -> Result<i64> {
        let (mut after, mut gone) = (EventId(0), 0);
        let Some(end) = last_old_event(&mut self.db.read().await?, self.before).await? else {
            return Ok(gone);
        };
        while let Some(last) = event_window(self.db, (after, end), self.batch()).await? {
            let window = Window { after, last, before: self.before };
            gone += match self.mode {
                Mode::Delete => self.change(async |conn| delete_events(conn, window).await).await?,
                Mode::Count => count_events(&mut self.db.read().await?, window, &self.deleted).await?,
            };
            after = last;
        }
        Ok(gone)
    }

    async fn keys(&self) -> Result<i64> {
        let (mut after, mut gone) = (0, 0);
        let Some(end) = last_old_key(&mut self.db.read().await?, self.keys_before).await? else {
            return Ok(gone);
        };
        while let Some(last) = key_window(self.db, (after, end), self.batch()).await? {
            let window = Window { after, last, before: self.keys_before };
            gone += match self.mode {
                Mode::Delete => self.change(async |conn| delete_keys(conn, window).await).await?,
                Mode::Count => count_keys(&mut self.db.read().await?, window).await?,
            };
            after = last;
        }
        Ok(gone)
    }

    /// Rows that the next transaction may delete.
    fn batch(&self) -> i64 {
        self.batch.get().rows()
    }

    /// A transaction, and then a rest as long as it took: SQLite's lock is nobody's turn, and a server in another
    /// process that asks for it now and then would else find it taken each time; PostgreSQL has time to write to
    /// the disk what it has in memory, which statements would else wait for, of whoever.
    async fn change<T>(&self, work: impl AsyncFnOnce(&mut Conn) -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let done = self.db.transaction(work).await?;
        let lasted = started.elapsed();
        self.longest.set(self.longest.get().max(lasted));
        self.batch.set(self.batch.get().after(lasted));
        tokio::time::sleep(lasted).await;
        Ok(done)
    }
}

/// A piece of the walk.
#[derive(Debug, Clone, Copy)]
struct Window<Id> {
    /// Ids above this,
    after: Id,
    /// up to this,
    last: Id,
    /// of rows from before then.
    before: Timestamp,
}

#[auto_type]
fn ended(window: Window<DeliveryId>) -> _ {
    let (after, last): (DeliveryId, DeliveryId) = (window.after, window.last);
    let before: Timestamp = window.before;
    let ended = d::status.ne("pending").and(d::updated_at.lt(before));
    d::table.filter(d::id.gt(after)).filter(d::id.le(last)).filter(ended)
}

#[auto_type]
fn logs_of_ended(window: Window<DeliveryId>) -> _ {
    let (after, last): (DeliveryId, DeliveryId) = (window.after, window.last);
    let before: Timestamp = window.before;
    let ended = d::status.ne("pending").and(d::updated_at.lt(before));
    let its_own = d::table.filter(d::id.eq(l::delivery_id)).filter(ended);
    // Said of both tables: PostgreSQL does not conclude one from the other, and would go through all deliveries.
    let its_own = its_own.filter(d::id.gt(after)).filter(d::id.le(last));
    l::table.filter(l::delivery_id.gt(after)).filter(l::delivery_id.le(last)).filter(exists(its_own))
}

#[auto_type]
fn old_events(window: Window<EventId>) -> _ {
    let (after, last): (EventId, EventId) = (window.after, window.last);
    let before: Timestamp = window.before;
    e::table.filter(e::id.gt(after)).filter(e::id.le(last)).filter(e::created_at.lt(before))
}

#[auto_type]
fn old_keys(window: Window<i64>) -> _ {
    let (after, last): (i64, i64) = (window.after, window.last);
    let before: Timestamp = window.before;
    k::table.filter(k::id.gt(after)).filter(k::id.le(last)).filter(k::created_at.lt(before))
}

/// The delivery of the last old event. A younger one cannot have ended before the instant.
async fn last_old_delivery(conn: &mut Conn, before: Timestamp) -> Result<Option<DeliveryId>> {
    let query = e::table.filter(e::created_at.lt(before)).order((e::created_at.desc(), e::id.desc()));
    let event: Option<EventId> = on_conn!(conn, c => query.select(e::id).first(c).await.optional())?;
    let Some(event) = event else { return Ok(None) };
    let query = d::table.filter(d::event_id.le(event)).order((d::event_id.desc(), d::id.desc()));
    Ok(on_conn!(conn, c => query.select(d::id).first(c).await.optional())?)
}

/// Below the newest of all.
async fn last_old_event(conn: &mut Conn, before: Timestamp) -> Result<Option<EventId>> {
    let newest = outbox::last_id(conn).await?;
    let query = e::table
        .filter(e::created_at.lt(before).and(e::id.lt(newest)))
        .order((e::created_at.desc(), e::id.desc()))
        .select(e::id);
    Ok(on_conn!(conn, c => query.first(c).await.optional())?)
}

async fn last_old_key(conn: &mut Conn, before: Timestamp) -> Result<Option<i64>> {
    let query = k::table.filter(k::created_at.lt(before)).order((k::created_at.desc(), k::id.desc()));
    Ok(on_conn!(conn, c => query.select(k::id).first(c).await.optional())?)
}

/// Where the next batch of the walk ends; as the next two.
async fn delivery_window(
    db: &Db,
    (after, end): (DeliveryId, DeliveryId),
    batch: i64,
) -> Result<Option<DeliveryId>> {
    let query = d::table
        .filter(d::id.gt(after).and(d::id.le(end)))
        .order(d::id)
        .limit(batch)
        .select((d::id, d::attempts));
    let rows: Vec<(DeliveryId, i32)> = on_conn!(&mut db.read().await?, c => query.load(c).await)?;
    Ok(last_that_fits(&rows, batch))
}

/// Where a batch of so many rows ends that begins with the first of these deliveries: each counts with a log an
/// attempt.
fn last_that_fits(rows: &[(DeliveryId, i32)], batch: i64) -> Option<DeliveryId> {
    let mut total = 0;
    let fits = |(_, attempts): &&(DeliveryId, i32)| {
        total += 1 + i64::from(*attempts);
        total <= batch
    };
    rows.iter().take_while(fits).last().or(rows.first()).map(|(id, _)| *id)
}

async fn event_window(db: &Db, (after, end): (EventId, EventId), batch: i64) -> Result<Option<EventId>> {
    let query = e::table.filter(e::id.gt(after).and(e::id.le(end))).order(e::id).limit(batch);
    let ids: Vec<EventId> = on_conn!(&mut db.read().await?, c => query.select(e::id).load(c).await)?;
    Ok(ids.last().copied())
}

async fn key_window(db: &Db, (after, end): (i64, i64), batch: i64) -> Result<Option<i64>> {
    let query = k::table.filter(k::id.gt(after).and(k::id.le(end))).order(k::id).limit(batch);
    let ids: Vec<i64> = on_conn!(&mut db.read().await?, c => query.select(k::id).load(c).await)?;
    Ok(ids.last().copied())
}

/// Deliveries and logs. The deliveries stand still first, so that none is sent again between the two.
async fn delete_deliveries(conn: &mut Conn, window: Window<DeliveryId>) -> Result<(i64, i64)> {
    let rows = ended(window);
    let still: Vec<DeliveryId> = on_conn_locking!(conn, rows, |q, c| q.select(d::id).load(c).await)?;
    if still.is_empty() {
        return Ok((0, 0));
    }
    let logs = on_conn!(conn, c => diesel::delete(logs_of_ended(window)).execute(c).await)?;
    let deliveries = on_conn!(conn, c => diesel::delete(ended(window)).execute(c).await)?;
    Ok((rows_of(deliveries), rows_of(logs)))
}

/// Those of deleted endpoints are counted with them.
async fn count_deliveries(
    conn: &mut Conn,
    window: Window<DeliveryId>,
    deleted: &[EndpointId],
) -> Result<(i64, i64)> {
    let logs = logs_of_ended(window).filter(l::webhook_id.ne_all(deleted));
    let logs = on_conn!(conn, c => logs.count().get_result(c).await)?;
    let deliveries = ended(window).filter(d::webhook_id.ne_all(deleted));
    let deliveries = on_conn!(conn, c => deliveries.count().get_result(c).await)?;
    Ok((deliveries, logs))
}

async fn delete_events(conn: &mut Conn, window: Window<EventId>) -> Result<i64> {
    let referred = d::table.filter(d::event_id.eq(e::id));
    let rows = old_events(window).filter(not(exists(referred)));
    Ok(rows_of(on_conn!(conn, c => diesel::delete(rows).execute(c).await)?))
}

/// Those that only deliveries refer to which would be gone by then.
async fn count_events(conn: &mut Conn, window: Window<EventId>, deleted: &[EndpointId]) -> Result<i64> {
    let stays = d::status.eq("pending").or(d::updated_at.ge(window.before));
    let stays = stays.and(d::webhook_id.ne_all(deleted));
    let referred = d::table.filter(d::event_id.eq(e::id)).filter(stays);
    let rows = old_events(window).filter(not(exists(referred)));
    Ok(on_conn!(conn, c => rows.count().get_result(c).await)?)
}

async fn delete_keys(conn: &mut Conn, window: Window<i64>) -> Result<i64> {
    Ok(rows_of(on_conn!(conn, c => diesel::delete(old_keys(window)).execute(c).await)?))
}

async fn count_keys(conn: &mut Conn, window: Window<i64>) -> Result<i64> {
    Ok(on_conn!(conn, c => old_keys(window).count().get_result(c).await)?)
}

fn rows_of(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_before_its_deliveries_and_logs_are_too_many() {
        let rows = |attempts| (1..=100).map(|id| (DeliveryId(id), attempts)).collect::<Vec<_>>();
        assert_eq!(last_that_fits(&rows(0), 100), Some(DeliveryId(100)));
        assert_eq!(last_that_fits(&rows(1), 100), Some(DeliveryId(50)));
        assert_eq!(last_that_fits(&rows(6), 100), Some(DeliveryId(14)));
    }

    #[test]
    fn a_batch_is_never_empty_while_rows_are_left() {
        assert_eq!(last_that_fits(&[(DeliveryId(7), i32::MAX)], 100), Some(DeliveryId(7)));
        assert_eq!(last_that_fits(&[], 100), None);
    }
}
