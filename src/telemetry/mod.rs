//! What the process says about itself: log lines and metrics.

pub mod logs;
pub mod metrics;

pub use metrics::Metrics;
