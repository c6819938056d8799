//! How the sending to an endpoint goes: counters by minute and by hour in `webhook_stats`, added to in the
//! transaction that writes the attempts down, so that no question is answered by counting logs.
//!
//! Rows are added to in the order of their keys: two processes that touch the same ones wait for each other, and
//! never for ever.

mod histogram;
mod report;

pub use report::{Period, Report, report};

use super::delivery_log::Attempt;
use super::judgement::Verdict;
use super::outcome::Outcome;
use crate::domain::{EndpointId, Result, Timestamp};
use crate::storage::schema::webhook_stats;
use crate::storage::{Conn, execute_rows};
use diesel::prelude::*;
use diesel::upsert::excluded;
use std::collections::BTreeMap;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

/// What a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    endpoint: EndpointId,
    period: &'static str,
    starts_at: Timestamp,
    outcome: &'static str,
    is_retry: bool,
    le_ms: i32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    attempts: i64,
    exhausted: i64,
    duration_ms: i64,
}

#[derive(Insertable)]
#[diesel(table_name = webhook_stats, treat_none_as_default_value = false)]
struct Row {
    webhook_id: EndpointId,
    period: &'static str,
    starts_at: Timestamp,
    outcome: &'static str,
    is_retry: bool,
    le_ms: i32,
    attempts: i64,
    exhausted: i64,
    duration_ms: i64,
}

/// Adds attempts that counted. Call it in the transaction that writes them down.
pub(super) async fn count(conn: &mut Conn, attempts: impl Iterator<Item = &Attempt>) -> Result<()> {
    let sums = sums(attempts);
    if sums.is_empty() {
        return Ok(());
    }
    add(conn, sums.into_iter().map(Row::from).collect()).await
}

fn sums<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> BTreeMap<Key, Sum> {
    let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
    for attempt in attempts {
        let duration_ms = i64::try_from(attempt.report.duration.as_millis()).unwrap_or(i64::MAX);
        for (period, length) in [("minute", MINUTE), ("hour", HOUR)] {
            let key = Key {
                endpoint: attempt.endpoint,
                period,
                starts_at: begin(attempt.at, length),
                outcome: Outcome::as_str(attempt.report.outcome),
                is_retry: attempt.is_retry(),
                le_ms: histogram::bound_of(duration_ms),
            };
            let sum = sums.entry(key).or_default();
            sum.attempts += 1;
            sum.exhausted += i64::from(attempt.judgement.verdict == Verdict::Failed);
            sum.duration_ms = sum.duration_ms.saturating_add(duration_ms);
        }
    }
    sums
}

/// The beginning of the minute or hour that `at` is in.
fn begin(at: Timestamp, length: i64) -> Timestamp {
    let micros = at.micros();
    Timestamp::from_micros(micros - micros.rem_euclid(length)).unwrap_or(at)
}

impl From<(Key, Sum)> for Row {
    fn from((key, sum): (Key, Sum)) -> Self {
        Self {
            webhook_id: key.endpoint,
            period: key.period,
            starts_at: key.starts_at,
            outcome: key.outcome,
            is_retry: key.is_retry,
            le_ms: key.le_ms,
            attempts: sum.attempts,
            exhausted: sum.exhausted,
            duration_ms: sum.duration_ms,
        }
    }
}

/// All rows in one statement.
async fn add(conn: &mut Conn, rows: Vec<Row>) -> Result<()> {
    use webhook_stats as s;
    let key = (s::webhook_id, s::period, s::starts_at, s::outcome, s::is_retry, s::le_ms);
    let added = (
        s::attempts.eq(s::attempts + excluded(s::attempts)),
        s::exhausted.eq(s::exhausted + excluded(s::exhausted)),
        s::duration_ms.eq(s::duration_ms + excluded(s::duration_ms)),
    );
    execute_rows!(conn, rows, |rows| diesel::insert_into(s::table)
        .values(rows)
        .on_conflict(key)
        .do_update()
        .set(added));
    Ok(())
}
