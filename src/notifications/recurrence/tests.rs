//! What people write in crontabs, on the days on which clocks are moved.

use super::*;
use proptest::prelude::*;

fn recurrence(text: &str) -> Recurrence {
    Recurrence::parse(text, RecurrenceRule::default()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn refused(text: &str) -> String {
    Recurrence::parse(text, RecurrenceRule::default()).unwrap_err()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn times(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let zone = Zone::parse(zone).unwrap();
    let times = recurrence(text).times_after(at(after), &zone).take(count).collect::<Vec<_>>();
    times.iter().map(|t| t.to_string()[5..16].replace('T', " ")).collect()
}

#[test]
fn a_gap_delays_by_its_length() {
    let daily = times("30 2 * * *", "America/New_York", "2026-03-07T00:00:00Z", 3);
    assert_eq!(daily, ["03-07 07:30", "03-08 07:30", "03-09 06:30"]);
    let six = times("0 30 2 * * *", "America/New_York", "2026-03-07T00:00:00Z", 3);
    assert_eq!(six, daily);
}

#[test]
fn a_fold_fires_the_first_time_only() {
    let daily = times("30 1 * * *", "America/New_York", "2026-10-31T00:00:00Z", 3);
    assert_eq!(daily, ["10-31 05:30", "11-01 05:30", "11-02 06:30"]);
    let half_hours = times("*/30 * * * *", "America/New_York", "2026-11-01T04:45:00Z", 4);
    assert_eq!(half_hours, ["11-01 05:00", "11-01 05:30", "11-01 07:00", "11-01 07:30"]);
    let from_within = times("*/30 * * * *", "America/New_York", "2026-11-01T06:10:00Z", 1);
    assert_eq!(from_within, ["11-01 07:00"]);
}

#[test]
fn what_a_gap_delayed_comes_in_its_order_among_the_others() {
    let quarters = times("*/15 * * * *", "America/New_York", "2026-03-08T06:45:00Z", 5);
    assert_eq!(quarters, ["03-08 07:00", "03-08 07:15", "03-08 07:30", "03-08 07:45", "03-08 08:00"]);
    let odd = times("50,20 2,3 * * *", "America/New_York", "2026-03-08T00:00:00Z", 3);
    assert_eq!(odd, ["03-08 07:20", "03-08 07:50", "03-09 06:20"]);
    let crossed = times("50 2 * * *", "America/New_York", "2026-03-08T07:20:00Z", 1);
    assert_eq!(crossed, ["03-08 07:50"], "asked between the gap and the delayed time");
}

#[test]
fn other_clocks_are_moved_otherwise() {
    assert_eq!(
        times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2),
        ["10-03 15:45", "10-04 15:15"]
    );
    assert_eq!(times("0 0 * * *", "Africa/Cairo", "2026-04-23T00:00:00Z", 2), ["04-23 22:00", "04-24 21:00"]);
    assert_eq!(
        times("0 8 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3),
        ["12-29 18:00", "12-30 18:00", "12-31 18:00"],
        "eight o'clock of the day that was left out is that of the next: it fires once"
    );
    assert_eq!(
        times("0 9 * * 1-5", "Asia/Manila", "2026-11-20T02:00:00Z", 2),
        ["11-23 01:00", "11-24 01:00"]
    );
}

/// The days of a week, from Sunday 1 March 2026, on which it fires.
fn weekdays(text: &str) -> String {
    let recurrence = recurrence(text);
    let start = at("2026-02-28T23:59:59Z");
    let end = at("2026-03-08T00:00:00Z");
    let utc = Zone::UTC;
    let times = recurrence.times_after(start, &utc).take_while(|t| *t < end);
    times.map(|t| (t.to_string()[8..10]).parse::<u8>().unwrap() - 1).map(|day| day.to_string()).collect()
}

#[test]
fn days_of_the_week_are_counted_as_in_crontabs() {
    for (text, expected) in [
        ("0 9 * * 0", "0"),
        ("0 9 * * 7", "0"),
        ("0 9 * * 1", "1"),
        ("0 9 * * 1-5", "12345"),
        ("0 9 * * 5-7", "056"),
        ("0 9 * * FRI-SUN", "056"),
        ("0 9 * * mon,Wednesday", "13"),
        ("0 9 * * */2", "0246"),
        ("0 9 ? * 6", "6"),
        ("0 0 9 * * 6", "6"),
        ("@weekly", "0"),
        ("@daily", "0123456"),
        ("@midnight", "0123456"),
    ] {
        assert_eq!(weekdays(text), expected, "{text}");
    }
}

#[test]
fn either_day_is_enough_as_in_crontabs_but_not_where_one_begins_with_a_star() {
    let next = |text| times(text, "UTC", "2026-11-01T00:00:00Z", 4);
    assert_eq!(next("0 0 13 * FRI"), ["11-06 00:00", "11-13 00:00", "11-20 00:00", "11-27 00:00"]);
    assert_eq!(next("0 0 12 * FRI"), ["11-06 00:00", "11-12 00:00", "11-13 00:00", "11-20 00:00"]);
    assert_eq!(next("0 0 */13 * FRI"), ["11-27 00:00", "01-01 00:00", "05-14 00:00", "08-27 00:00"]);
}

#[test]
fn short_hands_and_rare_days_fire() {
    assert_eq!(times("@hourly", "Asia/Kathmandu", "2026-01-01T00:00:00Z", 2), ["01-01 00:15", "01-01 01:15"]);
    assert_eq!(times("@monthly", "UTC", "2026-01-01T00:00:00Z", 2), ["02-01 00:00", "03-01 00:00"]);
    assert_eq!(times("@yearly", "UTC", "2026-01-02T00:00:00Z", 1), ["01-01 00:00"]);
    assert_eq!(times("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 1), ["02-29 00:00"]);
    assert_eq!(
        times("5/20 10-11 * JAN *", "UTC", "2026-01-01T10:30:00Z", 3),
        ["01-01 10:45", "01-01 11:05", "01-01 11:25"]
    );
}

#[test]
fn an_error_names_the_field_and_what_it_takes() {
    for (text, names) in [
        ("60 * * * *", "minute field"),
        ("* 24 * * *", "hour field"),
        ("* * 0 * *", "day of the month field"),
        ("* * L * *", "day of the month field"),
        ("* * * 13 *", "month field"),
        ("* * * * 8", "day of the week field"),
        ("* * * * MON#2", "day of the week field"),
        ("*/0 * * * *", "minute field"),
        ("+5 * * * *", "minute field"),
        ("? * * * *", "minute field"),
        ("1,,2 * * * *", "minute field"),
        ("* 22-2 * * *", "runs backwards"),
        ("* * * *", "has 4 fields"),
        ("0 0 0 1 1 * 2030", "has 7 fields"),
        ("", "has 0 fields"),
        ("@reboot", "@hourly"),
    ] {
        let error = refused(text);
        assert!(error.contains(names), "{text:?}: {error}");
    }
    assert!(refused(&"1,".repeat(9_000)).len() < 200);
}

#[test]
fn what_never_fires_is_refused() {
    for text in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 30 FEB ?"] {
        assert!(refused(text).contains("never fire"), "{text}");
    }
    assert!(recurrence("0 0 30 2 MON").next_after(at("2026-03-01T00:00:00Z"), &Zone::UTC).is_some());
}

#[test]
fn what_fires_too_often_is_refused() {
    assert!(refused("* * * * * *").contains("second field"));
    assert!(refused("0,30 0 9 * * *").contains("30 s after"));
    assert!(Recurrence::parse("* * * * *", RecurrenceRule::default()).is_ok());
    let hourly = RecurrenceRule { at_most_every: Duration::from_hours(1) };
    assert!(Recurrence::parse("*/30 * * * *", hourly).unwrap_err().contains("minute field"));
    assert!(Recurrence::parse("0 0,23 * * *", hourly).is_ok());
    let in_two_hours = RecurrenceRule { at_most_every: Duration::from_hours(2) };
    assert!(Recurrence::parse("0 0,23 * * *", in_two_hours).unwrap_err().contains("hour field"));
}

const ZONES: [&str; 7] = [
    "America/New_York",
    "Europe/London",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Pacific/Apia",
    "Asia/Manila",
    "America/Havana",
];

const EXPRESSIONS: [&str; 9] = [
    "*/7 * * * *",
    "30 2 * * *",
    "15,45 0-3 * * *",
    "0 0 * * *",
    "59 23 * * 6,7",
    "0 */5 * * 1",
    "20 0 0 1,15 * *",
    "0 0 13 * FRI",
    "10 1 29 2 *",
];

proptest! {
    #[test]
    fn times_grow_strictly_and_are_what_was_asked_for(
        expression in 0..EXPRESSIONS.len(), zone in 0..ZONES.len(), seconds in 0..2_000_000_000_i64, near: bool,
    ) {
        let zone = Zone::parse(ZONES[zone]).unwrap();
        let tz = jiff::tz::TimeZone::get(zone.name()).unwrap();
        let change = tz.following(jiff::Timestamp::from_second(seconds).unwrap()).next();
        let change = change.map_or(seconds, |change| change.timestamp().as_second());
        let start = if near { change - 10_000 + seconds % 20_000 } else { seconds };
        let mut last = Timestamp::from_micros(start * 1_000_000).unwrap();
        let recurrence = recurrence(EXPRESSIONS[expression]);
        for next in recurrence.times_after(last, &zone).take(40).collect::<Vec<_>>() {
            prop_assert!(next > last, "{next} after {last}");
            // Read back, it is a time of the expression, or what a gap made of one.
            let reading = zone.reading(next);
            let before = reading.checked_sub(1.second()).unwrap();
            prop_assert!(
                recurrence.reading_after(before) == Some(reading) || zone.in_wake_of_gap(next).is_some(),
                "{reading} is no time of it"
            );
            prop_assert!(!zone.repeats(next), "it fires again in a fold");
            last = next;
        }
    }

    #[test]
    fn nothing_is_left_out_where_no_clock_is_moved(
        minute in 0..60_u8, hour in 0..24_u8, seconds in 0..2_000_000_000_i64,
    ) {
        let start = Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let daily = recurrence(&format!("{minute} {hour} * * *"));
        let times: Vec<i64> =
            daily.times_after(start, &Zone::UTC).take(3).map(Timestamp::unix_seconds).collect();
        let offset = i64::from(hour) * 3_600 + i64::from(minute) * 60;
        prop_assert_eq!(times[0].rem_euclid(86_400), offset);
        prop_assert!(times[0] > seconds && times[0] <= seconds + 86_400);
        prop_assert_eq!((times[1] - times[0], times[2] - times[1]), (86_400, 86_400));
    }

    #[test]
    fn no_text_makes_the_parser_do_anything_but_answer(text in "[0-9a-zA-Z*/,?@# -]{0,40}") {
        if let Ok(recurrence) = Recurrence::parse(&text, RecurrenceRule::default()) {
            let start = at("2026-01-01T00:00:00Z");
            prop_assert!(recurrence.next_after(start, &Zone::UTC).is_none_or(|next| next > start));
        }
    }
}
