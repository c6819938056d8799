//! `Scheduler`: claims what is due and delivers it, turn by turn. The tick of a server's worker actor, and of
//! `bellwire notifications process-scheduled`.

use super::claim::{Claim, Claimer, next_due};
use super::deliver::{Delivered, deliver};
use crate::domain::{Clock, Result, Timestamp};
use crate::notifications::herald::Herald;
use crate::notifications::notifier::Notifier;
use crate::notifications::worker::{Turn, Work};
use crate::storage::Db;
use crate::telemetry::Metrics;
use futures_util::future::{self, LocalBoxFuture};
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How many batches go in one turn.
const BATCHES: usize = 4;

/// When to look again at rows that are due and that another process is claiming.
const ELSEWHERE: Duration = Duration::from_millis(100);

/// What became of scheduled notifications.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// They went out.
    pub delivered: usize,
    /// They go out later, because of quiet hours or after a try that failed.
    pub deferred: usize,
    /// Their recipients do not want them.
    pub unwanted: usize,
    /// They cannot go out.
    pub failed: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.deferred += other.deferred;
        self.unwanted += other.unwanted;
        self.failed += other.failed;
    }
}

/// Whom it tells of what it did.
#[derive(Clone)]
pub struct Listeners {
    /// Of what is in inboxes now.
    pub herald: Herald,
    /// Of work for channels that have a queue.
    pub notifier: Notifier,
}

/// See the module. Clones take turns.
#[derive(Clone)]
pub struct Scheduler {
    db: Db,
    clock: Clock,
    metrics: Arc<Metrics>,
    listeners: Option<Listeners>,
    claimer: Arc<Mutex<Claimer>>,
}

impl Scheduler {
    /// So many of each tenant a minute; 0 = no bound. Without listeners a server finds the events by its next look at
    /// the rows.
    pub fn new(
        (db, clock): (Db, Clock),
        per_minute: u32,
        metrics: Arc<Metrics>,
        listeners: Option<Listeners>,
    ) -> Self {
        let claimer = Arc::new(Mutex::new(Claimer::new(per_minute)));
        Self { db, clock, metrics, listeners, claimer }
    }

    /// Delivers a batch of what is due, and says when to come back.
    pub async fn step(&self) -> Result<(Counts, Turn)> {
        match self.claim().await? {
            Some(claim) => Ok((self.deliver(claim).await?, Turn::Again)),
            None => Ok((Counts::default(), Turn::Sleep(self.wakes_at().await?))),
        }
    }

    /// Delivers up to four batches, and says when to come back. Of a herd, each is claimed while the one before
    /// is delivered: on PostgreSQL these are two connections, and the claim costs no time.
    pub async fn run(&self) -> Result<(Counts, Turn)> {
        let mut counts = Counts::default();
        let mut claimed = self.claim().await?;
        for left in (0..BATCHES).rev() {
            let Some(claim) = claimed.take() else {
                return Ok((counts, Turn::Sleep(self.wakes_at().await?)));
            };
            if left == 0 || !claim.is_full() {
                counts += self.deliver(claim).await?;
                break;
            }
            let (delivered, next) = future::join(self.deliver(claim), self.claim()).await;
            counts += delivered?;
            claimed = next?;
        }
        Ok((counts, Turn::Again))
    }

    /// Leases a batch of what is due; none where nothing is, or may go.
    pub async fn claim(&self) -> Result<Option<Claim>> {
        let began = Instant::now();
        let claim = self.claimer.lock().await.claim(&self.db, self.clock.now()).await?;
        if claim.is_some() {
            self.metrics.scheduler_claim.observe(began.elapsed().as_secs_f64());
        }
        Ok(claim)
    }

    /// Delivers of a claim what is still its own.
    pub async fn deliver(&self, claim: Claim) -> Result<Counts> {
        let lag = claim.lag;
        let Delivered { counts, committed, queued } = deliver(&self.db, claim, self.clock.now()).await?;
        self.tell(counts, lag);
        if let Some(Listeners { herald, notifier }) = &self.listeners {
            for committed in committed {
                herald.tell(committed);
            }
            if queued {
                notifier.wake();
            }
        }
        tracing::debug!(?counts, ?lag, "scheduled notifications");
        Ok(counts)
    }

    async fn wakes_at(&self) -> Result<Option<Timestamp>> {
        let (pause, now) = (self.claimer.lock().await.pause(), self.clock.now());
        let next = next_due(&mut self.db.read().await?).await?;
        self.metrics.scheduler_lag.set(next.map_or(0.0, |next| now.since(next).as_secs_f64()));
        Ok(next.map(|next| if next > now { next } else { now.plus(pause.unwrap_or(ELSEWHERE)) }))
    }

    fn tell(&self, counts: Counts, lag: Duration) {
        self.metrics.scheduler_lag.set(lag.as_secs_f64());
        for (outcome, count) in [
            ("delivered", counts.delivered),
            ("deferred", counts.deferred),
            ("unwanted", counts.unwanted),
            ("failed", counts.failed),
        ] {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.metrics.scheduled.with_label_values(&[outcome]).inc_by(count);
        }
    }
}

impl Work for Scheduler {
    fn name(&self) -> &'static str {
        "scheduled notifications"
    }

    fn turn(&self) -> LocalBoxFuture<'static, Result<Turn>> {
        let scheduler = self.clone();
        Box::pin(async move { Ok(scheduler.run().await?.1) })
    }
}
