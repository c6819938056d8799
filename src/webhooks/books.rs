//! `Books`: one transaction of the ledger: attempts written, breakers moved, claims made.

use super::attempt::LEASE_MARGIN;
use super::breaker::{Admission, Breaker};
use super::delivery::{self, Delivery, Lease, Wanted};
use super::delivery_log::{self, Attempt};
use super::endpoint::{self, Endpoint};
use super::judgement::Verdict;
use super::ward::Ward;
use crate::domain::{Clock, Code, Committed, EndpointId, Error, Result, Timestamp};
use crate::storage::{Conn, Db, outbox};
use crate::telemetry::Metrics;
use actix::Recipient;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::oneshot;

/// An endpoint asks for up to `room` due deliveries.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// Which one asks.
    pub endpoint: EndpointId,
    /// How many it has room for.
    pub room: usize,
    /// Whether to find out when the next one will be due.
    pub look_ahead: bool,
}

/// What a claim brings.
pub struct Claimed {
    /// The endpoint as it is now; `None` when it is gone or inactive.
    pub endpoint: Option<Endpoint>,
    /// Leased to this process, oldest first.
    pub deliveries: Vec<Delivery>,
    /// When the next one is due, if that was asked.
    pub next_due: Option<Timestamp>,
    /// Where its breaker stands, this claim included.
    pub breaker: Breaker,
}

/// A claim, and where its answer goes.
pub type Request = (Claim, oneshot::Sender<Result<Claimed>>);

/// An attempt, and who is told that it is written.
pub type Entry = (Attempt, oneshot::Sender<()>);

/// Whose leases, in which database, at what time.
#[derive(Clone)]
pub struct Books {
    /// Where the rows are.
    pub db: Db,
    /// What the time is.
    pub clock: Clock,
    /// Where attempts are counted.
    pub metrics: Metrics,
    /// In whose name things are leased.
    pub owner: Arc<str>,
    /// Who is told of the events that are written here.
    pub nudge: Arc<OnceLock<Recipient<Committed>>>,
}

/// What one transaction writes.
pub(super) struct Page<'a> {
    pub(super) claims: &'a [Claim],
    pub(super) attempts: &'a [Attempt],
    /// Leases to be handed back.
    pub(super) unwanted: &'a [Lease],
}

impl Page<'_> {
    /// Whether no harm is done when the machine (not the process) dies and forgets it: a lease is taken again, and
    /// what was delivered is sent again, which its receiver has to be ready for anyway. Waiting for the disk here
    /// would hold up the changes that the next deliveries come from. Not so where order
    /// was asked for: older ones would come behind newer ones. A failure counts for the schedule and the
    /// breaker, and may be told of in an event: it is on the disk before anybody hears of it.
    fn may_be_forgotten(&self) -> bool {
        self.attempts.iter().all(|attempt| {
            let is_good =
                attempt.judgement.verdict == Verdict::Delivered && attempt.judgement.disable.is_none();
            is_good && !attempt.is_ordered
        })
    }
}

struct Written {
    counted: Vec<bool>,
    claimed: Vec<Claimed>,
    committed: Committed,
}

