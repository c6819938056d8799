//! `Hub`: the realtime room's front door, shared by all worker threads: what HTTP routes and sessions hold.

use super::connect_limit::ConnectLimit;
use super::frame::{Departure, Publication};
use super::registry::{ChannelKey, Join, Leave, PublishTo, RegistryActor};
use super::session::Doorkeeper;
use super::session_table::SessionTable;
use crate::config::{App, Channels, Limits};
use crate::domain::{AppId, ChannelName, Code, Error, Probe, Result, SocketId};
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
    /// Sessions that may be open at once in this process.
    pub capacity: usize,
    /// The open sessions.
    pub table: SessionTable,
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
        publication: Publication,
    ) -> Result<()> {
        let message = PublishTo { app: app.clone(), channels, publication: Arc::new(publication) };
        let full = patient(self.registry.send(message)).await?;
        if full.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = full.iter().map(ChannelName::as_str).collect();
        let message = format!("These channels are full and did not get the event: {}.", names.join(", "));
        Err(Error::new(Code::Unavailable, message))
    }

    /// Whether the registry answers.
    pub async fn probe(&self) -> Result<()> {
        patient(self.registry.send(Probe)).await
    }

    /// Subscribes a session; waits while the registry is full, which slows only the one who asks.
    pub(super) async fn join(&self, join: Join) -> bool {
        self.registry.send(join).await.is_ok()
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

async fn patient<T>(answer: impl Future<Output = std::result::Result<T, actix::MailboxError>>) -> Result<T> {
    let late = || Error::new(Code::Unavailable, "The hub is overloaded; try again.");
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(late().because(error)),
        Err(_) => Err(late()),
    }
}
