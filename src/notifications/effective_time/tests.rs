//! Quiet hours over the world's clocks: a table of the hard days, and what holds on every day.

use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn due(zone: &str, quiet: &str, asked: &str) -> String {
    let (start, end) = quiet.split_once('-').unwrap();
    let quiet = QuietHours::parse(start, end).unwrap();
    let effective = EffectiveTime::of(at(asked), Priority::Normal, quiet, &Zone::parse(zone).unwrap());
    let moved = effective.due_at != at(asked);
    assert_eq!(effective.reason, if moved { DueReason::QuietHours } else { DueReason::AsAsked });
    effective.due_at.to_string().replace(".000000Z", "Z")
}

/// Zone, quiet hours, asked for, due.
const TABLE: [(&str, &str, &str, &str); 36] = [
    // An ordinary night: eight o'clock of the same date after midnight, of the next before.
    ("UTC", "22:00-08:00", "2026-03-02T21:59:59Z", "2026-03-02T21:59:59Z"),
    ("UTC", "22:00-08:00", "2026-03-02T22:00:00Z", "2026-03-03T08:00:00Z"),
    ("UTC", "22:00-08:00", "2026-03-03T02:00:00Z", "2026-03-03T08:00:00Z"),
    ("UTC", "22:00-08:00", "2026-03-03T07:59:59.999999Z", "2026-03-03T08:00:00Z"),
    ("UTC", "22:00-08:00", "2026-03-03T08:00:00Z", "2026-03-03T08:00:00Z"),
    ("UTC", "12:00-14:00", "2026-03-03T13:00:00Z", "2026-03-03T14:00:00Z"),
    ("UTC", "09:00-09:00", "2026-03-03T09:00:00Z", "2026-03-03T09:00:00Z"),
    // Manila has no summer time: 22:00-08:00 is 14:00Z-00:00Z all year.
    ("Asia/Manila", "22:00-08:00", "2026-07-01T14:00:00Z", "2026-07-02T00:00:00Z"),
    ("Asia/Manila", "22:00-08:00", "2026-07-02T00:00:00Z", "2026-07-02T00:00:00Z"),
    ("Asia/Manila", "22:00-08:00", "2026-01-01T20:00:00Z", "2026-01-02T00:00:00Z"),
    // New York: the night is nine hours long on 8 March, eleven on 1 November.
    ("America/New_York", "22:00-08:00", "2026-03-08T03:00:00Z", "2026-03-08T12:00:00Z"),
    ("America/New_York", "22:00-08:00", "2026-11-01T02:00:00Z", "2026-11-01T13:00:00Z"),
    // Its end lies in the gap from two to three: later by an hour.
    ("America/New_York", "22:00-02:30", "2026-03-08T06:00:00Z", "2026-03-08T07:30:00Z"),
    ("America/New_York", "22:00-02:30", "2026-03-08T07:10:00Z", "2026-03-08T07:30:00Z"),
    ("America/New_York", "22:00-02:30", "2026-03-08T07:30:00Z", "2026-03-08T07:30:00Z"),
    // Its start lies in the gap: quiet from the moment of the gap.
    ("America/New_York", "02:30-05:00", "2026-03-08T06:59:59Z", "2026-03-08T06:59:59Z"),
    ("America/New_York", "02:30-05:00", "2026-03-08T07:00:00Z", "2026-03-08T09:00:00Z"),
    // Its end comes twice: the first counts, and clocks that go back are quiet until it comes again.
    ("America/New_York", "22:00-01:30", "2026-11-01T05:15:00Z", "2026-11-01T05:30:00Z"),
    ("America/New_York", "22:00-01:30", "2026-11-01T05:45:00Z", "2026-11-01T05:45:00Z"),
    ("America/New_York", "22:00-01:30", "2026-11-01T06:15:00Z", "2026-11-01T06:30:00Z"),
    // Its start comes twice: quiet from the first on, without a break.
    ("America/New_York", "01:30-08:00", "2026-11-01T05:29:00Z", "2026-11-01T05:29:00Z"),
    ("America/New_York", "01:30-08:00", "2026-11-01T06:10:00Z", "2026-11-01T13:00:00Z"),
    // London: 29 March and 25 October.
    ("Europe/London", "22:00-08:00", "2026-03-28T23:00:00Z", "2026-03-29T07:00:00Z"),
    ("Europe/London", "22:00-01:30", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"),
    ("Europe/London", "22:00-08:00", "2026-10-24T22:00:00Z", "2026-10-25T08:00:00Z"),
    // Lord Howe moves its clocks by half an hour, at two: a gap on 4 October, a fold on 5 April.
    ("Australia/Lord_Howe", "22:00-02:15", "2026-10-03T14:00:00Z", "2026-10-03T15:45:00Z"),
    ("Australia/Lord_Howe", "22:00-01:45", "2026-04-04T14:30:00Z", "2026-04-04T14:45:00Z"),
    ("Australia/Lord_Howe", "22:00-01:45", "2026-04-04T15:05:00Z", "2026-04-04T15:15:00Z"),
    ("Australia/Lord_Howe", "22:00-08:00", "2026-10-03T14:00:00Z", "2026-10-03T21:00:00Z"),
    // Cairo's gap is midnight to one, on 24 April; it goes back from midnight to eleven, on 30 October.
    ("Africa/Cairo", "22:00-00:30", "2026-04-23T21:00:00Z", "2026-04-23T22:30:00Z"),
    ("Africa/Cairo", "00:15-08:00", "2026-04-23T22:00:00Z", "2026-04-24T05:00:00Z"),
    ("Africa/Cairo", "23:30-08:00", "2026-10-29T20:45:00Z", "2026-10-30T06:00:00Z"),
    ("Africa/Cairo", "23:30-08:00", "2026-10-29T21:10:00Z", "2026-10-30T06:00:00Z"),
    // Apia left 30 December 2011 out: eight o'clock of the 31st is the next.
    ("Pacific/Apia", "22:00-08:00", "2011-12-30T09:00:00Z", "2011-12-30T18:00:00Z"),
    ("Pacific/Apia", "22:00-08:00", "2011-12-30T11:00:00Z", "2011-12-30T18:00:00Z"),
    ("Pacific/Apia", "22:00-08:00", "2011-12-30T18:00:00Z", "2011-12-30T18:00:00Z"),
];

#[test]
fn the_quiet_ends_when_the_recipients_clock_says_so() {
    for (zone, quiet, asked, expected) in TABLE {
        assert_eq!(due(zone, quiet, asked), expected, "{zone} {quiet}, asked for at {asked}");
    }
}

#[test]
fn what_is_critical_goes_out_at_night_and_says_why() {
    let zone = Zone::parse("Asia/Manila").unwrap();
    let of = |asked: &str, priority| {
        let effective = EffectiveTime::of(at(asked), priority, QuietHours::default(), &zone);
        (effective.due_at == at(asked), effective.reason.as_str())
    };
    assert_eq!(of("2026-07-01T18:00:00Z", Priority::Critical), (true, "critical"));
    assert_eq!(of("2026-07-01T18:00:00Z", Priority::High), (false, "quiet_hours"));
    assert_eq!(of("2026-07-01T08:00:00Z", Priority::Critical), (true, "as_asked"));
}

#[test]
fn the_answer_names_the_zone_it_was_decided_in() {
    let zone = Zone::parse("asia/manila").unwrap();
    let effective = EffectiveTime::of(at("2026-07-01T18:00:00Z"), Priority::Low, QuietHours::OFF, &zone);
    assert_eq!(effective.zone.name(), "Asia/Manila");
}

const ZONES: [&str; 12] = [
    "America/New_York",
    "Europe/London",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Pacific/Apia",
    "Asia/Manila",
    "Asia/Beirut",
    "America/Havana",
    "Antarctica/Troll",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "Pacific/Kwajalein",
];

const DAY_MINUTES: u32 = 24 * 60;

fn clock(minute: u32) -> String {
    format!("{:02}:{:02}", minute / 60 % 24, minute % 60)
}

/// Half of the instants are within a day of a change of the clocks.
fn instant(zone: &Zone, seconds: i64, near_a_change: bool) -> Timestamp {
    let at = Timestamp::from_micros(seconds * 1_000_000).unwrap();
    if !near_a_change {
        return at;
    }
    let tz = jiff::tz::TimeZone::get(zone.name()).unwrap();
    let change = tz.following(jiff::Timestamp::from_second(seconds).unwrap()).next();
    let change = change.map_or(seconds, |change| change.timestamp().as_second());
    Timestamp::from_micros((change - 86_400 + seconds % 172_800) * 1_000_000).unwrap()
}

prop_compose! {
    fn question()(
        zone in 0..ZONES.len(), start in 0..DAY_MINUTES, length in 0..DAY_MINUTES,
        seconds in 0..2_500_000_000_i64, near: bool,
    ) -> (Zone, QuietHours, u32, Timestamp) {
        let zone = Zone::parse(ZONES[zone]).unwrap();
        let quiet = QuietHours::parse(&clock(start), &clock(start + length)).unwrap();
        let asked = instant(&zone, seconds, near);
        (zone, quiet, length, asked)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_time_is_before_the_one_asked_for_or_quiet_or_moves_again((zone, quiet, _, asked) in question()) {
        let of = |asked| EffectiveTime::of(asked, Priority::Normal, quiet, &zone).due_at;
        let due = of(asked);
        prop_assert!(due >= asked);
        prop_assert_eq!(of(due), due);
        prop_assert!(!quiet.covers(zone.reading(due).time()), "the clock reads {}", zone.reading(due));
    }

    #[test]
    fn nobody_waits_much_longer_than_a_day((zone, quiet, length, asked) in question()) {
        let waits = EffectiveTime::of(asked, Priority::Normal, quiet, &zone).due_at.since(asked);
        // A gap can swallow what is left of a day, if that is no longer than the gap; none is over two hours but
        // where a date was left out.
        let most = if length < DAY_MINUTES - 121 { 26 } else { 50 };
        prop_assert!(waits <= Duration::from_hours(most), "{waits:?}");
    }

    #[test]
    fn who_asks_later_is_not_served_earlier((zone, quiet, _, asked) in question(), minutes in 0..3_000_u64) {
        let of = |asked| EffectiveTime::of(asked, Priority::Normal, quiet, &zone).due_at;
        prop_assert!(of(asked) <= of(asked.plus(Duration::from_mins(minutes))));
    }

    #[test]
    fn the_end_that_is_waited_for_is_the_next_one((zone, quiet, _, asked) in question(), part in 0.0..1.0_f64) {
        let due = EffectiveTime::of(asked, Priority::Normal, quiet, &zone).due_at;
        let between = asked.plus(due.since(asked).mul_f64(part));
        prop_assert!(due == asked || between == due || quiet.over(between, &zone) == due);
    }
}
