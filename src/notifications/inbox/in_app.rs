//! `InAppChannel`: notifications into inboxes. They have arrived when the transaction that brings them into being commits.

use super::events;
use crate::domain::{NotificationId, Result, ScheduledId, TenantId, Timestamp, UserId};
use crate::notifications::Priority;
use crate::notifications::channel_driver::{Arrival, ChannelDriver};
use crate::notifications::dispatch::{Plan, Terms, text};
use crate::storage::schema::in_app_notifications;
use crate::storage::{Conn, insert_new_rows};
use diesel::prelude::*;
use futures_util::future::LocalBoxFuture;

/// See the module.
pub struct InAppChannel;

impl ChannelDriver for InAppChannel {
    fn deliver<'a>(
        &'a self,
        conn: &'a mut Conn,
        outgoing: &'a [&'a Plan<'a>],
        terms: Terms<'a>,
    ) -> LocalBoxFuture<'a, Result<Vec<Arrival>>> {
        Box::pin(async move {
            let ids = write(conn, outgoing, terms.now).await?;
            let arrival = |(plan, id): (&&Plan<'_>, Option<NotificationId>)| match id {
                Some(id) => Ok(Arrival::New(id, events::created(plan, id, terms.except, terms.now)?)),
                None => Ok(Arrival::Repeated),
            };
            outgoing.iter().zip(ids).map(arrival).collect()
        })
    }
}

#[derive(Debug, Insertable)]
#[diesel(table_name = in_app_notifications, treat_none_as_default_value = false)]
struct NewRow {
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

impl NewRow {
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

/// Writes the rows of all, and gives the id of each; none where what was scheduled is there already.
async fn write(conn: &mut Conn, plans: &[&Plan<'_>], now: Timestamp) -> Result<Vec<Option<NotificationId>>> {
    let rows: Vec<NewRow> = plans.iter().map(|plan| NewRow::of(plan, now)).collect::<Result<_>>()?;
    let returning = (in_app_notifications::id, in_app_notifications::scheduled_id);
    let written: Vec<(NotificationId, Option<ScheduledId>)> =
        insert_new_rows!(conn, in_app_notifications::table, rows, returning);
    let mut written = written.into_iter().peekable();
    // In their order; what was there already is left out.
    let id = |plan: &&Plan<'_>| {
        written.next_if(|(_, scheduled)| *scheduled == plan.notice.scheduled).map(|(id, _)| id)
    };
    Ok(plans.iter().map(id).collect())
}
