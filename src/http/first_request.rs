//! `FirstRequest`: counts the connections that were ended because they made no request in time. actix ends
//! them (`client_request_timeout`) and tells nobody.

use crate::telemetry::Metrics;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How coarse actix's clock is: by so much it may end a connection early.
const COARSE: Duration = Duration::from_millis(500);

/// Lives as long as its connection.
pub struct FirstRequest {
    metrics: Arc<Metrics>,
    patience: Duration,
    accepted: Instant,
    made: Cell<bool>,
}

impl FirstRequest {
    /// Of a connection that was accepted just now and may take so long; zero = as long as it likes.
    pub fn new(metrics: Arc<Metrics>, patience: Duration) -> Self {
        Self { metrics, patience, accepted: Instant::now(), made: Cell::new(false) }
    }

    /// The connection has made a request.
    pub fn made(&self) {
        self.made.set(true);
    }
}

impl Drop for FirstRequest {
    fn drop(&mut self) {
        // One that its client closed before that was no attempt to hold it.
        if !self.made.get() && !self.patience.is_zero() && self.accepted.elapsed() + COARSE >= self.patience {
            self.metrics.refused.with_label_values(&["slow_handshake"]).inc();
        }
    }
}
