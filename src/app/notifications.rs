//! Starts what works at notifications by itself, and wakes it.

use crate::config::Config;
use crate::domain::{Clock, Probe, Result, TellOfEvents};
use crate::notifications::Channel;
use crate::notifications::carriers::work::CarrierWork;
use crate::notifications::digest_work::DigestWork;
use crate::notifications::event_work::{self, EventWork};
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
    pub(super) async fn start(
        config: &Config,
        (db, clock): (&Db, &Clock),
        (registry, metrics): (&Addr<RegistryActor>, &Arc<Metrics>),
        arbiter: &Arbiter,
    ) -> Result<Self> {
        event_work::begin(db, clock.now()).await?;
        let limits = Arc::new(SendLimits::of(&config.notifications));
        let herald = || Herald::new(registry.clone().recipient(), metrics.clone());
        let start = |work: Box<dyn Work + Send>| {
            (work.name(), WorkerActor::start(work, clock.clone(), &arbiter.handle()))
        };
        let fan_out =
            FanOutWork { db: db.clone(), clock: clock.clone(), limits: limits.clone(), herald: herald() };
        let digests = DigestWork { db: db.clone(), clock: clock.clone(), herald: Some(herald()) };
        let events = start(Box::new(EventWork {
            db: db.clone(),
            clock: clock.clone(),
            limits: limits.clone(),
            herald: Some(herald()),
            seen: Arc::default(),
        }));
        // Its mailbox is empty yet; and who is not told of events looks for them.
        let _ = registry.try_send(TellOfEvents(events.1.clone().recipient()));
        let mut running = vec![events, start(Box::new(digests)), start(Box::new(fan_out))];
        for channel in Channel::ALL {
            let carrier = channel.driver().carrier((db, clock), &config.notifications);
            let (db, clock, herald) = (db.clone(), clock.clone(), Some(herald()));
            running
                .extend(carrier.map(|carrier| start(Box::new(CarrierWork { db, clock, herald, carrier }))));
        }
        let mut workers = Self { limits, running };
        // It wakes the others when it has work for them.
        let listeners = Listeners { herald: herald(), notifier: workers.notifier() };
        let pace = config.notifications.scheduled_per_minute;
        let scheduler = Scheduler::new((db.clone(), clock.clone()), pace, metrics.clone(), Some(listeners));
        workers.running.push(start(Box::new(scheduler)));
        Ok(workers)
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
