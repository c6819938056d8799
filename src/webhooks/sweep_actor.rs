//! `SweepActor`: looks at the rows once every `webhooks.sweep_ms` for deliveries that are due and that nobody
//! holds, and for endpoints that nobody was told of (made by the command line), and tells the registry.
//!
//! Only the watchdog speaks to it. It is what makes a lost nudge a delay: of a crash between commit and nudge, of a lease
//! that ran out, of a database that was away. When the registry's mailbox is full the next round tells it.
//! Under a `Supervisor` it starts afresh.

use super::delivery;
use crate::config;
use crate::domain::{Clock, EndpointId, Probe, Result, WakeEndpoints};
use crate::storage::Db;
use actix::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// See the module.
pub struct SweepActor {
    db: Db,
    clock: Clock,
    every: Duration,
    registry: Recipient<WakeEndpoints>,
    /// Active endpoints that the registry was told of.
    known: BTreeSet<EndpointId>,
    failing: bool,
}

impl SweepActor {
    /// A sweep that tells `registry`.
    pub fn new(db: Db, clock: Clock, config: &config::Webhooks, registry: Recipient<WakeEndpoints>) -> Self {
        let every = Duration::from_millis(config.sweep_ms.max(1));
        Self { db, clock, every, registry, known: BTreeSet::new(), failing: false }
    }

    fn sweep(&mut self, ctx: &mut Context<Self>) {
        let (db, now) = (self.db.clone(), self.clock.now());
        let look = async move { delivery::survey(&mut db.read().await?, now).await };
        ctx.spawn(look.into_actor(self).map(|found, actor, ctx| {
            actor.swept(found);
            // From end to beginning, so that slow rounds do not pile up.
            ctx.run_later(actor.every, Self::sweep);
        }));
    }

    fn swept(&mut self, found: Result<Vec<(EndpointId, bool)>>) {
        match found {
            Ok(found) => {
                self.failing = false;
                self.tell(&found);
            }
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::warn!(%error, "webhook deliveries cannot be looked for");
            }
            Err(_) => {}
        }
    }

    fn tell(&mut self, found: &[(EndpointId, bool)]) {
        let wanted = found.iter().filter(|(id, due)| *due || !self.known.contains(id));
        let wanted: Vec<EndpointId> = wanted.map(|(id, _)| *id).collect();
        if wanted.is_empty() || self.registry.try_send(WakeEndpoints(wanted)).is_ok() {
            // An endpoint that is inactive now is new when it is active again.
            self.known = found.iter().map(|(id, _)| *id).collect();
        }
    }
}

impl Actor for SweepActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.sweep(ctx);
    }
}

impl Supervised for SweepActor {}

impl Handler<Probe> for SweepActor {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {}
}
