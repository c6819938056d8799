//! When a failed delivery is tried again: the fixed schedule, scaled by the endpoint, with jitter. Pure.

use std::time::Duration;

/// Retries after the first try that the schedule has waits for.
pub const MAX_RETRIES: u32 = 5;

/// The waits after the first failure, the second, …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule([Duration; MAX_RETRIES as usize]);

impl Schedule {
    /// These waits, in seconds; the configuration has made sure that there are as many as retries.
    pub fn of_seconds(seconds: &[u64]) -> Self {
        let mut waits = Self::default();
        waits.0.iter_mut().zip(seconds).for_each(|(wait, seconds)| *wait = Duration::from_secs(*seconds));
        waits
    }
}

impl Default for Schedule {
    /// One minute to two hours, in all 3 h 21 min.
    fn default() -> Self {
        Self([60, 300, 900, 3_600, 7_200].map(Duration::from_secs))
    }
}

/// Up to so many percent sooner or later, so that what failed together does not come back together.
const JITTER_PERCENT: u64 = 10;

/// What an endpoint's row says about retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Tries after the first one, at most [`MAX_RETRIES`].
    pub max_retries: u32,
    /// Percent of the schedule.
    pub delay_percent: u32,
}

impl Backoff {
    /// How long to wait after the failed attempt of this number (the first is 1); `None` = give up.
    /// `seed` is any random number.
    pub fn after(self, schedule: &Schedule, attempt: u32, seed: u64) -> Option<Duration> {
        if attempt > self.max_retries {
            return None;
        }
        let step = usize::try_from(attempt.checked_sub(1)?).ok()?;
        let planned_ms = u64::try_from(self.scaled(*schedule.0.get(step)?).as_millis()).unwrap_or(u64::MAX);
        let spread = planned_ms * JITTER_PERCENT / 100;
        let jitter = seed.checked_rem(2 * spread + 1).unwrap_or(spread);
        Some(Duration::from_millis(planned_ms - spread + jitter))
    }

    /// The longest wait of the schedule: no endpoint may ask for more.
    pub fn longest(self, schedule: &Schedule) -> Duration {
        self.scaled(schedule.0.into_iter().max().unwrap_or_default())
    }

    fn scaled(self, wait: Duration) -> Duration {
        wait * self.delay_percent / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCHEDULE: Schedule = Schedule([
        Duration::from_mins(1),
        Duration::from_mins(5),
        Duration::from_mins(15),
        Duration::from_hours(1),
        Duration::from_hours(2),
    ]);

    #[test]
    fn the_schedule_is_one_to_one_hundred_and_twenty_minutes() {
        let backoff = Backoff { max_retries: 5, delay_percent: 100 };
        // A seed in the middle of the spread is no jitter at all.
        let exact = |attempt: u32, planned: u64| backoff.after(&SCHEDULE, attempt, planned * 100);
        for (attempt, planned) in (1..).zip([60, 300, 900, 3_600, 7_200]) {
            assert_eq!(exact(attempt, planned), Some(Duration::from_secs(planned)), "attempt {attempt}");
        }
        assert_eq!(exact(6, 7_200), None);
    }

    #[test]
    fn an_endpoint_may_want_fewer_retries() {
        let backoff = Backoff { max_retries: 1, delay_percent: 100 };
        assert!(backoff.after(&SCHEDULE, 1, 0).is_some());
        assert_eq!(backoff.after(&SCHEDULE, 2, 0), None);
        assert_eq!(Backoff { max_retries: 0, delay_percent: 100 }.after(&SCHEDULE, 1, 0), None);
    }

    #[test]
    fn an_endpoint_may_scale_the_schedule() {
        let backoff = Backoff { max_retries: 5, delay_percent: 50 };
        assert_eq!(backoff.after(&SCHEDULE, 1, 30 * 100), Some(Duration::from_secs(30)));
        assert!(Backoff { max_retries: 5, delay_percent: 1 }.after(&SCHEDULE, 1, 3).is_some());
    }

    #[test]
    fn an_operator_may_set_the_waits() {
        let waits = Schedule::of_seconds(&[1, 2, 3, 4, 5]);
        let backoff = Backoff { max_retries: 5, delay_percent: 100 };
        assert_eq!(backoff.after(&waits, 3, 300), Some(Duration::from_secs(3)));
        assert_eq!(backoff.longest(&waits), Duration::from_secs(5));
        assert_eq!(Schedule::default(), SCHEDULE);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_ten_percent(attempt in 1..=5_u32, percent in 1..=1000_u32, seed: u64) {
            let wait = Backoff { max_retries: 5, delay_percent: percent }.after(&SCHEDULE, attempt, seed).unwrap();
            let planned = SCHEDULE.0[attempt as usize - 1].as_secs() * 10 * u64::from(percent);
            let wait = u64::try_from(wait.as_millis()).unwrap();
            prop_assert!(wait >= planned - planned / 10 && wait <= planned + planned / 10);
        }
    }
}
