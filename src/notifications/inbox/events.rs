//! The events by which a user's open tabs learn of their inbox. They go to that user's own channel, and to no webhook
//! endpoint.

use crate::domain::{
    ChannelName, Code, Error, EventName, NotificationId, Result, SocketId, TenantId, Timestamp, UserId,
};
use crate::notifications::Priority;
use crate::notifications::dispatch::{Action, Message, Plan};
use crate::notifications::template::Variables;
use crate::storage::outbox::NewEvent;
use serde::Serialize;

/// What a new notification tells of itself.
#[derive(Serialize)]
struct Created<'a> {
    id: NotificationId,
    r#type: &'a str,
    title: &'a str,
    body: &'a str,
    timestamp: Timestamp,
    priority: Priority,
    action: Option<&'a Action>,
    icon: Option<&'a str>,
    data: Option<&'a Variables>,
    expires_at: Option<Timestamp>,
}

/// `notification:created`, for a row that was just written.
pub(super) fn created(
    plan: &Plan<'_>,
    id: NotificationId,
    except: Option<SocketId>,
    now: Timestamp,
) -> Result<NewEvent> {
    let Message { kind, priority, extras, .. } = &*plan.notice.message;
    let data = Created {
        id,
        r#type: kind.as_str(),
        title: &plan.words.title,
        body: &plan.words.body_text,
        timestamp: now,
        priority: *priority,
        action: extras.action.as_ref(),
        icon: extras.icon.as_deref(),
        data: extras.data.as_ref(),
        expires_at: extras.expires_at,
    };
    for_user((plan.notice.tenant, plan.notice.recipient), "notification:created", &data, except)
}

/// An event on a user's own channel.
pub(super) fn for_user(
    (tenant_id, user): (TenantId, UserId),
    name: &str,
    data: &impl Serialize,
    except: Option<SocketId>,
) -> Result<NewEvent> {
    let data = serde_json::to_string(data)
        .map_err(|e| Error::new(Code::Internal, "An event could not be written down.").because(e))?;
    let channel = ChannelName::user_notifications(user);
    Ok(NewEvent { tenant_id, name: EventName::new(name), channel, data, except })
}
