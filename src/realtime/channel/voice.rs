//! What a channel says: to one subscriber, to all of them, and to back ends.

use super::actor::ChannelActor;
use super::cache::Found;
use super::life::News;
use super::message::Room;
use super::positions::Parked;
use super::roster::{Terms, cut_off};
use crate::domain::{ChannelFact, ChannelNotice, SocketId};
use crate::realtime::frame::{Departure, Frame, Publication, ToSession};
use crate::realtime::link::{Link, Undelivered};
use crate::realtime::protocol::pusher;
use crate::realtime::session::client_event;
use actix::prelude::*;
use std::sync::Arc;
use std::time::Instant;

impl ChannelActor {
    pub(super) fn welcome(&self, link: &Link) {
        let data = match self.life.presence() {
            Some(presence) => pusher::presence_data(presence.members()),
            None => "{}".to_owned(),
        };
        self.tell(link, &Frame::answer(pusher::subscription_succeeded(self.name(), &data)));
    }

    pub(super) fn refuse(&self, link: &Link, number: u32) {
        let message = format!("The channel has {} members, which is its limit.", self.setup.rules.members);
        self.setup.metrics.messages_refused.with_label_values(&["presence_members"]).inc();
        let text = pusher::subscription_error(self.name().as_str(), "LimitReached", &message, 403);
        let _ = link.send(ToSession::Refused(self.name().clone(), number, Frame::answer(text)));
    }

    /// Answers a client event of a session that is not subscribed.
    pub(super) fn refuse_client_event(&self, from: &Link) {
        let (reason, message) = client_event::not_subscribed(self.name());
        self.setup.metrics.messages_refused.with_label_values(&[reason]).inc();
        let _ = from.deliver(&Frame::answer(pusher::error(Some(client_event::REJECTED), &message)));
    }

    /// Tells a client that is back what it missed; the offset that it had before that, or `None` if it is told that
    /// not all of it can be had.
    pub(super) fn replay(&self, link: &Link, parked: &Parked) -> Option<u64> {
        let missed = parked.offset.and_then(|offset| Some((offset, self.history.since(offset).ok()?)));
        let Some((offset, entries)) = missed else {
            self.setup.metrics.replays.with_label_values(&["gap"]).inc();
            self.tell(link, &Frame::answer(pusher::replay_gap(self.name(), self.history.head())));
            return None;
        };
        let told = entries.filter(|entry| entry.except.is_none() || entry.except != parked.socket);
        let frames: Vec<Arc<Frame>> = told.map(|entry| entry.frame.clone()).collect();
        if !frames.is_empty() {
            self.setup.metrics.replays.with_label_values(&["complete"]).inc();
            self.setup.metrics.messages_out.inc_by(frames.len() as u64);
            if link.send(ToSession::Replay(frames)).is_err() {
                // It would never know what it lacks; cut off, it comes back to where it was.
                cut_off(link);
            }
        }
        Some(offset)
    }

    /// Gives a newcomer the last event of a cache channel, or the word that there is none.
    pub(super) fn give_cached(&mut self, link: &Link, now: Instant) {
        let Some((found, news)) = self.life.find(now) else { return };
        match found {
            Found::Last(frame) => self.tell(link, &frame),
            Found::Miss { .. } => self.tell(link, &Frame::answer(pusher::cache_miss(self.name()))),
        }
        if let Some(News::Fact(fact)) = news {
            self.notify(fact);
        }
    }

    fn tell(&self, link: &Link, frame: &Arc<Frame>) {
        match link.deliver(frame) {
            Ok(()) => self.setup.metrics.messages_out.inc(),
            // As in a broadcast: a client that cannot take its welcome would wait for it for ever.
            Err(Undelivered::Slow) => cut_off(link),
            Err(Undelivered::Gone) => {}
        }
    }

    /// Tells whom it concerns what has changed.
    pub(super) fn spread(&mut self, news: Vec<News>, ctx: &mut Context<Self>) {
        for news in news {
            let (text, except) = match news {
                News::MemberAdded(member, newcomer) => {
                    let text = pusher::member_added(self.name(), &member.user_id, &member.user_info);
                    (text, Some(newcomer))
                }
                News::MemberRemoved(user) => (pusher::member_removed(self.name(), &user), None),
                News::Count(count) => (pusher::subscription_count(self.name(), count), None),
                News::Fact(fact) => {
                    self.notify(fact);
                    continue;
                }
            };
            self.say(&Frame::answer(text), except, ctx);
        }
    }

    pub(super) fn say(&mut self, frame: &Arc<Frame>, except: Option<SocketId>, ctx: &mut Context<Self>) {
        if self.roster.is_empty() {
            return;
        }
        let terms = self.terms(ctx);
        let outcome = self.roster.broadcast(frame, except, &terms);
        self.setup.metrics.messages_out.inc_by(outcome.delivered as u64);
        self.drop_slow(outcome.slow, ctx);
        if let Some(full) = outcome.full {
            let until_room = async move {
                // An error says that it has died, and then nothing is to be waited for.
                let _ = full.send(Room).await;
            };
            ctx.wait(until_room.into_actor(self));
        }
    }

    fn terms(&mut self, ctx: &mut Context<Self>) -> Terms {
        let new = || Terms {
            channel: Arc::new(ctx.address().downgrade().recipient()),
            metrics: self.setup.metrics.clone(),
        };
        self.terms.get_or_insert_with(new).clone()
    }

    /// Drops those that were cut off because they did not keep up.
    pub(super) fn drop_slow(&mut self, slow: Vec<SocketId>, ctx: &mut Context<Self>) {
        for socket in slow {
            tracing::warn!(channel = %self.name(), %socket, "cut off a slow consumer");
            self.setup.metrics.refused.with_label_values(&["slow_consumer"]).inc();
            self.drop_subscriber(socket, Departure::Broken, ctx);
        }
    }

    /// Tells back ends what a client said to the others.
    pub(super) fn tell_of_client_event(&self, publication: &Publication) {
        let Some(socket) = publication.except.filter(|_| self.setup.notices.is_some()) else { return };
        let Publication { name, data, user_id, .. } = publication;
        let (event, data, user_id) = (name.clone(), data.clone(), user_id.clone());
        self.notify(ChannelFact::ClientEvent { event, data, socket, user_id });
    }

    fn notify(&self, fact: ChannelFact) {
        let Some(notices) = &self.setup.notices else { return };
        let (app, channel) = (self.setup.app.id.clone(), self.name().clone());
        let notice = ChannelNotice { app, channel, fact, at: self.setup.clock.now() };
        if notices.try_send(notice).is_err() {
            self.setup.metrics.mailbox_full.with_label_values(&["channel_notices"]).inc();
        }
    }
}
