//! A scheduled notification as REST shows it.

use super::row::{Payload, Row};
use crate::domain::{Error, Result, ScheduledId, TemplateId, TenantId, Timestamp, UserId};
use crate::notifications::best_time::Chosen;
use crate::notifications::dispatch::Action;
use crate::notifications::status::ScheduleStatus;
use crate::notifications::template::Variables;
use crate::notifications::{Channel, Priority};
use crate::storage::schema::{notification_templates as t, scheduled_notifications as s};
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduledResource {
    /// Its row.
    pub id: ScheduledId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Who is told.
    pub user_id: UserId,
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// The words, unless a template has them.
    pub title: Option<String>,
    /// The same.
    pub body: Option<String>,
    /// Where the words are, unless they stand here.
    pub template: Option<TemplateView>,
    /// How much it matters.
    pub priority: Priority,
    /// Where it goes; null: where its recipient wants it.
    pub channels: Option<BTreeSet<Channel>>,
    /// What to do about it.
    pub action: Option<Action>,
    /// The name of a picture.
    pub icon: Option<String>,
    /// Whatever the sender's program makes of it.
    pub data: Option<Variables>,
    /// From then on nobody is told.
    pub expires_at: Option<Timestamp>,
    /// The same in seconds after it went out.
    pub expires_in: Option<u32>,
    /// The time asked for.
    pub scheduled_at: Timestamp,
    /// When it goes out, as its recipient's wishes were when that was last decided.
    pub due_at: Timestamp,
    /// Why then; of what was called off because its recipient does not want it, `turned_off`.
    pub reason: String,
    /// Of what goes out at its best time: how that was chosen.
    #[serde(flatten)]
    pub best: Option<Chosen>,
    /// Cron, on the recipient's clock.
    pub recurrence: Option<String>,
    /// What recurs is one series of rows: the id of its first.
    pub series_id: Option<ScheduledId>,
    /// What became of it.
    pub status: ScheduleStatus,
    /// Whether it is being sent just now.
    pub is_being_sent: bool,
    /// Tries that failed.
    pub attempts: i32,
    /// When it is tried again, after one that failed.
    pub next_attempt_at: Option<Timestamp>,
    /// Why the last one failed.
    pub last_error: Option<String>,
    /// When it went out.
    pub delivered_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The words of a scheduled notification that are a template's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TemplateView {
    /// The template.
    pub id: TemplateId,
    /// By which it was found.
    pub code: String,
    /// Its language.
    pub locale: String,
    /// The version that it was made with, and will be sent with.
    pub version: i32,
    /// What is put into it.
    pub variables: Variables,
}

type Codes = HashMap<TemplateId, (String, String)>;

impl ScheduledResource {
    fn of(row: Row, codes: &Codes, now: Timestamp) -> Self {
        // What cannot be read is shown as if nothing were said; it fails when it is due, and says so.
        let payload = Payload::read(&row.payload).unwrap_or_default();
        let is_being_sent = row.is_leased(now);
        let is_retried = row.status == ScheduleStatus::Pending && row.attempts > 0 && !is_being_sent;
        let template = row.pinned().map(|pinned| {
            let (code, locale) = codes.get(&pinned.template).cloned().unwrap_or_default();
            let variables = payload.variables.clone().unwrap_or_default();
            TemplateView { id: pinned.template, code, locale, version: pinned.version, variables }
        });
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            user_id: row.recipient_id,
            kind: row.notification_type,
            title: row.title,
            body: row.body,
            template,
            priority: row.priority,
            channels: payload.channels,
            action: payload.extras.action,
            icon: payload.extras.icon,
            data: payload.extras.data,
            expires_at: payload.extras.expires_at,
            expires_in: payload.expires_in,
            scheduled_at: row.scheduled_at,
            due_at: row.due_at,
            reason: row.reason,
            best: payload.best,
            recurrence: row.recurrence,
            series_id: row.series_id,
            status: row.status,
            is_being_sent,
            attempts: row.attempts,
            next_attempt_at: is_retried.then_some(row.next_attempt_at),
            last_error: row.last_error,
            delivered_at: row.delivered_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Shows rows, with one query for the templates of all.
pub(super) async fn show_all(
    conn: &mut Conn,
    rows: Vec<Row>,
    now: Timestamp,
) -> Result<Vec<ScheduledResource>> {
    let ids: BTreeSet<TemplateId> = rows.iter().filter_map(|row| row.notification_template_id).collect();
    let mut codes = Codes::new();
    if !ids.is_empty() {
        let query = t::table.filter(t::id.eq_any(ids)).select((t::id, t::code, t::locale));
        let found: Vec<(TemplateId, String, String)> = on_conn!(conn, c => query.load(c).await)?;
        codes.extend(found.into_iter().map(|(id, code, locale)| (id, (code, locale))));
    }
    Ok(rows.into_iter().map(|row| ScheduledResource::of(row, &codes, now)).collect())
}

/// The same of one.
pub(super) async fn show(conn: &mut Conn, row: Row, now: Timestamp) -> Result<ScheduledResource> {
    let shown = show_all(conn, vec![row], now).await?;
    shown.into_iter().next().ok_or_else(not_there)
}

/// One of the tenant's, or of one of its users.
pub async fn find(
    conn: &mut Conn,
    (tenant, user): (TenantId, Option<UserId>),
    id: ScheduledId,
    now: Timestamp,
) -> Result<ScheduledResource> {
    let query = s::table.filter(s::id.eq(id).and(s::tenant_id.eq(tenant)));
    let row: Option<Row> = on_conn!(conn, c => query.select(Row::as_select()).first(c).await.optional())?;
    let row = row.filter(|row| user.is_none_or(|user| row.recipient_id == user));
    show(conn, row.ok_or_else(not_there)?, now).await
}

pub(super) fn not_there() -> Error {
    Error::not_found("scheduled notification")
}
