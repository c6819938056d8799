//! `Herald`: tells the registry of what was committed, so that open connections hear of it at once.
//!
//! A nudge that meets a full or closed mailbox is counted and let go: the events are rows, and the reconciler finds
//! them.

use crate::domain::Committed;
use crate::telemetry::Metrics;
use actix::Recipient;
use actix::prelude::SendError;
use std::sync::Arc;

/// A clone owns a slot of the registry's mailbox.
#[derive(Clone)]
pub struct Herald {
    registry: Recipient<Committed>,
    metrics: Arc<Metrics>,
}

impl Herald {
    /// A herald who tells `registry`.
    pub const fn new(registry: Recipient<Committed>, metrics: Arc<Metrics>) -> Self {
        Self { registry, metrics }
    }

    /// These are rows now.
    pub fn tell(&self, committed: Committed) {
        if committed.events.is_empty() {
            return;
        }
        match self.registry.try_send(committed) {
            Ok(()) => {}
            Err(SendError::Full(_)) => self.metrics.mailbox_full.with_label_values(&["registry"]).inc(),
            Err(SendError::Closed(_)) => {
                tracing::warn!("the registry is gone; its events wait in the database");
            }
        }
    }
}
