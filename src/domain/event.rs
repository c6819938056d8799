//! `Event`: one thing that happened to a tenant's data; the datum that runs through the house.

use crate::domain::{ChannelName, EventId, SocketId, TenantId, Timestamp};
use std::fmt;
use std::sync::Arc;

/// An event's name as receivers spell it (`product:updated`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventName(Arc<str>);

impl EventName {
    /// Takes a name that our own code spells or that a table holds; nothing from outside comes this way.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<EventName> for Arc<str> {
    fn from(name: EventName) -> Self {
        name.0
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A committed row of `events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Grows in commit order.
    pub id: EventId,
    /// The `webhook-id` of every delivery of this event: `msg_` and 32 hex digits, unique everywhere.
    pub message_id: Arc<str>,
    /// Whose data changed.
    pub tenant_id: TenantId,
    /// What happened.
    pub name: EventName,
    /// Where it is published to WebSocket subscribers.
    pub channel: ChannelName,
    /// The `data` of the event: JSON text, encoded once when the row was written and never again.
    pub data: Arc<str>,
    /// The connection that caused it and is not told of it (`X-Socket-ID`).
    pub except: Option<SocketId>,
    /// When the change was made.
    pub created_at: Timestamp,
}
