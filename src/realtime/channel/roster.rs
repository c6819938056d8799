//! `Roster`: the subscribers of a channel, and the loop that hands a frame to each of them. The hot path.

use crate::domain::SocketId;
use crate::realtime::frame::{Ending, Frame, ToSession};
use crate::realtime::link::{Link, Undelivered};
use std::collections::HashMap;
use std::sync::Arc;

/// Who is subscribed. A flat list to run through, and an index for leaving.
#[derive(Debug, Default)]
pub struct Roster {
    links: Vec<Arc<Link>>,
    index: HashMap<SocketId, usize>,
}

/// What a broadcast did.
#[derive(Debug, Default)]
pub struct Broadcast {
    /// Subscribers that got the frame.
    pub delivered: usize,
    /// Subscribers that were over their budget; they are being cut off.
    pub slow: Vec<SocketId>,
    /// Subscribers that no longer exist.
    pub gone: Vec<SocketId>,
}

impl Roster {
    /// Adds a subscriber; false if it is one already.
    pub fn add(&mut self, link: Arc<Link>) -> bool {
        if self.has(link.socket) {
            return false;
        }
        self.index.insert(link.socket, self.links.len());
        self.links.push(link);
        true
    }

    /// Removes a subscriber; false if it was none.
    pub fn remove(&mut self, socket: SocketId) -> bool {
        let Some(at) = self.index.remove(&socket) else { return false };
        self.links.swap_remove(at);
        if let Some(moved) = self.links.get(at) {
            self.index.insert(moved.socket, at);
        }
        true
    }

    /// Whether this socket is subscribed.
    pub fn has(&self, socket: SocketId) -> bool {
        self.index.contains_key(&socket)
    }

    /// Whether nobody is subscribed.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// How many are subscribed.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Hands the frame to every subscriber but one. Never waits: who cannot take it is cut off, and the
    /// others notice nothing.
    pub fn broadcast(&self, frame: &Arc<Frame>, except: Option<SocketId>) -> Broadcast {
        let mut outcome = Broadcast::default();
        for link in &self.links {
            if except == Some(link.socket) {
                continue;
            }
            match link.deliver(frame) {
                Ok(()) => outcome.delivered += 1,
                Err(Undelivered::Slow) => {
                    cut_off(link);
                    outcome.slow.push(link.socket);
                }
                Err(Undelivered::Gone) => outcome.gone.push(link.socket),
            }
        }
        outcome
    }
}

/// Asks for a proper goodbye, which a jammed socket will not read, and shuts the socket down.
pub(in crate::realtime) fn cut_off(link: &Link) {
    let _ = link.send(ToSession::End(Ending::SLOW));
    link.cut();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(bits: u64) -> Arc<Link> {
        Arc::new(Link::new(SocketId::from_bits(bits), None, 10, None, 0))
    }

    #[test]
    fn leaving_keeps_the_index_in_step() {
        let mut roster = Roster::default();
        for bits in 0..5 {
            assert!(roster.add(link(bits)));
        }
        assert!(!roster.add(link(3)));
        for bits in [0, 4, 2, 1, 3] {
            assert!(roster.remove(SocketId::from_bits(bits)));
            assert!(!roster.remove(SocketId::from_bits(bits)));
        }
        assert!(roster.is_empty());
    }

    #[test]
    fn subscribers_without_a_mailbox_are_reported_gone() {
        let mut roster = Roster::default();
        roster.add(link(1));
        roster.add(link(2));
        let outcome = roster.broadcast(&Frame::answer("x".into()), Some(SocketId::from_bits(2)));
        assert_eq!((outcome.delivered, outcome.gone.len()), (0, 1));
    }
}
