//! `ChannelTable`: the channels that exist, each with how many subscribe to it and how many users are present.
//!
//! Shared state and not an actor: channels write their counts, and routes read them without asking anybody.
//! The registry enters a channel when it makes one and removes it when it lets it go, so an app's entries are
//! also what its bound on channels is held against.

use crate::config::App;
use crate::domain::{AppId, ChannelName};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The channels of every app. Cloning shares the table.
#[derive(Debug, Clone)]
pub struct ChannelTable {
    apps: Arc<HashMap<AppId, Channels>>,
}

#[derive(Debug)]
struct Channels {
    app: Arc<App>,
    /// By name, so that those of one prefix stand together.
    open: RwLock<BTreeMap<ChannelName, Arc<Occupancy>>>,
}

/// The counts of one channel, written by its actor.
#[derive(Debug, Default)]
pub struct Occupancy {
    subscriptions: AtomicU32,
    users: AtomicU32,
}

/// How occupied a channel is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sockets that are subscribed; without one the channel is vacant.
    pub subscriptions: u32,
    /// Different users, in a presence channel.
    pub users: u32,
}

impl Occupancy {
    /// So it is from now on.
    pub fn set(&self, subscriptions: usize, users: usize) {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.subscriptions.store(count(subscriptions), Ordering::Relaxed);
        self.users.store(count(users), Ordering::Relaxed);
    }

    fn counts(self: &Arc<Self>) -> Counts {
        // Its actor has died, and can take nothing back.
        if Arc::strong_count(self) == 1 {
            return Counts::default();
        }
        match self.subscriptions.load(Ordering::Relaxed) {
            // Who has just broken off may come back, but is not there.
            0 => Counts::default(),
            subscriptions => Counts { subscriptions, users: self.users.load(Ordering::Relaxed) },
        }
    }
}

impl ChannelTable {
    /// Without channels, for these apps.
    pub fn new(apps: &[Arc<App>]) -> Self {
        let channels =
            |app: &Arc<App>| (app.id.clone(), Channels { app: app.clone(), open: RwLock::default() });
        Self { apps: Arc::new(apps.iter().map(channels).collect()) }
    }

    /// The apps, in no order.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.apps.values().map(|channels| &channels.app)
    }

    /// A channel is made: the counts it is to write, or `None` if the app has as many channels as it may. One
    /// of this name that is there already is replaced: its actor has died.
    pub fn enter(&self, app: &AppId, name: &ChannelName) -> Option<Arc<Occupancy>> {
        let channels = self.apps.get(app)?;
        let mut open = channels.open.write().unwrap_or_else(PoisonError::into_inner);
        let limit = channels.app.channels;
        if limit > 0 && open.len() >= limit && !open.contains_key(name) {
            return None;
        }
        let occupancy = Arc::new(Occupancy::default());
        open.insert(name.clone(), occupancy.clone());
        Some(occupancy)
    }

    /// Whether the channel is there, or the app may have one more.
    pub fn has_room(&self, app: &AppId, name: &ChannelName) -> bool {
        self.apps.get(app).is_some_and(|channels| {
            let open = channels.open.read().unwrap_or_else(PoisonError::into_inner);
            channels.app.channels == 0 || open.len() < channels.app.channels || open.contains_key(name)
        })
    }

    /// A channel is gone.
    pub fn leave(&self, app: &AppId, name: &ChannelName) {
        if let Some(channels) = self.apps.get(app) {
            channels.open.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
    }

    /// How occupied a channel is at this moment.
    pub fn counts(&self, app: &AppId, name: &ChannelName) -> Counts {
        let Some(channels) = self.apps.get(app) else { return Counts::default() };
        let open = channels.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(name).map(Occupancy::counts).unwrap_or_default()
    }

    /// The channels of an app that are occupied and whose names begin so, by name.
    pub fn occupied(&self, app: &AppId, prefix: &str) -> Vec<(ChannelName, Counts)> {
        let Some(channels) = self.apps.get(app) else { return Vec::new() };
        let open = channels.open.read().unwrap_or_else(PoisonError::into_inner);
        let from = open.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(|(name, _)| name.as_str().starts_with(prefix))
            .map(|(name, occupancy)| (name.clone(), occupancy.counts()))
            .filter(|(_, counts)| counts.subscriptions > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Secret;

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text).unwrap()
    }

    fn table(channels: usize) -> (ChannelTable, [AppId; 2]) {
        let app = |id| Arc::new(App { channels, ..App::new(id, id, Secret::new("s")) });
        let apps = [app("a"), app("b")];
        (ChannelTable::new(&apps), apps.map(|app| app.id.clone()))
    }

    #[test]
    fn occupied_channels_are_listed_by_app_and_prefix() {
        let (table, [a, b]) = table(0);
        let mut actors = Vec::new();
        for (app, text, subscriptions) in [
            (&a, "presence-a", 1),
            (&a, "presence-b", 2),
            (&a, "presence-c", 0),
            (&a, "news", 1),
            (&b, "presence-z", 1),
        ] {
            actors.push(table.enter(app, &name(text)).unwrap());
            actors.last().unwrap().set(subscriptions, 1);
        }
        let listed = |prefix| -> Vec<String> {
            table.occupied(&a, prefix).into_iter().map(|(name, _)| name.to_string()).collect()
        };
        assert_eq!(listed("presence-"), ["presence-a", "presence-b"]);
        assert_eq!(listed("presence-b"), ["presence-b"]);
        assert_eq!(listed(""), ["news", "presence-a", "presence-b"]);
        assert!(listed("x").is_empty() && listed("presence-bb").is_empty());
        assert_eq!(table.counts(&a, &name("presence-b")), Counts { subscriptions: 2, users: 1 });
        assert_eq!(table.counts(&a, &name("presence-z")), Counts::default());
        table.leave(&a, &name("presence-b"));
        assert_eq!(listed("presence-"), ["presence-a"]);
        drop(actors);
        assert!(listed("").is_empty(), "whose actors have died are vacant");
    }

    #[test]
    fn an_app_at_its_bound_opens_no_other_channel_and_others_do() {
        let (table, [a, b]) = table(2);
        assert!(table.enter(&a, &name("1")).is_some() && table.enter(&a, &name("2")).is_some());
        assert!(table.enter(&a, &name("3")).is_none());
        assert!(table.enter(&a, &name("2")).is_some(), "it is there already");
        assert!(table.enter(&b, &name("3")).is_some());
        table.leave(&a, &name("1"));
        assert!(table.enter(&a, &name("3")).is_some());
    }
}
