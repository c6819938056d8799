//! Retention: prunes by itself, inside a server, at the times of `[retention] cron`, in UTC.
//!
//! On PostgreSQL every server does it, and none waits for another: what one has deleted the other does not find.

use super::Db;
use super::prune::{self, Done, Mode};
use crate::config;
use crate::domain::{Clock, Result, Timestamp};
use chrono::Utc;
use cron::Schedule;
use std::time::Duration;

/// The longest sleep: a clock that was set is noticed after it.
const NAP: Duration = Duration::from_mins(1);

/// Prunes for ever. A time that comes while a pruning lasts is left out.
pub async fn keep(db: Db, clock: Clock, config: config::Retention) -> Result<()> {
    let (schedule, Some(age)) = (config.schedule()?, config.age()) else { return Ok(()) };
    while let Some(next) = next_after(&schedule, clock.now()) {
        while clock.now() < next {
            tokio::time::sleep(next.since(clock.now()).min(NAP)).await;
        }
        match prune::run(&db, age, Mode::Delete, clock.now()).await {
            Ok(Done { pruned, longest }) => {
                tracing::info!(?pruned, ?longest, "rows that had their time are deleted");
            }
            Err(error) => tracing::warn!(%error, "rows that had their time could not be deleted"),
        }
    }
    Ok(())
}

fn next_after(schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
    let next = schedule.after(&now.utc().and_local_timezone(Utc).earliest()?).next()?;
    Some(Timestamp::from_utc(next.naive_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, now: &str) -> String {
        let schedule = config::Retention { cron: cron.to_owned(), ..config::Retention::default() };
        let now = Timestamp::parse_rfc3339(now).unwrap();
        next_after(&schedule.schedule().unwrap(), now).unwrap().to_string()
    }

    #[test]
    fn the_next_time_is_of_today_or_tomorrow_in_utc() {
        let three = config::Retention::default().cron;
        assert_eq!(next(&three, "2026-03-29T02:59:59Z"), "2026-03-29T03:00:00.000000Z");
        assert_eq!(next(&three, "2026-03-29T03:00:00Z"), "2026-03-30T03:00:00.000000Z");
        assert_eq!(next("0 30 1 * * 1", "2026-11-22T01:30:00.5Z"), "2026-11-29T01:30:00.000000Z");
    }
}
