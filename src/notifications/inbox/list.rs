//! Lists of an inbox, newest first.
//!
//! A list is read from an index by id, so it costs what it shows; what is unread and what is archived have indexes of
//! their own. A filter that none of them knows looks at so many rows at most, and then answers with what it has and
//! where to go on.

use super::{InboxResource, Owner, Row, present};
use crate::domain::{NotificationId, Result, Timestamp};
use crate::notifications::{NotificationType, Priority};
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

    fn accepts(&self, row: &Row) -> bool {
        row.archived_at.is_some() == self.archived
            && self.unread.is_none_or(|unread| row.read_at.is_none() == unread)
            && self.kind.as_ref().is_none_or(|kind| row.notification_type == kind.as_str())
            && self.priority.is_none_or(|priority| row.priority == priority)
    }

    /// Whether most of the rows of the index that is read are in the list.
    fn takes_most(&self) -> bool {
        self.kind.is_none() && self.priority.is_none() && (self.unread != Some(false) && !self.archived)
    }
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
    let mut rows: Vec<InboxResource> = Vec::new();
    for _ in 0..WINDOWS {
        let window = newest(conn, owner, filter, (before, size), now).await?;
        let last = window.last().filter(|_| window.len() == size).map(|row| row.id);
        rows.extend(window.into_iter().filter(|row| filter.accepts(row)).map(InboxResource::from));
        if rows.len() > cursor.per_page {
            rows.truncate(cursor.per_page);
            let next = rows.last().map(|row| row.id.0);
            return Ok(Slice { rows, next });
        }
        let Some(last) = last else { return Ok(Slice { rows, next: None }) };
        (before, size) = (last, WINDOW);
    }
    Ok(Slice { rows, next: Some(before.0) })
}

/// The newest rows of the narrowest index.
async fn newest(
    conn: &mut Conn,
    (tenant, user): Owner,
    filter: &InboxFilter,
    (before, size): (NotificationId, usize),
    now: Timestamp,
) -> Result<Vec<Row>> {
    let limit = i64::try_from(size).unwrap_or(i64::MAX);
    let all = present(tenant, user, now).filter(i::id.lt(before)).order(i::id.desc()).limit(limit);
    Ok(if filter.archived {
        let archived = all.filter(i::archived_at.is_not_null());
        on_conn!(conn, c => archived.select(Row::as_select()).load(c).await)?
    } else if filter.unread == Some(true) {
        let unread = all.filter(i::read_at.is_null().and(i::archived_at.is_null()));
        on_conn!(conn, c => unread.select(Row::as_select()).load(c).await)?
    } else {
        on_conn!(conn, c => all.select(Row::as_select()).load(c).await)?
    })
}
