//! `Habits`: how often what was sent at each hour of the day was read; what is old counts less. Pure.
//!
//! A table keeps counts in which an observation weighs twice as much for each half-life that it is later
//! ([`kept_weight`]): so it is only ever added to, in any order and by many at once, and nothing has to be faded when
//! something is counted. What the sums are worth at a time is known when they are read ([`Habits::kept`]).

use crate::domain::{Timestamp, Zone};
use std::time::Duration;

/// Hours of a day.
pub const HOURS: usize = 24;

/// After so long an observation counts half.
pub const HALF_LIFE: Duration = Duration::from_hours(30 * 24);

/// 2026-01-01T00:00:00Z in microseconds: what is observed then is kept as 1. The sums of a double can be kept so for
/// eighty years.
const LANDMARK: i64 = 1_767_225_600_000_000;

/// As what an observation of this time is kept.
pub fn kept_weight(at: Timestamp) -> f64 {
    let landmark = Timestamp::from_micros(LANDMARK).unwrap_or(at);
    let age = at.since(landmark).as_secs_f64() - landmark.since(at).as_secs_f64();
    (age / HALF_LIFE.as_secs_f64()).exp2()
}

/// What was observed of one hour. Fractions, because old ones fade.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HourCount {
    /// Sent at that hour.
    pub sends: f64,
    /// Of those, read in time.
    pub reads: f64,
    /// Sent before, and still unread when that hour came.
    pub waited: f64,
    /// Of those, read at that hour.
    pub late: f64,
}

impl HourCount {
    /// What might have been read at that hour.
    pub fn trials(self) -> f64 {
        self.sends + self.waited
    }

    /// What was read at that hour.
    pub fn successes(self) -> f64 {
        self.reads + self.late
    }

    /// So many times as much.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self {
            sends: self.sends * factor,
            reads: self.reads * factor,
            waited: self.waited * factor,
            late: self.late * factor,
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            sends: self.sends + other.sends,
            reads: self.reads + other.reads,
            waited: self.waited + other.waited,
            late: self.late + other.late,
        }
    }

    /// The nearest that can be: no more is read than there was to be read.
    fn sound(self) -> Self {
        let sound = |number: f64| if number.is_finite() { number.max(0.0) } else { 0.0 };
        let (sends, waited) = (sound(self.sends), sound(self.waited));
        Self { sends, reads: sound(self.reads).min(sends), waited, late: sound(self.late).min(waited) }
    }
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
        Self { hours: [HourCount { sends: 0.0, reads: 0.0, waited: 0.0, late: 0.0 }; HOURS], as_of }
    }

    /// Of sums of [`kept_weight`]s, what they are worth at `now`. Numbers that cannot be are taken for the nearest that
    /// can: what was read by an hour that it was not sent at, because its reader has moved to another zone, is left out.
    pub fn kept(sums: [HourCount; HOURS], now: Timestamp) -> Self {
        let worth = kept_weight(now).recip();
        Self { hours: sums.map(|sum| sum.times(worth).sound()), as_of: now }
    }

    /// Something was sent at `sent_at`, which was this hour of the recipient's day.
    pub fn sent(&mut self, hour: usize, sent_at: Timestamp) {
        self.count(hour, sent_at, HourCount { sends: 1.0, ..HourCount::default() });
    }

    /// What was sent at `sent_at` was read in time. It counts for the hour of the sending, and fades from then on.
    pub fn read(&mut self, hour: usize, sent_at: Timestamp) {
        self.count(hour, sent_at, HourCount { reads: 1.0, ..HourCount::default() });
    }

    fn count(&mut self, hour: usize, at: Timestamp, add: HourCount) {
        if at > self.as_of {
            *self = self.at(at);
        }
        let worth = faded(self.as_of.since(at));
        if let Some(count) = self.hours.get_mut(hour) {
            *count = count.plus(add.times(worth));
        }
    }

    /// What they are worth at a later time.
    #[must_use]
    pub fn at(&self, later: Timestamp) -> Self {
        let worth = faded(later.since(self.as_of));
        Self { hours: self.hours.map(|count| count.times(worth)), as_of: self.as_of.max(later) }
    }

    /// The count of an hour.
    pub fn of_hour(&self, hour: usize) -> HourCount {
        self.hours.get(hour).copied().unwrap_or_default()
    }

    /// The counts of all hours together.
    pub fn total(&self) -> HourCount {
        self.hours.iter().fold(HourCount::default(), |sum, count| sum.plus(*count))
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
        let mut sums = [HourCount::default(); HOURS];
        let weight = kept_weight(day(20_514));
        sums[3] = HourCount { sends: f64::NAN, reads: weight, ..HourCount::default() };
        sums[4] = HourCount { sends: 2.0 * weight, reads: 5.0 * weight, ..HourCount::default() };
        let habits = Habits::kept(sums, day(20_514));
        assert_eq!(habits.of_hour(3), HourCount::default());
        let count = habits.of_hour(4);
        assert!((count.sends - 2.0).abs() < 1e-9 && (count.reads - 2.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_kept_is_worth_what_it_would_be_had_it_faded_day_by_day() {
        let landmark = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        assert!((kept_weight(landmark) - 1.0).abs() < 1e-12);
        // From ten years before to eighty after.
        for (first, last) in [(16_801, 16_900), (20_454, 20_474), (49_600, 49_674)] {
            let mut habits = Habits::none(day(first));
            let mut sums = [HourCount::default(); HOURS];
            for at in (first..last).map(day) {
                habits.sent(7, at);
                habits.read(7, at);
                sums[7].sends += kept_weight(at);
                sums[7].reads += kept_weight(at);
            }
            let (told, kept) = (habits.at(day(last)).of_hour(7), Habits::kept(sums, day(last)).of_hour(7));
            assert!((told.sends - kept.sends).abs() < 1e-6 && (told.reads - kept.reads).abs() < 1e-6);
        }
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
