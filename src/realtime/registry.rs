//! `RegistryActor`: the switchboard. Knows which channels and endpoints exist, makes them on demand, and
//! routes: joins and leaves of sessions, publications of back ends, and the events of the outbox.
//!
//! Its mailbox is bounded; when it is full, sessions and back ends wait (`send().await`), which slows only
//! those who ask, and nudges are dropped: the look at the rows once a second makes up for them. It runs under
//! `actix::Supervisor`; the watchdog ends the process if it stops answering, because a panic leaves an actor
//! dead in silence.

use super::channel::history::Bounds;
use super::channel::inquiry::{WhatIsCached, WhoIsHere};
use super::channel::life::Rules;
use super::channel::message::{Conclude, Note, Subscribe, Unsubscribe};
use super::channel::page::{Page, ReadPage};
use super::channel::setup::Setup;
use super::channel::{ChannelActor, Member};
use super::channel_table::ChannelTable;
use super::cursor::Cursor;
use super::frame::{Departure, Frame, Origin, Publication, ToSession};
use super::link::Link;
use super::protocol::pusher;
use super::relay::{Relay, Step};
use crate::config::{App, Channels};
use crate::domain::{
    AppId, ChannelName, ChannelNotice, Clock, Committed, EndpointId, Event, EventId, Leased, Probe, SocketId,
    TellOfEvents, ToEndpoint, Wake, WakeEndpoints,
};
use crate::storage::{Db, outbox};
use crate::telemetry::Metrics;
use actix::prelude::*;
use futures_util::future::OptionFuture;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages that may wait.
const MAILBOX: usize = 8_192;
/// Events of one read of the outbox.
const PAGE: i64 = 500;
/// The reconciler: how often the rows are looked at although no nudge came.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How soon an event that met a full channel is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// A channel of an app: the same name in two apps is two channels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChannelKey {
    /// Whose channel.
    pub app: AppId,
    /// Its name.
    pub name: ChannelName,
}

/// A session subscribes to a channel, which answers the client itself.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Join {
    /// Which channel.
    pub key: ChannelKey,
    /// The session.
    pub link: Arc<Link>,
    /// Who it is, in a presence channel.
    pub member: Option<Member>,
    /// Its place in the channel's stream, if it can be known again when it comes back.
    pub cursor: Option<Arc<Cursor>>,
    /// Which of the session's joins this is.
    pub number: u32,
}

/// A session leaves channels.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Leave {
    /// The session.
    pub socket: SocketId,
    /// Which channels.
    pub keys: Vec<ChannelKey>,
    /// How.
    pub departure: Departure,
}

/// A part of a channel's history.
#[derive(Debug, Message)]
#[rtype(result = "Option<Page>")]
pub struct ReadHistory {
    /// Which channel.
    pub key: ChannelKey,
    /// Which part.
    pub ask: ReadPage,
}

/// Note where all clients of all channels stand; answered when it is in the database.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct NoteAll;

/// The process is about to end: back ends are told now what has gone and waits for the end of its grace. Answered
/// when all channels have told it.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct ConcludeAll;

/// A back end asks who is in a presence channel: the ids of its users.
#[derive(Debug, Message)]
#[rtype(result = "Vec<Arc<str>>")]
pub struct MembersOf(pub ChannelKey);

/// A back end asks what a cache channel holds: the data of its last event, and how long it is kept yet.
#[derive(Debug, Message)]
#[rtype(result = "Option<(Arc<str>, Duration)>")]
pub struct CacheOf(pub ChannelKey);

/// From a channel: its last subscriber has left, and it has seen so many subscribes.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Vacated {
    key: ChannelKey,
    seen: u64,
}

/// Makes the actor of an endpoint.
pub type EndpointFactory = Box<dyn Fn(EndpointId) -> Recipient<ToEndpoint> + Send>;

