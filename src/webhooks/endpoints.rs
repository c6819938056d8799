//! `Endpoints`: what `app` holds of the sender: it starts endpoint actors, counts what is in flight, and drains.

use super::backoff::Schedule;
use super::books::Books;
use super::breaker::BreakerRule;
use super::client::Outbound;
use super::delivery;
use super::endpoint_actor::EndpointActor;
use super::ledger::Ledger;
use super::permits::Permits;
use super::sealing;
use super::vault::Vault;
use crate::config;
use crate::domain::{Clock, Committed, EndpointId, Probe, Result, Standby, ToEndpoint};
use crate::storage::Db;
use crate::telemetry::Metrics;
use actix::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// For handing leases back when the process ends.
const RELEASE: Duration = Duration::from_secs(2);

/// The sender of one process. Cloning shares it.
#[derive(Clone)]
pub struct Endpoints {
    works: Arc<Works>,
    arbiters: Arc<[ArbiterHandle]>,
    nudge: Arc<OnceLock<Recipient<Committed>>>,
}

/// What the actors and attempts of one process share.
pub(super) struct Works {
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) ledger: Ledger,
    pub(super) outbound: Outbound,
    /// Opens what endpoints keep secret.
    pub(super) vault: Vault,
    pub(super) permits: Permits,
    /// In flight to an endpoint that says nothing else.
    pub(super) lanes: usize,
    /// Of an endpoint that says nothing else.
    pub(super) breaker: BreakerRule,
    pub(super) schedule: Schedule,
    /// Where the actors say what they are ready for, and in whose name things are leased to them.
    pub(super) standby: Standby,
    pub(super) owner: Arc<str>,
    draining: AtomicBool,
}

impl Works {
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

impl Endpoints {
    /// Starts the sender; endpoint actors will be spread over `arbiters`, of which there must be one at least.
    /// On SQLite the leases that a dead process left behind are freed; secrets are sealed with the present key.
    pub async fn start(
        db: Db,
        clock: Clock,
        config: &config::Webhooks,
        metrics: Metrics,
        arbiters: Vec<ArbiterHandle>,
    ) -> Result<Self> {
        let outbound = Outbound::new(config)?;
        Self::start_with(db, clock, config, metrics, arbiters, outbound).await
    }

    /// The same with an [`Outbound`] of one's own, such as one that trusts a private certificate authority.
    pub async fn start_with(
        db: Db,
        clock: Clock,
        config: &config::Webhooks,
        metrics: Metrics,
        arbiters: Vec<ArbiterHandle>,
        outbound: Outbound,
    ) -> Result<Self> {
        let first = arbiters.first().ok_or_else(no_arbiter)?;
        if db.is_sqlite() {
            let freed = db.transaction(async |conn| delivery::reclaim(conn).await).await?;
            tracing::debug!(freed, "leases of an earlier process");
        }
        let vault = Vault::of(config, &db)?;
        sealing::seal_all(&db, &vault).await?;
        let owner: Arc<str> = uuid::Uuid::now_v7().simple().to_string().into();
        let nudge = Arc::new(OnceLock::new());
        let books = Books {
            db,
            clock: clock.clone(),
            metrics: metrics.clone(),
            owner: Arc::clone(&owner),
            nudge: Arc::clone(&nudge),
        };
        let ledger = Ledger::start(books, first);
        let standby = Standby::default();
        let lost = ledger.clone();
        standby.on_lost(move |delivery, until| lost.hand_back_later(vec![(delivery, until)]));
        let works = Works {
            clock,
            metrics,
            ledger,
            outbound,
            vault,
            permits: Permits::new(config.concurrency, config.concurrency_per_tenant),
            lanes: config.concurrency_per_endpoint,
            breaker: BreakerRule {
                threshold: config.breaker_threshold,
                open_for: Duration::from_secs(config.breaker_open_seconds),
            },
            schedule: Schedule::of_seconds(&config.retry_seconds),
            standby,
            owner,
            draining: AtomicBool::new(false),
        };
        Ok(Self { works: Arc::new(works), arbiters: arbiters.into(), nudge })
    }

    /// Tells `registry` from now on of the events that the sender writes itself (`webhook:disabled`, …). Without
    /// it they wait for the next look at the rows. The first call counts.
    pub fn tell(&self, registry: Recipient<Committed>) {
        let _ = self.nudge.set(registry);
    }

    /// Makes endpoint actors: an endpoint's id in, its actor's recipient out. The actor looks at its rows at once,
    /// whenever it is sent a [`ToEndpoint`], and when it knows something to be due; it ends when its endpoint is gone
    /// or inactive, and the recipient is then closed.
    pub fn factory(&self) -> impl Fn(EndpointId) -> Recipient<ToEndpoint> + Send + Sync + Clone + 'static {
        let (works, arbiters) = (Arc::clone(&self.works), Arc::clone(&self.arbiters));
        move |id| {
            let works = Arc::clone(&works);
            let shard = usize::try_from(id.0.unsigned_abs()).unwrap_or(0) % arbiters.len();
            // `start` made sure that there is an arbiter.
            EndpointActor::start_in_arbiter(&arbiters[shard], move |_| EndpointActor::new(id, works))
                .recipient()
        }
    }

    /// Whose deliveries may be leased as they are written; for whoever writes events.
    pub fn standby(&self) -> Standby {
        self.works.standby.clone()
    }

    /// Attempts that are being made or written down.
    pub fn in_flight(&self) -> usize {
        self.works.permits.in_use()
    }

    /// Where the watchdog asks whether the sender's core answers: without it nothing is claimed or written down.
    pub fn probe(&self) -> Recipient<Probe> {
        self.works.ledger.probe()
    }

    /// Stops claiming and sending, waits for the attempts in flight to end and be written down, for at most
    /// `limit`, and hands all leases back. Returns how many attempts were cut off.
    pub async fn drain(&self, limit: Duration) -> usize {
        self.works.draining.store(true, Ordering::Relaxed);
        self.works.standby.close();
        let quiet = self.works.permits.wait_for_all(limit).await;
        let left = if quiet { 0 } else { self.in_flight() };
        // A database that is away must not hold the process: leases run out by themselves.
        match tokio::time::timeout(RELEASE, self.works.ledger.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "webhook leases were not handed back"),
            Err(_) => tracing::warn!("webhook leases were not handed back in time"),
        }
        left
    }
}

fn no_arbiter() -> crate::domain::Error {
    crate::domain::Error::new(crate::domain::Code::Internal, "Webhooks need an arbiter to run on.")
}
