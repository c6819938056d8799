//! What the process says about itself: log lines and metrics.

pub mod logs;
pub mod metrics;
pub mod watchdog;

pub use metrics::Metrics;