/// What the registry is made of.
pub struct Parts {
    /// The apps whose channels get the events of the outbox.
    pub apps: Vec<Arc<App>>,
    /// Where the outbox is.
    pub db: Db,
    /// Everything up to here was routed, or has no one to be routed to.
    pub cursor: EventId,
    /// Members of a presence channel.
    pub presence_members: usize,
    /// Where channels are entered, and say how occupied they are.
    pub occupancy: ChannelTable,
    /// The time.
    pub clock: Clock,
    /// What channels keep.
    pub channels: Channels,
    /// Who is told what happens on channels.
    pub notices: Option<Arc<Recipient<ChannelNotice>>>,
    /// Threads for channels; a channel's name decides which.
    pub arbiters: Vec<ArbiterHandle>,
    /// Makes endpoints' actors.
    pub endpoints: EndpointFactory,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// The switchboard.
pub struct RegistryActor {
    pub(super) parts: Parts,
    relay: Relay,
    pub(super) channels: HashMap<ChannelKey, Channel>,
    history: Bounds,
    endpoints: HashMap<EndpointId, Recipient<ToEndpoint>>,
    /// Who wants to look at once when something has happened to a tenant.
    listeners: Vec<Recipient<Wake>>,
}

pub(super) struct Channel {
    pub(super) addr: Addr<ChannelActor>,
    /// What it was sent that it lives on for: subscribes, and publications that it keeps for newcomers.
    pub(super) count: u64,
}

impl RegistryActor {
    /// A registry without channels.
    pub fn new(parts: Parts) -> Self {
        let relay = Relay::new(parts.cursor);
        let history = Bounds::of(&parts.channels);
        let (channels, endpoints, listeners) = (HashMap::new(), HashMap::new(), Vec::new());
        Self { parts, relay, channels, history, endpoints, listeners }
    }

    /// Sees to it that there is the channel.
    pub(super) fn open(&mut self, key: &ChannelKey, ctx: &mut Context<Self>) {
        if !self.channels.get(key).is_some_and(|c| c.addr.connected())
            && let Some(addr) = self.open_channel(key, ctx.address())
        {
            self.channels.insert(key.clone(), Channel { addr, count: 0 });
        }
    }

    /// Starts the channel's actor; `None` for an app that has as many channels as it may, or is none of ours.
    fn open_channel(&self, key: &ChannelKey, registry: Addr<Self>) -> Option<Addr<ChannelActor>> {
        let app = self.parts.apps.iter().find(|app| app.id == key.app)?.clone();
        let told = self.parts.notices.clone().filter(|_| !app.webhooks.is_empty());
        let vacant = key.clone();
        // Past the bound: one for each time a channel empties, and a lost one would keep the channel for ever.
        let on_vacated = Box::new(move |seen| registry.do_send(Vacated { key: vacant.clone(), seen }));
        let setup = Setup {
            app,
            name: key.name.clone(),
            occupancy: self.parts.occupancy.enter(&key.app, &key.name)?,
            rules: Rules::of(&self.parts.channels, self.parts.presence_members),
            history: self.history.clone(),
            checkpoint: Duration::from_millis(self.parts.channels.checkpoint_ms),
            db: self.parts.db.clone(),
            clock: self.parts.clock.clone(),
            on_vacated,
            notices: told,
            metrics: self.parts.metrics.clone(),
        };
        let make = move |_: &mut Context<ChannelActor>| ChannelActor::new(setup);
        Some(match self.arbiter_of(key) {
            Some(arbiter) => ChannelActor::start_in_arbiter(arbiter, make),
            None => ChannelActor::create(make),
        })
    }

    /// The app has as many channels as it may.
    fn refuse(&self, join: &Join) {
        let name = &join.key.name;
        self.parts.metrics.messages_refused.with_label_values(&["app_channels"]).inc();
        let message = "The app has as many channels as it may ([[apps]] channels).";
        let text = pusher::subscription_error(name.as_str(), "LimitReached", message, 403);
        let _ = join.link.send(ToSession::Refused(name.clone(), join.number, Frame::answer(text)));
    }

    fn arbiter_of(&self, key: &ChannelKey) -> Option<&ArbiterHandle> {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let arbiters = &self.parts.arbiters;
        let at = usize::try_from(hash).unwrap_or_default().checked_rem(arbiters.len())?;
        arbiters.get(at)
    }

    fn step(&mut self, step: &Step<'_>, ctx: &mut Context<Self>) {
        match step {
            Step::Rest => {}
            Step::Route(events) => self.route_all(events, ctx),
            Step::Read => self.read(ctx),
        }
    }

