//! What notifications leave: history, inbox rows that have expired, scheduled ones that have ended.
//!
//! Each table is walked by the index that knows what is old in it, so that nothing is looked at that has to stay.

use super::{Mode, Walk, rows_of};
use crate::domain::{Result, Timestamp};
use crate::storage::schema::{
    in_app_notifications as i, notification_log as l, scheduled_notifications as s, scheduler_runs as r,
};
use crate::storage::{Conn, on_conn};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

/// As text, so that the partial index is used: a bound value would hide it from the planner.
const ENDED: &str = "scheduled_notifications.status <> 'pending'";

/// What was deleted, or would be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gone {
    pub(super) history: i64,
    pub(super) inboxes: i64,
    pub(super) schedules: i64,
    pub(super) runs: i64,
}

impl Walk<'_> {
    pub(super) async fn notifications(&self, now: Timestamp) -> Result<Gone> {
        Ok(Gone {
            history: self.history().await?,
            inboxes: self.expired(now).await?,
            schedules: self.schedules().await?,
            runs: self.runs().await?,
        })
    }

    /// What has come to its end; what waits for its channel stays.
    async fn history(&self) -> Result<i64> {
        let before = self.before;
        if self.mode == Mode::Count {
            let old = l::table.filter(l::created_at.lt(before).and(l::status.ne("pending")));
            return Ok(on_conn!(&mut self.db.read().await?, c => old.count().get_result(c).await)?);
        }
        self.in_batches(async |conn, batch| {
            let old = l::table.filter(l::created_at.lt(before).and(l::status.ne("pending")));
            let old = old.order((l::created_at, l::id)).limit(batch).select(l::id);
            let ids: Vec<i64> = on_conn!(conn, c => old.load(c).await)?;
            let rows = l::table.filter(l::id.eq_any(ids));
            Ok(rows_of(on_conn!(conn, c => diesel::delete(rows).execute(c).await)?))
        })
        .await
    }

    /// Inbox rows whose time is over, read or not: nobody is shown them any more.
    async fn expired(&self, now: Timestamp) -> Result<i64> {
        if self.mode == Mode::Count {
            let old = i::table.filter(i::expires_at.lt(now));
            return Ok(on_conn!(&mut self.db.read().await?, c => old.count().get_result(c).await)?);
        }
        self.in_batches(async |conn, batch| {
            let old = i::table.filter(i::expires_at.lt(now));
            let old = old.order((i::expires_at, i::id)).limit(batch).select(i::id);
            let ids: Vec<i64> = on_conn!(conn, c => old.load(c).await)?;
            let rows = i::table.filter(i::id.eq_any(ids));
            Ok(rows_of(on_conn!(conn, c => diesel::delete(rows).execute(c).await)?))
        })
        .await
    }

    async fn schedules(&self) -> Result<i64> {
        let before = self.before;
        if self.mode == Mode::Count {
            let old = s::table.filter(sql::<Bool>(ENDED).and(s::updated_at.lt(before)));
            return Ok(on_conn!(&mut self.db.read().await?, c => old.count().get_result(c).await)?);
        }
        self.in_batches(async |conn, batch| {
            let old = s::table.filter(sql::<Bool>(ENDED).and(s::updated_at.lt(before)));
            let old = old.order((s::updated_at, s::id)).limit(batch).select(s::id);
            let ids: Vec<i64> = on_conn!(conn, c => old.load(c).await)?;
            // One that is tried again meanwhile stays.
            let rows = s::table.filter(s::id.eq_any(ids).and(s::status.ne("pending")));
            Ok(rows_of(on_conn!(conn, c => diesel::delete(rows).execute(c).await)?))
        })
        .await
    }

    /// The runs of tasks, of which there are a few a day. The last of a task is younger.
    async fn runs(&self) -> Result<i64> {
        let old = r::table.filter(r::run_at.lt(self.before));
        match self.mode {
            Mode::Count => Ok(on_conn!(&mut self.db.read().await?, c => old.count().get_result(c).await)?),
            Mode::Delete => {
                let work =
                    async |conn: &mut Conn| Ok(on_conn!(conn, c => diesel::delete(old).execute(c).await)?);
                Ok(rows_of(self.change(work).await?))
            }
        }
    }

    /// Runs `work`, which deletes up to so many rows, until it finds fewer.
    async fn in_batches(&self, work: impl AsyncFn(&mut Conn, i64) -> Result<i64>) -> Result<i64> {
        let mut gone = 0;
        loop {
            let batch = self.batch();
            let some = self.change(async |conn| work(conn, batch).await).await?;
            gone += some;
            if some < batch {
                return Ok(gone);
            }
        }
    }
}
