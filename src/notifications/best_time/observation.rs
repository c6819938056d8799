//! `Observation`: what something that was sent, or read, says of an hour of its recipient's day. Pure.
//!
//! What comes into an inbox counts for the hour at which it comes. Read [within the hour](IN_TIME), it was read in time,
//! and that counts for the hour at which it came. Read later, it says that its reader was not there at the hours at which
//! it waited, and was when it was read: as if it had been sent at each of them. So who is always sent to in the morning,
//! and reads in the evening, is known as who reads in the evening.

use super::habits::{HourCount, hour_of_day};
use super::hour_after;
use crate::domain::{Timestamp, Zone};
use std::time::Duration;

/// What is read so soon was sent at a good hour.
pub const IN_TIME: Duration = Duration::from_hours(1);

/// Of what has waited longer than this the last hours count.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Of the recipient's clock.
    pub hour: usize,
    /// What was observed, unfaded.
    pub count: HourCount,
    /// The time from which on it fades.
    pub at: Timestamp,
}

impl Observation {
    /// Something came into an inbox.
    pub fn sent(at: Timestamp, zone: &Zone) -> Self {
        let count = HourCount { sends: 1.0, ..HourCount::default() };
        Self { hour: hour_of_day(at, zone), count, at }
    }

    /// What came at `came_at` was read; two dozen at most.
    pub fn read(came_at: Timestamp, read_at: Timestamp, zone: &Zone) -> Vec<Self> {
        if read_at.since(came_at) <= IN_TIME {
            let count = HourCount { reads: 1.0, ..HourCount::default() };
            return vec![Self { hour: hour_of_day(came_at, zone), count, at: came_at }];
        }
        let from = came_at.max(read_at.minus(LONGEST_WAIT));
        let hours =
            std::iter::successors(Some(hour_after(from, zone)), |begins| Some(hour_after(*begins, zone)));
        let hours: Vec<Timestamp> = hours.take_while(|begins| *begins <= read_at).collect();
        let waited = |(number, begins): (usize, &Timestamp)| {
            let late = if number + 1 == hours.len() { 1.0 } else { 0.0 };
            let count = HourCount { waited: 1.0, late, ..HourCount::default() };
            Self { hour: hour_of_day(*begins, zone), count, at: read_at }
        };
        hours.iter().enumerate().map(waited).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    /// The hour, and what was sent, read, waited, read late.
    fn told(observation: &Observation) -> (usize, [f64; 4]) {
        let HourCount { sends, reads, waited, late } = observation.count;
        (observation.hour, [sends, reads, waited, late])
    }

    #[test]
    fn what_is_read_within_the_hour_counts_for_the_hour_at_which_it_came() {
        let manila = Zone::parse("Asia/Manila").unwrap();
        let came = at("2026-03-02T01:50:00Z");
        assert_eq!(told(&Observation::sent(came, &manila)), (9, [1.0, 0.0, 0.0, 0.0]));
        let soon = Observation::read(came, at("2026-03-02T02:50:00Z"), &manila);
        assert_eq!((told(&soon[0]), soon[0].at, soon.len()), ((9, [0.0, 1.0, 0.0, 0.0]), came, 1));
    }

    #[test]
    fn what_is_read_later_counts_for_the_hours_at_which_it_waited_and_at_which_it_was_read() {
        let late = at("2026-03-02T19:10:00Z");
        let read = Observation::read(at("2026-03-02T16:50:00Z"), late, &Zone::UTC);
        let expected = [(17, [0.0, 0.0, 1.0, 0.0]), (18, [0.0, 0.0, 1.0, 0.0]), (19, [0.0, 0.0, 1.0, 1.0])];
        assert_eq!(read.iter().map(told).collect::<Vec<_>>(), expected);
        assert!(read.iter().all(|one| one.at == late));
    }

    #[test]
    fn of_what_has_waited_for_days_each_hour_counts_once() {
        for zone in ["UTC", "Australia/Lord_Howe", "Asia/Kathmandu"] {
            let zone = Zone::parse(zone).unwrap();
            let read = Observation::read(at("2026-03-02T09:00:00Z"), at("2026-03-09T19:10:00Z"), &zone);
            let mut hours: Vec<usize> = read.iter().map(|one| one.hour).collect();
            assert_eq!(read.last().unwrap().hour, hour_of_day(at("2026-03-09T19:10:00Z"), &zone));
            hours.sort_unstable();
            assert_eq!(hours, (0..24).collect::<Vec<_>>());
        }
    }
}