    fn read(&self, ctx: &mut Context<Self>) {
        let (db, cursor) = (self.parts.db.clone(), self.relay.cursor());
        let rows = async move { outbox::read_after(&mut db.read().await?, cursor, PAGE).await };
        ctx.spawn(rows.into_actor(self).map(|rows, actor, ctx| match rows {
            Ok(events) => {
                let full = i64::try_from(events.len()) == Ok(PAGE);
                let fresh = actor.relay.arrived(&events, full).to_vec();
                actor.route_all(&fresh, ctx);
                let next = actor.relay.settled();
                actor.step(&next, ctx);
            }
            Err(error) => {
                tracing::warn!(%error, "the outbox could not be read; it will be tried again");
                actor.relay.failed();
            }
        }));
    }

    fn route_all(&mut self, events: &[Event], ctx: &mut Context<Self>) {
        for event in events {
            if !self.route(event, ctx) {
                // Rows are truth: nothing is dropped. This event and what follows it wait for the channel.
                self.relay.step_back(event.id);
                ctx.run_later(TRY_AGAIN, |actor, ctx| {
                    let step = actor.relay.look();
                    actor.step(&step, ctx);
                });
                return;
            }
            self.parts.metrics.events.inc();
        }
    }

    /// Gives the event to its channel in every app that serves its tenant; false if one of them was full. The
    /// others may see it again then, and pass each row on only once.
    fn route(&mut self, event: &Event, ctx: &mut Context<Self>) -> bool {
        let publication = Arc::new(Publication {
            name: event.name.as_str().into(),
            data: event.data.clone(),
            except: event.except,
            origin: Origin::Row(event.id),
            user_id: None,
            at: Instant::now(),
        });
        let served = |app: &&Arc<App>| app.tenant.is_none_or(|own| own == event.tenant_id);
        let key = |app: &Arc<App>| ChannelKey { app: app.id.clone(), name: event.channel.clone() };
        let keys: Vec<ChannelKey> = self.parts.apps.iter().filter(served).map(key).collect();
        keys.iter().all(|key| self.publish(key, &publication, None, ctx))
    }

    fn wake(&mut self, endpoint: EndpointId) {
        if let Some(recipient) = self.endpoints.get(&endpoint) {
            match recipient.try_send(ToEndpoint::Look) {
                // A full mailbox holds a wake already.
                Ok(()) | Err(actix::prelude::SendError::Full(_)) => return,
                Err(actix::prelude::SendError::Closed(_)) => {}
            }
        }
        let recipient = (self.parts.endpoints)(endpoint);
        let _ = recipient.try_send(ToEndpoint::Look);
        self.endpoints.insert(endpoint, recipient);
    }

    /// Passes on what is leased to an endpoint. Where its actor is gone or full it is handed back on being dropped.
    fn hand_over(&mut self, endpoint: EndpointId, leased: Vec<Leased>) {
        let recipient = self.endpoints.get(&endpoint);
        let is_sent = recipient.is_some_and(|recipient| recipient.try_send(ToEndpoint::Send(leased)).is_ok());
        if !is_sent {
            self.wake(endpoint);
        }
    }
}

impl Actor for RegistryActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(LOOK_EVERY, |actor, ctx| {
            let step = actor.relay.look();
            actor.step(&step, ctx);
        });
    }
}

impl Supervised for RegistryActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        // A read that was under way went with the old context.
        self.relay.failed();
    }
}

impl Handler<Join> for RegistryActor {
    type Result = ();

    fn handle(&mut self, join: Join, ctx: &mut Self::Context) {
        self.open(&join.key, ctx);
        let Some(channel) = self.channels.get_mut(&join.key) else { return self.refuse(&join) };
        channel.count += 1;
        let Join { link, member, cursor, number, .. } = join;
        channel.addr.do_send(Subscribe { link, member, cursor, number, count: channel.count });
    }
}

impl Handler<Leave> for RegistryActor {
    type Result = ();

    fn handle(&mut self, leave: Leave, _: &mut Self::Context) {
        for key in leave.keys {
            if let Some(channel) = self.channels.get(&key) {
                channel.addr.do_send(Unsubscribe(leave.socket, leave.departure));
            }
        }
    }
}

