//! Publications on their way through the registry to channels: of back ends, one or a batch, and of clients.
//!
//! A channel whose mailbox is full takes none. The registry alone speaks to channels, so one that had room a moment
//! ago has it still: that is how a batch is published whole or not at all.

use super::channel::message::{Publish, Room};
use super::frame::{Frame, Origin, Publication};
use super::link::Link;
use super::registry::{ChannelKey, RegistryActor};
use super::session::client_event;
use crate::domain::{AppId, ChannelName};
use actix::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A back end publishes on channels of its app. The answer names those that were full and did not take it.
#[derive(Debug, Message)]
#[rtype(result = "Vec<ChannelName>")]
pub struct PublishTo {
    /// Whose channels.
    pub app: AppId,
    /// Which channels.
    pub channels: Vec<ChannelName>,
    /// What to say.
    pub publication: Arc<Publication>,
}

/// A back end publishes several events on channels of its app: all of them, or none when a channel is full. The
/// answer names those that are.
#[derive(Debug, Message)]
#[rtype(result = "Vec<ChannelName>")]
pub struct PublishBatch {
    /// Whose channels.
    pub app: AppId,
    /// What to say where, in this order. It may pass a channel's bound by its length.
    pub events: Vec<(ChannelName, Arc<Publication>)>,
}

/// A client says something on a channel of its app.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Say {
    /// Which channel.
    pub key: ChannelKey,
    /// What.
    pub publication: Arc<Publication>,
    /// Its session, which is told when the channel is full or it is not in it.
    pub from: Arc<Link>,
}

impl RegistryActor {
    /// False if the channel is there and full. A cache channel keeps the event for those who come later, and is
    /// opened for it.
    pub(super) fn publish(
        &mut self,
        key: &ChannelKey,
        publication: &Arc<Publication>,
        from: Option<Arc<Link>>,
        ctx: &mut Context<Self>,
    ) -> bool {
        let kept = self.open_if_kept(key, publication, ctx);
        let Some(channel) = self.channels.get_mut(key) else { return true };
        let count = channel.count + u64::from(kept);
        match channel.addr.try_send(Publish { publication: publication.clone(), from, count }) {
            Ok(()) => {
                channel.count = count;
                true
            }
            Err(actix::prelude::SendError::Full(_)) => {
                self.parts.metrics.mailbox_full.with_label_values(&["channel"]).inc();
                false
            }
            Err(actix::prelude::SendError::Closed(_)) => {
                tracing::error!(channel = %key.name, "a channel has died; it is made anew by its next subscriber");
                true
            }
        }
    }

    /// Past the channel's bound: one of a batch for which there was room.
    fn publish_anyway(&mut self, key: &ChannelKey, publication: Arc<Publication>, ctx: &mut Context<Self>) {
        let kept = self.open_if_kept(key, &publication, ctx);
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.count += u64::from(kept);
        channel.addr.do_send(Publish { publication, from: None, count: channel.count });
    }

    /// Whether the channel keeps the event for newcomers; then it is there from now on.
    fn open_if_kept(&mut self, key: &ChannelKey, what: &Publication, ctx: &mut Context<Self>) -> bool {
        let kept = key.name.is_cache() && what.origin != Origin::Client;
        if kept {
            self.open(key, ctx);
        }
        kept
    }

    /// Whether the channel takes something now. One that is not there, or has died, takes everything.
    fn has_room(&self, key: &ChannelKey) -> bool {
        let asked = self.channels.get(key).map(|channel| channel.addr.try_send(Room));
        let full = matches!(asked, Some(Err(actix::prelude::SendError::Full(_))));
        if full {
            self.parts.metrics.mailbox_full.with_label_values(&["channel"]).inc();
        }
        !full
    }
}

impl Handler<PublishTo> for RegistryActor {
    type Result = MessageResult<PublishTo>;

    fn handle(&mut self, message: PublishTo, ctx: &mut Self::Context) -> Self::Result {
        let PublishTo { app, mut channels, publication } = message;
        channels.retain(|name| {
            let key = ChannelKey { app: app.clone(), name: name.clone() };
            !self.publish(&key, &publication, None, ctx)
        });
        MessageResult(channels)
    }
}

impl Handler<PublishBatch> for RegistryActor {
    type Result = MessageResult<PublishBatch>;

