//! Lists of scheduled notifications, newest first.
//!
//! A list is merged from the streams of an index (tenant, status, id), or read from that of a recipient, so it costs
//! what it shows, however many rows there are. A filter that no index knows looks at so many rows at most, and then
//! answers with what it has and where to go on. Of what it looks at only what it shows is read whole: rows carry words.

use super::resource::{ScheduledResource, show_all};
use super::row::Row;
use crate::domain::{Result, ScheduledId, TenantId, Timestamp, UserId};
use crate::notifications::status::ScheduleStatus;
use crate::notifications::{NotificationType, Priority};
use crate::storage::page::{Cursor, ListQuery, Slice};
use crate::storage::schema::scheduled_notifications as s;
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

const FILTERS: &[&str] = &["status", "user_id", "type", "priority", "series_id"];

/// Rows that are looked at in one go, where a filter may leave most of them out.
const WINDOW: usize = 500;

/// Goes that one answer may take.
const WINDOWS: usize = 10;

/// Which ones are asked for.
#[derive(Debug, Clone, Default)]
pub struct ScheduledFilter {
    status: Option<ScheduleStatus>,
    user: Option<UserId>,
    kind: Option<NotificationType>,
    priority: Option<Priority>,
    series: Option<ScheduledId>,
}

impl ScheduledFilter {
    /// Reads a list's query string.
    pub fn parse(query: &str) -> Result<(Self, Cursor)> {
        let mut query = ListQuery::parse_cursor(query, FILTERS);
        let filter = Self {
            status: query.value("status", "one of pending, delivered, failed, cancelled"),
            user: query.value("user_id", "a number"),
            kind: query.read("type", "a notification type", |text| NotificationType::parse(text).ok()),
            priority: query.value("priority", "one of critical, high, normal, low"),
            series: query.value("series_id", "a number"),
        };
        Ok((filter, query.finish_cursor()?))
    }

    /// Of this user alone, whoever was asked for.
    #[must_use]
    pub fn of(self, user: UserId) -> Self {
        Self { user: Some(user), ..self }
    }

    /// What no index answers.
    fn accepts(&self, row: &Glance) -> bool {
        self.status.is_none_or(|status| row.status == status)
            && self.kind.as_ref().is_none_or(|kind| row.notification_type == kind.as_str())
            && self.priority.is_none_or(|priority| row.priority == priority)
            && self.series.is_none_or(|series| row.series_id == Some(series))
    }

    fn leaves_none_out(&self) -> bool {
        let by_status = self.user.is_none() || self.status.is_none();
        by_status && self.kind.is_none() && self.priority.is_none() && self.series.is_none()
    }
}

/// What a filter looks at.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = s, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct Glance {
    id: ScheduledId,
    notification_type: String,
    priority: Priority,
    series_id: Option<ScheduledId>,
    status: ScheduleStatus,
}

/// A part of the tenant's.
pub async fn list(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &ScheduledFilter,
    cursor: Cursor,
    now: Timestamp,
) -> Result<Slice<ScheduledResource>> {
    let size = if filter.leaves_none_out() { cursor.per_page + 1 } else { WINDOW };
    let mut before = ScheduledId(cursor.after.unwrap_or(i64::MAX));
    let (mut found, mut next) = (Vec::new(), None);
    for _ in 0..WINDOWS {
        let window = window(conn, tenant, filter, before, size).await?;
        let last = window.last().filter(|_| window.len() == size).map(|row| row.id);
        found.extend(window.iter().filter(|row| filter.accepts(row)).map(|row| row.id));
        next = last;
        if found.len() > cursor.per_page {
            found.truncate(cursor.per_page);
            next = found.last().copied();
            break;
        }
        let Some(last) = last else { break };
        before = last;
    }
    let rows = read(conn, found).await?;
    Ok(Slice { rows: show_all(conn, rows, now).await?, next: next.map(|id| id.0) })
}

/// These rows, newest first.
async fn read(conn: &mut Conn, ids: Vec<ScheduledId>) -> Result<Vec<Row>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let query = s::table.filter(s::id.eq_any(ids)).order(s::id.desc());
    Ok(on_conn!(conn, c => query.select(Row::as_select()).load(c).await)?)
}

/// The newest rows before `before`, up to `size`.
async fn window(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &ScheduledFilter,
    before: ScheduledId,
    size: usize,
) -> Result<Vec<Glance>> {
    let limit = i64::try_from(size).unwrap_or(i64::MAX);
    let newest =
        s::table.filter(s::tenant_id.eq(tenant).and(s::id.lt(before))).order(s::id.desc()).limit(limit);
    if let Some(user) = filter.user {
        let own = newest.filter(s::recipient_id.eq(user));
        return Ok(on_conn!(conn, c => own.select(Glance::as_select()).load(c).await)?);
    }
    let mut rows: Vec<Glance> = Vec::new();
    for status in ScheduleStatus::ALL.iter().filter(|status| filter.status.is_none_or(|one| one == **status))
    {
        let stream = newest.filter(s::status.eq(*status));
        let found: Vec<Glance> = on_conn!(conn, c => stream.select(Glance::as_select()).load(c).await)?;
        rows.extend(found);
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.id));
    rows.truncate(size);
    Ok(rows)
}
