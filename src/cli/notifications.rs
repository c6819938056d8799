//! `bellwire notifications …`

use super::output::Output;
use super::{database, signals};
use crate::config::Config;
use crate::domain::{Clock, Code, Error, Result};
use crate::notifications::schedule::{Counts, Scheduler};
use crate::notifications::worker::Turn;
use crate::telemetry::{Metrics, logs};
use clap::Subcommand;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The longest sleep: rows that were made meanwhile are found after it.
const NAP: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Send scheduled notifications that are due, until it is stopped
    ///
    /// A server does it by itself. This may run beside servers, or from cron with --once; no notification is sent
    /// twice. Those who are connected to a server hear of it from that server.
    ProcessScheduled(ProcessScheduled),
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct ProcessScheduled {
    /// Send what is due now, and end
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(verb: Verb, config: &Config) -> Result<Output> {
    let Verb::ProcessScheduled(args) = verb;
    let db = database::open_migrated(config).await?;
    let clock = Clock::System;
    let clash = |e: prometheus::Error| Error::new(Code::Internal, "The metrics clash.").because(e);
    let metrics = Arc::new(Metrics::new().map_err(clash)?);
    let pace = config.notifications.scheduled_per_minute;
    let scheduler = Scheduler::new((db, clock.clone()), pace, metrics, None);
    if args.once {
        return Ok(shown(until_done(&scheduler).await?));
    }
    logs::init(&config.log);
    let shutdown = signals::shutdown()?;
    let mut counts = Counts::default();
    // A batch that is under way when it is stopped is rolled back, and sent when its lease has run out.
    tokio::select! {
        never = for_ever(&scheduler, &clock, &mut counts) => match never {},
        () = shutdown => {}
    }
    Ok(shown(counts))
}

async fn until_done(scheduler: &Scheduler) -> Result<Counts> {
    let mut counts = Counts::default();
    loop {
        let (some, turn) = scheduler.run().await?;
        counts += some;
        if turn != Turn::Again {
            return Ok(counts);
        }
    }
}

/// What fails is tried again a second later: a database that is away comes back.
async fn for_ever(scheduler: &Scheduler, clock: &Clock, counts: &mut Counts) -> std::convert::Infallible {
    loop {
        let nap = match scheduler.run().await {
            Ok((some, turn)) => {
                *counts += some;
                match turn {
                    Turn::Again => continue,
                    Turn::Sleep(until) => until.map_or(NAP, |at| at.since(clock.now()).min(NAP)),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "scheduled notifications wait");
                NAP
            }
        };
        tokio::time::sleep(nap).await;
    }
}

fn shown(counts: Counts) -> Output {
    let Counts { delivered, deferred, unwanted, failed } = counts;
    let human =
        format!("Delivered {delivered}, deferred {deferred}, not wanted {unwanted}, failed {failed}.");
    let json = json!({"delivered": delivered, "deferred": deferred, "unwanted": unwanted, "failed": failed});
    Output { json, human }
}
