//! `EffectiveTime`: when a notification that was asked for at a time goes out, and why then. Pure.

use super::priority::Priority;
use super::quiet_hours::QuietHours;
use super::words::words;
use crate::domain::{Timestamp, Zone};

words! {
    /// Why a notification is due when it is. The words stand in `reason` columns and in answers.
    DueReason ("reason") {
        /// It was asked for then, and nothing speaks against it.
        AsAsked = "as_asked",
        /// The time asked for is quiet; this is when the quiet ends.
        QuietHours = "quiet_hours",
        /// The time asked for is quiet, and the notification is too important to wait.
        Critical = "critical",
        /// It is gathered with others into a digest.
        Digest = "digest",
        /// Its recipient reads most of what comes at this hour.
        BestTime = "best_time",
        /// Too little is known of its recipient's habits; the time is the one asked for, or the end of the quiet.
        InsufficientData = "insufficient_data",
    }
}

/// When, why, and by whose clocks that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveTime {
    /// Never before the time asked for.
    pub due_at: Timestamp,
    /// Why then.
    pub reason: DueReason,
    /// The zone whose clocks were read.
    pub zone: Zone,
}

impl EffectiveTime {
    /// Of a notification that was asked for at `asked`, for a recipient who keeps these quiet hours in this zone:
    /// the end of the quiet, if it is quiet then.
    pub fn of(asked: Timestamp, priority: Priority, quiet: QuietHours, zone: &Zone) -> Self {
        let free = quiet.over(asked, zone);
        let (due_at, reason) = match priority {
            _ if free == asked => (asked, DueReason::AsAsked),
            Priority::Critical => (asked, DueReason::Critical),
            Priority::High | Priority::Normal | Priority::Low => (free, DueReason::QuietHours),
        };
        Self { due_at, reason, zone: zone.clone() }
    }
}

#[cfg(test)]
mod tests;
