//! The rows that a dispatch writes into the history.

use super::outcome::Failure;
use super::plan::Plan;
use crate::domain::{
    Code, DigestId, Error, NotificationId, Result, ScheduledId, TenantId, Timestamp, UserId,
};
use crate::notifications::channel_driver::Envelope;
use crate::notifications::effective_time::DueReason;
use crate::notifications::status::Status;
use crate::notifications::{Channel, Notice, Priority};
use crate::storage::schema::notification_log;
use crate::storage::{Conn, insert_new_rows};
use diesel::prelude::*;
use std::time::Duration;

/// Later than anything is looked for: a hundred years.
const NEVER: Duration = Duration::from_hours(100 * 365 * 24);

/// A row of the history about to be written.
#[derive(Debug, Insertable)]
#[diesel(table_name = notification_log, treat_none_as_default_value = false)]
pub(super) struct HistoryRow {
    tenant_id: TenantId,
    user_id: UserId,
    notification_type: String,
    channel: Channel,
    recipient: Option<String>,
    subject: Option<String>,
    body: String,
    body_html: Option<String>,
    priority: Priority,
    status: Status,
    reason: Option<String>,
    error_message: Option<String>,
    payload: Option<String>,
    in_app_id: Option<NotificationId>,
    scheduled_id: Option<ScheduledId>,
    digest_id: Option<DigestId>,
    next_attempt_at: Timestamp,
    sent_at: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl HistoryRow {
    fn new(notice: &Notice, channel: Channel, status: Status, now: Timestamp) -> Self {
        Self {
            tenant_id: notice.tenant,
            user_id: notice.recipient,
            notification_type: notice.message.kind.as_str().to_owned(),
            channel,
            recipient: None,
            subject: None,
            body: String::new(),
            body_html: None,
            priority: notice.message.priority,
            status,
            reason: None,
            error_message: None,
            payload: None,
            in_app_id: None,
            scheduled_id: notice.scheduled,
            digest_id: None,
            next_attempt_at: now,
            sent_at: None,
            delivered_at: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// With the words of a plan, as its channel has them.
    fn worded(plan: &Plan<'_>, channel: Channel, status: Status, now: Timestamp) -> Self {
        let Envelope { address, subject, body_html } = channel.driver().envelope(plan.recipient, &plan.words);
        Self {
            recipient: address,
            subject: Some(subject),
            body: plan.words.body_text.clone(),
            body_html,
            ..Self::new(plan.notice, channel, status, now)
        }
    }

    /// Of what its channel delivered at once: it is in the inbox.
    pub(super) fn delivered(
        plan: &Plan<'_>,
        channel: Channel,
        id: NotificationId,
        reason: DueReason,
        now: Timestamp,
    ) -> Self {
        Self {
            reason: spoken(reason),
            in_app_id: Some(id),
            sent_at: Some(now),
            delivered_at: Some(now),
            ..Self::worded(plan, channel, Status::Delivered, now)
        }
    }

    /// Of what waits for its channel's carrier.
    pub(super) fn pending(
        plan: &Plan<'_>,
        channel: Channel,
        in_app: Option<NotificationId>,
        (due_at, reason): (Timestamp, DueReason),
        now: Timestamp,
    ) -> Result<Self> {
        Ok(Self {
            reason: spoken(reason),
            payload: Some(text(&plan.notice.message.extras)?),
            in_app_id: in_app,
            next_attempt_at: due_at,
            ..Self::worded(plan, channel, Status::Pending, now)
        })
    }

    /// Of what goes out with a digest: no channel takes it from here.
    pub(super) fn gathered(
        plan: &Plan<'_>,
        channel: Channel,
        (digest, due_at): (DigestId, Timestamp),
        now: Timestamp,
    ) -> Result<Self> {
        let waits = Self::pending(plan, channel, None, (due_at.plus(NEVER), DueReason::Digest), now)?;
        // They are the digest's.
        Ok(Self { digest_id: Some(digest), body_html: None, recipient: None, ..waits })
    }

    /// Of what cannot be sent.
    pub(super) fn failed(notice: &Notice, channel: Channel, failure: &Failure, now: Timestamp) -> Self {
        Self {
            reason: Some(failure.reason.to_string()),
            error_message: Some(failure.message.clone()),
            ..Self::new(notice, channel, Status::Failed, now)
        }
    }
}

/// Only what is not a matter of course.
fn spoken(reason: DueReason) -> Option<String> {
    (reason != DueReason::AsAsked).then(|| reason.to_string())
}

/// Writes the history; what a scheduled one has there on a channel already stays as it is.
pub(super) async fn write_history(conn: &mut Conn, rows: Vec<HistoryRow>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let _: Vec<i64> = insert_new_rows!(conn, notification_log::table, rows, notification_log::id);
    Ok(())
}

pub(in crate::notifications) fn text(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(Code::Internal, "A notification could not be written down.").because(e))
}
