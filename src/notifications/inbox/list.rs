//! Lists of an inbox, newest first.
//!
//! A list is read from an index by id, so it costs what it shows; what is unread and what is archived have indexes of
//! their own. A filter that none of them knows looks at so many rows at most, and then answers with what it has and
//! where to go on. Words are read of what is shown, and of nothing else.

use super::{InboxResource, Owner, Row};
use crate::domain::{NotificationId, Result, Timestamp};
use crate::notifications::{NotificationType, Priority};
use crate::storage::page::keyset::{UserBefore, UserNewest};
use crate::storage::page::{Cursor, ListQuery, Slice};
use crate::storage::schema::in_app_notifications as i;
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// Rows that are looked at in one go, where a filter may leave most of them out.
const WINDOW: usize = 500;

/// Goes that one answer may take.
const WINDOWS: usize = 20;

/// Which notifications are asked for.
#[derive(Debug, Clone, Default)]
pub struct InboxFilter {
    unread: Option<bool>,
    archived: bool,
    kind: Option<NotificationType>,
    priority: Option<Priority>,
}

impl InboxFilter {
    /// Reads a list's query string. What is archived is in the list of what is archived, and in no other.
    pub fn parse(query: &str) -> Result<(Self, Cursor)> {
        let mut query = ListQuery::parse_cursor(query, &["unread", "archived", "type", "priority"]);
        let filter = Self {
            unread: query.boolean("unread"),
            archived: query.boolean("archived").unwrap_or(false),
            kind: query.read("type", "a notification type, such as order_shipped", |text| {
                NotificationType::parse(text).ok()
            }),
            priority: query.value("priority", "critical, high, normal or low"),
        };
        Ok((filter, query.finish_cursor()?))
    }

    fn accepts(&self, glance: &Glance) -> bool {
        glance.archived_at.is_some() == self.archived
            && self.unread.is_none_or(|unread| glance.read_at.is_none() == unread)
            && self.kind.as_ref().is_none_or(|kind| glance.notification_type == kind.as_str())
            && self.priority.is_none_or(|priority| glance.priority == priority)
    }

    /// Whether all rows of the index that is read are in the list.
    fn takes_all(&self) -> bool {
        let by_index = if self.archived { self.unread.is_none() } else { self.unread == Some(true) };
        by_index && self.kind.is_none() && self.priority.is_none()
    }

    /// Whether most of them are.
    fn takes_most(&self) -> bool {
        self.takes_all()
            || (!self.archived && self.unread.is_none() && self.kind.is_none() && self.priority.is_none())
    }
}

/// What a filter looks at.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = i, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct Glance {
    id: NotificationId,
    notification_type: String,
    priority: Priority,
    read_at: Option<Timestamp>,
    archived_at: Option<Timestamp>,
}

/// The notifications that the filter lets through, newest first.
pub async fn list(
    conn: &mut Conn,
    owner: Owner,
    filter: &InboxFilter,
    cursor: Cursor,
    now: Timestamp,
) -> Result<Slice<InboxResource>> {
    let mut size = if filter.takes_most() { cursor.per_page + 1 } else { WINDOW };
    let mut before = NotificationId(cursor.after.unwrap_or(i64::MAX));
    let mut found: Vec<NotificationId> = Vec::new();
    for _ in 0..WINDOWS {
        let window = newest(conn, owner, filter, (before, size), now).await?;
        let last = window.last().filter(|_| window.len() == size).copied();
        found.extend(let_through(conn, filter, window).await?);
        if found.len() > cursor.per_page {
            found.truncate(cursor.per_page);
            let next = found.last().map(|id| id.0);
            return Ok(Slice { rows: read(conn, found).await?, next });
        }
        let Some(last) = last else { return Ok(Slice { rows: read(conn, found).await?, next: None }) };
        // A row or two that are not wanted need no great second window.
        (before, size) = (last, (size * 4).min(WINDOW));
    }
    Ok(Slice { rows: read(conn, found).await?, next: Some(before.0) })
}

/// The newest of the narrowest index.
async fn newest(
    conn: &mut Conn,
    (tenant, user): Owner,
    filter: &InboxFilter,
    (before, size): (NotificationId, usize),
    now: Timestamp,
) -> Result<Vec<NotificationId>> {
    let all = i::table
        .filter(UserBefore(tenant, user, before.0))
        .filter(i::expires_at.is_null().or(i::expires_at.gt(now)))
        .order(UserNewest)
        .limit(i64::try_from(size).unwrap_or(i64::MAX))
        .select(i::id);
    Ok(if filter.archived {
        on_conn!(conn, c => all.filter(i::archived_at.is_not_null()).load(c).await)?
    } else if filter.unread == Some(true) {
        on_conn!(conn, c => all.filter(i::read_at.is_null().and(i::archived_at.is_null())).load(c).await)?
    } else {
        on_conn!(conn, c => all.load(c).await)?
    })
}

/// Those that are in the list, in their order.
async fn let_through(
    conn: &mut Conn,
    filter: &InboxFilter,
    window: Vec<NotificationId>,
) -> Result<Vec<NotificationId>> {
    if filter.takes_all() || window.is_empty() {
        return Ok(window);
    }
    let query = i::table.filter(i::id.eq_any(window)).order(i::id.desc());
    let glances: Vec<Glance> = on_conn!(conn, c => query.select(Glance::as_select()).load(c).await)?;
    Ok(glances.into_iter().filter(|glance| filter.accepts(glance)).map(|glance| glance.id).collect())
}

async fn read(conn: &mut Conn, ids: Vec<NotificationId>) -> Result<Vec<InboxResource>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let query = i::table.filter(i::id.eq_any(ids)).order(i::id.desc());
    let rows: Vec<Row> = on_conn!(conn, c => query.select(Row::as_select()).load(c).await)?;
    Ok(rows.into_iter().map(InboxResource::from).collect())
}
