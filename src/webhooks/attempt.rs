//! One attempt at one delivery, from waiting for a permit to being written down.

use super::breaker::BreakerRule;
use super::client::Client;
use super::delivery::Delivery;
use super::delivery_log::Attempt;
use super::endpoint::Endpoint;
use super::endpoints::Works;
use super::judgement::{Judgement, RetryRule, Verdict};
use super::outcome::{Outcome, Report};
use super::ready::Ready;
use super::vault::Vault;
use crate::domain::{Clock, Timestamp};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// An attempt is begun only while its lease covers the endpoint's time and this much for the commit.
const COMMIT_MARGIN: Duration = Duration::from_secs(3);

/// An endpoint, ready to be sent to.
pub(super) struct Target {
    endpoint: Endpoint,
    breaker: BreakerRule,
    /// `None` when the row does not hold what a request needs; the door lets no such row in.
    ready: Option<Ready>,
}

impl Target {
    pub(super) fn new(endpoint: Endpoint, breaker: BreakerRule, vault: &Vault) -> Self {
        let ready = Ready::of(&endpoint, vault);
        Self { endpoint, breaker, ready }
    }

    /// Whether this was made of such a row.
    pub(super) fn is_of(&self, other: &Endpoint, breaker: BreakerRule) -> bool {
        let own = &self.endpoint;
        self.breaker == breaker
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

    /// When the endpoint's breaker opens.
    pub(super) const fn breaker(&self) -> BreakerRule {
        self.breaker
    }

    async fn send(&self, client: &Client, delivery: &Delivery, clock: &Clock) -> Report {
        let post = self.ready.as_ref().and_then(|ready| {
            let body = body(&delivery.event, &delivery.data)?;
            Some((ready, ready.post(&delivery.message_id, body, clock.now(), self.endpoint.timeout)?))
        });
        match post {
            Some((ready, post)) => ready.send(client, post, clock).await,
            None => unsendable(),
        }
    }
}

/// `{"event":NAME,"data":DATA}`, with the data as it was written: the same bytes at every attempt.
fn body(event: &str, data: &str) -> Option<Bytes> {
    let name = serde_json::to_string(event).ok()?;
    Some(format!(r#"{{"event":{name},"data":{data}}}"#).into())
}

/// What an attempt needs.
pub(super) struct Job {
    pub(super) works: Arc<Works>,
    pub(super) target: Arc<Target>,
    pub(super) client: Client,
    pub(super) delivery: Delivery,
}

/// Makes the attempt, unless its lease ran out while it waited; then the row is claimed again by and by, and
/// `tell` is dropped.
pub(super) async fn make(job: Job, tell: oneshot::Sender<Judgement>) {
    let Some(_permit) = job.works.permits.acquire(job.target.endpoint.tenant_id).await else { return };
    let now = job.works.clock.now();
    if job.works.is_draining() || job.delivery.lease_until < job.target.lease_needed(now) {
        job.works.ledger.hand_back(vec![job.delivery.lease()]);
        return;
    }
    let report = send(&job).await;
    let ended = job.works.clock.now();
    let rule = RetryRule { schedule: &job.works.schedule, backoff: job.target.endpoint.backoff };
    let number = job.delivery.attempts.saturating_sub(job.delivery.attempts_before) + 1;
    let judgement = Judgement::on(&report, number, rule, ended, rand::random());
    note(&job.delivery, &report, judgement.verdict);
    let whose = (job.target.endpoint.tenant_id, job.target.breaker);
    // On its way to the ledger before the actor hears of it: whatever it claims next is claimed after this.
    let written = job.works.ledger.write(Attempt::of(&job.delivery, whose, report, judgement, ended));
    if job.target.endpoint.is_ordered {
        // The next one goes when it is sure that this one will not come again.
        written.await;
        let _ = tell.send(judgement);
    } else {
        // The lane is free again; the permit is held until the attempt is written down.
        let _ = tell.send(judgement);
        written.await;
    }
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
    let metrics = &job.works.metrics;
    let gauge = metrics.webhook_deliveries.with_label_values(&["in_flight"]);
    gauge.inc();
    let report = job.target.send(&job.client, &job.delivery, &job.works.clock).await;
    gauge.dec();
    metrics.webhook_duration.observe(report.duration.as_secs_f64());
    report
}

fn unsendable() -> Report {
    let message = "The endpoint's URL or secret cannot be used: set them again, or ask the operator whether the key \
                   that sealed the secret is missing.";
    Report::without_answer(Outcome::Unsendable, message.to_owned(), Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_carries_the_data_byte_for_byte() {
        let body = body("product:updated", r#"{"b": 1.50,"a":"\u00e4"}"#).unwrap();
        assert_eq!(body, r#"{"event":"product:updated","data":{"b": 1.50,"a":"\u00e4"}}"#);
    }
}
