//! The rows of a dispatch: inboxes and history.

use super::outcome::Failure;
use super::plan::Plan;
use crate::domain::{
    Code, DigestId, Error, NotificationId, Result, ScheduledId, TenantId, Timestamp, UserId,
};
use crate::notifications::decision::Decision;
use crate::notifications::effective_time::DueReason;
use crate::notifications::status::Status;
use crate::notifications::{Channel, Notice, Priority};
use crate::storage::schema::{in_app_notifications, notification_log};
use crate::storage::{Conn, insert_new_rows};
use diesel::prelude::*;
use std::time::Duration;

/// Later than anything is looked for: a hundred years.
const NEVER: Duration = Duration::from_hours(100 * 365 * 24);

#[derive(Debug, Insertable)]
#[diesel(table_name = in_app_notifications, treat_none_as_default_value = false)]
struct InboxRow {
    tenant_id: TenantId,
    user_id: UserId,
    notification_type: String,
    title: String,
    message: String,
    action_url: Option<String>,
    action_label: Option<String>,
    icon: Option<String>,
    priority: Priority,
    data: Option<String>,
    expires_at: Option<Timestamp>,
    scheduled_id: Option<ScheduledId>,
    created_at: Timestamp,
}

impl InboxRow {
    fn of(plan: &Plan<'_>, now: Timestamp) -> Result<Self> {
        let (notice, extras) = (plan.notice, &plan.notice.message.extras);
        let action = extras.action.as_ref();
        Ok(Self {
            tenant_id: notice.tenant,
            user_id: notice.recipient,
            notification_type: notice.message.kind.as_str().to_owned(),
            title: plan.words.title.clone(),
            message: plan.words.body_text.clone(),
            action_url: action.map(|action| action.url.clone()),
            action_label: action.and_then(|action| action.label.clone()),
            icon: extras.icon.clone(),
            priority: notice.message.priority,
            data: extras.data.as_ref().map(text).transpose()?,
            expires_at: extras.expires_at,
            scheduled_id: notice.scheduled,
            created_at: now,
        })
    }
}

/// Writes the inbox rows of those plans that go there now. For each plan its row; none where it does not go there, and
/// where its scheduled one is there already.
pub(super) async fn write_inboxes(
    conn: &mut Conn,
    plans: &[Plan<'_>],
    now: Timestamp,
) -> Result<Vec<Option<NotificationId>>> {
    let goes = |plan: &Plan<'_>| matches!(plan.in_app(), Some(Decision::Send(_)));
    let rows = plans.iter().filter(|plan| goes(plan)).map(|plan| InboxRow::of(plan, now));
    let rows: Vec<InboxRow> = rows.collect::<Result<_>>()?;
    if rows.is_empty() {
        return Ok(plans.iter().map(|_| None).collect());
    }
    let returning = (in_app_notifications::id, in_app_notifications::scheduled_id);
    let written: Vec<(NotificationId, Option<ScheduledId>)> =
        insert_new_rows!(conn, in_app_notifications::table, rows, returning);
    let mut written = written.into_iter().peekable();
    // In their order; what was there already is left out.
    let id = |plan: &Plan<'_>| {
        let is_its = |row: &(_, Option<ScheduledId>)| row.1 == plan.notice.scheduled;
        goes(plan).then(|| written.next_if(is_its).map(|(id, _)| id)).flatten()
    };
    Ok(plans.iter().map(id).collect())
}

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

    /// Of what is in the inbox.
    pub(super) fn delivered(plan: &Plan<'_>, id: NotificationId, reason: DueReason, now: Timestamp) -> Self {
        Self {
            subject: Some(plan.words.title.clone()),
            body: plan.words.body_text.clone(),
            reason: spoken(reason),
            in_app_id: Some(id),
            sent_at: Some(now),
            delivered_at: Some(now),
            ..Self::new(plan.notice, Channel::InApp, Status::Delivered, now)
        }
    }

    /// Of what waits for another channel.
    pub(super) fn pending(
        plan: &Plan<'_>,
        channel: Channel,
        in_app: Option<NotificationId>,
        (due_at, reason): (Timestamp, DueReason),
        now: Timestamp,
    ) -> Result<Self> {
        let is_mail = channel == Channel::Email;
        let words = &plan.words;
        let subject = words.subject.as_ref().filter(|_| is_mail).unwrap_or(&words.title);
        Ok(Self {
            recipient: is_mail.then(|| plan.recipient.email.clone()),
            subject: Some(subject.clone()),
            body: words.body_text.clone(),
            body_html: words.body_html.clone().filter(|_| is_mail),
            reason: spoken(reason),
            payload: Some(text(&plan.notice.message.extras)?),
            in_app_id: in_app,
            next_attempt_at: due_at,
            ..Self::new(plan.notice, channel, Status::Pending, now)
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

pub(super) fn text(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(Code::Internal, "A notification could not be written down.").because(e))
}
