//! `WorkerActor`: does some work that waits in rows, turn by turn, and sleeps when there is none.
//!
//! [`Wake`] has it look at once; a look while a turn lasts is made after it. Its mailbox holds 64, and a nudge that meets
//! a full one is let go: rows are looked at once a second in any case. What fails is tried again a second later, and
//! said once. Under a `Supervisor` it starts afresh: it holds nothing but what rows say.

use crate::domain::{Clock, Probe, Result, Timestamp, Wake};
use actix::prelude::*;
use futures_util::future::LocalBoxFuture;
use std::time::Duration;

const MAILBOX: usize = 64;

/// The longest sleep: rows that nobody spoke of are found after it.
const NAP: Duration = Duration::from_secs(1);

/// The shortest: what is due and not to be had is in another's hands.
const BREATH: Duration = Duration::from_millis(20);

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// There may be more to do.
    Again,
    /// Nothing is due before then, as far as is known.
    Sleep(Option<Timestamp>),
}

/// Work that waits in rows.
pub trait Work {
    /// For logs.
    fn name(&self) -> &'static str;

    /// Does some of what is due: so much that it takes well under a second.
    fn turn(&self) -> LocalBoxFuture<'static, Result<Turn>>;
}

/// See the module.
pub struct WorkerActor {
    work: Box<dyn Work + Send>,
    clock: Clock,
    busy: bool,
    again: bool,
    sleeping: Option<SpawnHandle>,
    failing: bool,
}

impl WorkerActor {
    /// Starts on this arbiter.
    pub fn start(work: Box<dyn Work + Send>, clock: Clock, on: &ArbiterHandle) -> Addr<Self> {
        Supervisor::start_in_arbiter(on, move |ctx: &mut Context<Self>| {
            ctx.set_mailbox_capacity(MAILBOX);
            Self { work, clock, busy: false, again: false, sleeping: None, failing: false }
        })
    }

    fn turn(&mut self, ctx: &mut Context<Self>) {
        if self.busy {
            self.again = true;
            return;
        }
        if let Some(sleep) = self.sleeping.take() {
            ctx.cancel_future(sleep);
        }
        (self.busy, self.again) = (true, false);
        let turn = self.work.turn();
        ctx.spawn(turn.into_actor(self).map(|done, actor, ctx| actor.turned(done, ctx)));
    }

    fn turned(&mut self, done: Result<Turn>, ctx: &mut Context<Self>) {
        self.busy = false;
        let nap = match done {
            Ok(turn) => {
                self.failing = false;
                match turn {
                    Turn::Again => Duration::ZERO,
                    Turn::Sleep(_) if self.again => Duration::ZERO,
                    Turn::Sleep(until) => {
                        until.map_or(NAP, |at| at.since(self.clock.now()).clamp(BREATH, NAP))
                    }
                }
            }
            Err(error) => {
                if !self.failing {
                    tracing::warn!(%error, work = self.work.name(), "it will be tried again every second");
                }
                self.failing = true;
                NAP
            }
        };
        self.sleeping = Some(ctx.run_later(nap, |actor, ctx| {
            actor.sleeping = None;
            actor.turn(ctx);
        }));
    }
}

impl Actor for WorkerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        (self.busy, self.again) = (false, false);
        self.turn(ctx);
    }
}

impl Supervised for WorkerActor {}

impl Handler<Wake> for WorkerActor {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.turn(ctx);
    }
}

impl Handler<Probe> for WorkerActor {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {}
}
