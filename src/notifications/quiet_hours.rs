//! `QuietHours`: the hours of the day in which nobody wants to be disturbed. Pure.
//!
//! The window is half-open: the second it ends can be sent in. It crosses midnight when its end is not after its
//! start. Where clocks are moved, an edge in a gap is: a start, the moment of the gap; an end, later by the gap's
//! length. An end in a fold is the first of the two; and when clocks go back into the window after that, it is
//! quiet until they read its end again.

use crate::domain::{Timestamp, Zone};
use jiff::ToSpan;
use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};

/// A span of the day, on the recipient's wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct QuietHours {
    start: Time,
    end: Time,
}

/// The two times as they stand in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    start: String,
    end: String,
}

impl Default for QuietHours {
    /// From ten in the evening to eight in the morning.
    fn default() -> Self {
        Self { start: Time::constant(22, 0, 0, 0), end: Time::constant(8, 0, 0, 0) }
    }
}

impl QuietHours {
    /// No quiet at all.
    pub const OFF: Self = Self { start: Time::midnight(), end: Time::midnight() };

    /// From `start` up to and without `end`, as `22:00` or `22:00:00`; the same time twice switches them off.
    pub fn parse(start: &str, end: &str) -> Result<Self, String> {
        Ok(Self { start: time_of_day(start)?, end: time_of_day(end)? })
    }

    /// The same from minutes after midnight, as rows keep them; none for what is no time of day.
    pub fn from_minutes(start: i32, end: i32) -> Option<Self> {
        let time = |minutes: i32| {
            let hour = i8::try_from(minutes.div_euclid(60)).ok()?;
            Time::new(hour, i8::try_from(minutes.rem_euclid(60)).ok()?, 0, 0).ok()
        };
        Some(Self { start: time(start)?, end: time(end)? })
    }

    /// Minutes after midnight of both; none where seconds would be lost.
    pub fn minutes(&self) -> Option<(i32, i32)> {
        let minutes =
            |time: Time| (time.second() == 0).then(|| i32::from(time.hour()) * 60 + i32::from(time.minute()));
        Some((minutes(self.start)?, minutes(self.end)?))
    }

    /// When they begin, as `22:00:00`.
    pub fn start(&self) -> String {
        written(self.start)
    }

    /// When they end, as `08:00:00`.
    pub fn end(&self) -> String {
        written(self.end)
    }

    /// Whether there are none.
    pub fn is_off(&self) -> bool {
        self.start == self.end
    }

    /// Whether a clock that reads so is in the window.
    pub fn covers(&self, time: Time) -> bool {
        if self.start <= self.end {
            self.start <= time && time < self.end
        } else {
            time >= self.start || time < self.end
        }
    }

    /// The first instant that is not quiet, not before `at`.
    pub fn over(&self, at: Timestamp, zone: &Zone) -> Timestamp {
        let mut free = at;
        // Once, but where a gap has swallowed all that is not quiet of a day.
        while let Some(end) = self.end_of_window(free, zone).filter(|end| *end > free) {
            free = end;
        }
        free
    }

    /// When the window ends that `at` lies in; none when `at` is not quiet.
    pub fn end_of_window(&self, at: Timestamp, zone: &Zone) -> Option<Timestamp> {
        if self.is_off() {
            return None;
        }
        let reading = zone.reading(at);
        // A window starts on the day that the clock shows or on the day before; and two days before, where a whole
        // day was left out.
        let days = [0, 1, 2].into_iter().filter_map(|ago: i64| reading.date().checked_sub(ago.days()).ok());
        let mut windows = days.filter_map(|day| self.window_of(day, zone));
        windows.find(|(start, end)| *start <= at && at < *end).map(|(_, end)| end).or_else(|| {
            (zone.repeats(at) && self.covers(reading.time()))
                .then(|| zone.last_instant(self.next_end(reading)))
        })
    }

    /// The window that starts on this day: its first instant, and the first after it.
    fn window_of(&self, day: Date, zone: &Zone) -> Option<(Timestamp, Timestamp)> {
        let start = day.to_datetime(self.start);
        let last_day = if self.end > self.start { day } else { day.tomorrow().ok()? };
        Some((zone.reached(start), zone.instant(last_day.to_datetime(self.end))))
    }

    /// The first reading of the end after this reading.
    fn next_end(&self, reading: jiff::civil::DateTime) -> jiff::civil::DateTime {
        let today = reading.date();
        let day = if reading.time() < self.end { today } else { today.tomorrow().unwrap_or(today) };
        day.to_datetime(self.end)
    }
}

fn time_of_day(text: &str) -> Result<Time, String> {
    let shape = |format| Time::strptime(format, text).ok();
    // strptime takes one digit for two, and blanks.
    let well_formed = text.bytes().all(|b| b.is_ascii_digit() || b == b':');
    match text.len() {
        5 if well_formed => shape("%H:%M"),
        8 if well_formed => shape("%H:%M:%S"),
        _ => None,
    }
    .ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        format!("\"{shown}\" is not a time of day: write hours and minutes, such as 22:00.")
    })
}

fn written(time: Time) -> String {
    format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
}

impl TryFrom<Written> for QuietHours {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        Self::parse(&written.start, &written.end)
    }
}

impl From<QuietHours> for Written {
    fn from(hours: QuietHours) -> Self {
        Self { start: hours.start(), end: hours.end() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(start: &str, end: &str) -> QuietHours {
        QuietHours::parse(start, end).unwrap()
    }

    fn covered(start: &str, end: &str) -> Vec<i8> {
        let hours = hours(start, end);
        (0..24).filter(|hour| hours.covers(Time::constant(*hour, 0, 0, 0))).collect()
    }

    #[test]
    fn a_window_has_its_start_and_not_its_end_and_may_cross_midnight() {
        assert_eq!(covered("12:00", "14:00"), [12, 13]);
        assert_eq!(covered("22:00", "02:00"), [0, 1, 22, 23]);
        assert_eq!(covered("22:00", "00:00"), [22, 23]);
        assert_eq!(covered("00:00", "02:00"), [0, 1]);
        assert_eq!(covered("09:30", "09:30"), [] as [i8; 0], "the same time twice is off");
    }

    #[test]
    fn the_default_is_ten_to_eight() {
        assert_eq!(QuietHours::default(), hours("22:00", "08:00"));
        assert!(QuietHours::OFF.is_off() && !QuietHours::default().is_off());
    }

    #[test]
    fn times_are_read_with_and_without_seconds_and_written_as_a_table_holds_them() {
        let json = serde_json::to_string(&hours("22:15", "08:00:30")).unwrap();
        assert_eq!(json, r#"{"start":"22:15:00","end":"08:00:30"}"#);
        assert_eq!(serde_json::from_str::<QuietHours>(&json).unwrap(), hours("22:15:00", "08:00:30"));
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_to_write() {
        for text in ["", "8", "8:00", "24:00", "22:60", "22:00:61", "22h00", "22:00Z", " 2:00", "22:00:00.5"]
        {
            let error = QuietHours::parse(text, "08:00").unwrap_err();
            assert!(error.contains("such as 22:00"), "{text:?}: {error}");
        }
    }
}
