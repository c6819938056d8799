//! `Endpoints`: what `app` holds of the sender: it starts endpoint actors, counts what is in flight, and drains.

use super::books::Books;
use super::client::Outbound;
use super::delivery;
use super::endpoint_actor::EndpointActor;
use super::ledger::Ledger;
use super::sealing;
use super::vault::Vault;
use crate::config;
use crate::domain::{Clock, EndpointId, Probe, Result, Wake};
use crate::storage::Db;
use crate::telemetry::Metrics;
use actix::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// For handing leases back when the process ends.
const RELEASE: Duration = Duration::from_secs(2);

/// The sender of one process. Cloning shares it.
#[derive(Clone)]
pub struct Endpoints {
    works: Arc<Works>,
    arbiters: Arc<[ArbiterHandle]>,
}

/// What the actors and attempts of one process share.
pub(super) struct Works {
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) ledger: Ledger,
    pub(super) outbound: Outbound,
    /// Opens what endpoints keep secret.
    pub(super) vault: Vault,
    /// A permit is held from before the POST until the attempt is written down.
    pub(super) permits: Semaphore,
    /// In flight to one endpoint.
    pub(super) lanes: usize,
    concurrency: usize,
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
        let owner = uuid::Uuid::now_v7().simple().to_string().into();
        let books = Books { db, clock: clock.clone(), metrics: metrics.clone(), owner };
        let ledger = Ledger::start(books, first);
        let works = Works {
            clock,
            metrics,
            ledger,
            outbound,
            vault,
            permits: Semaphore::new(config.concurrency),
            lanes: config.concurrency_per_endpoint,
            concurrency: config.concurrency,
            draining: AtomicBool::new(false),
        };
        Ok(Self { works: Arc::new(works), arbiters: arbiters.into() })
    }

    /// Makes endpoint actors: an endpoint's id in, its actor's recipient out. The actor looks at its rows at once,
    /// whenever it is sent a [`Wake`], and when it knows something to be due; it ends when its endpoint is gone
    /// or inactive, and the recipient is then closed.
    pub fn factory(&self) -> impl Fn(EndpointId) -> Recipient<Wake> + Send + Sync + Clone + 'static {
        let (works, arbiters) = (Arc::clone(&self.works), Arc::clone(&self.arbiters));
        move |id| {
            let works = Arc::clone(&works);
            let shard = usize::try_from(id.0.unsigned_abs()).unwrap_or(0) % arbiters.len();
            // `start` made sure that there is an arbiter.
            EndpointActor::start_in_arbiter(&arbiters[shard], move |_| EndpointActor::new(id, works))
                .recipient()
        }
    }

    /// Attempts that are being made or written down.
    pub fn in_flight(&self) -> usize {
        self.works.concurrency.saturating_sub(self.works.permits.available_permits())
    }

    /// Where the watchdog asks whether the sender's core answers: without it nothing is claimed or written down.
    pub fn probe(&self) -> Recipient<Probe> {
        self.works.ledger.probe()
    }

    /// Stops claiming and sending, waits for the attempts in flight to end and be written down, for at most
    /// `limit`, and hands all leases back. Returns how many attempts were cut off.
    pub async fn drain(&self, limit: Duration) -> usize {
        self.works.draining.store(true, Ordering::Relaxed);
        let all = u32::try_from(self.works.concurrency).unwrap_or(u32::MAX);
        let quiet = tokio::time::timeout(limit, self.works.permits.acquire_many(all)).await;
        let left = if quiet.is_ok() { 0 } else { self.in_flight() };
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
