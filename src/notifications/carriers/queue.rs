//! The queue of a channel: letters that are due, claimed by lease, and what became of them.

use super::{CarryFailure, Handover, Letter};
use crate::domain::{HistoryId, NotificationId, Result, TenantId, Timestamp, UserId};
use crate::notifications::dispatch::Extras;
use crate::notifications::retry::RetryRule;
use crate::notifications::status::Status;
use crate::notifications::{Channel, NotificationType, Priority};
use crate::storage::schema::notification_log as l;
use crate::storage::{Conn, Db, on_conn, on_conn_skipping_locked};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = l, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct Row {
    id: HistoryId,
    tenant_id: TenantId,
    user_id: UserId,
    notification_type: String,
    recipient: Option<String>,
    subject: Option<String>,
    body: String,
    body_html: Option<String>,
    priority: Priority,
    payload: Option<String>,
    in_app_id: Option<NotificationId>,
    attempts: i32,
    created_at: Timestamp,
}

impl Row {
    fn letter(self, token: &str) -> std::result::Result<Letter, String> {
        let extras: Option<Extras> = match &self.payload {
            Some(text) => serde_json::from_str(text).map_err(|e| e.to_string())?,
            None => None,
        };
        Ok(Letter {
            id: self.id,
            tenant: self.tenant_id,
            user: self.user_id,
            kind: NotificationType::parse(&self.notification_type)?,
            recipient: self.recipient,
            subject: self.subject.unwrap_or_default(),
            body: self.body,
            body_html: self.body_html,
            priority: self.priority,
            extras: extras.unwrap_or_default(),
            in_app: self.in_app_id,
            attempt: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            created_at: self.created_at,
            token: token.to_owned(),
        })
    }
}

/// Takes up to `room` due letters of a channel in hand for so long. A claim that is forgotten is made again, so it need
/// not wait for the disk.
pub(super) async fn claim(
    db: &Db,
    channel: Channel,
    (room, lease): (usize, Duration),
    now: Timestamp,
) -> Result<Vec<Letter>> {
    let token = uuid::Uuid::now_v7().simple().to_string();
    let work = async |conn: &mut Conn| -> Result<Vec<Row>> {
        let due = l::table
            .filter(l::status.eq(Status::Pending).and(l::channel.eq(channel)))
            .filter(l::next_attempt_at.le(now))
            .order((l::next_attempt_at, l::id))
            .limit(i64::try_from(room).unwrap_or(i64::MAX))
            .select(l::id);
        let ids: Vec<HistoryId> = on_conn_skipping_locked!(conn, due, |q, c| q.load(c).await)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let set = (
            l::claim_token.eq(&token),
            l::next_attempt_at.eq(now.plus(lease)),
            l::attempts.eq(l::attempts + 1),
            l::updated_at.eq(now),
        );
        let rows = l::table.filter(l::id.eq_any(ids));
        Ok(on_conn!(conn, c =>
            diesel::update(rows).set(set).returning(Row::as_returning()).get_results(c).await)?)
    };
    let mut rows = db.transaction_relaxed(work).await?;
    rows.sort_unstable_by_key(|row| row.id);
    let read = |row: Row| {
        let id = row.id;
        row.letter(&token)
            .inspect_err(|error| tracing::error!(%id, error, "a notification cannot be read"))
            .ok()
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// When the next letter of a channel is due.
pub(super) async fn next_due(db: &Db, channel: Channel) -> Result<Option<Timestamp>> {
    let query = l::table
        .filter(l::status.eq(Status::Pending).and(l::channel.eq(channel)))
        .select(diesel::dsl::min(l::next_attempt_at));
    Ok(on_conn!(&mut db.read().await?, c => query.first(c).await)?)
}

/// Those of them that are still in the hand of this claim, held still until the transaction ends.
pub(super) async fn still_ours(conn: &mut Conn, letters: &[Letter]) -> Result<BTreeSet<HistoryId>> {
    let ids: Vec<HistoryId> = letters.iter().map(|letter| letter.id).collect();
    let tokens: BTreeSet<&str> = letters.iter().map(|letter| letter.token.as_str()).collect();
    let query = l::table
        .filter(l::id.eq_any(ids).and(l::claim_token.eq_any(tokens)).and(l::status.eq(Status::Pending)))
        .order(l::id)
        .select(l::id);
    let ours: Vec<HistoryId> = on_conn_skipping_locked!(conn, query, |q, c| q.load(c).await)?;
    Ok(ours.into_iter().collect())
}

/// Writes down what became of a letter, if it is still in the hand of its claim.
pub(super) async fn settle(
    conn: &mut Conn,
    letter: &Letter,
    handover: &Handover,
    now: Timestamp,
) -> Result<bool> {
    let row = l::table
        .filter(l::id.eq(letter.id).and(l::claim_token.eq(&letter.token)).and(l::status.eq(Status::Pending)));
    let change = Change::of(letter, handover, now);
    let count = on_conn!(conn, c => diesel::update(row).set(&change).execute(c).await)?;
    if count == 0 {
        tracing::warn!(id = %letter.id, ?handover, "another process has this notification in hand by now");
    }
    Ok(count > 0)
}

#[expect(clippy::option_option, reason = "diesel's changeset reads exactly this shape")]
#[derive(Debug, AsChangeset)]
#[diesel(table_name = l)]
struct Change {
    status: Status,
    reason: Option<Option<String>>,
    error_message: Option<Option<String>>,
    external_id: Option<String>,
    attempts: i32,
    next_attempt_at: Timestamp,
    claim_token: Option<Option<String>>,
    sent_at: Option<Timestamp>,
    updated_at: Timestamp,
}

impl Change {
    /// Out of hand again, and nothing else.
    fn stays(letter: &Letter, now: Timestamp) -> Self {
        Self {
            status: Status::Pending,
            reason: None,
            error_message: None,
            external_id: None,
            attempts: i32::try_from(letter.attempt).unwrap_or(i32::MAX),
            next_attempt_at: now,
            claim_token: Some(None),
            sent_at: None,
            updated_at: now,
        }
    }

    fn failed(letter: &Letter, reason: CarryFailure, message: &str, now: Timestamp) -> Self {
        Self {
            status: Status::Failed,
            reason: Some(Some(reason.to_string())),
            error_message: Some(Some(message.to_owned())),
            ..Self::stays(letter, now)
        }
    }

    fn of(letter: &Letter, handover: &Handover, now: Timestamp) -> Self {
        let stays = Self::stays(letter, now);
        match handover {
            Handover::Sent(external_id) => Self {
                status: Status::Sent,
                error_message: Some(None),
                external_id: Some(external_id.clone()),
                sent_at: Some(now),
                ..stays
            },
            Handover::Failed(reason, message) => Self::failed(letter, *reason, message, now),
            Handover::Bounced(message) => {
                Self { status: Status::Bounced, error_message: Some(Some(message.clone())), ..stays }
            }
            Handover::Again(message) => match RetryRule::default().after(letter.attempt, rand::random()) {
                Some(wait) => Self {
                    error_message: Some(Some(message.clone())),
                    next_attempt_at: now.plus(wait),
                    ..stays
                },
                None => Self::failed(letter, CarryFailure::Exhausted, message, now),
            },
            Handover::Postponed(until, reason) => Self {
                reason: Some(Some((*reason).to_owned())),
                attempts: stays.attempts.saturating_sub(1),
                next_attempt_at: *until,
                ..stays
            },
        }
    }
}
