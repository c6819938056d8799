//! `ChannelActor`: one channel of one app. Owns its roster and presence; encodes each publication once.
//!
//! The registry alone speaks to it, and sends joins and leaves past the mailbox's bound: each is one per
//! subscription, so the sessions' own limits bound them, and a lost leave would leave a ghost. Publications
//! keep to the bound; a full channel makes the publisher wait (events of rows) or answers 503 (HTTP API).
//! It is not restarted: when it dies, its next subscriber gets a new one.

use super::presence::{Departure, Joined, Member, Presence};
use super::roster::{Broadcast, Roster, cut_off};
use crate::domain::{ChannelKind, ChannelName, EventId, SocketId};
use crate::realtime::frame::{Frame, Origin, Publication, ToSession};
use crate::realtime::link::{Link, Undelivered};
use crate::realtime::protocol::pusher;
use crate::telemetry::Metrics;
use actix::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Publications that may wait.
const MAILBOX: usize = 1_024;

/// A session subscribes.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Subscribe {
    /// The session.
    pub link: Arc<Link>,
    /// Who it is, in a presence channel.
    pub member: Option<Member>,
    /// Which of the session's joins this is; a refusal names it.
    pub number: u32,
    /// How many subscribes the registry has sent this channel, this one included.
    pub count: u64,
}

/// A session leaves.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Unsubscribe(pub SocketId);

/// Say this to the subscribers.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Publish(pub Arc<Publication>);

/// Called when the last subscriber has left, with the subscribes seen so far: if the registry has sent no
/// more than that, none is on its way and the channel can go.
pub type OnVacated = Box<dyn Fn(u64) + Send>;

/// One channel.
pub struct ChannelActor {
    name: ChannelName,
    roster: Roster,
    presence: Option<Presence>,
    presence_limit: usize,
    seen: u64,
    last_row: EventId,
    on_vacated: OnVacated,
    metrics: Arc<Metrics>,
}

impl ChannelActor {
    /// An empty channel.
    pub fn new(
        name: ChannelName,
        presence_limit: usize,
        on_vacated: OnVacated,
        metrics: Arc<Metrics>,
    ) -> Self {
        let presence =
            (name.kind() == ChannelKind::Presence).then(|| Presence::new(presence_limit, Duration::ZERO));
        let (roster, last_row) = (Roster::default(), EventId(0));
        Self { name, roster, presence, presence_limit, seen: 0, last_row, on_vacated, metrics }
    }

    fn welcome(&self, link: &Link) {
        let data = match &self.presence {
            Some(presence) => pusher::presence_data(presence.members()),
            None => "{}".to_owned(),
        };
        let frame = Frame::answer(pusher::subscription_succeeded(&self.name, &data));
        match link.deliver(&frame) {
            Ok(()) => self.metrics.messages_out.inc(),
            // As in a broadcast: a client that cannot take its welcome would wait for it for ever.
            Err(Undelivered::Slow) => cut_off(link),
            Err(Undelivered::Gone) => {}
        }
    }

    /// Takes the member in, where there is one to take; what it changed for the others, or `Full`.
    fn admit(&mut self, link: &Link, member: Option<&Member>) -> Joined {
        match (&mut self.presence, member) {
            (Some(presence), Some(member)) => presence.join(link.socket, member, Instant::now()),
            _ => Joined::Again,
        }
    }

    fn refuse(&self, link: &Link, number: u32) {
        let message = format!("The channel has {} members, which is its limit.", self.presence_limit);
        let text = pusher::subscription_error(self.name.as_str(), "LimitReached", &message, 403);
        let _ = link.send(ToSession::Refused(self.name.clone(), number, Frame::answer(text)));
    }

    fn announce(&mut self, newcomer: SocketId, member: Option<&Member>) {
        if let Some(member) = member {
            let text = pusher::member_added(&self.name, &member.user_id, &member.user_info);
            self.say(&Frame::answer(text), Some(newcomer));
        }
    }

