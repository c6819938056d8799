//! Operational events: what happens to an endpoint, told to its tenant's channel and to the endpoints that
//! subscribe to `webhook:…` by name or prefix (`*` alone does not take them in: who asked for all of a shop's
//! changes did not ask for the sender's troubles).

use super::breaker::Breaker;
use super::delivery_log::Attempt;
use super::judgement::DisabledReason;
use crate::domain::{ChannelName, EndpointId, EventName, TenantId, Timestamp};
use crate::storage::outbox::NewEvent;
use serde_json::{Value, json};

/// What the names of operational events begin with.
pub(super) const PREFIX: &str = "webhook:";

/// The breaker of an endpoint opened; the next delivery goes out as a probe at `probe_at`.
pub(super) fn breaker_opened(
    tenant: TenantId,
    endpoint: EndpointId,
    breaker: &Breaker,
    probe_at: Timestamp,
) -> NewEvent {
    let data = json!({"webhook_id": endpoint, "failures": breaker.failures, "probe_at": probe_at});
    event(tenant, "webhook:breaker_opened", &data)
}

/// The sender disabled an endpoint.
pub(super) fn disabled(tenant: TenantId, endpoint: EndpointId, reason: DisabledReason) -> NewEvent {
    event(tenant, "webhook:disabled", &json!({"webhook_id": endpoint, "reason": reason.as_str()}))
}

/// A delivery was given up. `None` when it was one of an operational event itself: an endpoint that cannot be
/// told of its failures must not be told of that either, without end.
pub(super) fn exhausted(tenant: TenantId, attempt: &Attempt) -> Option<NewEvent> {
    if attempt.event.starts_with(PREFIX) {
        return None;
    }
    let data = json!({
        "webhook_id": attempt.endpoint, "delivery_id": attempt.delivery, "event": &*attempt.event,
        "attempts": attempt.before + 1, "outcome": attempt.report.outcome.as_str(),
        "response_status": attempt.report.status,
    });
    Some(event(tenant, "webhook:delivery_exhausted", &data))
}

fn event(tenant_id: TenantId, name: &str, data: &Value) -> NewEvent {
    let channel = ChannelName::tenant(tenant_id);
    NewEvent { tenant_id, name: EventName::new(name), channel, data: data.to_string(), except: None }
}
