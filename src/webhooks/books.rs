//! `Books`: one transaction of the ledger: attempts written, claims made.

use super::delivery::{self, Delivery, Wanted};
use super::delivery_log::{self, Attempt};
use super::endpoint::{self, Endpoint};
use crate::domain::{Clock, Code, EndpointId, Error, Result, Timestamp};
use crate::storage::{Conn, Db};
use crate::telemetry::Metrics;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Beyond the endpoint's timeout: time to wait for a permit before the POST and for the commit after it.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// An endpoint asks for up to `room` due deliveries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) endpoint: EndpointId,
    pub(super) room: usize,
    /// Whether to find out when the next one will be due.
    pub(super) look_ahead: bool,
}

/// What a claim brings.
pub(super) struct Claimed {
    /// The endpoint as it is now; `None` when it is gone or inactive.
    pub(super) endpoint: Option<Endpoint>,
    /// Leased to this process, oldest first.
    pub(super) deliveries: Vec<Delivery>,
    /// When the next one is due, if that was asked.
    pub(super) next_due: Option<Timestamp>,
}

/// A claim, and where its answer goes.
pub(super) type Request = (Claim, oneshot::Sender<Result<Claimed>>);

/// An attempt, and who is told that it is written.
pub(super) type Entry = (Attempt, oneshot::Sender<()>);

/// Whose leases, in which database, at what time.
#[derive(Clone)]
pub(super) struct Books {
    pub(super) db: Db,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) owner: Arc<str>,
}

impl Books {
    /// One transaction; answers those whose part is committed and returns the attempts that are not.
    pub(super) async fn write(self, claims: Vec<Request>, attempts: Vec<Entry>) -> Vec<Entry> {
        let (claims, claimants): (Vec<_>, Vec<_>) = claims.into_iter().unzip();
        let (attempts, writers): (Vec<_>, Vec<_>) = attempts.into_iter().unzip();
        match self.commit(&claims, &attempts).await {
            Ok((counted, claimed)) => {
                self.count(&attempts, &counted);
                // Whoever no longer listens has ended; a lease it was given runs out.
                for (tell, claimed) in claimants.into_iter().zip(claimed) {
                    let _ = tell.send(Ok(claimed));
                }
                writers.into_iter().for_each(answer);
                Vec::new()
            }
            Err(error) => {
                tracing::warn!(%error, attempts = attempts.len(), "webhook attempts wait to be written");
                for tell in claimants {
                    let _ = tell.send(Err(away()));
                }
                self.keep(&error, attempts.into_iter().zip(writers).collect()).await
            }
        }
    }

    /// What to try again after `error`. Should one attempt be what the database refuses, it must not hold up the
    /// others for ever: each is tried alone, and that one dropped.
    async fn keep(&self, error: &Error, attempts: Vec<Entry>) -> Vec<Entry> {
        if error.code() == Code::Unavailable {
            return attempts;
        }
        let mut again = Vec::new();
        for (attempt, tell) in attempts {
            match self.commit(&[], std::slice::from_ref(&attempt)).await {
                Ok((counted, _)) => {
                    self.count(&[attempt], &counted);
                    answer(tell);
                }
                Err(error) if error.code() == Code::Unavailable => again.push((attempt, tell)),
                Err(error) => {
                    tracing::error!(%error, delivery.id = %attempt.delivery, "a webhook attempt cannot be written");
                }
            }
        }
        again
    }

    async fn commit(&self, claims: &[Claim], attempts: &[Attempt]) -> Result<(Vec<bool>, Vec<Claimed>)> {
        let now = self.clock.now();
        let work = async |conn: &mut Conn| {
            let counted = delivery_log::write(conn, &self.owner, attempts, now).await?;
            Ok((counted, self.claim(conn, claims, now).await?))
        };
        self.db.transaction(work).await
    }

    async fn claim(&self, conn: &mut Conn, claims: &[Claim], now: Timestamp) -> Result<Vec<Claimed>> {
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<EndpointId> = claims.iter().map(|c| c.endpoint).collect();
        let endpoints = endpoint::load_active(conn, &ids).await?;
        let mut endpoints: HashMap<EndpointId, Endpoint> = endpoints.into_iter().map(|e| (e.id, e)).collect();
        let wanted = |claim: &Claim| {
            let lease = endpoints.get(&claim.endpoint)?.timeout + LEASE_MARGIN;
            Some(Wanted { endpoint: claim.endpoint, limit: claim.room, lease_until: now.plus(lease) })
        };
        let wanted: Vec<Wanted> = claims.iter().filter_map(wanted).collect();
        let mut deliveries: HashMap<EndpointId, Vec<Delivery>> = HashMap::new();
        for one in delivery::claim(conn, &self.owner, &wanted, now).await? {
            deliveries.entry(one.endpoint).or_default().push(one);
        }
        let mut claimed = Vec::with_capacity(claims.len());
        for claim in claims {
            let look = claim.look_ahead;
            claimed.push(Claimed {
                endpoint: endpoints.remove(&claim.endpoint),
                deliveries: deliveries.remove(&claim.endpoint).unwrap_or_default(),
                next_due: if look { delivery::next_due(conn, claim.endpoint, now).await? } else { None },
            });
        }
        Ok(claimed)
    }

    /// Hands every lease back.
    pub(super) async fn release(&self) -> Result<()> {
        self.db.transaction(async |conn| delivery::release(conn, &self.owner).await).await.map(drop)
    }

    fn count(&self, attempts: &[Attempt], counted: &[bool]) {
        for (attempt, counted) in attempts.iter().zip(counted) {
            let outcome = if *counted { attempt.report.outcome.as_str() } else { "lease_lost" };
            self.metrics.webhook_attempts.with_label_values(&[outcome]).inc();
        }
    }
}

fn answer(tell: oneshot::Sender<()>) {
    let _ = tell.send(());
}

fn away() -> Error {
    Error::new(Code::Unavailable, "The database is not available just now.")
}
