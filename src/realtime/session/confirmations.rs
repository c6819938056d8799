//! `Confirmations`: learns what a client has received. Pure.
//!
//! Stock clients say nothing of what they got, but every WebSocket answers a ping with a pong that repeats the
//! ping's payload (RFC 6455 §5.5.3), in order. A ping behind a message, once answered, proves that the message
//! arrived. So many pings are out at a time at most, and then the next waits for an answer: a client far away is
//! not asked about each message.

use crate::domain::ChannelName;
use crate::realtime::cursor::Cursor;
use crate::realtime::frame::Frame;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Pings that may be out.
const MAX_OUT: usize = 16;

/// What one connection has been sent, asked and told of.
#[derive(Debug, Default)]
pub struct Confirmations {
    channels: HashMap<ChannelName, Track>,
    /// Channels with messages that no ping has asked about.
    unasked: Vec<ChannelName>,
    /// The pings that are out, oldest first.
    out: VecDeque<Ping>,
    last: u64,
    armed: bool,
}

#[derive(Debug)]
struct Track {
    cursor: Arc<Cursor>,
    sent: u64,
    asked: u64,
}

/// A ping, and what its pong will confirm.
#[derive(Debug)]
struct Ping {
    number: u64,
    proves: Vec<(Arc<Cursor>, u64)>,
}

impl Confirmations {
    /// The client's cursor in a channel: the one it has, or this one from now on.
    pub fn follow(&mut self, channel: &ChannelName, new: impl FnOnce() -> Cursor) -> Arc<Cursor> {
        if let Some(track) = self.channels.get(channel) {
            return track.cursor.clone();
        }
        let cursor = Arc::new(new());
        let track = Track { cursor: cursor.clone(), sent: 0, asked: 0 };
        self.channels.insert(channel.clone(), track);
        cursor
    }

    /// The client has left the channel.
    pub fn leave(&mut self, channel: &ChannelName) {
        self.channels.remove(channel);
    }

    /// A message was written. True if it is time to ask: then call [`Confirmations::ask`], at once or, having
    /// called [`Confirmations::arm`], in a while.
    pub fn sent(&mut self, channel: &ChannelName, offset: u64) -> bool {
        let Some(track) = self.channels.get_mut(channel) else { return false };
        if track.sent == track.asked {
            self.unasked.push(channel.clone());
        }
        track.sent = offset;
        self.is_due()
    }

    /// The same of a frame; what no stream keeps is not asked about.
    pub fn wrote(&mut self, frame: &Frame) -> bool {
        frame.place.as_ref().is_some_and(|(channel, offset)| self.sent(channel, *offset))
    }

    /// The next [`Confirmations::ask`] is on its way: until then none is due.
    pub const fn arm(&mut self) {
        self.armed = true;
    }

    /// The payload of a ping that asks about everything sent so far.
    pub fn ask(&mut self) -> [u8; 8] {
        let mut proves = Vec::with_capacity(self.unasked.len());
        for channel in self.unasked.drain(..) {
            if let Some(track) = self.channels.get_mut(&channel) {
                track.asked = track.sent;
                proves.push((track.cursor.clone(), track.sent));
            }
        }
        self.last += 1;
        self.armed = false;
        self.out.push_back(Ping { number: self.last, proves });
        self.last.to_be_bytes()
    }

    /// A pong came: whether it answers a ping that is out. It answers those before it too.
    pub fn answered(&mut self, payload: &[u8]) -> bool {
        let known = |ping: &Ping| ping.number.to_be_bytes() == *payload;
        let Some(at) = self.out.iter().position(known) else { return false };
        for (cursor, offset) in self.out.drain(..=at).flat_map(|ping| ping.proves) {
            cursor.confirm(offset);
        }
        true
    }

    /// Whether something was sent that no ping has asked about, and one may go out.
    pub fn is_due(&self) -> bool {
        !self.unasked.is_empty() && !self.armed && self.out.len() < MAX_OUT
    }

    /// The client has answered our goodbye: everything before it has arrived.
    pub fn all_arrived(&self) {
        for track in self.channels.values() {
            track.cursor.confirm(track.sent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TokenId;
    use crate::realtime::cursor::Identity;

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    fn following(name: &str) -> (Confirmations, ChannelName, Arc<Cursor>) {
        let (mut confirmations, name) = (Confirmations::default(), channel(name));
        let cursor = confirmations.follow(&name, || Cursor::new(Identity::Token(TokenId(1), None)));
        (confirmations, name, cursor)
    }

    #[test]
    fn an_answered_ping_confirms_what_was_sent_before_it_and_nothing_after() {
        let (mut confirmations, name, cursor) = following("a");
        assert!(confirmations.sent(&name, 1));
        let first = confirmations.ask();
        assert!(confirmations.sent(&name, 2));
        let second = confirmations.ask();
        assert_eq!(cursor.confirmed(), 0);
        assert!(confirmations.answered(&first));
        assert_eq!(cursor.confirmed(), 1);
        assert!(confirmations.answered(&second));
        assert_eq!(cursor.confirmed(), 2);
        assert!(!confirmations.is_due());
    }

    #[test]
    fn a_pong_that_nobody_asked_for_confirms_nothing() {
        let (mut confirmations, name, cursor) = following("a");
        confirmations.sent(&name, 1);
        assert!(!confirmations.answered(&1_u64.to_be_bytes()));
        let ping = confirmations.ask();
        for wrong in [&b""[..], &b"00000000"[..], &ping[..7]] {
            assert!(!confirmations.answered(wrong));
        }
        assert!(confirmations.answered(&ping));
        assert!(!confirmations.answered(&ping), "once");
        assert_eq!(cursor.confirmed(), 1);
    }

    #[test]
    fn a_client_that_does_not_answer_is_not_asked_on_and_the_next_answer_asks_about_all() {
        let (mut confirmations, name, cursor) = following("a");
        let mut pings = Vec::new();
        for offset in 1..=100 {
            if confirmations.sent(&name, offset) {
                pings.push(confirmations.ask());
            }
        }
        assert_eq!(pings.len(), MAX_OUT);
        assert!(confirmations.answered(&pings[MAX_OUT - 1]), "answers those before it too");
        assert_eq!(cursor.confirmed(), MAX_OUT as u64);
        assert!(confirmations.is_due());
        let ping = confirmations.ask();
        assert!(confirmations.answered(&ping));
        assert_eq!(cursor.confirmed(), 100);
    }

    #[test]
    fn one_ping_on_its_way_asks_about_all_that_is_sent_until_then() {
        let (mut confirmations, name, cursor) = following("a");
        assert!(!confirmations.sent(&channel("b"), 1), "nobody follows it");
        assert!(confirmations.sent(&name, 1));
        confirmations.arm();
        assert!(!confirmations.sent(&name, 2));
        let ping = confirmations.ask();
        confirmations.answered(&ping);
        assert_eq!(cursor.confirmed(), 2);
    }

    #[test]
    fn an_answered_goodbye_confirms_all() {
        let (mut confirmations, name, cursor) = following("a");
        confirmations.sent(&name, 5);
        confirmations.all_arrived();
        assert_eq!(cursor.confirmed(), 5);
    }
}
