//! `DigestWindow`: which digest a notification goes into, and when that is sent. Pure.
//!
//! Hourly digests go out on the hour, daily ones at nine, weekly ones on Mondays at nine, by the recipient's clock.
//! A window ends with its digest, and what comes at that very moment goes into the next one.

use super::quiet_hours::QuietHours;
use super::words::words;
use crate::domain::{Timestamp, Zone};
use jiff::ToSpan;
use jiff::civil::{DateTime, Time, Weekday};
use std::time::Duration;

words! {
    /// How often a digest is sent.
    DigestFrequency ("digest frequency") {
        /// Every hour at :00.
        Hourly = "hourly",
        /// Every day at nine.
        Daily = "daily",
        /// Every Monday at nine.
        Weekly = "weekly",
    }
}

/// When daily and weekly digests are sent.
const MORNING: Time = Time::constant(9, 0, 0, 0);

/// One digest of one user, on one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestWindow {
    /// The same for all that go into this digest. With the user, the channel and the frequency it is unique: rows
    /// under races are made once by it.
    pub key: String,
    /// When the digest is sent.
    pub due_at: Timestamp,
}

impl DigestWindow {
    /// The window that `now` lies in.
    pub fn of(now: Timestamp, frequency: DigestFrequency, zone: &Zone) -> Self {
        Self::due(next(now, frequency, zone))
    }

    /// The same for a recipient who keeps quiet hours: digests that would come in them are one, at their end.
    pub fn after_quiet(now: Timestamp, frequency: DigestFrequency, quiet: QuietHours, zone: &Zone) -> Self {
        Self::due(quiet.over(next(now, frequency, zone), zone))
    }

    fn due(due_at: Timestamp) -> Self {
        // An instant, not a reading: in a fold an hour comes twice.
        Self { key: due_at.whole_seconds().to_string(), due_at }
    }
}

fn next(now: Timestamp, frequency: DigestFrequency, zone: &Zone) -> Timestamp {
    let reading = zone.reading(now);
    match frequency {
        DigestFrequency::Hourly => next_hour(now, reading, zone),
        DigestFrequency::Daily => next_morning(now, reading, 1, zone),
        DigestFrequency::Weekly => {
            let days_since_monday = i64::from(reading.date().weekday().since(Weekday::Monday));
            let monday = reading.checked_sub(days_since_monday.days()).unwrap_or(reading);
            next_morning(now, monday, 7, zone)
        }
    }
}

/// The next instant at which the clock shows a full hour, the second time round of a fold too.
fn next_hour(now: Timestamp, reading: DateTime, zone: &Zone) -> Timestamp {
    let into_hour = reading.duration_since(hour_of(reading));
    let rest = Duration::from_hours(1).saturating_sub(into_hour.unsigned_abs());
    let unless_moved = now.plus(rest);
    let shown = zone.reading(unless_moved);
    if shown == hour_of(shown) {
        return unless_moved;
    }
    zone.instant(hour_of(reading).checked_add(1.hour()).unwrap_or(reading))
}

fn hour_of(reading: DateTime) -> DateTime {
    reading.date().at(reading.hour(), 0, 0, 0)
}

