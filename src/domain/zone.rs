//! `Zone`: an IANA time zone (`Europe/London`), and the way between instants and what its wall clocks read. Pure.
//!
//! Where clocks are moved, a reading may never come (a gap) or come twice (a fold). Unless a method says otherwise,
//! a reading in a gap stands for the instant that is later by the gap's length, and one in a fold for the first of
//! the two, as RFC 5545 §3.3.5 has it and as calendars do.

use crate::domain::Timestamp;
use chrono::NaiveDateTime;
use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;
use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// A zone of the tz database that this build carries.
#[derive(Clone, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct Zone(TimeZone);

impl Zone {
    /// UTC: whoever has said nothing is taken to be there.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Parses a name, in letters of either case; the error says what is accepted. Offsets (`+02:00`) are refused:
    /// they know of no summer time.
    pub fn parse(name: &str) -> Result<Self, String> {
        let zone = TimeZone::get(name).ok().filter(|zone| zone.iana_name().is_some() && !zone.is_unknown());
        zone.map(Self).ok_or_else(|| {
            let shown: String = name.chars().take(60).collect();
            format!("\"{shown}\" is not a time zone: write an IANA name, such as Europe/London or UTC.")
        })
    }

    /// The zone that holds for a recipient: the user's, else the tenant's, else UTC.
    pub fn of_recipient(user: Option<&Self>, tenant: Option<&Self>) -> Self {
        user.or(tenant).cloned().unwrap_or(Self::UTC)
    }

    /// The name, as the tz database spells it.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What a wall clock reads at an instant.
    pub fn reading(&self, at: Timestamp) -> civil::DateTime {
        self.0.to_datetime(moment(at))
    }

    /// The instant at which a wall clock reads so.
    pub fn instant(&self, reading: civil::DateTime) -> Timestamp {
        stamp(self.0.to_ambiguous_timestamp(reading).compatible().unwrap_or(jiff::Timestamp::MAX))
    }

    /// The last instant at which a wall clock reads so: in a fold the second.
    pub fn last_instant(&self, reading: civil::DateTime) -> Timestamp {
        stamp(self.0.to_ambiguous_timestamp(reading).later().unwrap_or(jiff::Timestamp::MAX))
    }

    /// The instant at which a wall clock has come as far as that: of a gap, its moment.
    pub fn reached(&self, reading: civil::DateTime) -> Timestamp {
        let usual = self.instant(reading);
        if !self.skips(reading) {
            return usual;
        }
        // `preceding` leaves its argument out, and a gap may be the very instant.
        let just_after = moment(usual).checked_add(jiff::SignedDuration::from_micros(1));
        let gap = just_after.ok().and_then(|at| self.0.preceding(at).next());
        gap.map_or(usual, |transition| stamp(transition.timestamp()))
    }

    /// Whether no clock ever reads so, because it lies in a gap.
    pub fn skips(&self, reading: civil::DateTime) -> bool {
        matches!(self.0.to_ambiguous_timestamp(reading).offset(), AmbiguousOffset::Gap { .. })
    }

    /// Whether clocks read for the second time what they read at this instant.
    pub fn repeats(&self, at: Timestamp) -> bool {
        match self.0.to_ambiguous_timestamp(self.reading(at)).offset() {
            AmbiguousOffset::Fold { after, .. } => self.0.to_offset(moment(at)) == after,
            AmbiguousOffset::Gap { .. } | AmbiguousOffset::Unambiguous { .. } => false,
        }
    }

    /// The first reading that was left out by the gap in whose wake this instant lies: by less than the gap's
    /// length.
    pub fn in_wake_of_gap(&self, at: Timestamp) -> Option<civil::DateTime> {
        let just_after = moment(at).checked_add(jiff::SignedDuration::from_micros(1)).ok()?;
        let gap = self.0.preceding(just_after).next()?.timestamp();
        let before = self.0.to_offset(gap.checked_sub(jiff::SignedDuration::from_micros(1)).ok()?);
        let first_left_out = before.to_datetime(gap);
        (self.skips(first_left_out) && before.to_datetime(moment(at)) < self.reading(stamp(gap)))
            .then_some(first_left_out)
    }
}

/// The same instant as jiff keeps it.
fn moment(at: Timestamp) -> jiff::Timestamp {
    let end = if at.micros() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_microsecond(at.micros()).unwrap_or(end)
}

