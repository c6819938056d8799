//! `Meter`: how much of something one connection may do, as a token bucket: so many at once, then so many a
//! second. Pure; the time is passed in.
//!
//! It is kept as one instant, that at which the bucket will be full again (the generic cell rate algorithm of
//! ITU-T I.371): each admission moves it on by the interval of the rate, and it may not lie further ahead than
//! a whole bucket takes to fill.

use std::time::{Duration, Instant};

/// So many a second on average, and so many at once.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    interval: Duration,
    /// How far ahead the bucket's instant may lie and another still be admitted.
    slack: Duration,
}

impl Rate {
    /// At most `burst` at once (0 counts as 1) and `per_second` on average; `None` = no bound, for 0 a second.
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        let interval = Duration::from_secs(1).checked_div(per_second)?;
        Some(Self { interval, slack: interval * (burst.max(1) - 1) })
    }
}

/// One bucket, full at first.
#[derive(Debug)]
pub struct Meter {
    rate: Option<Rate>,
    full_at: Option<Instant>,
}

impl Meter {
    /// A full bucket; without a rate it admits everything.
    pub const fn new(rate: Option<Rate>) -> Self {
        Self { rate, full_at: None }
    }

    /// Takes one, if one is left.
    pub fn admit(&mut self, now: Instant) -> bool {
        let Some(rate) = self.rate else { return true };
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        if full_at - now > rate.slack {
            return false;
        }
        self.full_at = Some(full_at + rate.interval);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn admitted(meter: &mut Meter, now: Instant, tries: usize) -> usize {
        (0..tries).filter(|_| meter.admit(now)).count()
    }

    #[test]
    fn a_burst_is_admitted_at_once_and_then_the_rate() {
        let (mut meter, start) = (Meter::new(Rate::new(10, 25)), Instant::now());
        assert_eq!(admitted(&mut meter, start, 100), 25);
        assert_eq!(admitted(&mut meter, start + Duration::from_millis(99), 100), 0);
        assert_eq!(admitted(&mut meter, start + Duration::from_millis(100), 100), 1);
        assert_eq!(admitted(&mut meter, start + Duration::from_millis(1_100), 100), 10);
        assert_eq!(admitted(&mut meter, start + Duration::from_mins(1), 100), 25);
    }

    #[test]
    fn no_rate_is_no_bound_and_no_burst_is_one_at_a_time() {
        let now = Instant::now();
        assert_eq!(admitted(&mut Meter::new(Rate::new(0, 1)), now, 10_000), 10_000);
        assert_eq!(admitted(&mut Meter::new(Rate::new(5, 0)), now, 10), 1);
    }

    #[test]
    fn the_largest_settings_do_not_overflow() {
        let (now, most) = (Instant::now(), u32::MAX);
        for (per_second, burst) in [(1, most), (most, most), (most, 1)] {
            assert!(Meter::new(Rate::new(per_second, burst)).admit(now));
        }
    }

    proptest! {
        /// In any window of time no more are admitted than the burst and what the rate gives for the window.
        #[test]
        fn no_window_has_more_than_its_share(
            per_second in 1_u32..50, burst in 1_u32..20,
            pauses in proptest::collection::vec(0_u64..200, 1..300),
        ) {
            let (mut meter, mut now) = (Meter::new(Rate::new(per_second, burst)), Instant::now());
            let mut taken = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                if meter.admit(now) {
                    taken.push(now);
                }
            }
            for (i, from) in taken.iter().enumerate() {
                for (j, to) in taken.iter().enumerate().skip(i) {
                    let earned = (*to - *from).as_micros() * u128::from(per_second) / 999_999;
                    let share = u128::from(burst) + earned;
                    prop_assert!((j - i + 1) as u128 <= share, "{} in {:?}", j - i + 1, *to - *from);
                }
            }
        }
    }
}
