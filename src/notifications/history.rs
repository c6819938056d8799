//! History: what became of each notification on each channel, newest first.
//!
//! A list is read from an index by id, so it costs what it shows. A filter that the index does not know looks at so
//! many rows at most, and then answers with what it has and where to go on. Words are read of what is shown, and of nothing
//! else.

use super::status::Status;
use super::{Channel, NotificationType, Priority};
use crate::domain::{Error, HistoryId, NotificationId, Result, ScheduledId, TenantId, Timestamp, UserId};
use crate::storage::page::keyset::{TenantBefore, TenantNewest, UserBefore, UserNewest};
use crate::storage::page::{Cursor, ListQuery, Slice};
use crate::storage::schema::notification_log as l;
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use std::time::Duration;

/// Rows that are looked at in one go, where a filter may leave most of them out.
const WINDOW: usize = 500;

/// Goes that one answer may take.
const WINDOWS: usize = 20;

/// Ids grow with time, give or take so much.
const SLACK: Duration = Duration::from_mins(10);

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
            && self.from.is_none()
            && self.to.is_none()
    }

    fn accepts(&self, row: &Glance) -> bool {
        self.kind.as_ref().is_none_or(|kind| row.notification_type == kind.as_str())
            && self.channel.is_none_or(|channel| row.channel == channel)
            && self.status.is_none_or(|status| row.status == status)
            && self.priority.is_none_or(|priority| row.priority == priority)
            && self.from.is_none_or(|from| row.created_at >= from)
            && self.to.is_none_or(|to| row.created_at < to)
    }

    /// Whether no row before this one can be in the list.
    fn is_past(&self, row: &Glance) -> bool {
        self.from.is_some_and(|from| row.created_at < from.minus(SLACK))
    }
}

/// What a filter looks at.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = l, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct Glance {
    id: HistoryId,
    tenant_id: TenantId,
    user_id: UserId,
    notification_type: String,
    channel: Channel,
    priority: Priority,
    status: Status,
    created_at: Timestamp,
}

/// The tenant's history that the filter lets through, newest first.
pub async fn list(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &HistoryFilter,
    cursor: Cursor,
) -> Result<Slice<HistoryResource>> {
    let mut before = HistoryId(cursor.after.unwrap_or(i64::MAX));
    if let Some(id) = filter.notification {
        return of_notification(conn, tenant, filter, (id, before), cursor.per_page).await;
    }
    if let Some(to) = filter.to {
        before = before.min(first_since(conn, to).await?);
    }
    let size = if filter.takes_all() { cursor.per_page + 1 } else { WINDOW };
    let mut found: Vec<HistoryId> = Vec::new();
    for _ in 0..WINDOWS {
        let window = newest(conn, (tenant, filter.user), before, size).await?;
        let mut last = window.last().filter(|_| window.len() == size).copied();
        if filter.takes_all() {
            found.extend(window);
        } else {
            let rows = glances(conn, window).await?;
            last = last.filter(|_| !rows.last().is_some_and(|row| filter.is_past(row)));
            found.extend(rows.iter().filter(|row| filter.accepts(row)).map(|row| row.id));
        }
        if found.len() > cursor.per_page {
            found.truncate(cursor.per_page);
            let next = found.last().map(|id| id.0);
            return Ok(Slice { rows: read(conn, found).await?, next });
        }
        let Some(last) = last else { return Ok(Slice { rows: read(conn, found).await?, next: None }) };
        before = last;
    }
    Ok(Slice { rows: read(conn, found).await?, next: Some(before.0) })
}

/// The rows of one notification of an inbox: one a channel, and of a digest those that were gathered in it. Asked for by
/// nothing else, so that its own index is used.
async fn of_notification(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &HistoryFilter,
    (id, before): (NotificationId, HistoryId),
    per_page: usize,
) -> Result<Slice<HistoryResource>> {
    let query = l::table.filter(l::in_app_id.eq(id));
    let mut rows: Vec<Glance> = on_conn!(conn, c => query.select(Glance::as_select()).load(c).await)?;
    rows.retain(|row| {
        row.tenant_id == tenant
            && row.id < before
            && filter.user.is_none_or(|user| row.user_id == user)
            && filter.accepts(row)
    });
    let mut found: Vec<HistoryId> = rows.into_iter().map(|row| row.id).collect();
    found.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
    let goes_on = found.len() > per_page;
    found.truncate(per_page);
    let next = found.last().filter(|_| goes_on).map(|id| id.0);
    Ok(Slice { rows: read(conn, found).await?, next })
}

/// A row behind which, by id, none is from before that time.
async fn first_since(conn: &mut Conn, time: Timestamp) -> Result<HistoryId> {
    let query =
        l::table.filter(l::created_at.ge(time.plus(SLACK))).order((l::created_at, l::id)).select(l::id);
    let first: Option<HistoryId> = on_conn!(conn, c => query.first(c).await.optional())?;
    Ok(first.unwrap_or(HistoryId(i64::MAX)))
}

async fn newest(
    conn: &mut Conn,
    (tenant, user): (TenantId, Option<UserId>),
    before: HistoryId,
    size: usize,
) -> Result<Vec<HistoryId>> {
    let all = l::table.limit(i64::try_from(size).unwrap_or(i64::MAX)).select(l::id);
    Ok(if let Some(user) = user {
        let own = all.filter(UserBefore(tenant, user, before.0)).order(UserNewest);
        on_conn!(conn, c => own.load(c).await)?
    } else {
        let its = all.filter(TenantBefore(tenant, before.0)).order(TenantNewest);
        on_conn!(conn, c => its.load(c).await)?
    })
}

async fn glances(conn: &mut Conn, ids: Vec<HistoryId>) -> Result<Vec<Glance>> {
    let query = l::table.filter(l::id.eq_any(ids)).order(l::id.desc());
    Ok(on_conn!(conn, c => query.select(Glance::as_select()).load(c).await)?)
}

async fn read(conn: &mut Conn, ids: Vec<HistoryId>) -> Result<Vec<HistoryResource>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let query = l::table.filter(l::id.eq_any(ids)).order(l::id.desc());
    Ok(on_conn!(conn, c => query.select(HistoryResource::as_select()).load(c).await)?)
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