impl Books {
    /// One transaction; answers those whose part is committed and returns the attempts that are not.
    pub async fn write(self, claims: Vec<Request>, attempts: Vec<Entry>, unwanted: Vec<Lease>) -> Vec<Entry> {
        let (claims, claimants): (Vec<_>, Vec<_>) = claims.into_iter().unzip();
        let (attempts, writers): (Vec<_>, Vec<_>) = attempts.into_iter().unzip();
        match self.commit(&Page { claims: &claims, attempts: &attempts, unwanted: &unwanted }).await {
            Ok(Written { counted, claimed, committed }) => {
                self.count(&attempts, &counted);
                self.tell(committed);
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
            let alone = Page { claims: &[], attempts: std::slice::from_ref(&attempt), unwanted: &[] };
            match self.commit(&alone).await {
                Ok(Written { counted, committed, .. }) => {
                    self.tell(committed);
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

    async fn commit(&self, page: &Page<'_>) -> Result<Written> {
        let now = self.clock.now();
        let work = async |conn: &mut Conn| self.write_page(conn, page, now).await;
        if page.may_be_forgotten() {
            self.db.transaction_relaxed(work).await
        } else {
            self.db.transaction(work).await
        }
    }

    /// First what was done, then what is to be done: a claim sees what the attempts made of the breaker.
    async fn write_page(&self, conn: &mut Conn, page: &Page<'_>, now: Timestamp) -> Result<Written> {
        let counted = delivery_log::write(conn, &self.owner, page.attempts, now).await?;
        delivery::hand_back(conn, &self.owner, page.unwanted).await?;
        let mut ward = Ward::open(conn, page, now).await?;
        let valid = page.attempts.iter().zip(&counted).filter(|(_, counted)| **counted).map(|(a, _)| a);
        valid.for_each(|attempt| ward.record(attempt));
        ward.disable(conn).await?;
        let claimed = self.claim(conn, page.claims, &mut ward, now).await?;
        let events = ward.close(conn).await?;
        let committed = outbox::write(conn, events, now).await?;
        Ok(Written { counted, claimed, committed })
    }

    async fn claim(
        &self,
        conn: &mut Conn,
        claims: &[Claim],
        ward: &mut Ward,
        now: Timestamp,
    ) -> Result<Vec<Claimed>> {
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<EndpointId> = claims.iter().map(|c| c.endpoint).collect();
        let endpoints = endpoint::load_active(conn, &ids).await?;
        let mut endpoints: HashMap<EndpointId, Endpoint> = endpoints.into_iter().map(|e| (e.id, e)).collect();
        let wanted: Vec<Wanted> = claims
            .iter()
            .filter_map(|claim| wanted(*claim, endpoints.get(&claim.endpoint)?, ward, now))
            .collect();
        let mut deliveries: HashMap<EndpointId, Vec<Delivery>> = HashMap::new();
        for one in delivery::claim(conn, &self.owner, &wanted, now).await? {
            ward.claimed(one.endpoint, one.lease_until);
            deliveries.entry(one.endpoint).or_default().push(one);
        }
        let mut claimed = Vec::with_capacity(claims.len());
        for claim in claims {
            let endpoint = endpoints.remove(&claim.endpoint);
            let next_due = match &endpoint {
                Some(endpoint) if claim.look_ahead => next_due(conn, endpoint, now).await?,
                _ => None,
            };
            let deliveries = deliveries.remove(&claim.endpoint).unwrap_or_default();
            claimed.push(Claimed { endpoint, deliveries, next_due, breaker: ward.breaker(claim.endpoint) });
        }
        Ok(claimed)
    }

    /// Hands every lease back.
    pub(super) async fn release(&self) -> Result<()> {
        self.db.transaction(async |conn| delivery::release(conn, &self.owner).await).await.map(drop)
    }

    /// A nudge that finds no room is let go: the events are rows, and will be found.
    fn tell(&self, committed: Committed) {
        if let Some(registry) = self.nudge.get()
            && !committed.events.is_empty()
            && registry.try_send(committed).is_err()
        {
            self.metrics.mailbox_full.with_label_values(&["registry"]).inc();
        }
    }

    fn count(&self, attempts: &[Attempt], counted: &[bool]) {
        for (attempt, counted) in attempts.iter().zip(counted) {
            let outcome = if *counted { attempt.report.outcome.as_str() } else { "lease_lost" };
            self.metrics.webhook_attempts.with_label_values(&[outcome]).inc();
        }
    }
}

/// What this claim may take; `None` = nothing just now.
fn wanted(claim: Claim, endpoint: &Endpoint, ward: &Ward, now: Timestamp) -> Option<Wanted> {
    if endpoint.is_paused {
        return None;
    }
    let limit = match ward.breaker(claim.endpoint).admits(now) {
        Admission::Free => claim.room,
        Admission::Probe => claim.room.min(1),
        Admission::Wait(_) => return None,
    };
    let lease_until = now.plus(endpoint.timeout + LEASE_MARGIN);
    Some(Wanted { endpoint: claim.endpoint, limit, is_ordered: endpoint.is_ordered, lease_until })
}

async fn next_due(conn: &mut Conn, endpoint: &Endpoint, now: Timestamp) -> Result<Option<Timestamp>> {
    if endpoint.is_ordered {
        delivery::next_in_order(conn, endpoint.id, now).await
    } else {
        delivery::next_due(conn, endpoint.id, now).await
    }
}

fn answer(tell: oneshot::Sender<()>) {
    let _ = tell.send(());
}

fn away() -> Error {
    Error::new(Code::Unavailable, "The database is not available just now.")
}
