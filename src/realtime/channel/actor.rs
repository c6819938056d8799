//! `ChannelActor`: one channel of one app. Owns its roster, presence, history and positions; encodes each
//! publication once.
//!
//! The registry alone speaks to it, and sends joins and leaves past the mailbox's bound: each is one per
//! subscription, so the sessions' own limits bound them, and a lost leave would leave a ghost. Publications
//! keep to the bound; a full channel makes the publisher wait (events of rows) or answers 503 (HTTP API).
//! It is not restarted: when it dies, its next subscriber gets a new one.
//!
//! A channel whose events are rows reads its past before it takes its first message, and notes where its clients
//! stand while anything changes, so that a restart of the process is no more to them than a cut connection.

use super::history::{Bounds, History};
use super::past::{self, Past};
use super::positions::{Doubt, Parked, Positions, Whence};
use super::presence::{Joined, Member, Presence};
use super::roster::{Broadcast, Roster, cut_off};
use crate::config::App;
use crate::domain::{ChannelKind, ChannelName, ChannelNotice, Clock, Epoch, SocketId};
use crate::realtime::cursor::Cursor;
use crate::realtime::frame::{Departure, Frame, Origin, Publication, ToSession};
use crate::realtime::link::{Link, Undelivered};
use crate::realtime::protocol::pusher;
use crate::storage::{Db, positions};
use crate::telemetry::Metrics;
use actix::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Publications that may wait.
const MAILBOX: usize = 1_024;
/// How soon a doubt about who is back is looked at again.
const DOUBT_AGAIN: Duration = Duration::from_millis(100);

/// A session subscribes.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Subscribe {
    /// The session.
    pub link: Arc<Link>,
    /// Who it is, in a presence channel.
    pub member: Option<Member>,
    /// Its place in the stream, if it can be known again when it comes back.
    pub cursor: Option<Arc<Cursor>>,
    /// Which of the session's joins this is; a refusal names it.
    pub number: u32,
    /// How many subscribes the registry has sent this channel, this one included.
    pub count: u64,
}

/// A session leaves.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Unsubscribe(pub SocketId, pub Departure);

/// Say this to the subscribers.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Publish(pub Arc<Publication>);

/// Note where the clients stand, now; answered when it is in the database.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Note;

/// Called when the last subscriber has left and nothing is kept, with the subscribes seen so far: if the registry
/// has sent no more than that, none is on its way and the channel can go.
pub type OnVacated = Box<dyn Fn(u64) + Send>;

/// What a channel is made of.
pub struct Setup {
    /// Whose channel.
    pub app: Arc<App>,
    /// Its name.
    pub name: ChannelName,
    /// Members of a presence channel.
    pub presence_limit: usize,
    /// Bounds of its history.
    pub history: Bounds,
    /// How soon after a change the positions are noted.
    pub checkpoint: Duration,
    /// Where its past is.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Tells the registry that it can go.
    pub on_vacated: OnVacated,
    /// Who is told what happens here.
    pub notices: Option<Arc<Recipient<ChannelNotice>>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// One channel.
pub struct ChannelActor {
    setup: Setup,
    roster: Roster,
    presence: Option<Presence>,
    history: History,
    positions: Positions,
    /// Sessions whose subscription waits for a doubt to be settled.
    doubted: HashSet<SocketId>,
    seen: u64,
    /// The text that was noted last, and the timer or write that is under way.
    noted: String,
    noting: bool,
    resting: Option<SpawnHandle>,
}

impl ChannelActor {
    /// An empty channel.
    pub fn new(setup: Setup) -> Self {
        let presence = (setup.name.kind() == ChannelKind::Presence)
            .then(|| Presence::new(setup.presence_limit, Duration::ZERO));
        let history = History::new(Epoch::from_bits(rand::random()), setup.history.clone());
        Self {
            setup,
            roster: Roster::default(),
            presence,
            history,
            positions: Positions::default(),
            doubted: HashSet::new(),
            seen: 0,
            noted: "[]".to_owned(),
            noting: false,
            resting: None,
        }
    }

    fn name(&self) -> &ChannelName {
        &self.setup.name
    }

    /// Whether its past is in rows and replay is on.
    fn has_past(&self) -> bool {
        self.name().carries_rows() && !self.setup.history.age.is_zero()
    }

