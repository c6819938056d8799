//! `Doorbell`: tells the registry that something about endpoints has changed, so that their actors look at once.
//!
//! Ring it after the commit. A ring that meets a full mailbox is counted and let go: the rows are there, and the
//! sweep finds what is due.

use crate::domain::{EndpointId, WakeEndpoints};
use crate::telemetry::Metrics;
use actix::Recipient;
use actix::prelude::SendError;
use std::sync::Arc;

/// A clone owns a slot of the registry's mailbox: one a worker.
#[derive(Clone)]
pub struct Doorbell {
    registry: Recipient<WakeEndpoints>,
    metrics: Arc<Metrics>,
}

impl Doorbell {
    /// A bell at `registry`.
    pub const fn new(registry: Recipient<WakeEndpoints>, metrics: Arc<Metrics>) -> Self {
        Self { registry, metrics }
    }

    /// Look at this endpoint.
    pub fn ring(&self, endpoint: EndpointId) {
        match self.registry.try_send(WakeEndpoints(vec![endpoint])) {
            Ok(()) => {}
            Err(SendError::Full(_)) => self.metrics.mailbox_full.with_label_values(&["registry"]).inc(),
            Err(SendError::Closed(_)) => {
                tracing::warn!("the registry is gone; webhook deliveries wait in the database");
            }
        }
    }
}