/// Nine o'clock of the day of `reading`, or so many days later, if that is past.
fn next_morning(now: Timestamp, reading: DateTime, every: i64, zone: &Zone) -> Timestamp {
    let this = reading.date().to_datetime(MORNING);
    let next = |days: i64| zone.instant(this.checked_add(days.days()).unwrap_or(this));
    let mut days = 0;
    // Twice, where the day was left out.
    while next(days) <= now && days < 3 * every {
        days += every;
    }
    next(days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn due(frequency: &str, zone: &str, now: &str) -> String {
        let window = DigestWindow::of(at(now), frequency.parse().unwrap(), &Zone::parse(zone).unwrap());
        window.due_at.to_string().replace(":00.000000Z", "Z")
    }

    #[test]
    fn hourly_is_on_the_hour_of_the_recipients_clock() {
        assert_eq!(due("hourly", "UTC", "2026-03-02T10:00:00Z"), "2026-03-02T11:00Z");
        assert_eq!(due("hourly", "UTC", "2026-03-02T10:59:59.999999Z"), "2026-03-02T11:00Z");
        assert_eq!(due("hourly", "Asia/Kathmandu", "2026-03-02T10:00:00Z"), "2026-03-02T10:15Z");
        assert_eq!(due("hourly", "America/New_York", "2026-11-01T05:30:00Z"), "2026-11-01T06:00Z");
        assert_eq!(due("hourly", "America/New_York", "2026-11-01T06:00:00Z"), "2026-11-01T07:00Z");
        assert_eq!(due("hourly", "America/New_York", "2026-03-08T06:30:00Z"), "2026-03-08T07:00Z");
        assert_eq!(due("hourly", "Australia/Lord_Howe", "2026-04-04T14:45:00Z"), "2026-04-04T15:30Z");
        assert_eq!(due("hourly", "Australia/Lord_Howe", "2026-10-03T15:15:00Z"), "2026-10-03T15:30Z");
    }

    #[test]
    fn daily_is_at_nine() {
        assert_eq!(due("daily", "Asia/Manila", "2026-03-02T00:59:59Z"), "2026-03-02T01:00Z");
        assert_eq!(due("daily", "Asia/Manila", "2026-03-02T01:00:00Z"), "2026-03-03T01:00Z");
        assert_eq!(due("daily", "America/New_York", "2026-03-07T15:00:00Z"), "2026-03-08T13:00Z");
        assert_eq!(due("daily", "Pacific/Apia", "2011-12-29T20:00:00Z"), "2011-12-30T19:00Z");
    }

    #[test]
    fn weekly_is_on_monday_at_nine() {
        // 2 March 2026 is a Monday.
        assert_eq!(due("weekly", "UTC", "2026-03-02T08:59:59Z"), "2026-03-02T09:00Z");
        assert_eq!(due("weekly", "UTC", "2026-03-02T09:00:00Z"), "2026-03-09T09:00Z");
        assert_eq!(due("weekly", "UTC", "2026-03-08T23:00:00Z"), "2026-03-09T09:00Z");
        assert_eq!(due("weekly", "Asia/Manila", "2026-03-08T16:30:00Z"), "2026-03-09T01:00Z");
    }

    #[test]
    fn hourly_digests_of_a_night_are_one_in_the_morning() {
        let zone = Zone::UTC;
        let of = |now: &str| {
            DigestWindow::after_quiet(at(now), DigestFrequency::Hourly, QuietHours::default(), &zone)
        };
        let night = of("2026-03-02T21:30:00Z");
        assert_eq!(night.due_at, at("2026-03-03T08:00:00Z"));
        assert_eq!(of("2026-03-03T03:10:00Z"), night);
        assert_eq!(of("2026-03-03T07:30:00Z"), night);
        assert_ne!(of("2026-03-03T08:00:00Z"), night);
        assert_eq!(of("2026-03-02T20:30:00Z").due_at, at("2026-03-02T21:00:00Z"));
    }

    const ZONES: [&str; 6] = [
        "America/New_York",
        "Europe/London",
        "Australia/Lord_Howe",
        "Africa/Cairo",
        "Pacific/Apia",
        "Asia/Kathmandu",
    ];

    proptest! {
        #[test]
        fn a_window_holds_until_its_digest_and_ends_then(
            frequency in 0..3_usize, zone in 0..ZONES.len(), seconds in 0..2_500_000_000_i64, part in 0.0..1.0_f64,
        ) {
            let (frequency, zone) = (DigestFrequency::ALL[frequency], Zone::parse(ZONES[zone]).unwrap());
            let now = Timestamp::from_micros(seconds * 1_000_000).unwrap();
            let window = DigestWindow::of(now, frequency, &zone);
            prop_assert!(window.due_at > now);
            let longest = [2, 26, 8 * 24][DigestFrequency::ALL.iter().position(|f| *f == frequency).unwrap()];
            prop_assert!(window.due_at.since(now) <= Duration::from_hours(longest));
            let between = now.plus(Duration::from_secs(window.due_at.since(now).mul_f64(part * 0.999).as_secs()));
            prop_assert_eq!(&DigestWindow::of(between, frequency, &zone), &window);
            prop_assert!(DigestWindow::of(window.due_at, frequency, &zone).due_at > window.due_at);
        }
    }
}