    fn handle(
        &mut self,
        PublishBatch { app, events }: PublishBatch,
        ctx: &mut Self::Context,
    ) -> Self::Result {
        let key = |name: &ChannelName| ChannelKey { app: app.clone(), name: name.clone() };
        let names: BTreeSet<&ChannelName> = events.iter().map(|(name, _)| name).collect();
        let full: Vec<ChannelName> =
            names.into_iter().filter(|name| !self.has_room(&key(name))).cloned().collect();
        if full.is_empty() {
            for (name, publication) in events {
                self.publish_anyway(&key(&name), publication, ctx);
            }
        }
        MessageResult(full)
    }
}

impl Handler<Say> for RegistryActor {
    type Result = ();

    fn handle(&mut self, Say { key, publication, from }: Say, ctx: &mut Self::Context) {
        if !self.publish(&key, &publication, Some(from.clone()), ctx) {
            self.parts.metrics.messages_refused.with_label_values(&[client_event::OVERLOADED]).inc();
            let _ = from.deliver(&Frame::answer(client_event::overloaded()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{App, Channels};
    use crate::domain::{Clock, EventId, Secret, SocketId, ToEndpoint};
    use crate::realtime::channel_table::ChannelTable;
    use crate::realtime::frame::ToSession;
    use crate::realtime::registry::{Join, Parts};
    use crate::storage::{Db, DbOptions};
    use crate::telemetry::Metrics;
    use serde_json::Value;
    use std::time::{Duration, Instant};
    use tokio::sync::mpsc;

    /// More than any mailbox takes.
    const FLOOD: usize = 5_000;

    /// Takes wakes.
    struct Nobody;

    impl Actor for Nobody {
        type Context = Context<Self>;
    }

    impl Handler<ToEndpoint> for Nobody {
        type Result = ();

        fn handle(&mut self, _: ToEndpoint, _: &mut Self::Context) {}
    }

    /// A session that passes on what it is to write to its client.
    struct Session(mpsc::UnboundedSender<Value>);

    impl Actor for Session {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Self::Context) {
            ctx.set_mailbox_capacity(2 * FLOOD);
        }
    }

    impl Handler<ToSession> for Session {
        type Result = ();

        fn handle(&mut self, message: ToSession, _: &mut Self::Context) {
            if let ToSession::Frame(frame) = message {
                self.0.send(serde_json::from_str(&frame.text).unwrap()).unwrap();
            }
        }
    }

    struct Scene {
        registry: Addr<RegistryActor>,
        app: AppId,
        metrics: Arc<Metrics>,
        _folder: tempfile::TempDir,
    }

    struct Client {
        link: Arc<Link>,
        inbox: mpsc::UnboundedReceiver<Value>,
    }

    impl Client {
        fn new(n: u64) -> Self {
            let (tell, inbox) = mpsc::unbounded_channel();
            let link = Arc::new(Link::new(SocketId::from_bits(n), None, usize::MAX / 2, None, 0));
            link.attach(Session(tell).start().recipient());
            Self { link, inbox }
        }

        /// The name and data of the next event.
        async fn next(&mut self) -> (String, Value) {
            let next = tokio::time::timeout(Duration::from_secs(20), self.inbox.recv());
            let mut message = next.await.unwrap().unwrap();
            (message["event"].as_str().unwrap().to_owned(), message["data"].take())
        }
    }

    impl Scene {
        /// A registry whose channels run on its own thread, so that none has its turn before a message to the
        /// registry is dealt with.
        fn open() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let url = format!("sqlite:{}/a.db", folder.path().display());
            let apps = vec![Arc::new(App::new("1", "key", Secret::new("secret")))];
            let metrics = Arc::new(Metrics::new().unwrap());
            let parts = Parts {
                occupancy: ChannelTable::new(&apps),
                db: Db::open(DbOptions { url, pool_size: 1, wait: Duration::ZERO }).unwrap(),
                cursor: EventId(0),
                presence_members: 1,
                clock: Clock::System,
                channels: Channels { history_seconds: 0, ..Channels::default() },
                notices: None,
                arbiters: Vec::new(),
                endpoints: Box::new(|_| Nobody.start().recipient()),
                metrics: metrics.clone(),
                apps,
            };
            Self {
                registry: RegistryActor::new(parts).start(),
                app: AppId("1".into()),
                metrics,
                _folder: folder,
            }
        }

        fn key(&self, name: &str) -> ChannelKey {
            ChannelKey { app: self.app.clone(), name: ChannelName::parse(name).unwrap() }
        }

        async fn enter(&self, client: &mut Client, name: &str) {
            let (key, link) = (self.key(name), client.link.clone());
            self.registry.send(Join { key, link, member: None, cursor: None, number: 1 }).await.unwrap();
            assert_eq!(client.next().await.0, "pusher_internal:subscription_succeeded");
        }

        /// Has the registry fill the channel in one go.
        fn flood(&self, name: &str) {
            let channels = vec![self.key(name).name; FLOOD];
            self.registry.do_send(PublishTo { app: self.app.clone(), channels, publication: said("flood") });
        }

        async fn say(&self, client: &Client, name: &str, event: &str) {
            let publication = Publication {
                except: Some(client.link.socket),
                origin: Origin::Client,
                ..Arc::into_inner(said(event)).unwrap()
            };
            let say =
                Say { key: self.key(name), publication: Arc::new(publication), from: client.link.clone() };
            self.registry.send(say).await.unwrap();
        }

        async fn batch(&self, events: [(&str, &str); 3]) -> Vec<String> {
            let events = events.map(|(name, event)| (self.key(name).name, said(event))).to_vec();
            let full = self.registry.send(PublishBatch { app: self.app.clone(), events }).await.unwrap();
            full.iter().map(ToString::to_string).collect()
        }

        fn refused(&self, reason: &str) -> u64 {
            self.metrics.messages_refused.with_label_values(&[reason]).get()
        }
    }

    fn said(event: &str) -> Arc<Publication> {
        let (name, data, at) = (event.into(), "1".into(), Instant::now());
        Arc::new(Publication { name, data, except: None, origin: Origin::BackEnd, user_id: None, at })
    }

    #[actix_rt::test]
    async fn a_client_event_that_meets_a_full_channel_is_answered_with_4301_and_lost() {
        let scene = Scene::open();
        let (mut sender, mut witness) = (Client::new(1), Client::new(2));
        scene.enter(&mut sender, "private-x").await;
        scene.enter(&mut witness, "private-x").await;
        scene.flood("private-x");
        scene.say(&sender, "private-x", "client-lost").await;
        let mut answers = Vec::new();
        while answers.is_empty() {
            answers.extend(Some(sender.next().await).filter(|(event, _)| event != "flood"));
        }
        let (event, data) = &answers[0];
        assert_eq!((event.as_str(), data["code"].as_u64()), ("pusher:error", Some(4301)));
        assert!(data["message"].as_str().unwrap().contains("overloaded"), "{data}");
        assert_eq!(scene.refused(client_event::OVERLOADED), 1);
        // When it has room again, the next goes out, and the other was never there.
        scene.say(&sender, "private-x", "client-heard").await;
        let mut heard = witness.next().await.0;
        while heard == "flood" {
            heard = witness.next().await.0;
        }
        assert_eq!(heard, "client-heard");
    }

    #[actix_rt::test]
    async fn a_client_event_of_who_is_not_in_the_channel_is_answered_with_4301_and_lost() {
        let scene = Scene::open();
        let (mut witness, mut stranger) = (Client::new(1), Client::new(2));
        scene.enter(&mut witness, "private-x").await;
        scene.say(&stranger, "private-x", "client-x").await;
        let (event, data) = stranger.next().await;
        assert_eq!((event.as_str(), data["code"].as_u64()), ("pusher:error", Some(4301)));
        assert_eq!(scene.refused("client_event_not_subscribed"), 1);
        scene.enter(&mut stranger, "private-x").await;
        scene.say(&stranger, "private-x", "client-y").await;
        assert_eq!(witness.next().await.0, "client-y");
    }

    #[actix_rt::test]
    async fn a_batch_that_meets_a_full_channel_is_published_nowhere() {
        let scene = Scene::open();
        let (mut one, mut two) = (Client::new(1), Client::new(2));
        scene.enter(&mut one, "a").await;
        scene.enter(&mut two, "b").await;
        scene.flood("b");
        assert_eq!(scene.batch([("a", "lost"), ("b", "lost"), ("a", "lost")]).await, ["b"]);
        // The channel has had its turn when it has answered this one.
        scene.enter(&mut Client::new(3), "b").await;
        assert!(scene.batch([("a", "1"), ("b", "2"), ("a", "3")]).await.is_empty());
        assert_eq!((one.next().await.0, one.next().await.0), ("1".to_owned(), "3".to_owned()));
        let mut heard = two.next().await.0;
        while heard == "flood" {
            heard = two.next().await.0;
        }
        assert_eq!(heard, "2");
    }
}
