//! Retention: prunes by itself, inside a server, at the times of `[retention] cron`, in UTC, on one node a time.

use super::prune::{self, Done, Mode};
use super::{Db, tasks};
use crate::config;
use crate::domain::{Clock, Result, Timestamp};
use cron::Schedule;
use std::time::Duration;

/// Its name among the tasks.
pub const TASK: &str = "retention";

/// The longest sleep: a clock that was set is noticed after it.
const NAP: Duration = Duration::from_mins(1);

/// Prunes for ever. A time that comes while a pruning lasts, or came while no server was there, is made up for once.
pub async fn keep(db: Db, clock: Clock, config: config::Retention) -> Result<()> {
    let (schedule, Some(age)) = (config.schedule()?, config.age()) else { return Ok(()) };
    let node = format!("{}-{}", std::process::id(), uuid::Uuid::now_v7().simple());
    let node: String = node.chars().take(40).collect();
    let began = clock.now();
    loop {
        let now = clock.now();
        match turn(&db, (&schedule, age), &node, began, &clock).await {
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "rows that had their time could not be deleted"),
        }
        let Some(next) = tasks::next_after(&schedule, now) else { return Ok(()) };
        while clock.now() < next {
            tokio::time::sleep(next.since(clock.now()).min(NAP)).await;
        }
    }
}

/// Runs what is due, unless another node has taken it. What was never run is due from when this one began.
async fn turn(
    db: &Db,
    (schedule, age): (&Schedule, Duration),
    node: &str,
    began: Timestamp,
    clock: &Clock,
) -> Result<()> {
    let last = tasks::last_run(&mut db.read().await?, TASK).await?;
    let since = last.map_or(began, |run| run.run_at);
    let Some(run_at) = tasks::last_due(schedule, since, clock.now()) else { return Ok(()) };
    if !tasks::begin(db, TASK, run_at, node, clock.now()).await? {
        return Ok(());
    }
    let done = prune::run(db, age, Mode::Delete, clock.now()).await;
    let outcome = match &done {
        Ok(Done { pruned, longest }) => {
            tracing::info!(?pruned, ?longest, "rows that had their time are deleted");
            Ok(serde_json::to_string(pruned).unwrap_or_default())
        }
        Err(error) => Err(error.message().to_owned()),
    };
    tasks::end(db, (TASK, run_at), outcome, clock.now()).await?;
    done.map(drop)
}
