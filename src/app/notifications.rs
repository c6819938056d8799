//! Starts what works at notifications by itself, and wakes it.

use crate::config::Config;
use crate::domain::{Clock, Probe};
use crate::notifications::fan_out_work::FanOutWork;
use crate::notifications::herald::Herald;
use crate::notifications::notifier::Notifier;
use crate::notifications::schedule::{Listeners, Scheduler};
use crate::notifications::send_limits::SendLimits;
use crate::notifications::worker::{Work, WorkerActor};
use crate::realtime::RegistryActor;
use crate::storage::Db;
use crate::telemetry::Metrics;
use actix::{Addr, Arbiter, Recipient};
use std::sync::Arc;

/// The workers of a process.
pub(super) struct Workers {
    limits: Arc<SendLimits>,
    running: Vec<(&'static str, Addr<WorkerActor>)>,
}

impl Workers {
    /// Starts them all.
    pub(super) fn start(
        config: &Config,
        (db, clock): (&Db, &Clock),
        (registry, metrics): (&Addr<RegistryActor>, &Arc<Metrics>),
        arbiter: &Arbiter,
    ) -> Self {
        let limits = Arc::new(SendLimits::of(&config.notifications));
        let herald = || Herald::new(registry.clone().recipient(), metrics.clone());
        let start = |work: Box<dyn Work + Send>| WorkerActor::start(work, clock.clone(), &arbiter.handle());
        let fan_out =
            FanOutWork { db: db.clone(), clock: clock.clone(), limits: limits.clone(), herald: herald() };
        let fan_out = start(Box::new(fan_out));
        let mut workers = Self { limits, running: vec![("notifications to many", fan_out)] };
        // It wakes the others when it has work for them.
        let listeners = Listeners { herald: herald(), notifier: workers.notifier() };
        let pace = config.notifications.scheduled_per_minute;
        let scheduler = Scheduler::new((db.clone(), clock.clone()), pace, metrics.clone(), Some(listeners));
        workers.running.push(("scheduled notifications", start(Box::new(scheduler))));
        workers
    }

    /// For the doors.
    pub(super) fn notifier(&self) -> Notifier {
        let wake = self.running.iter().map(|(_, worker)| worker.clone().recipient()).collect();
        Notifier::new(self.limits.clone(), wake)
    }

    /// For the watchdog.
    pub(super) fn probes(&self) -> Vec<(&'static str, Recipient<Probe>)> {
        self.running.iter().map(|(name, worker)| (*name, worker.clone().recipient())).collect()
    }
}
