//! `Count`: when subscribers are told how many they are: at each change while they are few, and at most every
//! five seconds when they are many; the last number always comes. Pure.
//! <https://pusher.com/docs/channels/using_channels/events/#pusher_subscription_count>

use std::time::{Duration, Instant};

/// Up to so many subscribers each change is told at once.
const FEW: usize = 100;
/// The least time between two numbers when there are more.
const PAUSE: Duration = Duration::from_secs(5);

/// What was told when, and when there is something to tell.
#[derive(Debug, Default)]
pub struct Count {
    told_at: Option<Instant>,
    due: Option<Instant>,
}

impl Count {
    /// Somebody came or went, and there are `count` now; whether to tell them at once. A number that is the
    /// same again is told all the same: who came since has not heard it.
    pub fn changed(&mut self, count: usize, now: Instant) -> bool {
        let soonest = self.told_at.filter(|_| count > FEW).map_or(now, |told| told + PAUSE);
        self.due = Some(soonest);
        self.tick(now)
    }

    /// Whether it is time to tell the number that is true now; if so it counts as told.
    pub fn tick(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|at| at <= now);
        if due {
            *self = Self { told_at: Some(now), due: None };
        }
        due
    }

    /// When to ask again; `None` = everybody has heard the last number.
    pub const fn next_due(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn up_to_a_hundred_every_change_is_told_at_once() {
        let (mut count, now) = (Count::default(), Instant::now());
        assert!((1..=100).chain((0..100).rev()).all(|n| count.changed(n, now)));
        assert_eq!(count.next_due(), None);
    }

    #[test]
    fn above_a_hundred_the_last_number_comes_five_seconds_after_the_one_before() {
        let (mut count, now) = (Count::default(), Instant::now());
        assert!(count.changed(100, now));
        for n in 101..200 {
            assert!(!count.changed(n, now + PAUSE / 2), "{n}");
        }
        assert_eq!(count.next_due(), Some(now + PAUSE));
        assert!(!count.tick(now + PAUSE * 9 / 10));
        assert!(count.tick(now + PAUSE));
        assert!(!count.tick(now + PAUSE * 3) && count.next_due().is_none(), "nothing changed");
        assert!(count.changed(201, now + PAUSE * 3), "long after the last it comes at once");
    }

    #[test]
    fn when_they_become_few_again_they_are_told_at_once() {
        let (mut count, now) = (Count::default(), Instant::now());
        count.changed(100, now);
        assert!(!count.changed(101, now) && count.changed(100, now));
        assert_eq!(count.next_due(), None);
    }

    proptest! {
        /// Whatever comes and goes, nobody is left with an old number, and above a hundred two numbers are
        /// never told within five seconds.
        #[test]
        fn the_last_number_always_comes(steps in proptest::collection::vec((-40_i32..60, 0_u64..3_000), 1..200)) {
            let (mut count, mut now, mut n) = (Count::default(), Instant::now(), 90_usize);
            let (mut heard, mut heard_at) = (0, None::<Instant>);
            for (step, wait) in steps {
                let next = now + Duration::from_millis(wait);
                if let Some(at) = count.next_due().filter(|at| *at <= next) {
                    prop_assert!(count.tick(at));
                    prop_assert!(heard_at.is_none_or(|before| at >= before + PAUSE));
                    (heard, heard_at) = (n, Some(at));
                }
                now = next;
                n = n.saturating_add_signed(step as isize);
                if count.changed(n, now) {
                    prop_assert!(n <= FEW || heard_at.is_none_or(|before| now >= before + PAUSE));
                    (heard, heard_at) = (n, Some(now));
                }
                prop_assert!(heard == n || count.next_due().is_some_and(|at| at <= now + PAUSE));
            }
        }
    }
}