    /// Reads the past before anything else is dealt with.
    fn read_past(&self, ctx: &mut Context<Self>) {
        let (db, app, name) = (self.setup.db.clone(), self.setup.app.id.clone(), self.name().clone());
        let messages = self.setup.history.messages;
        let past = async move { Past::read(&db, &app, &name, messages).await };
        ctx.wait(past.into_actor(self).map(|past, channel, _| match past {
            Ok(past) => {
                let history = History::new(channel.history.head().epoch, channel.setup.history.clone());
                let now = channel.setup.clock.now();
                (channel.history, channel.positions) = past.restore(channel.name(), history, now);
            }
            // Clients that come back now are taken for new ones.
            Err(error) => tracing::warn!(channel = %channel.name(), %error, "the past could not be read"),
        }));
    }

    /// Lets a session in, after finding out whether its client is back.
    fn subscribe(&mut self, message: Subscribe, doubt: Option<Doubt>, ctx: &mut Context<Self>) {
        let now = self.setup.clock.now();
        self.history.trim(now);
        let whence = match &message.cursor {
            Some(cursor) if !self.positions.has(message.link.socket) => {
                self.positions.whence(&cursor.identity, &self.history, doubt, now)
            }
            _ => Whence::New,
        };
        match whence {
            Whence::New => self.let_in(message, None, ctx),
            Whence::Back(parked) => self.let_in(message, Some(&parked), ctx),
            Whence::Unclear(doubt) => {
                let socket = message.link.socket;
                self.doubted.insert(socket);
                ctx.run_later(DOUBT_AGAIN, move |channel, ctx| {
                    if channel.doubted.remove(&socket) {
                        channel.subscribe(message, Some(doubt), ctx);
                    }
                });
            }
        }
    }

    fn let_in(&mut self, message: Subscribe, back: Option<&Parked>, ctx: &mut Context<Self>) {
        let (link, member) = (message.link, message.member);
        let joined = self.admit(&link, member.as_ref());
        if joined == Joined::Full {
            self.refuse(&link, message.number);
        } else {
            if self.roster.add(link.clone()) {
                self.setup.metrics.subscriptions.inc();
                if self.roster.len() == 1 {
                    self.setup.metrics.channels.inc();
                }
            }
            self.welcome(&link);
            self.catch_up(&link, message.cursor, back, ctx);
        }
        // Last: telling the others may find that they are gone, and the channel must not look empty then.
        if joined == Joined::First {
            self.announce(link.socket, member.as_ref(), ctx);
        }
        self.rest(ctx);
    }

    /// Takes the member in, where there is one to take; what it changed for the others, or `Full`.
    fn admit(&mut self, link: &Link, member: Option<&Member>) -> Joined {
        match (&mut self.presence, member) {
            (Some(presence), Some(member)) => presence.join(link.socket, member, Instant::now()),
            _ => Joined::Again,
        }
    }

    fn welcome(&self, link: &Link) {
        let data = match &self.presence {
            Some(presence) => pusher::presence_data(presence.members()),
            None => "{}".to_owned(),
        };
        self.tell(link, &Frame::answer(pusher::subscription_succeeded(self.name(), &data)));
    }

    /// Gives a client that is back what it missed, all of it or the word that it cannot be had.
    fn catch_up(
        &mut self,
        link: &Arc<Link>,
        cursor: Option<Arc<Cursor>>,
        back: Option<&Parked>,
        ctx: &mut Context<Self>,
    ) {
        let Some(cursor) = cursor.filter(|_| !self.positions.has(link.socket)) else { return };
        let start = match back {
            None => self.history.last_offset(),
            Some(parked) => self.replay(link, parked),
        };
        cursor.confirm(start);
        self.positions.enter(link.socket, cursor);
        self.note_soon(ctx);
    }

    /// Returns the offset that the client has before it gets anything.
    fn replay(&self, link: &Link, parked: &Parked) -> u64 {
        let missed = parked.offset.and_then(|offset| Some((offset, self.history.since(offset).ok()?)));
        let Some((offset, entries)) = missed else {
            self.setup.metrics.replays.with_label_values(&["gap"]).inc();
            self.tell(link, &Frame::answer(pusher::replay_gap(self.name(), self.history.head())));
            return self.history.last_offset();
        };
        let told = entries.filter(|entry| entry.except.is_none() || entry.except != parked.socket);
        let frames: Vec<Arc<Frame>> = told.map(|entry| entry.frame.clone()).collect();
        if !frames.is_empty() {
            self.setup.metrics.replays.with_label_values(&["complete"]).inc();
            self.setup.metrics.messages_out.inc_by(frames.len() as u64);
            let _ = link.send(ToSession::Replay(frames));
        }
        offset
    }

