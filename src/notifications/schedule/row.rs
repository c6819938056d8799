//! A row of `scheduled_notifications`, and the message that it will be.

use crate::domain::{Code, Error, Result, ScheduledId, TemplateId, TenantId, Timestamp, UserId};
use crate::notifications::best_time::Chosen;
use crate::notifications::dispatch::{Compiled, Content, Extras, Message, Wordings};
use crate::notifications::effective_time::EffectiveTime;
use crate::notifications::status::ScheduleStatus;
use crate::notifications::template::Variables;
use crate::notifications::templates::Pinned;
use crate::notifications::{Channel, NotificationType, Priority};
use crate::storage::schema::scheduled_notifications;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What the column `payload` holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Payload {
    /// Of a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) variables: Option<Variables>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channels: Option<BTreeSet<Channel>>,
    pub(super) extras: Extras,
    /// Seconds after it went out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_in: Option<u32>,
    /// Of what goes out at its best time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) best: Option<Chosen>,
}

impl Payload {
    pub(super) fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|e| Error::new(Code::Internal, "What was scheduled cannot be read any more.").because(e))
    }

    pub(super) fn text(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Error::new(Code::Internal, "A notification could not be written down.").because(e))
    }
}

/// A row as it is read.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = scheduled_notifications, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub(super) struct Row {
    pub(super) id: ScheduledId,
    pub(super) tenant_id: TenantId,
    pub(super) recipient_id: UserId,
    pub(super) notification_type: String,
    pub(super) notification_template_id: Option<TemplateId>,
    pub(super) template_version: Option<i32>,
    pub(super) title: Option<String>,
    pub(super) body: Option<String>,
    pub(super) payload: String,
    pub(super) priority: Priority,
    pub(super) scheduled_at: Timestamp,
    pub(super) due_at: Timestamp,
    pub(super) reason: String,
    pub(super) recurrence: Option<String>,
    pub(super) series_id: Option<ScheduledId>,
    pub(super) status: ScheduleStatus,
    pub(super) attempts: i32,
    pub(super) next_attempt_at: Timestamp,
    pub(super) claim_token: Option<String>,
    pub(super) last_error: Option<String>,
    pub(super) delivered_at: Option<Timestamp>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

impl Row {
    /// Whether somebody has it in hand.
    pub(super) fn is_leased(&self, now: Timestamp) -> bool {
        self.status == ScheduleStatus::Pending && self.claim_token.is_some() && self.next_attempt_at > now
    }

    pub(super) fn kind(&self) -> Result<NotificationType> {
        NotificationType::parse(&self.notification_type).map_err(|e| Error::new(Code::Internal, e))
    }

    /// The words it was made with, where these are a template's.
    pub(super) fn pinned(&self) -> Option<Pinned> {
        Some(Pinned { template: self.notification_template_id?, version: self.template_version? })
    }

    /// What is told when it goes out `now`.
    pub(super) fn message(&self, compiled: &Compiled, now: Timestamp) -> Result<Message> {
        let payload = Payload::read(&self.payload)?;
        let content = match (self.pinned(), &self.title, &self.body) {
            (Some(pinned), ..) => {
                let wordings = Arc::new(Wordings::pinned(pinned, Arc::clone(compiled)));
                Content::Template { wordings, variables: payload.variables.unwrap_or_default() }
            }
            (None, title, body) => Content::Words {
                title: title.clone().unwrap_or_default(),
                body: body.clone().unwrap_or_default(),
            },
        };
        let mut extras = payload.extras;
        if let Some(seconds) = payload.expires_in {
            extras.expires_at = Some(now.plus(Duration::from_secs(seconds.into())));
        }
        let (kind, channels) = (self.kind()?, payload.channels);
        Ok(Message { kind, priority: self.priority, content, extras, channels })
    }
}

/// A row about to be written.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = scheduled_notifications, treat_none_as_default_value = false)]
pub(super) struct NewRow {
    pub(super) tenant_id: TenantId,
    pub(super) recipient_id: UserId,
    pub(super) notification_type: String,
    pub(super) notification_template_id: Option<TemplateId>,
    pub(super) template_version: Option<i32>,
    pub(super) title: Option<String>,
    pub(super) body: Option<String>,
    pub(super) payload: String,
    pub(super) priority: Priority,
    pub(super) scheduled_at: Timestamp,
    pub(super) due_at: Timestamp,
    pub(super) reason: &'static str,
    pub(super) recurrence: Option<String>,
    pub(super) series_id: Option<ScheduledId>,
    pub(super) status: ScheduleStatus,
    pub(super) next_attempt_at: Timestamp,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

impl NewRow {
    /// The next of a series, after this one.
    pub(super) fn after(row: &Row, scheduled_at: Timestamp, due: &EffectiveTime, now: Timestamp) -> Self {
        Self {
            tenant_id: row.tenant_id,
            recipient_id: row.recipient_id,
            notification_type: row.notification_type.clone(),
            notification_template_id: row.notification_template_id,
            template_version: row.template_version,
            title: row.title.clone(),
            body: row.body.clone(),
            payload: row.payload.clone(),
            priority: row.priority,
            scheduled_at,
            due_at: due.due_at,
            reason: due.reason.as_str(),
            recurrence: row.recurrence.clone(),
            series_id: row.series_id.or(Some(row.id)),
            status: ScheduleStatus::Pending,
            next_attempt_at: due.due_at,
            created_at: now,
            updated_at: now,
        }
    }
}
