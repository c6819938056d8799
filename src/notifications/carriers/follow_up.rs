//! What became of notifications that went to webhook endpoints, read from the rows of their deliveries.
//!
//! One has arrived when any endpoint has it, and has failed when all have failed. Young ones are looked at once a second,
//! older ones less often.

use crate::domain::{HistoryId, Result, Timestamp};
use crate::notifications::status::Status;
use crate::storage::schema::{events as e, notification_log as l, webhook_deliveries as d};
use crate::storage::{Conn, Db, on_conn, on_conn_skipping_locked};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::HashMap;
use std::time::Duration;

/// Looked at in one transaction.
const BATCH: i64 = 500;

const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_mins(1);

/// How the deliveries of one event stand.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    delivered: usize,
    failed: usize,
    pending: usize,
}

impl Tally {
    /// What that makes of the notification, once it is known.
    const fn verdict(self) -> Option<Status> {
        match self {
            Self { delivered: 1.., .. } => Some(Status::Delivered),
            Self { pending: 1.., .. } => None,
            Self { .. } => Some(Status::Failed),
        }
    }
}

/// Looks at those whose time it is; when to look again.
pub(super) async fn look(db: &Db, now: Timestamp) -> Result<Option<Timestamp>> {
    let looked = db.transaction(async |conn| look_at_some(conn, now).await).await?;
    if looked == usize::try_from(BATCH).unwrap_or(usize::MAX) {
        return Ok(Some(now));
    }
    let query = waiting().select(diesel::dsl::min(l::next_attempt_at));
    Ok(on_conn!(&mut db.read().await?, c => query.first(c).await)?)
}

#[diesel::dsl::auto_type]
fn waiting() -> _ {
    // What went with a digest is told by the digest's own row.
    l::table.filter(l::status.eq("sent").and(l::channel.eq("webhook")).and(l::digest_id.is_null()))
}

async fn look_at_some(conn: &mut Conn, now: Timestamp) -> Result<usize> {
    let query = waiting()
        .filter(l::next_attempt_at.le(now))
        .order((l::next_attempt_at, l::id))
        .limit(BATCH)
        .select((l::id, l::external_id, l::created_at));
    let rows: Vec<(HistoryId, Option<String>, Timestamp)> =
        on_conn_skipping_locked!(conn, query, |q, c| q.load(c).await)?;
    if rows.is_empty() {
        return Ok(0);
    }
    let names: Vec<&str> = rows.iter().filter_map(|(_, name, _)| name.as_deref()).collect();
    let deliveries = d::table.inner_join(e::table).filter(e::message_id.eq_any(names));
    let states: Vec<(String, String)> =
        on_conn!(conn, c => deliveries.select((e::message_id, d::status)).load(c).await)?;
    let mut tallies: HashMap<String, Tally> = HashMap::new();
    for (name, state) in states {
        let tally = tallies.entry(name).or_default();
        match state.as_str() {
            "delivered" => tally.delivered += 1,
            "failed" => tally.failed += 1,
            _ => tally.pending += 1,
        }
    }
    for (id, name, created_at) in &rows {
        let tally = name.as_ref().and_then(|name| tallies.get(name)).copied().unwrap_or_default();
        write(conn, *id, tally, (*created_at, now)).await?;
    }
    Ok(rows.len())
}

async fn write(
    conn: &mut Conn,
    id: HistoryId,
    tally: Tally,
    (created_at, now): (Timestamp, Timestamp),
) -> Result<()> {
    let row = l::table.filter(l::id.eq(id));
    match tally.verdict() {
        Some(Status::Delivered) => {
            let set = (l::status.eq(Status::Delivered), l::delivered_at.eq(now), l::updated_at.eq(now));
            on_conn!(conn, c => diesel::update(row).set(set).execute(c).await)?;
        }
        Some(status) => {
            let message = match tally.failed {
                0 => "The endpoints that were to have it are gone.".to_owned(),
                count => format!("{count} of {count} deliveries to webhook endpoints failed."),
            };
            let set = (l::status.eq(status), l::error_message.eq(message), l::updated_at.eq(now));
            on_conn!(conn, c => diesel::update(row).set(set).execute(c).await)?;
        }
        None => {
            let wait = (now.since(created_at) / 10).clamp(SOONEST, LATEST);
            let set = l::next_attempt_at.eq(now.plus(wait));
            on_conn!(conn, c => diesel::update(row).set(set).execute(c).await)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_endpoint_that_has_it_is_enough_and_all_must_have_failed() {
        let tally = |delivered, failed, pending| Tally { delivered, failed, pending }.verdict();
        assert_eq!(tally(1, 5, 5), Some(Status::Delivered));
        assert_eq!(tally(0, 5, 1), None);
        assert_eq!(tally(0, 2, 0), Some(Status::Failed));
        assert_eq!(tally(0, 0, 0), Some(Status::Failed), "its endpoints were deleted");
    }
}
