//! `RetryRule`: when a channel that failed is tried again. Pure.

use std::time::Duration;

/// Up to so many percent sooner or later, so that what failed together does not come back together.
const JITTER_PERCENT: u64 = 10;

/// No wait is longer, whatever the numbers.
const LONGEST: Duration = Duration::from_hours(24);

/// How often and how far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRule {
    /// Tries after the first one.
    pub max_retries: u32,
    /// The wait after the first failure; it doubles with each.
    pub first_wait: Duration,
}

impl Default for RetryRule {
    /// 30, 60 and 120 seconds.
    fn default() -> Self {
        Self { max_retries: 3, first_wait: Duration::from_secs(30) }
    }
}

impl RetryRule {
    /// How long to wait after the failed attempt of this number (the first is 1); `None` = give up.
    /// `seed` is any random number.
    pub fn after(self, attempt: u32, seed: u64) -> Option<Duration> {
        if attempt > self.max_retries {
            return None;
        }
        let doubled = 2_u32.checked_pow(attempt.checked_sub(1)?).unwrap_or(u32::MAX);
        let planned = self.first_wait.saturating_mul(doubled).min(LONGEST);
        let planned_ms = u64::try_from(planned.as_millis()).unwrap_or(u64::MAX);
        let spread = planned_ms * JITTER_PERCENT / 100;
        let jitter = seed.checked_rem(2 * spread + 1).unwrap_or(spread);
        Some(Duration::from_millis(planned_ms - spread + jitter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn three_retries_after_thirty_sixty_and_a_hundred_and_twenty_seconds() {
        let rule = RetryRule::default();
        for (attempt, planned) in (1..).zip([30, 60, 120]) {
            // A seed in the middle of the spread is no jitter at all.
            assert_eq!(rule.after(attempt, planned * 100), Some(Duration::from_secs(planned)), "{attempt}");
        }
        assert_eq!(rule.after(4, 0), None);
        assert_eq!(rule.after(0, 0), None);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_ten_percent_and_a_day(retries in 1..=99_u32, seed: u64) {
            let rule = RetryRule { max_retries: 99, first_wait: Duration::from_secs(30) };
            let planned = 30_000.0 * f64::from(retries - 1).exp2();
            let planned = planned.min(86_400_000.0);
            let wait = rule.after(retries, seed).unwrap().as_secs_f64() * 1_000.0;
            prop_assert!((wait / planned - 1.0).abs() <= 0.101);
        }
    }
}
