//! Delivery of what was claimed: `dispatch`, the ends of the rows and the events of the inboxes in one transaction.
//!
//! It begins by holding the rows that still bear the token of the claim: what somebody else has claimed since, or called
//! off, is theirs. A batch that cannot be written is halved until what is to blame stands alone; that one is tried
//! again by the retry rule, and fails when it was tried as often as it may be.

use super::Counts;
use super::claim::{Claim, Pending};
use super::endings::{Endings, put_off};
use super::row::Row;
use crate::domain::{Committed, Error, Result, ScheduledId, Timestamp};
use crate::notifications::Notice;
use crate::notifications::decision::Trigger;
use crate::notifications::dispatch::{self, Compiled, Dispatched, Terms};
use crate::notifications::retry::RetryRule;
use crate::notifications::templates::compiled;
use crate::storage::schema::scheduled_notifications as s;
use crate::storage::{Conn, Db, on_conn_locking, outbox};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::sync::Arc;

/// What a delivery came to.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub(super) counts: Counts,
    /// For the registry, a transaction each.
    pub(super) committed: Vec<Committed>,
    /// Whether there is work for a channel that has a queue.
    pub(super) queued: bool,
}

/// Delivers what was claimed. An error means that the database is away: what is left is claimed anew when the lease has
/// run out.
pub(super) async fn deliver(db: &Db, claim: Claim, now: Timestamp) -> Result<Delivered> {
    let mut delivered = Delivered::default();
    let mut batches = vec![claim.ids];
    while let Some(batch) = batches.pop() {
        match transact(db, &claim.token, &batch, now).await {
            Ok((counts, committed, queued)) => {
                delivered.counts += counts;
                delivered.committed.push(committed);
                delivered.queued |= queued;
            }
            Err(error) if error.code().retryable() => return Err(error),
            Err(error) => match batch.as_slice() {
                [] => {}
                [id] => delivered.counts += blame(db, (&claim.token, *id), &error, now).await?,
                _ => {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    batches.extend([second.to_vec(), first.to_vec()]);
                }
            },
        }
    }
    Ok(delivered)
}

async fn transact(
    db: &Db,
    token: &str,
    ids: &[ScheduledId],
    now: Timestamp,
) -> Result<(Counts, Committed, bool)> {
    db.transaction(async |conn| {
        let rows = hold(conn, token, ids).await?;
        // The versions of templates that they were made with.
        let templates: Compiled =
            Arc::new(compiled(conn, &rows.iter().filter_map(Row::pinned).collect()).await?);
        let (mut endings, mut notices, mut sent) = (Endings::default(), Vec::new(), Vec::new());
        for row in rows {
            match row.message(&templates, now) {
                Ok(message) => {
                    notices.push(Notice {
                        tenant: row.tenant_id,
                        recipient: row.recipient_id,
                        message: Arc::new(message),
                        trigger: Trigger::Scheduled,
                        scheduled: Some(row.id),
                    });
                    sent.push(row);
                }
                Err(error) => endings.fail(row, error.message().to_owned()),
            }
        }
        let terms = Terms { limits: None, except: None, now };
        let Dispatched { events, outcomes, queued } = dispatch::dispatch(conn, &notices, terms).await?;
        for (row, outcome) in sent.into_iter().zip(&outcomes) {
            endings.note(row, outcome);
        }
        let counts = endings.counts();
        endings.write(conn, now).await?;
        Ok((counts, outbox::write(conn, events, now).await?, queued))
    })
    .await
}

/// The rows that are still the claim's, held to the end of the transaction, in the order in which they were due.
async fn hold(conn: &mut Conn, token: &str, ids: &[ScheduledId]) -> Result<Vec<Row>> {
    let query = s::table.filter(s::id.eq_any(ids).and(Pending).and(s::claim_token.eq(token))).order(s::id);
    let mut rows: Vec<Row> = on_conn_locking!(conn, query, |q, c| q.select(Row::as_select()).load(c).await)?;
    rows.sort_by_key(|row| (row.due_at, row.id));
    Ok(rows)
}

/// A row that cannot be delivered by itself either: it is put off, or has failed.
async fn blame(db: &Db, (token, id): (&str, ScheduledId), error: &Error, now: Timestamp) -> Result<Counts> {
    tracing::error!(scheduled.id = %id, %error, "a scheduled notification cannot be delivered");
    db.transaction(async |conn| {
        let mut endings = Endings::default();
        let mut counts = Counts::default();
        for row in hold(conn, token, &[id]).await? {
            let attempt = row.attempts.saturating_add(1).unsigned_abs();
            if let Some(wait) = RetryRule::default().after(attempt, rand::random()) {
                put_off(conn, &row, wait, error.message(), now).await?;
                counts.deferred += 1;
            } else {
                endings.fail(row, error.message().to_owned());
            }
        }
        counts += endings.counts();
        endings.write(conn, now).await?;
        Ok(counts)
    })
    .await
}
