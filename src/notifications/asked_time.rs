//! `AskedTime`: which times a notification may be scheduled for. Pure.

use crate::domain::Timestamp;
use std::time::Duration;

/// The bounds of `scheduled_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedTime {
    /// A time that is past by no more counts as now: clients' clocks are not ours.
    pub skew: Duration,
    /// No time may be further ahead.
    pub horizon: Duration,
}

impl Default for AskedTime {
    /// A minute of skew, and a year (a leap year's) ahead.
    fn default() -> Self {
        Self { skew: Duration::from_mins(1), horizon: Duration::from_hours(366 * 24) }
    }
}

impl AskedTime {
    /// The time that counts, or what is wrong with the field `scheduled_at`, in a sentence.
    pub fn check(self, asked: Timestamp, now: Timestamp) -> Result<Timestamp, String> {
        if now.since(asked) > self.skew {
            return Err(format!("The scheduled_at field must be in the future; it is {now} here."));
        }
        if asked.since(now) > self.horizon {
            let days = self.horizon.as_secs() / 86_400;
            return Err(format!("The scheduled_at field must not be more than {days} days ahead."));
        }
        Ok(asked.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_800_000_000;

    fn checked(after_now: i64) -> Result<i64, String> {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        AskedTime::default().check(at(NOW + after_now), at(NOW)).map(|t| t.unix_seconds() - NOW)
    }

    #[test]
    fn a_minute_of_skew_is_forgiven_and_means_now() {
        assert_eq!(checked(5), Ok(5));
        assert_eq!(checked(0), Ok(0));
        assert_eq!(checked(-60), Ok(0));
        assert!(checked(-61).unwrap_err().contains("must be in the future; it is 2027-01-15T"));
    }

    #[test]
    fn a_year_ahead_is_the_end() {
        assert_eq!(checked(366 * 86_400), Ok(366 * 86_400));
        assert!(checked(366 * 86_400 + 1).unwrap_err().contains("366 days"));
    }

    proptest! {
        #[test]
        fn what_counts_is_never_before_now(after_now in -100_000_000..100_000_000_i64) {
            if let Ok(counts) = checked(after_now) {
                prop_assert_eq!(counts, after_now.max(0));
            }
        }
    }
}
