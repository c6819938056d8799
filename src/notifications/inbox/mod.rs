//! A user's inbox: how notifications come into it, what is in it, how much of it is unread, and every change to it.
//!
//! What has expired is not there. A change tells the user's other tabs, on their own channel, with the count of what is
//! unread after it. That count is taken when nobody else can write events any more: so it is right for the place that
//! its event has in the order of events, and a tab that takes each event as it comes shows the right number.

mod change;
mod events;
pub mod in_app;
mod list;
mod read_all;

pub use change::{Changed, Hand, Mark, delete, mark};
pub use list::{InboxFilter, list};
pub use read_all::{AllRead, PART, is_long, mark_all_read, mark_part_read};

use super::Priority;
use super::dispatch::Action;
use crate::domain::{Error, NotificationId, Result, TenantId, Timestamp, UserId};
use crate::storage::schema::in_app_notifications as i;
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::Value;

/// Whose inbox.
pub type Owner = (TenantId, UserId);

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = i, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct Row {
    id: NotificationId,
    notification_type: String,
    title: String,
    message: String,
    action_url: Option<String>,
    action_label: Option<String>,
    icon: Option<String>,
    priority: Priority,
    data: Option<String>,
    read_at: Option<Timestamp>,
    archived_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    created_at: Timestamp,
}

/// A notification as its owner sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InboxResource {
    /// Its id; the one in `notification:created`.
    pub id: NotificationId,
    /// What it is about.
    pub r#type: String,
    /// One line.
    pub title: String,
    /// Text.
    pub body: String,
    /// The same, by the name that inboxes elsewhere have for it.
    pub message: String,
    /// What to do about it.
    pub action: Option<Action>,
    /// The name of a picture.
    pub icon: Option<String>,
    /// How much it matters.
    pub priority: Priority,
    /// What its sender's program makes of it.
    pub data: Option<Value>,
    /// Whether it was read.
    pub is_read: bool,
    /// When it was read.
    pub read_at: Option<Timestamp>,
    /// Whether it was put aside.
    pub is_archived: bool,
    /// When it was put aside.
    pub archived_at: Option<Timestamp>,
    /// When it goes by itself.
    pub expires_at: Option<Timestamp>,
    /// When it came.
    pub created_at: Timestamp,
    /// Where it is.
    pub links: InboxLinks,
}

/// Where a notification is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InboxLinks {
    /// Its path.
    #[serde(rename = "self")]
    pub itself: String,
}

impl From<Row> for InboxResource {
    fn from(row: Row) -> Self {
        let action = row.action_url.map(|url| Action { url, label: row.action_label });
        Self {
            id: row.id,
            r#type: row.notification_type,
            title: row.title,
            body: row.message.clone(),
            message: row.message,
            action,
            icon: row.icon,
            priority: row.priority,
            // It was an object when it was written.
            data: row.data.and_then(|text| serde_json::from_str(&text).ok()),
            is_read: row.read_at.is_some(),
            read_at: row.read_at,
            is_archived: row.archived_at.is_some(),
            archived_at: row.archived_at,
            expires_at: row.expires_at,
            created_at: row.created_at,
            links: InboxLinks { itself: format!("/api/v1/notifications/in-app/{}", row.id) },
        }
    }
}

/// What is in the inbox at `now`, archived or not.
#[diesel::dsl::auto_type]
fn present(tenant: TenantId, user: UserId, now: Timestamp) -> _ {
    i::table
        .filter(i::tenant_id.eq(tenant).and(i::user_id.eq(user)))
        .filter(i::expires_at.is_null().or(i::expires_at.gt(now)))
}

/// One notification.
pub async fn find(
    conn: &mut Conn,
    (tenant, user): Owner,
    id: NotificationId,
    now: Timestamp,
) -> Result<InboxResource> {
    let query = present(tenant, user, now).filter(i::id.eq(id));
    let found: Option<Row> = on_conn!(conn, c => query.select(Row::as_select()).first(c).await.optional())?;
    found.map(InboxResource::from).ok_or_else(|| Error::not_found("notification"))
}

/// How many are unread and not archived: the number on the badge.
pub async fn unread_count(conn: &mut Conn, (tenant, user): Owner, now: Timestamp) -> Result<i64> {
    let query = present(tenant, user, now).filter(i::read_at.is_null().and(i::archived_at.is_null()));
    Ok(on_conn!(conn, c => query.count().get_result(c).await)?)
}
