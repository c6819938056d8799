//! `ChannelActor`: one channel of one app. Owns its roster, history, positions and [`Life`]; encodes each
//! publication once. What it says, to whom, is in `voice`.
//!
//! The registry alone speaks to it, and sends joins and leaves past the mailbox's bound: each is one per
//! subscription, so the sessions' own limits bound them, and a lost leave would leave a ghost. Publications
//! keep to the bound; a full channel makes the publisher wait (events of rows) or answers 503 (HTTP API).
//! It is not restarted: when it dies, its next subscriber gets a new one.
//!
//! A channel whose events are rows reads its past before it takes its first message, and notes where its clients
//! stand while anything changes, so that a restart of the process is no more to them than a cut connection.

use super::history::History;
use super::life::Life;
use super::message::{Conclude, CutOff, Publish, Room, Subscribe, Unsubscribe};
use super::notes::Noting;
use super::positions::{Doubt, Parked, Positions, Whence};
use super::presence::{Joined, Presence};
use super::roster::{Roster, Terms};
use super::setup::Setup;
use crate::domain::{ChannelName, Epoch, SocketId};
use crate::realtime::cursor::Cursor;
use crate::realtime::frame::{Departure, Frame, Origin, Publication};
use crate::realtime::link::Link;
use crate::realtime::protocol::pusher;
use actix::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Publications that may wait.
const MAILBOX: usize = 1_024;
/// How soon a doubt about who is back is looked at again.
const DOUBT_AGAIN: Duration = Duration::from_millis(100);

/// One channel.
pub struct ChannelActor {
    pub(super) setup: Setup,
    pub(super) roster: Roster,
    pub(super) life: Life,
    pub(super) history: History,
    pub(super) positions: Positions,
    /// Sessions whose subscription waits for a doubt to be settled.
    doubted: HashSet<SocketId>,
    /// Made when it first says something.
    pub(super) terms: Option<Terms>,
    seen: u64,
    pub(super) noting: Noting,
    resting: Option<SpawnHandle>,
    /// The timer for what is due next in its life, and when it rings.
    waking: Option<(Instant, SpawnHandle)>,
}

impl ChannelActor {
    /// An empty channel.
    pub fn new(setup: Setup) -> Self {
        let life = Life::new(setup.rules, &setup.app, &setup.name, setup.notices.is_some());
        let history = History::new(Epoch::from_bits(rand::random()), setup.history.clone());
        Self {
            setup,
            roster: Roster::default(),
            life,
            history,
            positions: Positions::default(),
            doubted: HashSet::new(),
            terms: None,
            seen: 0,
            noting: Noting::default(),
            resting: None,
            waking: None,
        }
    }

    pub(super) fn name(&self) -> &ChannelName {
        &self.setup.name
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
        let Subscribe { link, member, cursor, number, .. } = message;
        let now = Instant::now();
        let joined = self.life.join(link.socket, member.as_ref(), now);
        if joined == Joined::Full {
            self.refuse(&link, number);
            return self.rest(ctx);
        }
        let fresh = self.roster.add(link.clone());
        self.count();
        self.welcome(&link);
        let up_to_date = self.catch_up(&link, cursor, back, ctx);
        if fresh {
            self.setup.metrics.subscriptions.inc();
            if self.roster.len() == 1 {
                self.setup.metrics.channels.inc();
            }
            if !up_to_date {
                self.give_cached(&link, now);
            }
            let first = member.filter(|_| joined == Joined::First);
            let news = self.life.came(link.socket, first, self.roster.len(), now);
            self.spread(news, ctx);
        }
        self.rest(ctx);
    }

    /// Gives a client that is back what it missed, all of it or the word that it cannot be had; whether it has
    /// everything up to now then.
    fn catch_up(
        &mut self,
        link: &Arc<Link>,
        cursor: Option<Arc<Cursor>>,
        back: Option<&Parked>,
        ctx: &mut Context<Self>,
    ) -> bool {
        let Some(cursor) = cursor.filter(|_| !self.positions.has(link.socket)) else { return false };
        let replayed = back.and_then(|parked| self.replay(link, parked));
        cursor.confirm(replayed.unwrap_or_else(|| self.end_for_newcomers()));
        self.positions.enter(link.socket, cursor);
        self.note_newcomer(ctx);
        replayed.is_some()
    }

