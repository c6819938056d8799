//! `Hub`: the realtime room's front door, shared by all worker threads: what HTTP routes and sessions hold.

use super::channel::page::{Page, ReadPage};
use super::channel_table::ChannelTable;
use super::connect_limit::ConnectLimit;
use super::frame::{Departure, Ending, Publication};
use super::link::Link;
use super::publish_limit::PublishLimit;
use super::publishing::{PublishBatch, PublishTo, Say};
use super::registry::{CacheOf, ChannelKey, Join, Leave, MembersOf, ReadHistory, RegistryActor};
use super::sentinel;
use super::session::Doorkeeper;
use super::session_table::SessionTable;
use super::users::Users;
use crate::config::{App, Channels, Limits};
use crate::domain::{AppId, ChannelName, Code, Error, Probe, Result, SocketId, UserId};
use crate::telemetry::Metrics;
use actix::Addr;
use std::sync::Arc;
use std::time::Duration;

/// How long the registry may take to answer before a request is told to come back.
const PATIENCE: Duration = Duration::from_secs(2);

/// What sessions and routes need of the room.
pub struct Hub {
    /// The apps, in the order of the configuration.
    pub apps: Vec<Arc<App>>,
    /// Bounds of sessions.
    pub limits: Limits,
    /// What channels remember.
    pub channels: Channels,
    /// Whether sessions may be compressed.
    pub compression: bool,
    /// Sessions that may be open at once in this process.
    pub capacity: usize,
    /// The open sessions.
    pub table: SessionTable,
    /// Who is signed in.
    pub users: Users,
    /// The open channels.
    pub occupancy: ChannelTable,
    /// What back ends may publish.
    pub publishing: PublishLimit,
    /// Connects by address.
    pub connects: ConnectLimit,
    /// Who may join what.
    pub doorkeeper: Arc<dyn Doorkeeper>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The switchboard.
    pub registry: Addr<RegistryActor>,
}

impl Hub {
    /// The app that clients name by this key.
    pub fn app_by_key(&self, key: &str) -> Option<&Arc<App>> {
        self.apps.iter().find(|app| app.key == key)
    }

    /// The app that back ends name by this id.
    pub fn app_by_id(&self, id: &str) -> Option<&Arc<App>> {
        self.apps.iter().find(|app| &*app.id.0 == id)
    }

    /// Publishes on channels of an app. `Unavailable` names the channels that were full; the others have it.
    pub async fn publish(
        &self,
        app: &AppId,
        channels: Vec<ChannelName>,
        publication: Arc<Publication>,
    ) -> Result<()> {
        let message = PublishTo { app: app.clone(), channels, publication };
        let full = patient(self.registry.send(message)).await?;
        all_taken(&full, "did not get the event")
    }

    /// Publishes a batch on channels of an app, in its order: all of it, or nothing, when a channel is full
    /// (`Unavailable` names it).
    pub async fn publish_batch(
        &self,
        app: &AppId,
        events: Vec<(ChannelName, Arc<Publication>)>,
    ) -> Result<()> {
        let full = patient(self.registry.send(PublishBatch { app: app.clone(), events })).await?;
        all_taken(&full, "kept the whole batch back")
    }

    /// Ends all connections of a user, for good (4009): those that signed in as the user, and those that came
    /// with one of the user's tokens or had a subscription signed for one. Returns how many.
    pub fn terminate_user(&self, app: &AppId, user: &str) -> usize {
        let mut links = self.users.links_of(app, user);
        if let Some(id) = user.parse().ok().filter(|id: &UserId| id.to_string() == user) {
            let known: Vec<SocketId> = links.iter().map(|link| link.socket).collect();
            let more = self.table.of_user(app, id);
            links.extend(more.into_iter().filter(|link| !known.contains(&link.socket)));
        }
        let now = self.table.clock().ticks();
        for link in &links {
            sentinel::end(link, Ending::TERMINATED, now, &self.metrics, "terminated");
        }
        links.len()
    }

    /// A part of a channel's history.
    pub async fn history(&self, app: &AppId, channel: &ChannelName, ask: ReadPage) -> Result<Page> {
        let key = ChannelKey { app: app.clone(), name: channel.clone() };
        let page = patient(self.registry.send(ReadHistory { key, ask })).await?;
        page.ok_or_else(|| Error::new(Code::Unavailable, "The channel does not answer; try again."))
    }

    /// The ids of the users who are in a presence channel.
    pub async fn members(&self, app: &AppId, channel: ChannelName) -> Result<Vec<Arc<str>>> {
        if self.occupancy.counts(app, &channel).subscriptions == 0 {
            return Ok(Vec::new());
        }
        patient(self.registry.send(MembersOf(ChannelKey { app: app.clone(), name: channel }))).await
    }

    /// The data of a cache channel's last event, and how long it is kept yet.
    pub async fn cached(&self, app: &AppId, channel: ChannelName) -> Result<Option<(Arc<str>, Duration)>> {
        patient(self.registry.send(CacheOf(ChannelKey { app: app.clone(), name: channel }))).await
    }

    /// Whether the registry answers.
    pub async fn probe(&self) -> Result<()> {
        patient(self.registry.send(Probe)).await
    }

    /// Subscribes a session; waits while the registry is full, which slows only the one who asks.
    pub(super) async fn join(&self, join: Join) -> bool {
        self.registry.send(join).await.is_ok()
    }

    /// A client says something on a channel; never waits. False if the registry is full; if the channel is, the
    /// registry tells the client.
    pub(super) fn say(&self, app: &AppId, name: ChannelName, what: Publication, from: &Arc<Link>) -> bool {
        let key = ChannelKey { app: app.clone(), name };
        let said =
            self.registry.try_send(Say { key, publication: Arc::new(what), from: from.clone() }).is_ok();
        if !said {
            self.metrics.mailbox_full.with_label_values(&["registry"]).inc();
        }
        said
    }

    /// A session leaves channels. Past the registry's bound: there is one for each subscription at most, and
    /// a lost one would leave a ghost.
    pub(super) fn leave(
        &self,
        app: &AppId,
        socket: SocketId,
        channels: Vec<ChannelName>,
        departure: Departure,
    ) {
        if !channels.is_empty() {
            let key = |name| ChannelKey { app: app.clone(), name };
            self.registry.do_send(Leave { socket, keys: channels.into_iter().map(key).collect(), departure });
        }
    }
}

fn all_taken(full: &[ChannelName], so: &str) -> Result<()> {
    if full.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = full.iter().map(ChannelName::as_str).collect();
    Err(Error::new(Code::Unavailable, format!("These channels are full and {so}: {}.", names.join(", "))))
}

async fn patient<T>(answer: impl Future<Output = std::result::Result<T, actix::MailboxError>>) -> Result<T> {
    let late = || Error::new(Code::Unavailable, "The hub is overloaded; try again.");
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(late().because(error)),
        Err(_) => Err(late()),
    }
}
