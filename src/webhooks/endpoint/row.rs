//! `EndpointRow`: an endpoint as its table holds it.

use super::Endpoint;
use crate::domain::{Code, EndpointId, Error, Result, TenantId, Timestamp};
use crate::storage::schema::webhooks;
use crate::webhooks::Strategy;
use crate::webhooks::backoff::Backoff;
use crate::webhooks::secrets::Sealed;
use diesel::prelude::*;
use std::time::Duration;

#[derive(Queryable, Selectable)]
#[diesel(table_name = webhooks, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub(super) struct EndpointRow {
    id: EndpointId,
    tenant_id: TenantId,
    name: String,
    url: String,
    #[diesel(embed)]
    sealed: Sealed,
    events: serde_json::Value,
    is_active: bool,
    max_retries: i32,
    retry_delay: i32,
    timeout_ms: i32,
    last_triggered_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    is_paused: bool,
    disabled_reason: Option<String>,
    concurrency: Option<i32>,
    rate_per_minute: Option<i32>,
    is_ordered: bool,
    breaker_threshold: Option<i32>,
    breaker_open_seconds: Option<i32>,
    strategy: String,
    revision: i32,
}

impl TryFrom<EndpointRow> for Endpoint {
    type Error = Error;

    fn try_from(row: EndpointRow) -> Result<Self> {
        let id = row.id;
        let events = serde_json::from_value(row.events).map_err(|e| {
            Error::new(Code::Internal, format!("Webhook {id} has event filters that are none.")).because(e)
        })?;
        let strategy = Strategy::parse(&row.strategy).ok_or_else(|| {
            Error::new(Code::Internal, format!("Webhook {id} has a strategy that is none: {}.", row.strategy))
        })?;
        Ok(Self {
            id,
            tenant_id: row.tenant_id,
            name: row.name,
            url: row.url,
            strategy,
            sealed: row.sealed,
            events,
            is_active: row.is_active,
            backoff: Backoff {
                max_retries: row.max_retries.unsigned_abs(),
                delay_percent: row.retry_delay.unsigned_abs(),
            },
            timeout: Duration::from_millis(row.timeout_ms.unsigned_abs().into()),
            is_paused: row.is_paused,
            disabled_reason: row.disabled_reason,
            concurrency: row.concurrency.and_then(|n| usize::try_from(n).ok()),
            rate_per_minute: row.rate_per_minute.map(i32::unsigned_abs),
            is_ordered: row.is_ordered,
            breaker_threshold: row.breaker_threshold.map(i32::unsigned_abs),
            breaker_open: row.breaker_open_seconds.map(|s| Duration::from_secs(s.unsigned_abs().into())),
            last_triggered_at: row.last_triggered_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            revision: row.revision,
        })
    }
}
