//! `SentinelActor`: watches every session's deadlines from outside, four times a second, because a session's own
//! timers stand still while its socket is jammed. It also asks whether the tokens that open sessions stand on
//! still hold, and lets users whose grace has ended be told offline.
//!
//! Its mailbox gets only probes. If it dies, the watchdog ends the process.

use super::frame::{Ending, ToSession};
use super::link::{Deadlines, Link, TICK, Verdict};
use super::session_table::SessionTable;
use super::users::Users;
use crate::domain::{Code, Error, Probe, Result, TokenId};
use crate::telemetry::Metrics;
use actix::prelude::*;
use futures_util::future::LocalBoxFuture;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the answer about tokens is waited for before it is asked for again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks which of these tokens are still good.
pub type TokenCheck = Box<dyn Fn(Vec<TokenId>) -> LocalBoxFuture<'static, Result<HashSet<TokenId>>> + Send>;

/// The watcher.
pub struct SentinelActor {
    table: SessionTable,
    users: Users,
    deadlines: Deadlines,
    recheck: Duration,
    still_valid: TokenCheck,
    metrics: Arc<Metrics>,
    started: Instant,
    checking: bool,
}

impl SentinelActor {
    /// A watcher of this table; tokens are asked about every `recheck`.
    pub fn new(
        table: SessionTable,
        users: Users,
        deadlines: Deadlines,
        recheck: Duration,
        still_valid: TokenCheck,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            table,
            users,
            deadlines,
            recheck,
            still_valid,
            metrics,
            started: Instant::now(),
            checking: false,
        }
    }

    fn tick(&self) {
        let ticks = self.started.elapsed().as_millis() / TICK.as_millis();
        let now = u32::try_from(ticks).unwrap_or(u32::MAX - 1);
        self.table.clock().advance_to(now);
        for link in self.table.snapshot() {
            self.judge(&link, now);
        }
        self.users.tick(Instant::now());
    }

    fn judge(&self, link: &Link, now: u32) {
        match link.verdict(now, &self.deadlines) {
            Verdict::Leave => {}
            Verdict::Ping => {
                let _ = link.send(ToSession::Ping);
            }
            Verdict::End(ending, why) => end(link, ending, now, &self.metrics, why),
            Verdict::Cut(why) => {
                tracing::info!(socket = %link.socket, why, "cut a connection");
                self.metrics.refused.with_label_values(&[why]).inc();
                link.cut();
            }
        }
    }

    fn recheck(&mut self, ctx: &mut Context<Self>) {
        let by_token = self.table.by_token();
        if by_token.is_empty() || self.checking {
            return;
        }
        self.checking = true;
        let asking = (self.still_valid)(by_token.keys().copied().collect());
        let answer = async move {
            let late = || Error::new(Code::Unavailable, "The database did not answer in time.");
            tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(late()))
        };
        ctx.spawn(answer.into_actor(self).map(move |answer, actor, _| {
            actor.checking = false;
            match answer {
                Ok(valid) => actor.end_revoked(by_token, &valid),
                // The database is away: open sockets stay, new ones cannot come.
                Err(error) => tracing::warn!(%error, "the tokens of open sockets could not be checked"),
            }
        }));
    }

    fn end_revoked(&self, by_token: HashMap<TokenId, Vec<Arc<Link>>>, valid: &HashSet<TokenId>) {
        let now = self.table.clock().ticks();
        let revoked = by_token.into_iter().filter(|(token, _)| !valid.contains(token));
        for link in revoked.flat_map(|(_, links)| links) {
            end(&link, Ending::UNAUTHENTICATED, now, &self.metrics, "token_revoked");
        }
    }
}

/// Ends a session from outside; the word is the metric's label.
pub(super) fn end(link: &Link, ending: Ending, now: u32, metrics: &Metrics, why: &str) {
    tracing::debug!(socket = %link.socket, why, "end a connection");
    metrics.refused.with_label_values(&[why]).inc();
    link.ending(now);
    // A mailbox that is full belongs to a jammed socket; it is cut when the goodbye stays unread.
    let _ = link.send(ToSession::End(ending));
}

impl Actor for SentinelActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, |actor, _| actor.tick());
        ctx.run_interval(self.recheck, Self::recheck);
    }
}

impl Handler<Probe> for SentinelActor {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {}
}
