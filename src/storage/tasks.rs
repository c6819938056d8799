//! Tasks that come again and again: each run once, on whichever node writes its row first, and what became of it.
//!
//! A run is a row of `scheduler_runs` by task and time; who inserts it runs it. A time that passed while nobody was
//! there is made up for once. A run whose node died has no end; the next one does what it left.

use super::schema::scheduler_runs as r;
use super::{Conn, Db, on_conn};
use crate::domain::{Result, Timestamp};
use chrono::Utc;
use cron::Schedule;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::Value;

/// A run of a task.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = r, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct Run {
    /// Its time by the task's cron.
    pub run_at: Timestamp,
    /// Who ran it.
    pub node: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; none while it runs, and where its node died.
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    pub error_message: Option<String>,
    /// What it did, as JSON text.
    pub outcome: Option<String>,
}

/// A run as REST shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunResource {
    /// Its time by the task's cron.
    pub run_at: Timestamp,
    /// Who ran it.
    pub node: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How long it took.
    pub duration_ms: Option<u128>,
    /// `running`, `done` or `failed`.
    pub status: &'static str,
    /// What it did.
    pub outcome: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
}

impl From<Run> for RunResource {
    fn from(run: Run) -> Self {
        let status = match (&run.error_message, run.finished_at) {
            (Some(_), _) => "failed",
            (None, Some(_)) => "done",
            (None, None) => "running",
        };
        Self {
            run_at: run.run_at,
            node: run.node,
            started_at: run.started_at,
            finished_at: run.finished_at,
            duration_ms: run.finished_at.map(|end| end.since(run.started_at).as_millis()),
            status,
            outcome: run.outcome.and_then(|text| serde_json::from_str(&text).ok()),
            error: run.error_message,
        }
    }
}

/// The last run of a task.
pub async fn last_run(conn: &mut Conn, task: &str) -> Result<Option<Run>> {
    let query = r::table.filter(r::task.eq(task)).order(r::run_at.desc());
    Ok(on_conn!(conn, c => query.select(Run::as_select()).first(c).await.optional())?)
}

/// Takes a run, if nobody has.
pub async fn begin(db: &Db, task: &str, run_at: Timestamp, node: &str, now: Timestamp) -> Result<bool> {
    let values = (r::task.eq(task), r::run_at.eq(run_at), r::node.eq(node), r::started_at.eq(now));
    let insert = async |conn: &mut Conn| {
        Ok(on_conn!(conn, c => diesel::insert_into(r::table)
            .values(values)
            .on_conflict_do_nothing()
            .execute(c)
            .await)?)
    };
    Ok(db.transaction(insert).await? == 1)
}

/// Writes down how a run ended.
pub async fn end(
    db: &Db,
    (task, run_at): (&str, Timestamp),
    outcome: std::result::Result<String, String>,
    now: Timestamp,
) -> Result<()> {
    let (done, error) = match outcome {
        Ok(done) => (Some(done), None),
        Err(error) => (None, Some(error)),
    };
    let row = r::table.filter(r::task.eq(task).and(r::run_at.eq(run_at)));
    let set = (r::finished_at.eq(now), r::outcome.eq(done), r::error_message.eq(error));
    let update =
        async |conn: &mut Conn| Ok(on_conn!(conn, c => diesel::update(row).set(set).execute(c).await)?);
    db.transaction(update).await.map(drop)
}

/// The first time of a schedule after this one.
pub fn next_after(schedule: &Schedule, after: Timestamp) -> Option<Timestamp> {
    let next = schedule.after(&after.utc().and_local_timezone(Utc).earliest()?).next()?;
    Some(Timestamp::from_utc(next.naive_utc()))
}

/// The last time of a schedule after `after` that has come by now: one run makes up for all that were missed.
pub fn last_due(schedule: &Schedule, after: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let times = std::iter::successors(next_after(schedule, after), |last| next_after(schedule, *last));
    times.take_while(|at| *at <= now).last()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn the_next_time_is_of_today_or_tomorrow_in_utc() {
        let next = |cron, now| next_after(&Schedule::from_str(cron).unwrap(), at(now)).unwrap().to_string();
        assert_eq!(next("0 0 3 * * *", "2026-03-29T02:59:59Z"), "2026-03-29T03:00:00.000000Z");
        assert_eq!(next("0 0 3 * * *", "2026-03-29T03:00:00Z"), "2026-03-30T03:00:00.000000Z");
        assert_eq!(next("0 30 1 * * 1", "2026-11-22T01:30:00.5Z"), "2026-11-29T01:30:00.000000Z");
    }

    #[test]
    fn of_many_times_that_were_missed_the_last_is_made_up_for() {
        let daily = Schedule::from_str("0 0 3 * * *").unwrap();
        let due = |after, now| last_due(&daily, at(after), at(now)).map(|at| at.to_string());
        let fifth = Some("2026-03-05T03:00:00.000000Z".to_owned());
        assert_eq!(due("2026-03-01T03:00:00Z", "2026-03-05T12:00:00Z"), fifth);
        assert_eq!(due("2026-03-04T03:00:00Z", "2026-03-05T03:00:00Z"), fifth);
        assert_eq!(due("2026-03-05T03:00:00Z", "2026-03-05T12:00:00Z"), None);
    }
}