    /// The offset that a client has before it gets anything: the end of the stream, but for the cached event, which
    /// is still to reach it.
    fn end_for_newcomers(&self) -> u64 {
        let last = self.history.last_offset();
        if self.life.cached(Instant::now()).is_some() { last.saturating_sub(1) } else { last }
    }

    /// A session is not there any more.
    pub(super) fn drop_subscriber(
        &mut self,
        socket: SocketId,
        departure: Departure,
        ctx: &mut Context<Self>,
    ) {
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
        let news = self.life.left(socket, departure, self.roster.len(), Instant::now());
        self.spread(news, ctx);
        self.rest(ctx);
    }

    /// Sets the timer for what is due next in the channel's life. A channel in which nothing is under way has none.
    fn wake_when_due(&mut self, ctx: &mut Context<Self>) {
        let due = self.life.next_due(self.roster.len());
        match (due, self.waking) {
            // One that rings too early looks again.
            (Some(due), Some((at, _))) if at <= due => return,
            (None, None) => return,
            (_, Some((_, timer))) => drop(ctx.cancel_future(timer)),
            (Some(_), None) => {}
        }
        self.waking = due.map(|at| {
            let timer = ctx.run_later(at.saturating_duration_since(Instant::now()), |channel, ctx| {
                channel.waking = None;
                let news = channel.life.tick(channel.roster.len(), Instant::now());
                channel.spread(news, ctx);
                channel.rest(ctx);
            });
            (at, timer)
        });
    }

    /// Says how occupied it is.
    fn count(&self) {
        self.setup.occupancy.set(self.roster.len(), self.life.presence().map_or(0, Presence::count));
    }

    /// After anything has happened. An empty channel goes: at once when it keeps nothing, or when what it keeps has
    /// grown old.
    pub(super) fn rest(&mut self, ctx: &mut Context<Self>) {
        self.count();
        self.wake_when_due(ctx);
        if !self.roster.is_empty() || self.resting.is_some() {
            return;
        }
        self.history.trim(self.setup.clock.now());
        if self.history.is_empty() && self.doubted.is_empty() && self.positions.is_empty() {
            if self.life.is_over(Instant::now()) {
                (self.setup.on_vacated)(self.seen);
            }
            return;
        }
        self.resting = Some(ctx.run_later(self.setup.history.age, |channel, ctx| {
            channel.resting = None;
            channel.positions.forget_before(channel.history.window(channel.setup.clock.now()));
            channel.rest(ctx);
        }));
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

    fn handle(&mut self, Publish { publication, from, count }: Publish, ctx: &mut Self::Context) {
        self.seen = count;
        // Its session cannot know: it asked to subscribe, and the answer is on its way or still to be given.
        if let Some(from) = from.filter(|from| !self.roster.has(from.socket)) {
            return self.refuse_client_event(&from);
        }
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
            self.life.keep(data, &frame, Instant::now());
            self.note_soon(ctx);
        } else {
            self.tell_of_client_event(&publication);
        }
        self.say(&frame, publication.except, ctx);
        self.rest(ctx);
    }
}

impl Handler<Room> for ChannelActor {
    type Result = ();

    fn handle(&mut self, _: Room, _: &mut Self::Context) {}
}

impl Handler<CutOff> for ChannelActor {
    type Result = ();

    fn handle(&mut self, CutOff(slow): CutOff, ctx: &mut Self::Context) {
        self.drop_slow(slow, ctx);
    }
}

impl Handler<Conclude> for ChannelActor {
    type Result = ();

