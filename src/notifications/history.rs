//! History: what became of each notification on each channel, newest first.
//!
//! A list is read from an index by id, so it costs what it shows. A filter that the index does not know looks at so
//! many rows at most, and then answers with what it has and where to go on.

use super::status::Status;
use super::{Channel, NotificationType, Priority};
use crate::domain::{Error, HistoryId, NotificationId, Result, ScheduledId, TenantId, Timestamp, UserId};
use crate::storage::page::{Cursor, ListQuery, Slice};
use crate::storage::schema::notification_log as l;
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;

/// Rows that are looked at in one go, where a filter may leave most of them out.
const WINDOW: usize = 500;

/// Goes that one answer may take.
const WINDOWS: usize = 20;

/// A row of `notification_log` as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = l, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct HistoryResource {
    /// Its id.
    pub id: HistoryId,
    /// Who was, or is to be, told.
    pub user_id: UserId,
    /// What it is about.
    #[serde(rename = "type")]
    pub notification_type: String,
    /// On which channel.
    pub channel: Channel,
    /// The address, where the channel has one.
    pub recipient: Option<String>,
    /// One line.
    pub subject: Option<String>,
    /// Text.
    pub body: String,
    /// How much it matters.
    pub priority: Priority,
    /// What became of it.
    pub status: Status,
    /// Why, where it is not a matter of course.
    pub reason: Option<String>,
    /// Tries so far.
    pub attempts: i32,
    /// What went wrong last.
    pub error_message: Option<String>,
    /// What the channel calls it.
    pub external_id: Option<String>,
    /// Its row in the inbox.
    #[serde(rename = "notification_id")]
    pub in_app_id: Option<NotificationId>,
    /// Of which scheduled one it is.
    pub scheduled_id: Option<ScheduledId>,
    /// When it was handed over.
    pub sent_at: Option<Timestamp>,
    /// When it arrived.
    pub delivered_at: Option<Timestamp>,
    /// When it was read.
    pub read_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Which rows are asked for.
#[derive(Debug, Clone, Default)]
pub struct HistoryFilter {
    user: Option<UserId>,
    kind: Option<NotificationType>,
    channel: Option<Channel>,
    status: Option<Status>,
    priority: Option<Priority>,
    notification: Option<NotificationId>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl HistoryFilter {
    /// Reads a list's query string. `from` is in, `to` is out.
    pub fn parse(query: &str) -> Result<(Self, Cursor)> {
        let filters = &["user_id", "type", "channel", "status", "priority", "notification_id", "from", "to"];
        let mut query = ListQuery::parse_cursor(query, filters);
        let filter = Self {
            user: query.value("user_id", "a number"),
            kind: query.read("type", "a notification type, such as order_shipped", |text| {
                NotificationType::parse(text).ok()
            }),
            channel: query.value("channel", "in_app, webhook or email"),
            status: query.value("status", "pending, sent, delivered, failed or bounced"),
            priority: query.value("priority", "critical, high, normal or low"),
            notification: query.value("notification_id", "a number"),
            from: query.timestamp("from"),
            to: query.timestamp("to"),
        };
        Ok((filter, query.finish_cursor()?))
    }

    /// The same of this user alone; whoever asks for another's finds nothing.
    #[must_use]
    pub fn of(self, user: UserId) -> Self {
        let is_own = self.user.is_none_or(|asked| asked == user);
        Self { user: Some(if is_own { user } else { UserId(0) }), ..self }
    }

    /// Whether every row of the index is in the list.
    fn takes_all(&self) -> bool {
        self.kind.is_none()
            && self.channel.is_none()
            && self.status.is_none()
            && self.priority.is_none()
            && self.notification.is_none()
            && self.from.is_none()
            && self.to.is_none()
    }

    fn accepts(&self, row: &HistoryResource) -> bool {
        self.kind.as_ref().is_none_or(|kind| row.notification_type == kind.as_str())
            && self.channel.is_none_or(|channel| row.channel == channel)
            && self.status.is_none_or(|status| row.status == status)
            && self.priority.is_none_or(|priority| row.priority == priority)
            && self.notification.is_none_or(|id| row.in_app_id == Some(id))
            && self.from.is_none_or(|from| row.created_at >= from)
            && self.to.is_none_or(|to| row.created_at < to)
    }

    /// Whether no row before this one can be in the list: ids grow with time, give or take ten minutes.
    fn is_past(&self, row: &HistoryResource) -> bool {
        self.from.is_some_and(|from| row.created_at < from.minus(std::time::Duration::from_mins(10)))
    }
}

/// The tenant's history that the filter lets through, newest first.
pub async fn list(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &HistoryFilter,
    cursor: Cursor,
) -> Result<Slice<HistoryResource>> {
    let size = if filter.takes_all() { cursor.per_page + 1 } else { WINDOW };
    let mut before = HistoryId(cursor.after.unwrap_or(i64::MAX));
    let mut rows: Vec<HistoryResource> = Vec::new();
    for _ in 0..WINDOWS {
        let window = newest(conn, (tenant, filter.user), before, size).await?;
        let last = window.last().filter(|row| window.len() == size && !filter.is_past(row)).map(|row| row.id);
        rows.extend(window.into_iter().filter(|row| filter.accepts(row)));
        if rows.len() > cursor.per_page {
            rows.truncate(cursor.per_page);
            let next = rows.last().map(|row| row.id.0);
            return Ok(Slice { rows, next });
        }
        let Some(last) = last else { return Ok(Slice { rows, next: None }) };
        before = last;
    }
    Ok(Slice { rows, next: Some(before.0) })
}

async fn newest(
    conn: &mut Conn,
    (tenant, user): (TenantId, Option<UserId>),
    before: HistoryId,
    size: usize,
) -> Result<Vec<HistoryResource>> {
    let all = l::table
        .filter(l::tenant_id.eq(tenant).and(l::id.lt(before)))
        .order(l::id.desc())
        .limit(i64::try_from(size).unwrap_or(i64::MAX));
    Ok(match user {
        Some(user) => {
            let own = all.filter(l::user_id.eq(user));
            on_conn!(conn, c => own.select(HistoryResource::as_select()).load(c).await)?
        }
        None => on_conn!(conn, c => all.select(HistoryResource::as_select()).load(c).await)?,
    })
}

/// One row of the tenant, or of one of its users.
pub async fn find(
    conn: &mut Conn,
    (tenant, user): (TenantId, Option<UserId>),
    id: HistoryId,
) -> Result<HistoryResource> {
    let query = l::table.filter(l::id.eq(id).and(l::tenant_id.eq(tenant)));
    let found: Option<HistoryResource> =
        on_conn!(conn, c => query.select(HistoryResource::as_select()).first(c).await.optional())?;
    let found = found.filter(|row| user.is_none_or(|user| row.user_id == user));
    found.ok_or_else(|| Error::not_found("notification in the history"))
}
