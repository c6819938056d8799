//! `[retention]`: how long rows are kept, and when those that had their time are pruned.

use super::wrong;
use crate::domain::Result;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::Duration;

/// `[retention]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Ended webhook deliveries, events, and ended notifications of this age are deleted; 0 = the server deletes nothing by itself.
    pub days: u64,
    /// When it is done: second, minute, hour, day of the month, month, day of the week (1 = Sunday), in UTC.
    pub cron: String,
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: 90, cron: "0 0 3 * * *".to_owned() }
    }
}

impl Retention {
    /// The age; none where nothing is deleted.
    pub fn age(&self) -> Option<Duration> {
        (self.days > 0).then(|| Duration::from_secs(self.days.saturating_mul(86_400)))
    }

    /// The times.
    pub fn schedule(&self) -> Result<cron::Schedule> {
        cron::Schedule::from_str(&self.cron).map_err(|e| {
            wrong(format!(
                "retention.cron \"{}\" is no schedule of six fields, such as \"0 0 3 * * *\" for three o'clock: {e}.",
                self.cron
            ))
        })
    }
}