impl Handler<Vacated> for RegistryActor {
    type Result = ();

    fn handle(&mut self, vacated: Vacated, _: &mut Self::Context) {
        // What is on its way keeps the channel; it will report again when that one has left.
        if self.channels.get(&vacated.key).is_some_and(|c| c.count == vacated.seen) {
            self.channels.remove(&vacated.key);
            self.parts.occupancy.leave(&vacated.key.app, &vacated.key.name);
        }
    }
}

impl Handler<ReadHistory> for RegistryActor {
    type Result = ResponseFuture<Option<Page>>;

    fn handle(&mut self, message: ReadHistory, ctx: &mut Self::Context) -> Self::Result {
        let ReadHistory { key, ask } = message;
        if key.name.carries_rows() {
            // Its past is in rows: it is opened to be read, and goes again by itself.
            self.open(&key, ctx);
        }
        let channel = self.channels.get(&key).map(|channel| channel.addr.clone());
        Box::pin(async move {
            match channel {
                Some(channel) => channel.send(ask).await.ok(),
                None => Some(Page::empty()),
            }
        })
    }
}

impl Handler<MembersOf> for RegistryActor {
    type Result = ResponseFuture<Vec<Arc<str>>>;

    fn handle(&mut self, MembersOf(key): MembersOf, _: &mut Self::Context) -> Self::Result {
        let asked = self.channels.get(&key).map(|channel| channel.addr.send(WhoIsHere));
        // A channel that is not there, or has died, has nobody in it.
        Box::pin(async move { OptionFuture::from(asked).await.and_then(Result::ok).unwrap_or_default() })
    }
}

impl Handler<CacheOf> for RegistryActor {
    type Result = ResponseFuture<Option<(Arc<str>, Duration)>>;

    fn handle(&mut self, CacheOf(key): CacheOf, _: &mut Self::Context) -> Self::Result {
        let asked = self.channels.get(&key).map(|channel| channel.addr.send(WhatIsCached));
        Box::pin(async move { OptionFuture::from(asked).await.and_then(Result::ok).flatten() })
    }
}

impl Handler<NoteAll> for RegistryActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: NoteAll, _: &mut Self::Context) -> Self::Result {
        let notes: Vec<_> = self.channels.values().map(|channel| channel.addr.send(Note)).collect();
        Box::pin(async move {
            futures_util::future::join_all(notes).await;
        })
    }
}

impl Handler<ConcludeAll> for RegistryActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: ConcludeAll, _: &mut Self::Context) -> Self::Result {
        let told: Vec<_> = self.channels.values().map(|channel| channel.addr.send(Conclude)).collect();
        Box::pin(async move {
            futures_util::future::join_all(told).await;
        })
    }
}

impl Handler<Committed> for RegistryActor {
    type Result = ();

    fn handle(&mut self, committed: Committed, ctx: &mut Self::Context) {
        let step = self.relay.nudged(&committed.events);
        self.step(&step, ctx);
        let mut leased: BTreeMap<EndpointId, Vec<Leased>> = BTreeMap::new();
        for one in committed.leased {
            leased.entry(one.endpoint).or_default().push(one);
        }
        for (endpoint, leased) in leased {
            self.hand_over(endpoint, leased);
        }
        for endpoint in committed.endpoints {
            self.wake(endpoint);
        }
        if committed.events.iter().any(|event| !event.channel.is_one_users()) {
            for listener in &self.listeners {
                // Who is full is awake; who is told of none looks once a second.
                let _ = listener.try_send(Wake);
            }
        }
    }
}

impl Handler<TellOfEvents> for RegistryActor {
    type Result = ();

    fn handle(&mut self, TellOfEvents(listener): TellOfEvents, _: &mut Self::Context) {
        self.listeners.push(listener);
    }
}

impl Handler<WakeEndpoints> for RegistryActor {
    type Result = ();

    fn handle(&mut self, message: WakeEndpoints, _: &mut Self::Context) {
        for endpoint in message.0 {
            self.wake(endpoint);
        }
    }
}

impl Handler<Probe> for RegistryActor {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {}
}
