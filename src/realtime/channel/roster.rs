//! `Roster`: the subscribers of a channel, by the worker threads that their connections live on.

use super::message::CutOff;
use crate::domain::SocketId;
use crate::realtime::fan_out::{FanOut, FanOutAddr};
use crate::realtime::frame::{Ending, Frame, ToSession};
use crate::realtime::framing;
use crate::realtime::link::{Link, Undelivered};
use crate::telemetry::Metrics;
use actix::WeakRecipient;
use actix::prelude::SendError;
use std::collections::HashMap;
use std::sync::Arc;

/// Who is subscribed. Flat lists to run through, and an index for leaving.
#[derive(Debug, Default)]
pub struct Roster {
    shards: Vec<Shard>,
    /// The shard of each subscriber, and where in it.
    index: HashMap<SocketId, (u32, u32)>,
}

/// The subscribers of one thread, or those without a direct path.
#[derive(Debug)]
struct Shard {
    fan_out: Option<Arc<FanOutAddr>>,
    /// Shared with fan-outs that are under way, which keep what was then.
    links: Arc<Vec<Arc<Link>>>,
}

/// What every fan-out of a channel is given.
#[derive(Clone)]
pub struct Terms {
    /// The channel, which is told who was cut off, if it is still there.
    pub channel: Arc<WeakRecipient<CutOff>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// What a broadcast did at once; the rest is with the threads.
#[derive(Debug, Default)]
pub struct Broadcast {
    /// Subscribers that got the frame.
    pub delivered: usize,
    /// Subscribers that were over their budget; they are being cut off.
    pub slow: Vec<SocketId>,
    /// A thread that has as much to do as it may: wait for it.
    pub full: Option<Arc<FanOutAddr>>,
}

impl Roster {
    /// Adds a subscriber; false if it is one already.
    pub fn add(&mut self, link: Arc<Link>) -> bool {
        if self.has(link.socket) {
            return false;
        }
        let shard = self.shard_of(&link);
        let links = Arc::make_mut(&mut self.shards[shard].links);
        self.index.insert(link.socket, (narrow(shard), narrow(links.len())));
        links.push(link);
        true
    }

    /// Removes a subscriber; false if it was none.
    pub fn remove(&mut self, socket: SocketId) -> bool {
        let Some((shard, at)) = self.index.remove(&socket) else { return false };
        let links = Arc::make_mut(&mut self.shards[shard as usize].links);
        links.swap_remove(at as usize);
        if let Some(moved) = links.get(at as usize) {
            self.index.insert(moved.socket, (shard, at));
        }
        true
    }

    /// Whether this socket is subscribed.
    pub fn has(&self, socket: SocketId) -> bool {
        self.index.contains_key(&socket)
    }

    /// Whether nobody is subscribed.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// How many are subscribed.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Has the frame handed to every subscriber but one. Never waits: who cannot take it is cut off, and the others
    /// notice nothing.
    pub fn broadcast(&self, frame: &Arc<Frame>, except: Option<SocketId>, terms: &Terms) -> Broadcast {
        let mut outcome = Broadcast::default();
        let bytes = framing::text(&frame.text);
        for shard in self.shards.iter().filter(|shard| !shard.links.is_empty()) {
            let Some(fan_out) = &shard.fan_out else {
                outcome.hand_out(frame, &shard.links, except);
                continue;
            };
            let (frame, bytes, links) = (frame.clone(), bytes.clone(), shard.links.clone());
            let Terms { channel, metrics } = terms.clone();
            match fan_out.try_send(FanOut { frame, bytes, links, except, channel, metrics }) {
                Ok(()) => {}
                Err(SendError::Full(message)) => {
                    terms.metrics.mailbox_full.with_label_values(&["fan_out"]).inc();
                    // What a channel says while it deals with one message; it deals with no other before there is room.
                    fan_out.do_send(message);
                    outcome.full = Some(fan_out.clone());
                }
                Err(SendError::Closed(message)) => {
                    tracing::error!(
                        "a worker's fan-out has died; its sessions are served through their mailboxes"
                    );
                    outcome.hand_out(&message.frame, &shard.links, except);
                }
            }
        }
        outcome
    }

    fn shard_of(&mut self, link: &Link) -> usize {
        let fan_out = link.fan_out();
        let is_its = |shard: &Shard| match (&shard.fan_out, fan_out) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        self.shards.iter().position(is_its).unwrap_or_else(|| {
            self.shards.push(Shard { fan_out: fan_out.cloned(), links: Arc::default() });
            self.shards.len() - 1
        })
    }
}

impl Broadcast {
    /// Hands the frame to the mailboxes of these.
    fn hand_out(&mut self, frame: &Arc<Frame>, links: &[Arc<Link>], except: Option<SocketId>) {
        for link in links.iter().filter(|link| except != Some(link.socket)) {
            match link.deliver(frame) {
                Ok(()) => self.delivered += 1,
                Err(Undelivered::Slow) => {
                    cut_off(link);
                    self.slow.push(link.socket);
                }
                // It leaves by itself, and then says how.
                Err(Undelivered::Gone) => {}
            }
        }
    }
}

/// Asks for a proper goodbye, which a jammed socket will not read, and shuts the socket down.
pub(in crate::realtime) fn cut_off(link: &Link) {
    let _ = link.send(ToSession::End(Ending::SLOW));
    link.cut();
}

/// Descriptors bound both far below.
fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::direct_path::WorkerShard;
    use actix::prelude::*;

    /// A channel that is told nothing.
    struct Nobody;

    impl Actor for Nobody {
        type Context = Context<Self>;
    }

    impl Handler<CutOff> for Nobody {
        type Result = ();

        fn handle(&mut self, _: CutOff, _: &mut Self::Context) {}
    }

    fn terms() -> Terms {
        let channel = Arc::new(Nobody.start().downgrade().recipient());
        Terms { channel, metrics: Arc::new(Metrics::new().unwrap()) }
    }

    fn link(bits: u64) -> Arc<Link> {
        Arc::new(Link::new(SocketId::from_bits(bits), None, 10, None, 0))
    }

    #[actix_rt::test]
    async fn leaving_keeps_the_index_in_step_on_every_thread() {
        let shards = [WorkerShard::start(), WorkerShard::start()];
        let mut roster = Roster::default();
        for bits in 0..9 {
            let link = link(bits);
            if let Some(shard) = shards.get(usize::try_from(bits % 3).unwrap()) {
                shard.attach(&link, 0);
            }
            assert!(roster.add(link));
        }
        assert!(!roster.add(link(3)));
        for bits in [0, 4, 2, 1, 8, 3, 5, 7, 6] {
            assert!(roster.remove(SocketId::from_bits(bits)));
            assert!(!roster.remove(SocketId::from_bits(bits)));
        }
        assert!(roster.is_empty());
    }

    #[actix_rt::test]
    async fn subscribers_without_a_mailbox_are_handed_nothing() {
        let mut roster = Roster::default();
        roster.add(link(1));
        roster.add(link(2));
        let frame = Frame::answer("x".into());
        let outcome = roster.broadcast(&frame, Some(SocketId::from_bits(2)), &terms());
        assert_eq!((outcome.delivered, outcome.slow.len()), (0, 0));
    }
}
