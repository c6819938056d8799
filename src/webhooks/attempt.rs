//! One request to an endpoint, of one delivery or several, from waiting for a permit to being written down.

use super::breaker::BreakerRule;
use super::client::Outbound;
use super::delivery::Delivery;
use super::delivery_log::Attempt;
use super::endpoint::Endpoint;
use super::endpoints::Works;
use super::judgement::{Judgement, RetryRule, Verdict};
use super::outcome::{Control, Report};
use super::strategy::{DeliveryStrategy, Sender};
use super::vault::Vault;
use crate::domain::{TenantId, Timestamp};
use futures_util::future::join_all;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// An attempt is begun only while its lease covers the endpoint's time and this much for the commit.
const COMMIT_MARGIN: Duration = Duration::from_secs(3);

/// Beyond the endpoint's timeout: time to wait for a permit before the request and for the commit after it.
pub(super) const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// A request of several deliveries holds another permit for so many: each is to be written down, and what waits for
/// that must not hold up the claims of others.
const PER_PERMIT: usize = 8;

/// An endpoint, ready to be sent to.
pub(super) struct Target {
    endpoint: Endpoint,
    breaker: BreakerRule,
    sender: Sender,
}

impl Target {
    pub(super) fn new(
        endpoint: Endpoint,
        breaker: BreakerRule,
        (vault, outbound): (&Vault, &Outbound),
    ) -> Self {
        let sender = Sender::of(&endpoint, vault, outbound);
        Self { endpoint, breaker, sender }
    }

    /// Whether this was made of such a row.
    pub(super) fn is_of(&self, other: &Endpoint, breaker: BreakerRule) -> bool {
        let own = &self.endpoint;
        self.breaker == breaker
            && own.strategy == other.strategy
            && own.url == other.url
            && own.is_ordered == other.is_ordered
            && own.sealed == other.sealed
            && own.backoff == other.backoff
            && own.timeout == other.timeout
    }

    /// What a lease must cover of an attempt that begins `now`.
    pub(super) fn lease_needed(&self, now: Timestamp) -> Timestamp {
        now.plus(self.endpoint.timeout + COMMIT_MARGIN)
    }

    /// How long a lease has to last that covers a request and the time before and after it.
    pub(super) fn lease(&self) -> Duration {
        self.endpoint.timeout + LEASE_MARGIN
    }

    /// When the endpoint's breaker opens.
    pub(super) const fn breaker(&self) -> BreakerRule {
        self.breaker
    }

    fn whose(&self) -> (TenantId, BreakerRule) {
        (self.endpoint.tenant_id, self.breaker)
    }

    /// How it is sent to.
    pub(super) const fn sender(&self) -> &Sender {
        &self.sender
    }
}

/// What a request needs.
pub(super) struct Job {
    pub(super) works: Arc<Works>,
    pub(super) target: Rc<Target>,
    /// One at least.
    pub(super) deliveries: Vec<Delivery>,
}

/// Makes the request, unless a lease ran out while it waited; then the rows are claimed again by and by, and `tell`
/// is dropped. What it tells is what all of it means for the endpoint.
pub(super) async fn make(job: Job, tell: oneshot::Sender<Judgement>) {
    let weight = 1 + job.deliveries.len() / PER_PERMIT;
    let tenant = job.target.endpoint.tenant_id;
    let Some(_permit) = job.works.permits.acquire(tenant, weight).await else { return };
    let needed = job.target.lease_needed(job.works.clock.now());
    if job.works.is_draining() || job.deliveries.iter().any(|delivery| delivery.lease_until < needed) {
        job.works.ledger.hand_back(job.deliveries.iter().map(Delivery::lease).collect());
        return;
    }
    let mut report = send(&job).await;
    if job.deliveries.len() > 1 && report.control == Some(Control::Abort) {
        // Which of them it will never take it cannot say; in smaller and smaller requests it will come to that one.
        report.control = None;
    }
    let ended = job.works.clock.now();
    let judgements = judge(&job, &report, ended);
    let Some(together) = Judgement::of_request(&judgements) else { return };
    // On its way to the ledger before the actor hears of it: whatever it claims next is claimed after this.
    let written = write(&job, &report, &judgements, ended);
    if job.target.endpoint.is_ordered {
        // The next ones go when it is sure that these will not come again.
        written.await;
        let _ = tell.send(together);
    } else {
        // The lane is free again; the permit is held until the attempts are written down.
        let _ = tell.send(together);
        written.await;
    }
}

/// What follows for each of the deliveries: they met the same fate, some earlier in their schedule than others. Those
/// at the same point come due together, to be sent together again.
fn judge(job: &Job, report: &Report, ended: Timestamp) -> Vec<Judgement> {
    let seed = rand::random();
    let rule = RetryRule { schedule: &job.works.schedule, backoff: job.target.endpoint.backoff };
    let one = |delivery: &Delivery| {
        let number = delivery.attempts.saturating_sub(delivery.attempts_before) + 1;
        let judgement = Judgement::on(report, number, rule, ended, seed);
        note(delivery, report, judgement.verdict);
        judgement
    };
    job.deliveries.iter().map(one).collect()
}

/// Writes an attempt for each delivery; the first speaks for the request.
fn write(
    job: &Job,
    report: &Report,
    judgements: &[Judgement],
    ended: Timestamp,
) -> impl Future<Output = ()> + use<> {
    let whose = job.target.whose();
    let one = |(n, (delivery, judgement)): (usize, (&Delivery, &Judgement))| {
        let mut attempt = Attempt::of(delivery, whose, report.clone(), *judgement, ended);
        attempt.is_first = n == 0;
        attempt.is_ordered = job.target.endpoint.is_ordered;
        job.works.ledger.write(attempt)
    };
    let written: Vec<_> = job.deliveries.iter().zip(judgements).enumerate().map(one).collect();
    async move { drop(join_all(written).await) }
}

/// The table is the log of attempts; the process' own log tells what an operator may have to act on.
fn note(delivery: &Delivery, report: &Report, verdict: Verdict) {
    let (webhook, id, outcome) = (delivery.endpoint, delivery.id, report.outcome.as_str());
    if verdict == Verdict::Failed {
        tracing::warn!(webhook.id = %webhook, delivery.id = %id, outcome, "webhook delivery given up");
    } else {
        let duration_ms = report.duration.as_millis();
        tracing::debug!(webhook.id = %webhook, delivery.id = %id, outcome, duration_ms, "webhook attempt");
    }
}

async fn send(job: &Job) -> Report {
    let (metrics, endpoint) = (&job.works.metrics, &job.target.endpoint);
    let gauge = metrics.webhook_deliveries.with_label_values(&["in_flight"]);
    let count = i64::try_from(job.deliveries.len()).unwrap_or(i64::MAX);
    gauge.add(count);
    let report = job.target.sender.send(&job.deliveries, &job.works.clock, endpoint.timeout).await;
    gauge.sub(count);
    metrics.webhook_duration.observe(report.duration.as_secs_f64());
    report
}
