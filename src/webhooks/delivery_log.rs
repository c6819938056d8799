//! The log of attempts: a row of `webhook_delivery_logs` for each, written together with the delivery's new
//! state, many at a time.

use super::breaker::BreakerRule;
use super::delivery::Delivery;
use super::endpoint::note_triggered;
use super::judgement::{Judgement, Verdict};
use super::outcome::{Outcome, Report};
use super::settlement::{State, settle};
use super::stats;
use crate::domain::{DeliveryId, EndpointId, Result, TenantId, Timestamp};
use crate::storage::schema::webhook_delivery_logs;
use crate::storage::{Conn, insert_rows};
use diesel::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// An attempt that was made and is to be written down.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Of which delivery.
    pub delivery: DeliveryId,
    /// To which endpoint.
    pub endpoint: EndpointId,
    /// Whose it is.
    pub tenant: TenantId,
    /// When its breaker opens.
    pub breaker: BreakerRule,
    /// When the lease ends that it was made under.
    pub lease_until: Timestamp,
    /// The event's name.
    pub event: Arc<str>,
    /// Attempts that were recorded before this one.
    pub before: u32,
    /// Of these, those before the delivery was last sent again by hand.
    pub before_by_hand: u32,
    /// Whether it was the first of its request, or the only one: what a request says of its endpoint is counted once.
    pub is_first: bool,
    /// Whether those behind it wait until it is sure not to come again.
    pub is_ordered: bool,
    /// How it went.
    pub report: Report,
    /// What follows.
    pub judgement: Judgement,
    /// When it ended.
    pub at: Timestamp,
}

impl Attempt {
    /// The attempt at `delivery` alone, of this tenant's endpoint with this breaker, that ended `at`.
    pub fn of(
        delivery: &Delivery,
        (tenant, breaker): (TenantId, BreakerRule),
        report: Report,
        judgement: Judgement,
        at: Timestamp,
    ) -> Self {
        Self {
            delivery: delivery.id,
            endpoint: delivery.endpoint,
            tenant,
            breaker,
            lease_until: delivery.lease_until,
            event: Arc::clone(&delivery.event),
            before: delivery.attempts,
            before_by_hand: delivery.attempts_before,
            is_first: true,
            is_ordered: false,
            report,
            judgement,
            at,
        }
    }

    /// Whether it was not the first of its schedule.
    pub(super) const fn is_retry(&self) -> bool {
        self.before > self.before_by_hand
    }

    fn state(&self) -> State {
        match self.judgement.verdict {
            Verdict::Delivered => State::Delivered,
            Verdict::Failed => State::Failed,
            Verdict::Retry(due) => State::PendingUntil(due),
        }
    }

    fn row(&self) -> LogRow {
        LogRow {
            webhook_id: self.endpoint,
            delivery_id: self.delivery,
            event_type: self.event.to_string(),
            attempt_number: i32::try_from(self.before + 1).unwrap_or(i32::MAX),
            outcome: self.report.outcome.as_str().to_owned(),
            response_status: self.report.status.map(i32::from),
            response_body: self.report.body.clone(),
            error: self.report.error.clone(),
            duration_ms: i64::try_from(self.report.duration.as_millis()).unwrap_or(i64::MAX),
            delivered_at: (self.report.outcome == Outcome::Ok).then_some(self.at),
            created_at: self.at,
        }
    }
}

/// Writes attempts of deliveries that `owner` holds. Call it in a transaction. Returns, for each, whether it
/// counted: an attempt whose lease was lost changes nothing.
pub async fn write(conn: &mut Conn, owner: &str, attempts: &[Attempt], now: Timestamp) -> Result<Vec<bool>> {
    if attempts.is_empty() {
        return Ok(Vec::new());
    }
    let states = attempts.iter().map(|a| ((a.delivery, a.before), a.state()));
    let mut settled = settle(conn, owner, states, now).await?;
    // Taken out as it is seen: of two attempts that are alike the first has counted.
    let counted: Vec<bool> = attempts.iter().map(|a| settled.remove(&(a.delivery, a.before))).collect();
    let rows = attempts.iter().zip(&counted).filter(|(_, counted)| **counted).map(|(a, _)| a);
    let logs: Vec<LogRow> = rows.clone().map(Attempt::row).collect();
    let _: Vec<i64> = insert_rows!(conn, webhook_delivery_logs::table, logs, webhook_delivery_logs::id);
    stats::count(conn, rows.clone()).await?;
    let called: BTreeSet<EndpointId> = rows.map(|a| a.endpoint).collect();
    if !called.is_empty() {
        note_triggered(conn, &Vec::from_iter(called), now).await?;
    }
    Ok(counted)
}

#[derive(Insertable)]
#[diesel(table_name = webhook_delivery_logs, treat_none_as_default_value = false)]
struct LogRow {
    webhook_id: EndpointId,
    delivery_id: DeliveryId,
    event_type: String,
    attempt_number: i32,
    outcome: String,
    response_status: Option<i32>,
    response_body: Option<String>,
    error: Option<String>,
    duration_ms: i64,
    delivered_at: Option<Timestamp>,
    created_at: Timestamp,
}