    fn say(&mut self, frame: &Arc<Frame>, except: Option<SocketId>) {
        let outcome = self.roster.broadcast(frame, except);
        self.account(&outcome);
        for socket in outcome.slow.iter().chain(&outcome.gone) {
            self.drop_subscriber(*socket);
        }
    }

    fn account(&self, outcome: &Broadcast) {
        self.metrics.messages_out.inc_by(outcome.delivered as u64);
        for socket in &outcome.slow {
            tracing::warn!(channel = %self.name, %socket, "cut off a slow consumer");
            self.metrics.refused.with_label_values(&["slow_consumer"]).inc();
        }
    }

    fn drop_subscriber(&mut self, socket: SocketId) {
        if !self.roster.remove(socket) {
            return;
        }
        self.metrics.subscriptions.dec();
        let left = self.presence.as_mut().and_then(|p| p.leave(socket, Departure::Final, Instant::now()));
        if let Some(user) = left {
            let text = pusher::member_removed(&self.name, &user);
            self.say(&Frame::answer(text), None);
        }
        if self.roster.is_empty() {
            (self.on_vacated)(self.seen);
        }
    }
}

impl Actor for ChannelActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.metrics.channels.inc();
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.metrics.channels.dec();
    }
}

impl Handler<Subscribe> for ChannelActor {
    type Result = ();

    fn handle(&mut self, message: Subscribe, _: &mut Self::Context) {
        self.seen = message.count;
        let (link, member) = (message.link, message.member);
        let joined = self.admit(&link, member.as_ref());
        if joined == Joined::Full {
            self.refuse(&link, message.number);
        } else {
            if self.roster.add(link.clone()) {
                self.metrics.subscriptions.inc();
            }
            self.welcome(&link);
        }
        // Last: telling the others may find that they are gone, and the channel must not look empty then.
        if joined == Joined::First {
            self.announce(link.socket, member.as_ref());
        }
        if self.roster.is_empty() {
            (self.on_vacated)(self.seen);
        }
    }
}

impl Handler<Unsubscribe> for ChannelActor {
    type Result = ();

    fn handle(&mut self, message: Unsubscribe, _: &mut Self::Context) {
        self.drop_subscriber(message.0);
    }
}

impl Handler<Publish> for ChannelActor {
    type Result = ();

    fn handle(&mut self, Publish(publication): Publish, _: &mut Self::Context) {
        if let Origin::Row(row) = publication.origin {
            if row <= self.last_row {
                return;
            }
            self.last_row = row;
        }
        let text =
            pusher::event(&self.name, &publication.name, &publication.data, publication.user_id.as_deref());
        self.say(&Arc::new(Frame { text, published: Some(publication.at) }), publication.except);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A presence channel, and the subscribes seen at each of its vacancies.
    fn channel() -> (Addr<ChannelActor>, Arc<Mutex<Vec<u64>>>) {
        let vacancies = Arc::new(Mutex::new(Vec::new()));
        let told = vacancies.clone();
        let name = ChannelName::parse("presence-room").unwrap();
        let on_vacated = Box::new(move |seen| told.lock().unwrap().push(seen));
        let metrics = Arc::new(Metrics::new().unwrap());
        (ChannelActor::new(name, 100, on_vacated, metrics).start(), vacancies)
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
        Subscribe { link, member: Some(Member::named(&n.to_string(), "x")), number: 1, count: n }
    }

    #[actix_rt::test]
    async fn a_channel_whose_newcomer_finds_the_others_gone_is_not_vacant() {
        let (channel, vacancies) = channel();
        channel.send(subscriber(1, None)).await.unwrap();
        channel.send(subscriber(2, Some(Listener.start()))).await.unwrap();
        assert!(vacancies.lock().unwrap().is_empty(), "the newcomer is in it");
        channel.send(Unsubscribe(SocketId::from_bits(2))).await.unwrap();
        assert_eq!(*vacancies.lock().unwrap(), [2]);
    }
}
