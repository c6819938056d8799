//! `Report`: the counters of an endpoint over an hour, a day or thirty days, read for its owner.

use super::histogram::{as_float, percentile};
use super::{HOUR, MINUTE, begin};
use crate::domain::{EndpointId, Result, Timestamp};
use crate::storage::schema::{webhook_deliveries, webhook_stats};
use crate::storage::{Conn, on_conn};
use crate::webhooks::delivery::Pending;
use crate::webhooks::endpoint::{BreakerView, breaker};
use crate::webhooks::outcome::Outcome;
use diesel::dsl::{min, sql};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;
use {webhook_deliveries as d, webhook_stats as s};

/// Where counting what waits ends: so many stand for more.
const MOST_PENDING: i64 = 100_000;

/// Over which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// The present minute and the 59 before it.
    Hour,
    /// The present hour and the 23 before it.
    Day,
    /// The present hour and the 719 before it: thirty days.
    Month,
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "hour" => Ok(Self::Hour),
            "day" => Ok(Self::Day),
            "month" => Ok(Self::Month),
            _ => Err("The period must be hour, day or month.".to_owned()),
        }
    }
}

impl Period {
    /// Which rows answer it, and since when.
    fn rows(self, now: Timestamp) -> (&'static str, Timestamp) {
        match self {
            Self::Hour => ("minute", begin(now, MINUTE).minus(Duration::from_mins(59))),
            Self::Day => ("hour", begin(now, HOUR).minus(Duration::from_hours(23))),
            Self::Month => ("hour", begin(now, HOUR).minus(Duration::from_hours(719))),
        }
    }
}

/// How the sending to an endpoint goes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Over which time.
    pub period: Period,
    /// Since when.
    pub since: Timestamp,
    /// Attempts that were made.
    pub attempts: i64,
    /// Of these, from 0 to 1, those that the endpoint accepted; null of none.
    pub success_rate: Option<f64>,
    /// From dialling to the end of an attempt; null of none.
    pub average_response_ms: Option<f64>,
    /// What 95 % of the attempts did not exceed, within the bounds of its histogram's bucket; null of none.
    pub p95_response_ms: Option<f64>,
    /// Attempts that were not the first of their delivery.
    pub retries: i64,
    /// Deliveries that were given up.
    pub exhausted: i64,
    /// Attempts by `ok`, or the class of the failure.
    pub outcomes: BTreeMap<String, i64>,
    /// Deliveries that wait now; 100,000 stands for that many or more.
    pub pending: i64,
    /// When the one that waits longest was or is to be tried.
    pub oldest_due_at: Option<Timestamp>,
    /// What the breaker does.
    pub breaker: BreakerView,
}

#[derive(Queryable)]
struct Bucket {
    outcome: String,
    is_retry: bool,
    le_ms: i32,
    attempts: i64,
    exhausted: i64,
    duration_ms: i64,
}

/// The figures of an endpoint over the time that ends `now`.
pub async fn report(conn: &mut Conn, endpoint: EndpointId, period: Period, now: Timestamp) -> Result<Report> {
    let (rows, since) = period.rows(now);
    let buckets = buckets(conn, endpoint, rows, since).await?;
    let (pending, oldest_due_at) = waiting(conn, endpoint).await?;
    let breaker = breaker(conn, endpoint).await?;
    Ok(Report { pending, oldest_due_at, breaker, ..figures(period, since, &buckets) })
}

async fn buckets(
    conn: &mut Conn,
    endpoint: EndpointId,
    period: &str,
    since: Timestamp,
) -> Result<Vec<Bucket>> {
    // The sum of whole numbers is of another type on PostgreSQL.
    let query = s::table
        .filter(s::webhook_id.eq(endpoint).and(s::period.eq(period)).and(s::starts_at.ge(since)))
        .group_by((s::outcome, s::is_retry, s::le_ms))
        .select((
            s::outcome,
            s::is_retry,
            s::le_ms,
            sql::<BigInt>("CAST(sum(attempts) AS BIGINT)"),
            sql::<BigInt>("CAST(sum(exhausted) AS BIGINT)"),
            sql::<BigInt>("CAST(sum(duration_ms) AS BIGINT)"),
        ));
    Ok(on_conn!(conn, c => query.load(c).await)?)
}

/// How many wait, and since when.
async fn waiting(conn: &mut Conn, endpoint: EndpointId) -> Result<(i64, Option<Timestamp>)> {
    let oldest = d::table.filter(d::webhook_id.eq(endpoint)).filter(Pending).select(min(d::due_at));
    let oldest: Option<Timestamp> = on_conn!(conn, c => oldest.first(c).await)?;
    let Some(oldest) = oldest else { return Ok((0, None)) };
    Ok((count_pending(conn, endpoint).await?, Some(oldest)))
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// As text: diesel does not count what a limit leaves.
async fn count_pending(conn: &mut Conn, endpoint: EndpointId) -> Result<i64> {
    let query = format!(
        "SELECT count(*) AS count FROM (SELECT 1 FROM webhook_deliveries \
         WHERE webhook_id = {endpoint} AND status = 'pending' LIMIT {MOST_PENDING}) AS waiting"
    );
    let count: Count = on_conn!(conn, c => diesel::sql_query(query).get_result(c).await)?;
    Ok(count.count)
}

/// What the counters say; nothing waits and the breaker is closed.
fn figures(period: Period, since: Timestamp, buckets: &[Bucket]) -> Report {
    let sum = |of: fn(&Bucket) -> i64| buckets.iter().map(of).sum::<i64>();
    let attempts = sum(|b| b.attempts);
    let mut outcomes: BTreeMap<String, i64> = BTreeMap::new();
    for bucket in buckets {
        *outcomes.entry(bucket.outcome.clone()).or_default() += bucket.attempts;
    }
    let accepted = outcomes.get(Outcome::Ok.as_str()).copied().unwrap_or(0);
    let share = |of: i64| (attempts > 0).then(|| as_float(of) / as_float(attempts));
    let durations: Vec<(i32, i64)> = merged(buckets);
    Report {
        period,
        since,
        attempts,
        success_rate: share(accepted),
        average_response_ms: share(sum(|b| b.duration_ms)),
        p95_response_ms: percentile(&durations, 0.95),
        retries: buckets.iter().filter(|b| b.is_retry).map(|b| b.attempts).sum(),
        exhausted: sum(|b| b.exhausted),
        outcomes,
        pending: 0,
        oldest_due_at: None,
        breaker: BreakerView::closed(),
    }
}

/// Attempts by the bound of their bucket, whatever their outcome.
fn merged(buckets: &[Bucket]) -> Vec<(i32, i64)> {
    let mut merged: BTreeMap<i32, i64> = BTreeMap::new();
    for bucket in buckets {
        *merged.entry(bucket.le_ms).or_default() += bucket.attempts;
    }
    merged.into_iter().collect()
}
