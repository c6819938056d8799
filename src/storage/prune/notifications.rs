//! What notifications leave: history, inbox rows that have expired, scheduled ones, digests and sendings to many that have
//! ended, and deleted templates.
//!
//! Each table is walked by the index that knows what is old in it, so that nothing is looked at that has to stay.

use super::{Mode, Walk, rows_of};
use crate::domain::{Result, Timestamp};
use crate::storage::schema::{
    in_app_notifications as i, notification_digests as d, notification_fan_outs as f, notification_log as l,
    notification_templates as t, scheduled_notifications as s, scheduler_runs as r,
};
use crate::storage::{Conn, condition, on_conn};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

condition!(
    /// As text, so that the partial index is used: a bound value would hide it from the planner. So the next two.
    EndedSchedule, "scheduled_notifications.status <> 'pending'"
);
condition!(EndedDigest, "notification_digests.status <> 'pending'");
condition!(EndedFanOut, "notification_fan_outs.status <> 'pending'");

/// What was deleted, or would be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gone {
    pub(super) history: i64,
    pub(super) inboxes: i64,
    pub(super) schedules: i64,
    pub(super) digests: i64,
    pub(super) fan_outs: i64,
    pub(super) templates: i64,
    pub(super) runs: i64,
}

impl Walk<'_> {
    pub(super) async fn notifications(&self, now: Timestamp) -> Result<Gone> {
        Ok(Gone {
            history: self.history().await?,
            inboxes: self.expired(now).await?,
            schedules: self.schedules().await?,
            digests: self.digests().await?,
            fan_outs: self.fan_outs().await?,
            // After what was sent with them.
            templates: self.templates().await?,
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
            let old = s::table.filter(EndedSchedule).filter(s::updated_at.lt(before));
            return Ok(on_conn!(&mut self.db.read().await?, c => old.count().get_result(c).await)?);
        }
        self.in_batches(async |conn, batch| {
            let old = s::table.filter(EndedSchedule).filter(s::updated_at.lt(before));
            let old = old.order((s::updated_at, s::id)).limit(batch).select(s::id);
            let ids: Vec<i64> = on_conn!(conn, c => old.load(c).await)?;
            // One that is tried again meanwhile stays.
            let rows = s::table.filter(s::id.eq_any(ids).and(s::status.ne("pending")));
            Ok(rows_of(on_conn!(conn, c => diesel::delete(rows).execute(c).await)?))
        })
        .await
    }

    /// With whatever is left in them: they will not be sent.
    async fn digests(&self) -> Result<i64> {
        let before = self.before;
        if self.mode == Mode::Count {
            let old = d::table.filter(EndedDigest).filter(d::updated_at.lt(before));
            return Ok(on_conn!(&mut self.db.read().await?, c => old.count().get_result(c).await)?);
        }
        self.in_batches(async |conn, batch| {
            let old = d::table.filter(EndedDigest).filter(d::updated_at.lt(before));
            let old = old.order((d::updated_at, d::id)).limit(batch).select(d::id);
            let ids: Vec<i64> = on_conn!(conn, c => old.load(c).await)?;
            let rows = d::table.filter(d::id.eq_any(ids));
            Ok(rows_of(on_conn!(conn, c => diesel::delete(rows).execute(c).await)?))
        })
        .await
    }

    async fn fan_outs(&self) -> Result<i64> {
        let before = self.before;
        if self.mode == Mode::Count {
            let old = f::table.filter(EndedFanOut).filter(f::updated_at.lt(before));
            return Ok(on_conn!(&mut self.db.read().await?, c => old.count().get_result(c).await)?);
        }
        self.in_batches(async |conn, batch| {
            let old = f::table.filter(EndedFanOut).filter(f::updated_at.lt(before));
            let old = old.order((f::updated_at, f::id)).limit(batch).select(f::id);
            let ids: Vec<i64> = on_conn!(conn, c => old.load(c).await)?;
            // One that is tried again meanwhile stays.
            let rows = f::table.filter(f::id.eq_any(ids)).filter(EndedFanOut);
            Ok(rows_of(on_conn!(conn, c => diesel::delete(rows).execute(c).await)?))
        })
        .await
    }

    /// Deleted ones, with their versions. What was scheduled with one keeps it, and so does whatever of its tenant goes to
    /// many, or could be tried again: in which words that is sent is in its own row.
    async fn templates(&self) -> Result<i64> {
        let before = self.before;
        if self.mode == Mode::Count {
            let old = unused_templates(before);
            return Ok(on_conn!(&mut self.db.read().await?, c => old.count().get_result(c).await)?);
        }
        self.in_batches(async |conn, batch| {
            let old = unused_templates(before).order((t::deleted_at, t::id)).limit(batch).select(t::id);
            let ids: Vec<i64> = on_conn!(conn, c => old.load(c).await)?;
            let rows = t::table.filter(t::id.eq_any(ids));
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

/// Deleted before then, and nothing is sent with them any more.
#[diesel::dsl::auto_type]
fn unused_templates(before: Timestamp) -> _ {
    // What is gone by then, or goes with it, does not count.
    let sent_with = s::table
        .filter(s::notification_template_id.eq(t::id.nullable()))
        .filter(s::status.eq("pending").or(s::updated_at.ge(before)));
    let goes_on = f::table
        .filter(f::tenant_id.nullable().eq(t::tenant_id))
        .filter(f::status.eq("pending").or(f::status.eq("failed").and(f::updated_at.ge(before))));
    t::table.filter(t::deleted_at.lt(before)).filter(not(exists(sent_with))).filter(not(exists(goes_on)))
}
