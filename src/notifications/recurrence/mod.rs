//! `Recurrence`: when something happens again and again, by a cron expression on the recipient's wall clock. Pure.
//!
//! The `cron` crate finds the readings, and is asked as if the wall clock were UTC: in a zone with summer time it
//! skips what lies in a gap, fires twice in a fold and comes out of order. [`Zone`] then says which instants the
//! readings are: one in a gap fires later by its length, one in a fold the first time only.

mod expression;
mod field;
#[cfg(test)]
mod tests;

use crate::domain::{Timestamp, Zone};
use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};
use cron::Schedule;
use expression::Expression;
use jiff::{ToSpan, civil};
use std::str::FromStr;
use std::time::Duration;

/// What a recurrence may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecurrenceRule {
    /// No two times of one day may be closer; changes of the clocks apart.
    pub at_most_every: Duration,
}

impl Default for RecurrenceRule {
    fn default() -> Self {
        Self { at_most_every: Duration::from_mins(1) }
    }
}

/// A cron expression that fires, and not too often.
#[derive(Debug, Clone)]
pub struct Recurrence {
    written: String,
    /// Two where it says a day of the month or a day of the week: it fires when either does.
    schedules: Vec<Schedule>,
}

impl Recurrence {
    /// Parses five fields as crontab(5) has them (minute, hour, day of the month, month, day of the week, of which
    /// 0 and 7 are Sunday), six with the second before them, or `@yearly`, `@monthly`, `@weekly`, `@daily`,
    /// `@hourly`. The error names the field and says what is accepted.
    pub fn parse(text: &str, rule: RecurrenceRule) -> Result<Self, String> {
        let expression = Expression::parse(text)?;
        expression.check_rate(rule.at_most_every)?;
        let schedules: Result<Vec<_>, _> =
            expression.for_crate().iter().map(|e| Schedule::from_str(e)).collect();
        let schedules = schedules.map_err(|e| format!("\"{text}\" is not a cron expression: {e}"))?;
        let recurrence = Self { written: text.trim().to_owned(), schedules };
        // Leap years are among the years after this one.
        let some_time = civil::date(2000, 1, 1).at(0, 0, 0, 0);
        if recurrence.reading_after(some_time).is_none() {
            return Err(format!(
                "The day of the month field of \"{text}\" names a day that none of its months has: it would never fire."
            ));
        }
        Ok(recurrence)
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The first time after `after`, in a zone; none when there is no other before the year 2101.
    pub fn next_after(&self, after: Timestamp, zone: &Zone) -> Option<Timestamp> {
        // What a gap has left out comes later than what is read after it: it has to be looked at again.
        let left_out = zone.in_wake_of_gap(after).and_then(|first| first.checked_sub(1.second()).ok());
        let mut reading = left_out.unwrap_or_else(|| zone.reading(after));
        let mut first = None;
        while let Some(next) = self.reading_after(reading) {
            let at = zone.instant(next);
            if at > after {
                first = Some(first.map_or(at, |other: Timestamp| other.min(at)));
                if !zone.skips(next) {
                    break;
                }
            }
            reading = next;
        }
        first
    }

    /// All times after `after`, each later than the one before.
    pub fn times_after(&self, after: Timestamp, zone: &Zone) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next_after(after, zone), |last| self.next_after(*last, zone))
    }

    /// The first reading of a wall clock after this one, were there no changes of the clocks.
    fn reading_after(&self, reading: civil::DateTime) -> Option<civil::DateTime> {
        let after = as_if_utc(reading)?;
        let next = self.schedules.iter().filter_map(|schedule| schedule.after(&after).next()).min()?;
        reading_of(next)
    }
}

fn as_if_utc(reading: civil::DateTime) -> Option<DateTime<Utc>> {
    let unsigned = |n: i8| u32::from(n.unsigned_abs());
    let date =
        NaiveDate::from_ymd_opt(reading.year().into(), unsigned(reading.month()), unsigned(reading.day()))?;
    let (hour, minute, second) = (reading.hour(), reading.minute(), reading.second());
    let nanos = reading.subsec_nanosecond().unsigned_abs();
    Some(date.and_hms_nano_opt(unsigned(hour), unsigned(minute), unsigned(second), nanos)?.and_utc())
}

fn reading_of(time: DateTime<Utc>) -> Option<civil::DateTime> {
    let small = |n: u32| i8::try_from(n).ok();
    civil::DateTime::new(
        i16::try_from(time.year()).ok()?,
        small(time.month())?,
        small(time.day())?,
        small(time.hour())?,
        small(time.minute())?,
        small(time.second())?,
        0,
    )
    .ok()
}