/// The same instant as we keep it. jiff's years end with 9999, which ours hold.
fn stamp(at: jiff::Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_microsecond()).unwrap_or_else(|| Timestamp::from_utc(NaiveDateTime::MAX))
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<DB: Backend> ToSql<Text, DB> for Zone
where
    str: ToSql<Text, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        self.name().to_sql(out)
    }
}

impl<DB: Backend> FromSql<Text, DB> for Zone
where
    String: FromSql<Text, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Self::parse(&String::from_sql(bytes)?).map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::parse(name).unwrap()
    }

    fn reading(text: &str) -> civil::DateTime {
        text.parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_name_is_read_in_any_case_and_written_as_the_database_spells_it() {
        assert_eq!(zone("america/new_york").name(), "America/New_York");
        assert_eq!(zone("UTC"), Zone::UTC);
        assert_eq!(serde_json::from_str::<Zone>("\"Asia/Manila\"").unwrap(), zone("Asia/Manila"));
        assert_eq!(serde_json::to_string(&zone("Asia/Manila")).unwrap(), "\"Asia/Manila\"");
    }

    #[test]
    fn what_is_no_name_of_a_zone_is_refused_with_what_to_write() {
        for name in ["", "Mars/Base", "+02:00", "UTC+2", "Europe/London ", "../etc/passwd", "Etc/Unknown"] {
            let error = Zone::parse(name).unwrap_err();
            assert!(error.contains("write an IANA name"), "{name:?}: {error}");
        }
        assert!(Zone::parse(&"x".repeat(9_000)).unwrap_err().len() < 200, "it does not echo everything");
    }

    #[test]
    fn a_user_comes_before_a_tenant_and_both_before_utc() {
        let (london, cairo) = (zone("Europe/London"), zone("Africa/Cairo"));
        assert_eq!(Zone::of_recipient(Some(&london), Some(&cairo)), london);
        assert_eq!(Zone::of_recipient(None, Some(&cairo)), cairo);
        assert_eq!(Zone::of_recipient(None, None), Zone::UTC);
    }

    #[test]
    fn a_reading_in_a_gap_is_later_by_the_gap_and_one_in_a_fold_is_the_first() {
        let new_york = zone("America/New_York");
        assert_eq!(new_york.instant(reading("2026-03-08T02:30")), at("2026-03-08T07:30:00Z"));
        assert_eq!(new_york.reached(reading("2026-03-08T02:30")), at("2026-03-08T07:00:00Z"));
        assert_eq!(new_york.reached(reading("2026-03-08T02:00")), at("2026-03-08T07:00:00Z"));
        assert_eq!(new_york.reached(reading("2026-03-08T04:00")), at("2026-03-08T08:00:00Z"));
        assert_eq!(new_york.instant(reading("2026-11-01T01:30")), at("2026-11-01T05:30:00Z"));
        assert_eq!(new_york.last_instant(reading("2026-11-01T01:30")), at("2026-11-01T06:30:00Z"));
    }

    #[test]
    fn a_fold_is_repeated_only_the_second_time() {
        let new_york = zone("America/New_York");
        assert!(!new_york.repeats(at("2026-11-01T05:30:00Z")));
        assert!(new_york.repeats(at("2026-11-01T06:30:00Z")));
        assert!(!new_york.repeats(at("2026-11-01T07:30:00Z")));
    }

    #[test]
    fn a_gap_has_a_wake_of_its_own_length() {
        let wake = |name: &str, when: &str| zone(name).in_wake_of_gap(at(when)).map(|r| r.to_string());
        let first = Some("2026-03-08T02:00:00".to_owned());
        assert_eq!(wake("America/New_York", "2026-03-08T06:59:59Z"), None);
        assert_eq!(wake("America/New_York", "2026-03-08T07:00:00Z"), first);
        assert_eq!(wake("America/New_York", "2026-03-08T07:59:59Z"), first);
        assert_eq!(wake("America/New_York", "2026-03-08T08:00:00Z"), None);
        assert_eq!(wake("America/New_York", "2026-11-01T06:30:00Z"), None, "a fold has none");
        assert_eq!(wake("Pacific/Apia", "2011-12-30T20:00:00Z"), Some("2011-12-30T00:00:00".to_owned()));
        assert_eq!(wake("UTC", "2026-03-08T07:00:00Z"), None);
    }
}
