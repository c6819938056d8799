//! `TimeRange`: rows that were made in a span of time, found by their ids.
//!
//! Neither table is searched by time for one endpoint. But ids grow with time, give or take what clocks of several
//! processes differ by and a transaction lasts: so a span of time is a span of ids, with some rows too many at its
//! ends, which [`TimeRange::contains`] then leaves out.

use crate::domain::{DeliveryId, EventId, Result, Timestamp};
use crate::storage::schema::{events, webhook_deliveries};
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// No two clocks of one database are further apart, and no transaction lasts longer.
const SLACK: Duration = Duration::from_mins(10);

/// From `since`, up to and without `until`. What is not said is not bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// The first instant in it.
    pub since: Option<Timestamp>,
    /// The first instant after it.
    pub until: Option<Timestamp>,
}

impl TimeRange {
    /// Whether it has this instant.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }

    /// All deliveries of the range, of whatever endpoint, have ids from the first up to and without the second.
    pub(super) async fn deliveries(&self, conn: &mut Conn) -> Result<(DeliveryId, DeliveryId)> {
        let from = match self.since {
            Some(since) => first_delivery(conn, since.minus(SLACK)).await?,
            None => DeliveryId(0),
        };
        let to = match self.until {
            Some(until) => first_delivery(conn, until.plus(SLACK)).await?,
            None => DeliveryId(i64::MAX),
        };
        Ok((from, to))
    }

    /// The same of events.
    pub(super) async fn events(&self, conn: &mut Conn) -> Result<(EventId, EventId)> {
        let from = match self.since {
            Some(since) => first_event(conn, since.minus(SLACK)).await?,
            None => EventId(0),
        };
        let to = match self.until {
            Some(until) => first_event(conn, until.plus(SLACK)).await?,
            None => EventId(i64::MAX),
        };
        Ok((from, to))
    }
}

/// The first delivery made at `at` or later; found in some twenty looks at the primary key.
async fn first_delivery(conn: &mut Conn, at: Timestamp) -> Result<DeliveryId> {
    use webhook_deliveries as d;
    let ends = d::table.select((diesel::dsl::min(d::id), diesel::dsl::max(d::id)));
    let ends: (Option<i64>, Option<i64>) = on_conn!(conn, c => ends.first(c).await)?;
    let (Some(mut low), Some(last)) = ends else { return Ok(DeliveryId(i64::MAX)) };
    let mut high = last.saturating_add(1);
    while low < high {
        let middle = low + (high - low) / 2;
        let row = d::table.filter(d::id.ge(middle)).order(d::id).select((d::id, d::created_at));
        let row: Option<(i64, Timestamp)> = on_conn!(conn, c => row.first(c).await.optional())?;
        match row {
            Some((id, made)) if made < at => low = id + 1,
            _ => high = middle,
        }
    }
    Ok(DeliveryId(low))
}

/// The first event made at `at` or later, which an index knows.
async fn first_event(conn: &mut Conn, at: Timestamp) -> Result<EventId> {
    let query = events::table
        .filter(events::created_at.ge(at))
        .order((events::created_at, events::id))
        .select(events::id);
    let first: Option<EventId> = on_conn!(conn, c => query.first(c).await.optional())?;
    Ok(first.unwrap_or(EventId(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_its_beginning_and_not_its_end() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let range = TimeRange { since: Some(at(10)), until: Some(at(20)) };
        let inside: Vec<i64> = [9, 10, 19, 20].into_iter().filter(|s| range.contains(at(*s))).collect();
        assert_eq!(inside, [10, 19]);
        assert!(TimeRange::default().contains(at(0)));
    }
}
