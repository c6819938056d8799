//! Counters of `webhook_stats` that nobody asks for any more: by minute after two hours, by hour after 31 days.

use super::{Mode, Walk, rows_of};
use crate::domain::{EndpointId, Result, Timestamp};
use crate::storage::schema::webhook_stats as s;
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// As both databases read a time, and SQLite keeps it.
const FORMAT: &str = "%Y-%m-%d %H:%M:%S%.6f";

/// How long the counters of each period are kept.
const KEPT: [(&str, Duration); 2] =
    [("minute", Duration::from_hours(2)), ("hour", Duration::from_hours(31 * 24))];

impl Walk<'_> {
    pub(super) async fn counters(&self, now: Timestamp) -> Result<i64> {
        let mut gone = 0;
        for (period, kept) in KEPT {
            let before = now.minus(kept);
            // Of our own making: neither a period nor a time can carry anything else.
            let which = format!("period = '{period}' AND starts_at < '{}'", before.utc().format(FORMAT));
            gone += match self.mode {
                Mode::Delete => self.delete_counters(&which).await?,
                Mode::Count => self.count_counters(period, before).await?,
            };
        }
        Ok(gone)
    }

    /// All of an endpoint.
    pub(super) async fn counters_of(&self, endpoint: EndpointId) -> Result<i64> {
        self.delete_counters(&format!("webhook_id = {endpoint}")).await
    }

    async fn delete_counters(&self, which: &str) -> Result<i64> {
        let mut gone = 0;
        loop {
            let batch = self.batch();
            let some = self.change(async |conn| delete_some(conn, which, batch).await).await?;
            gone += some;
            if some < batch {
                return Ok(gone);
            }
        }
    }

    /// Not of deleted endpoints, which are counted with them.
    async fn count_counters(&self, period: &str, before: Timestamp) -> Result<i64> {
        let query = s::table
            .filter(s::period.eq(period).and(s::starts_at.lt(before)))
            .filter(s::webhook_id.ne_all(&self.deleted));
        Ok(on_conn!(&mut self.db.read().await?, c => query.count().get_result(c).await)?)
    }
}

/// A batch of them. The rows have no id to walk by; each database has its own name for where a row stands.
async fn delete_some(conn: &mut Conn, which: &str, batch: i64) -> Result<i64> {
    let some = |place: &str| format!("SELECT {place} FROM webhook_stats WHERE {which} LIMIT {batch}");
    let deleted = match conn {
        Conn::Postgres(c) => {
            let delete = format!("DELETE FROM webhook_stats WHERE ctid = ANY (ARRAY ({}))", some("ctid"));
            diesel::sql_query(delete).execute(&mut **c).await?
        }
        Conn::Sqlite(c) => {
            let delete = format!("DELETE FROM webhook_stats WHERE rowid IN ({})", some("rowid"));
            diesel::sql_query(delete).execute(&mut **c).await?
        }
    };
    Ok(rows_of(deleted))
}
