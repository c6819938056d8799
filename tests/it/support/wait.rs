//! Waiting for something to become true, with a limit; no test sleeps and hopes.

use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(5);

/// Asks again and again until `is_true` says so; fails with `what` after ten seconds.
pub(crate) async fn until(what: &str, is_true: impl AsyncFn() -> bool) {
    until_within(LIMIT, what, is_true).await;
}

/// The same with another limit.
pub(crate) async fn until_within(limit: Duration, what: &str, is_true: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !is_true().await {
        assert!(started.elapsed() < limit, "it never came to be that {what}");
        tokio::time::sleep(STEP).await;
    }
}