    fn tell(&self, link: &Link, frame: &Arc<Frame>) {
        match link.deliver(frame) {
            Ok(()) => self.setup.metrics.messages_out.inc(),
            // As in a broadcast: a client that cannot take its welcome would wait for it for ever.
            Err(Undelivered::Slow) => cut_off(link),
            Err(Undelivered::Gone) => {}
        }
    }

    fn refuse(&self, link: &Link, number: u32) {
        let message = format!("The channel has {} members, which is its limit.", self.setup.presence_limit);
        let text = pusher::subscription_error(self.name().as_str(), "LimitReached", &message, 403);
        let _ = link.send(ToSession::Refused(self.name().clone(), number, Frame::answer(text)));
    }

    fn announce(&mut self, newcomer: SocketId, member: Option<&Member>, ctx: &mut Context<Self>) {
        if let Some(member) = member {
            let text = pusher::member_added(self.name(), &member.user_id, &member.user_info);
            self.say(&Frame::answer(text), Some(newcomer), ctx);
        }
    }

    fn say(&mut self, frame: &Arc<Frame>, except: Option<SocketId>, ctx: &mut Context<Self>) {
        let outcome = self.roster.broadcast(frame, except);
        self.account(&outcome);
        for socket in outcome.slow.iter().chain(&outcome.gone) {
            self.drop_subscriber(*socket, Departure::Broken, ctx);
        }
    }

    fn account(&self, outcome: &Broadcast) {
        self.setup.metrics.messages_out.inc_by(outcome.delivered as u64);
        for socket in &outcome.slow {
            tracing::warn!(channel = %self.name(), %socket, "cut off a slow consumer");
            self.setup.metrics.refused.with_label_values(&["slow_consumer"]).inc();
        }
    }

    fn drop_subscriber(&mut self, socket: SocketId, departure: Departure, ctx: &mut Context<Self>) {
        if !self.roster.remove(socket) {
            return;
        }
        self.setup.metrics.subscriptions.dec();
        if self.roster.is_empty() {
            self.setup.metrics.channels.dec();
        }
        if self.positions.has(socket) {
            self.positions.leave(socket, departure, &self.history, self.setup.clock.now());
            self.note_soon(ctx);
        }
        if let Some(user) = self.presence.as_mut().and_then(|p| p.leave(socket, departure, Instant::now())) {
            let text = pusher::member_removed(self.name(), &user);
            self.say(&Frame::answer(text), None, ctx);
        }
        self.rest(ctx);
    }

    /// An empty channel goes: at once when it keeps nothing, or when what it keeps has grown old.
    fn rest(&mut self, ctx: &mut Context<Self>) {
        if !self.roster.is_empty() || self.resting.is_some() {
            return;
        }
        self.history.trim(self.setup.clock.now());
        if self.history.is_empty() && self.doubted.is_empty() && self.positions.is_empty() {
            (self.setup.on_vacated)(self.seen);
            return;
        }
        self.resting = Some(ctx.run_later(self.setup.history.age, |channel, ctx| {
            channel.resting = None;
            channel.positions.forget_before(channel.history.window(channel.setup.clock.now()));
            channel.rest(ctx);
        }));
    }

    /// Notes the positions shortly, once for all that changes until then.
    fn note_soon(&mut self, ctx: &mut Context<Self>) {
        if self.noting || !self.has_past() {
            return;
        }
        self.noting = true;
        ctx.run_later(self.setup.checkpoint, |channel, ctx| {
            let written = channel.note();
            ctx.spawn(written.into_actor(channel).map(|(), channel, ctx| {
                channel.noting = false;
                if channel.positions.anyone_behind(&channel.history) {
                    channel.note_soon(ctx);
                }
            }));
        });
    }

    /// Writes the positions down, if they are others than those noted.
    fn note(&mut self) -> impl Future<Output = ()> + use<> {
        let text = past::note(&self.positions, &self.history);
        let news = (self.has_past() && text != self.noted).then(|| text.clone());
        self.noted = text;
        let (db, app, name) = (self.setup.db.clone(), self.setup.app.id.clone(), self.name().clone());
        let now = self.setup.clock.now();
        async move {
            let Some(text) = news else { return };
            if let Err(error) = positions::write(&db, &app, &name, &text, now).await {
                tracing::warn!(channel = %name, %error, "the positions of clients could not be noted");
            }
        }
    }
}

impl Actor for ChannelActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        if self.has_past() {
            self.read_past(ctx);
        }
    }
}

