//! `ChannelFact`: what happens on channels that back ends may want to be told of (Pusher's webhook events).
//! <https://pusher.com/docs/channels/server_api/webhooks/>

use crate::domain::{AppId, ChannelName, SocketId, Timestamp};
use std::sync::Arc;

/// What happened on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelFact {
    /// The first subscriber came.
    Occupied,
    /// The channel has been without subscribers for the grace.
    Vacated,
    /// A user joined a presence channel with their first socket.
    MemberAdded(Arc<str>),
    /// A user's last socket left a presence channel, and none came back within the grace.
    MemberRemoved(Arc<str>),
    /// A client sent an event to the other subscribers.
    ClientEvent {
        /// `client-…`
        event: Arc<str>,
        /// The data as JSON text, as the client sent it.
        data: Arc<str>,
        /// Who sent it.
        socket: SocketId,
        /// The sender's user id, on presence channels.
        user_id: Option<Arc<str>>,
    },
    /// Somebody subscribed to a cache channel that had nothing to give.
    CacheMiss,
    /// The number of subscribers changed.
    SubscriptionCount(usize),
}

impl ChannelFact {
    /// Every name that [`Self::name`] gives.
    pub const NAMES: [&str; 7] = [
        "channel_occupied",
        "channel_vacated",
        "member_added",
        "member_removed",
        "client_event",
        "cache_miss",
        "subscription_count",
    ];

    /// The name of the webhook event.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Occupied => "channel_occupied",
            Self::Vacated => "channel_vacated",
            Self::MemberAdded(_) => "member_added",
            Self::MemberRemoved(_) => "member_removed",
            Self::ClientEvent { .. } => "client_event",
            Self::CacheMiss => "cache_miss",
            Self::SubscriptionCount(_) => "subscription_count",
        }
    }
}

/// A fact, with where and when; channels tell it to whoever posts Pusher webhooks.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "()")]
pub struct ChannelNotice {
    /// Whose channel.
    pub app: AppId,
    /// Which channel.
    pub channel: ChannelName,
    /// What happened.
    pub fact: ChannelFact,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_listed() {
        let facts = [
            ChannelFact::Occupied,
            ChannelFact::Vacated,
            ChannelFact::MemberAdded("1".into()),
            ChannelFact::MemberRemoved("1".into()),
            ChannelFact::ClientEvent {
                event: "client-x".into(),
                data: "1".into(),
                socket: SocketId::from_bits(1),
                user_id: None,
            },
            ChannelFact::CacheMiss,
            ChannelFact::SubscriptionCount(1),
        ];
        assert_eq!(facts.map(|fact| fact.name()), ChannelFact::NAMES);
    }
}
