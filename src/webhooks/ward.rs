//! `Ward`: the breakers that one transaction of the ledger looks after, from their rows and back to them.

use super::books::Page;
use super::breaker::{Admission, Breaker, BreakerState, Sign, Turn};
use super::delivery_log::Attempt;
use super::judgement::{DisabledReason, Verdict};
use super::{breakers, endpoint, operational};
use crate::domain::{EndpointId, Result, TenantId, Timestamp};
use crate::storage::Conn;
use crate::storage::outbox::NewEvent;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(super) struct Ward {
    now: Timestamp,
    breakers: HashMap<EndpointId, Breaker>,
    changed: BTreeSet<EndpointId>,
    disabled: BTreeMap<EndpointId, (TenantId, DisabledReason)>,
    events: Vec<NewEvent>,
}

impl Ward {
    /// The breakers that the page is about.
    pub(super) async fn open(conn: &mut Conn, page: &Page<'_>, now: Timestamp) -> Result<Self> {
        let claims = page.claims.iter().map(|claim| claim.endpoint);
        let ids: BTreeSet<EndpointId> = claims.chain(page.attempts.iter().map(|a| a.endpoint)).collect();
        let failing = page.attempts.iter().filter(|a| a.judgement.sign != Sign::Good).map(|a| a.endpoint);
        breakers::make_rows(conn, failing.collect(), now).await?;
        let breakers = breakers::load(conn, &ids).await?;
        let (changed, disabled) = (BTreeSet::new(), BTreeMap::new());
        Ok(Self { now, breakers, changed, disabled, events: Vec::new() })
    }

    /// Where the endpoint's breaker stands.
    pub(super) fn breaker(&self, id: EndpointId) -> Breaker {
        self.breakers.get(&id).copied().unwrap_or_default()
    }

    /// Counts an attempt that counted.
    pub(super) fn record(&mut self, attempt: &Attempt) {
        let (id, judgement) = (attempt.endpoint, attempt.judgement);
        // Most of them: a success where nothing has failed.
        if attempt.is_first && (judgement.sign != Sign::Good || self.breakers.contains_key(&id)) {
            self.turn(attempt);
        }
        if judgement.verdict == Verdict::Failed {
            self.events.extend(operational::exhausted(attempt.tenant, attempt));
        }
        if let Some(reason) = judgement.disable {
            self.disabled.entry(id).or_insert((attempt.tenant, reason));
        }
    }

    fn turn(&mut self, attempt: &Attempt) {
        let id = attempt.endpoint;
        let breaker = self.breakers.entry(id).or_default();
        let before = *breaker;
        let turn = breaker.record(attempt.judgement.sign, attempt.lease_until, attempt.breaker, attempt.at);
        // One as good as new whose row is there loses it: while there is one, nothing is leased as it is written.
        if *breaker != before || *breaker == Breaker::default() {
            self.changed.insert(id);
        }
        match (turn, breaker.state) {
            // That a probe failed is no news.
            (Some(Turn::Opened), BreakerState::Open { probe_at }) if before.is_closed() => {
                tracing::warn!(webhook.id = %id, failures = breaker.failures, %probe_at, "webhook breaker opened");
                self.events.push(operational::breaker_opened(attempt.tenant, id, breaker, probe_at));
            }
            (Some(Turn::Closed), _) => tracing::info!(webhook.id = %id, "webhook breaker closed"),
            _ => {}
        }
    }

    /// A delivery was claimed: if it was let through as a probe, the breaker waits for what becomes of it.
    pub(super) fn claimed(&mut self, id: EndpointId, lease_until: Timestamp) {
        if let Some(breaker) = self.breakers.get_mut(&id)
            && breaker.admits(self.now) == Admission::Probe
        {
            breaker.probe(lease_until);
            self.changed.insert(id);
        }
    }

    /// Disables the endpoints that asked for it.
    pub(super) async fn disable(&mut self, conn: &mut Conn) -> Result<()> {
        let reasons = self.disabled.iter().map(|(id, (_, reason))| (*id, *reason)).collect();
        for id in endpoint::disable(conn, &reasons, self.now).await? {
            if let Some((tenant, reason)) = self.disabled.remove(&id) {
                tracing::warn!(webhook.id = %id, reason = reason.as_str(), "webhook disabled by its endpoint");
                self.events.push(operational::disabled(tenant, id, reason));
            }
        }
        Ok(())
    }

    /// Writes down what changed; returns what is to be told.
    pub(super) async fn close(self, conn: &mut Conn) -> Result<Vec<NewEvent>> {
        let changed = self.changed.iter().map(|id| (*id, self.breaker(*id)));
        breakers::save(conn, changed, self.now).await?;
        Ok(self.events)
    }
}