impl Handler<Subscribe> for ChannelActor {
    type Result = ();

    fn handle(&mut self, message: Subscribe, ctx: &mut Self::Context) {
        self.seen = message.count;
        self.subscribe(message, None, ctx);
    }
}

impl Handler<Unsubscribe> for ChannelActor {
    type Result = ();

    fn handle(&mut self, Unsubscribe(socket, departure): Unsubscribe, ctx: &mut Self::Context) {
        if self.doubted.remove(&socket) {
            self.rest(ctx);
        }
        self.drop_subscriber(socket, departure, ctx);
    }
}

impl Handler<Publish> for ChannelActor {
    type Result = ();

    fn handle(&mut self, Publish(publication): Publish, ctx: &mut Self::Context) {
        let row = match publication.origin {
            Origin::Row(row) if row <= self.history.last_row() => return,
            Origin::Row(row) => Some(row),
            Origin::BackEnd | Origin::Client => None,
        };
        let kept = publication.origin != Origin::Client;
        let Publication { name, data, user_id, .. } = &*publication;
        let encode = if kept { pusher::event } else { pusher::client_event };
        let text = encode(self.name(), name, data, user_id.as_deref());
        let place = kept.then(|| (self.name().clone(), self.history.next_offset()));
        let frame = Arc::new(Frame { text, published: Some(publication.at), place });
        if kept {
            self.history.push(frame.clone(), publication.except, row, self.setup.clock.now());
            self.note_soon(ctx);
        }
        self.say(&frame, publication.except, ctx);
        self.rest(ctx);
    }
}

impl Handler<Note> for ChannelActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Note, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.note())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Channels;
    use crate::domain::Secret;
    use crate::storage::DbOptions;
    use std::sync::Mutex;

    /// A presence channel, and the subscribes seen at each of its vacancies.
    fn channel() -> (Addr<ChannelActor>, Arc<Mutex<Vec<u64>>>) {
        let vacancies = Arc::new(Mutex::new(Vec::new()));
        let told = vacancies.clone();
        let name = ChannelName::parse("presence-room").unwrap();
        let on_vacated = Box::new(move |seen| told.lock().unwrap().push(seen));
        let options = DbOptions { url: "sqlite:unused.db".into(), pool_size: 1, wait: Duration::ZERO };
        let setup = Setup {
            app: Arc::new(App::new("1", "key", Secret::new("secret"))),
            name,
            presence_limit: 100,
            history: Bounds::of(&Channels::default()),
            checkpoint: Duration::ZERO,
            db: Db::open(options).unwrap(),
            clock: Clock::System,
            on_vacated,
            notices: None,
            metrics: Arc::new(Metrics::new().unwrap()),
        };
        (ChannelActor::new(setup).start(), vacancies)
    }

    /// A session that takes whatever comes.
    struct Listener;

    impl Actor for Listener {
        type Context = Context<Self>;
    }

    impl Handler<ToSession> for Listener {
        type Result = ();

        fn handle(&mut self, _: ToSession, _: &mut Self::Context) {}
    }

    /// A subscriber, the n-th; without a mailbox its session has ended, and nothing can be delivered to it.
    fn subscriber(n: u64, mailbox: Option<Addr<Listener>>) -> Subscribe {
        let link = Arc::new(Link::new(SocketId::from_bits(n), None, 10_000, None, 0));
        if let Some(mailbox) = mailbox {
            link.attach(mailbox.recipient());
        }
        Subscribe {
            link,
            member: Some(Member::named(&n.to_string(), "x")),
            cursor: None,
            number: 1,
            count: n,
        }
    }

    #[actix_rt::test]
    async fn a_channel_whose_newcomer_finds_the_others_gone_is_not_vacant() {
        let (channel, vacancies) = channel();
        channel.send(subscriber(1, None)).await.unwrap();
        channel.send(subscriber(2, Some(Listener.start()))).await.unwrap();
        assert!(vacancies.lock().unwrap().is_empty(), "the newcomer is in it");
        channel.send(Unsubscribe(SocketId::from_bits(2), Departure::Unsubscribed)).await.unwrap();
        assert_eq!(*vacancies.lock().unwrap(), [2]);
    }
}
