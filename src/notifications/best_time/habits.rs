//! `Habits`: how often what was sent at each hour of the day was read; what is old counts less. Pure.

use crate::domain::{Timestamp, Zone};
use std::time::Duration;

/// Hours of a day.
pub const HOURS: usize = 24;

/// After so long an observation counts half.
pub const HALF_LIFE: Duration = Duration::from_hours(30 * 24);

/// What was sent at one hour, and how much of it was read in time. Fractions, because old ones fade.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HourCount {
    /// Sent.
    pub sends: f64,
    /// Of those, read.
    pub reads: f64,
}

/// Counts by hour of the recipient's day, of one user, of a tenant's users or of everybody.
#[derive(Debug, Clone, PartialEq)]
pub struct Habits {
    hours: [HourCount; HOURS],
    /// The counts are what they were worth then.
    as_of: Timestamp,
}

/// The hour that the recipient's clock shows, from 0 to 23.
pub fn hour_of_day(at: Timestamp, zone: &Zone) -> usize {
    usize::from(zone.reading(at).hour().unsigned_abs()).min(HOURS - 1)
}

impl Habits {
    /// Nothing is known.
    pub const fn none(as_of: Timestamp) -> Self {
        Self { hours: [HourCount { sends: 0.0, reads: 0.0 }; HOURS], as_of }
    }

    /// As they were kept: what `hours` were worth at `as_of`. Numbers that cannot be are taken for the nearest that
    /// can.
    pub fn kept(hours: [HourCount; HOURS], as_of: Timestamp) -> Self {
        let sound = |count: HourCount| {
            let sends = if count.sends.is_finite() { count.sends.max(0.0) } else { 0.0 };
            let reads = if count.reads.is_finite() { count.reads.clamp(0.0, sends) } else { 0.0 };
            HourCount { sends, reads }
        };
        Self { hours: hours.map(sound), as_of }
    }

    /// The counts, and when they are worth that: what a table keeps.
    pub const fn to_keep(&self) -> (&[HourCount; HOURS], Timestamp) {
        (&self.hours, self.as_of)
    }

    /// Something was sent at `sent_at`, which was this hour of the recipient's day.
    pub fn sent(&mut self, hour: usize, sent_at: Timestamp) {
        self.count(hour, sent_at, HourCount { sends: 1.0, reads: 0.0 });
    }

    /// What was sent at `sent_at` was read in time. It counts for the hour of the sending, and fades from then on.
    pub fn read(&mut self, hour: usize, sent_at: Timestamp) {
        self.count(hour, sent_at, HourCount { sends: 0.0, reads: 1.0 });
    }

    fn count(&mut self, hour: usize, at: Timestamp, add: HourCount) {
        if at > self.as_of {
            *self = self.at(at);
        }
        let worth = faded(self.as_of.since(at));
        if let Some(count) = self.hours.get_mut(hour) {
            count.sends += worth * add.sends;
            count.reads += worth * add.reads;
        }
    }

    /// What they are worth at a later time.
    #[must_use]
    pub fn at(&self, later: Timestamp) -> Self {
        let worth = faded(later.since(self.as_of));
        let hours = self.hours.map(|c| HourCount { sends: c.sends * worth, reads: c.reads * worth });
        Self { hours, as_of: self.as_of.max(later) }
    }

    /// The count of an hour.
    pub fn of_hour(&self, hour: usize) -> HourCount {
        self.hours.get(hour).copied().unwrap_or_default()
    }

    /// The counts of all hours together.
    pub fn total(&self) -> HourCount {
        let add = |sum: HourCount, c: &HourCount| HourCount {
            sends: sum.sends + c.sends,
            reads: sum.reads + c.reads,
        };
        self.hours.iter().fold(HourCount::default(), add)
    }
}

/// What an observation of this age is worth.
fn faded(age: Duration) -> f64 {
    (-age.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(days: u64) -> Timestamp {
        Timestamp::from_micros(0).unwrap().plus(Duration::from_hours(24 * days))
    }

    #[test]
    fn what_is_thirty_days_old_counts_half() {
        let mut habits = Habits::none(day(0));
        habits.sent(9, day(0));
        habits.sent(9, day(30));
        habits.read(9, day(0));
        let count = habits.of_hour(9);
        assert!((count.sends - 1.5).abs() < 1e-9 && (count.reads - 0.5).abs() < 1e-9);
        assert!((habits.at(day(60)).total().sends - 0.75).abs() < 1e-9);
        assert_eq!(habits.of_hour(10), HourCount::default());
    }

    #[test]
    fn the_hour_is_that_of_the_recipients_clock() {
        let at = Timestamp::parse_rfc3339("2026-07-01T20:30:00Z").unwrap();
        assert_eq!(hour_of_day(at, &Zone::parse("Asia/Manila").unwrap()), 4);
        assert_eq!(hour_of_day(at, &Zone::UTC), 20);
    }

    #[test]
    fn what_was_kept_wrong_is_mended() {
        let mut hours = [HourCount::default(); HOURS];
        hours[3] = HourCount { sends: f64::NAN, reads: 1.0 };
        hours[4] = HourCount { sends: 2.0, reads: 5.0 };
        let habits = Habits::kept(hours, day(0));
        assert_eq!(habits.of_hour(3), HourCount::default());
        assert_eq!(habits.of_hour(4), HourCount { sends: 2.0, reads: 2.0 });
    }

    proptest! {
        #[test]
        fn the_order_in_which_it_is_heard_of_does_not_matter(
            events in proptest::collection::vec((0..24_usize, 0..400_u64, any::<bool>()), 1..40), swap: bool,
        ) {
            let mut forth = Habits::none(day(0));
            let mut back = Habits::none(day(0));
            let tell = |habits: &mut Habits, (hour, at, read): (usize, u64, bool)| {
                habits.sent(hour, day(at));
                if read {
                    habits.read(hour, day(at));
                }
            };
            for (one, other) in events.iter().zip(events.iter().rev()) {
                tell(&mut forth, *one);
                tell(&mut back, *other);
            }
            let (one, other) = if swap { (&back, &forth) } else { (&forth, &back) };
            for hour in 0..HOURS {
                let (a, b) = (one.at(day(400)).of_hour(hour), other.at(day(400)).of_hour(hour));
                prop_assert!((a.sends - b.sends).abs() < 1e-6 && (a.reads - b.reads).abs() < 1e-6);
                prop_assert!(a.reads <= a.sends + 1e-9);
            }
        }
    }
}
