//! `EventSubscription`: which events of the tenant a user wants to be told of, and on which channels. Pure.
//!
//! Events notify nobody who has not asked for them: subscribing is the opting in. What somebody sends to a user is
//! another matter, and is on until they turn it off ([`preferences`](super::preferences)).

use super::Channel;
use crate::domain::EventFilter;
use std::collections::BTreeSet;

/// One wish of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSubscription {
    /// Which events: a name (`order:created`), a prefix (`order:*`), or all (`*`).
    pub events: EventFilter,
    /// On which channels.
    pub channels: BTreeSet<Channel>,
    /// One that is not active says nothing.
    pub active: bool,
}

/// The channels on which a user with these subscriptions wants to be told of an event. None twice, whatever
/// number of filters accept it; none at all where none does.
pub fn channels_for(event: &str, subscriptions: &[EventSubscription]) -> BTreeSet<Channel> {
    let wanted = subscriptions.iter().filter(|one| one.active && one.events.accepts(event));
    wanted.flat_map(|one| one.channels.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Channel::{Email, InApp, Webhook};

    fn subscription(events: &str, channels: &[Channel]) -> EventSubscription {
        let events = EventFilter::parse(events).unwrap();
        EventSubscription { events, channels: channels.iter().copied().collect(), active: true }
    }

    fn channels(event: &str, subscriptions: &[EventSubscription]) -> Vec<Channel> {
        channels_for(event, subscriptions).into_iter().collect()
    }

    #[test]
    fn who_has_not_subscribed_is_not_told() {
        assert!(channels("order:created", &[]).is_empty());
        assert!(channels("order:created", &[subscription("product:*", &[InApp])]).is_empty());
        let paused = EventSubscription { active: false, ..subscription("*", &[InApp]) };
        assert!(channels("order:created", &[paused]).is_empty());
    }

    #[test]
    fn several_filters_that_accept_an_event_add_up_and_tell_once() {
        let wishes = [
            subscription("order:created", &[InApp, Email]),
            subscription("order:*", &[InApp]),
            subscription("*", &[Webhook]),
        ];
        assert_eq!(channels("order:created", &wishes), [InApp, Webhook, Email]);
        assert_eq!(channels("order:updated", &wishes), [InApp, Webhook]);
        assert_eq!(channels("stock:updated", &wishes), [Webhook]);
    }
}