    fn handle(&mut self, _: Conclude, ctx: &mut Self::Context) {
        let news = self.life.conclude();
        self.spread(news, ctx);
        self.rest(ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{App, Channels};
    use crate::domain::{ChannelNotice, Clock, Secret};
    use crate::realtime::channel::Member;
    use crate::realtime::channel::history::Bounds;
    use crate::realtime::channel::life::Rules;
    use crate::realtime::frame::ToSession;
    use crate::storage::{Db, DbOptions};
    use crate::telemetry::Metrics;
    use std::sync::Mutex;

    /// A presence channel, and what it had been sent at each of its vacancies.
    fn setup() -> (Setup, Arc<Mutex<Vec<u64>>>) {
        let vacancies = Arc::new(Mutex::new(Vec::new()));
        let told = vacancies.clone();
        let options = DbOptions { url: "sqlite:unused.db".into(), pool_size: 1, wait: Duration::ZERO };
        let setup = Setup {
            app: Arc::new(App::new("1", "key", Secret::new("secret"))),
            name: ChannelName::parse("presence-room").unwrap(),
            occupancy: Arc::default(),
            rules: Rules::of(&Channels::default(), 100),
            history: Bounds::of(&Channels::default()),
            checkpoint: Duration::ZERO,
            db: Db::open(options).unwrap(),
            clock: Clock::System,
            on_vacated: Box::new(move |seen| told.lock().unwrap().push(seen)),
            notices: None,
            metrics: Arc::new(Metrics::new().unwrap()),
        };
        (setup, vacancies)
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

    /// Somebody who is told what happens and never comes to it.
    struct Busy;

    impl Actor for Busy {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Self::Context) {
            ctx.set_mailbox_capacity(1);
            ctx.wait(std::future::pending::<()>().into_actor(self));
        }
    }

    impl Handler<ChannelNotice> for Busy {
        type Result = ();

        fn handle(&mut self, _: ChannelNotice, _: &mut Self::Context) {}
    }

    /// A subscriber, the n-th; without a mailbox its session has ended, and nothing can be delivered to it.
    fn subscriber(n: u64, mailbox: Option<Addr<Listener>>) -> Subscribe {
        let link = Arc::new(Link::new(SocketId::from_bits(n), None, 10_000, None, 0));
        if let Some(mailbox) = mailbox {
            link.attach(mailbox.recipient());
        }
        let member = Some(Member::named(&n.to_string(), "x"));
        Subscribe { link, member, cursor: None, number: 1, count: n }
    }

    #[actix_rt::test]
    async fn a_channel_whose_newcomer_finds_the_others_gone_is_vacant_when_both_have_left() {
        let (setup, vacancies) = setup();
        let channel = ChannelActor::new(setup).start();
        channel.send(subscriber(1, None)).await.unwrap();
        channel.send(subscriber(2, Some(Listener.start()))).await.unwrap();
        channel.send(Unsubscribe(SocketId::from_bits(1), Departure::Closed)).await.unwrap();
        assert!(vacancies.lock().unwrap().is_empty(), "the newcomer is in it");
        channel.send(Unsubscribe(SocketId::from_bits(2), Departure::Unsubscribed)).await.unwrap();
        assert_eq!(*vacancies.lock().unwrap(), [2]);
    }

    #[actix_rt::test]
    async fn a_channel_with_subscribers_and_nothing_under_way_has_no_timer() {
        let mut channel = ChannelActor::new(setup().0);
        let idle = Arc::new(Mutex::new(None));
        let seen = idle.clone();
        let channel = ChannelActor::create(move |ctx| {
            channel.subscribe(subscriber(1, Some(Listener.start())), None, ctx);
            *seen.lock().unwrap() = Some(channel.waking.is_none() && channel.resting.is_none());
            channel
        });
        channel.send(Unsubscribe(SocketId::from_bits(2), Departure::Closed)).await.unwrap();
        assert_eq!(*idle.lock().unwrap(), Some(true));
    }

    #[actix_rt::test]
    async fn who_is_told_and_is_full_is_not_waited_for_and_what_it_misses_is_counted() {
        let (mut setup, _) = setup();
        setup.notices = Some(Arc::new(Busy.start().recipient()));
        let metrics = setup.metrics.clone();
        let channel = ChannelActor::new(setup).start();
        let listener = Listener.start();
        for n in 1..=40 {
            channel.send(subscriber(n, Some(listener.clone()))).await.unwrap();
        }
        assert!(metrics.mailbox_full.with_label_values(&["channel_notices"]).get() >= 20);
        assert_eq!(metrics.subscriptions.get(), 40);
    }
}
