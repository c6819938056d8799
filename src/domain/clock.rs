//! `Timestamp` (UTC, microseconds) and `Clock`, the only place that asks the system what time it is.

use chrono::{DateTime, Datelike, NaiveDateTime, SubsecRound, TimeDelta, Utc};
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// An instant in UTC with microseconds, as both databases keep it. On the wire it is RFC 3339 with `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Timestamp)]
pub struct Timestamp(NaiveDateTime);

impl Timestamp {
    /// The instant of a UTC date and time; digits below microseconds are cut, as the databases would.
    pub fn from_utc(naive: NaiveDateTime) -> Self {
        Self(naive.trunc_subsecs(6))
    }

    /// The date and time in UTC without a zone, as the tables hold it.
    pub fn utc(self) -> NaiveDateTime {
        self.0
    }

    /// Microseconds since 1970; `None` is never reached for a date a database can hold.
    pub fn from_micros(micros: i64) -> Option<Self> {
        DateTime::from_timestamp_micros(micros).map(|t| Self(t.naive_utc()))
    }

    /// Microseconds since 1970.
    pub fn micros(self) -> i64 {
        self.0.and_utc().timestamp_micros()
    }

    /// Whole seconds since 1970, as signatures and `webhook-timestamp` use it.
    pub fn unix_seconds(self) -> i64 {
        self.0.and_utc().timestamp()
    }

    /// Parses RFC 3339 with any offset. Years before 1970 and after 9999 are refused: kept as text, as SQLite
    /// keeps it, they would not sort.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let utc = DateTime::parse_from_rfc3339(text).ok()?.naive_utc();
        (1970..=9999).contains(&utc.year()).then(|| Self::from_utc(utc))
    }

    /// This instant cut to whole seconds, as Laravel writes its columns.
    #[must_use]
    pub fn whole_seconds(self) -> Self {
        Self(self.0.trunc_subsecs(0))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        (self.0 - earlier.0).to_std().unwrap_or_default()
    }

    /// This instant moved on; a result out of range stays at this instant.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let moved = TimeDelta::from_std(by).ok().and_then(|d| self.0.checked_add_signed(d));
        Self(moved.unwrap_or(self.0))
    }

    /// This instant moved back; a result out of range stays at this instant.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        let moved = TimeDelta::from_std(by).ok().and_then(|d| self.0.checked_sub_signed(d));
        Self(moved.unwrap_or(self.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%dT%H:%M:%S%.6fZ"))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_rfc3339(&text)
            .ok_or_else(|| serde::de::Error::custom("expected an RFC 3339 date and time"))
    }
}

/// Tells the time: the system's, or one that a test sets and moves.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands until it is told to move; microseconds since 1970.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `at`.
    pub fn fixed(at: Timestamp) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(at.micros())))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        let system = || Timestamp::from_utc(Utc::now().naive_utc());
        match self {
            Self::System => system(),
            Self::Fixed(micros) => {
                Timestamp::from_micros(micros.load(Ordering::Relaxed)).unwrap_or_else(system)
            }
        }
    }

    /// Moves a fixed clock on; the system's clock is not ours to move.
    pub fn advance(&self, by: Duration) {
        if let Self::Fixed(micros) = self {
            let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            micros.fetch_add(by, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_reads_back_what_it_writes() {
        let at = Timestamp::parse_rfc3339("2026-03-01T10:00:00.123456+02:00").unwrap();
        assert_eq!(at.to_string(), "2026-03-01T08:00:00.123456Z");
        assert_eq!(Timestamp::parse_rfc3339(&at.to_string()), Some(at));
        assert_eq!(Timestamp::from_micros(at.micros()), Some(at));
    }

    #[test]
    fn a_year_that_would_not_sort_as_text_is_refused() {
        for text in ["0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00"] {
            assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn time_since_something_later_is_zero() {
        let at = Timestamp::from_micros(0).unwrap();
        assert_eq!(at.since(at.plus(Duration::from_secs(5))), Duration::ZERO);
        assert_eq!(at.plus(Duration::from_secs(5)).since(at), Duration::from_secs(5));
    }

    #[test]
    fn a_fixed_clock_moves_only_when_told() {
        let clock = Clock::fixed(Timestamp::from_micros(0).unwrap());
        clock.advance(Duration::from_mins(1));
        assert_eq!(clock.now().unix_seconds(), 60);
    }
}
