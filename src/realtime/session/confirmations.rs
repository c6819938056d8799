//! `Confirmations`: learns what a client has received. Pure.
//!
//! Stock clients say nothing of what they got, but every WebSocket answers a ping with a pong that repeats the
//! ping's payload (RFC 6455 §5.5.3), in order. A ping behind a message, once answered, proves that the message
//! arrived. One ping is out at a time, so the number of pings follows the round trip and not the messages.

use crate::domain::ChannelName;
use crate::realtime::cursor::Cursor;
use std::collections::HashMap;
use std::sync::Arc;

/// What one connection has been sent, asked and told of.
#[derive(Debug, Default)]
pub struct Confirmations {
    channels: HashMap<ChannelName, Track>,
    asked: u64,
    waiting: bool,
    /// Something was sent since the last ping.
    due: bool,
}

#[derive(Debug)]
struct Track {
    cursor: Arc<Cursor>,
    sent: u64,
    asked: u64,
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

    /// Whether no channel is followed, so that nothing needs to be confirmed.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// A message was written. True if it is time to ask: then call [`Confirmations::ask`].
    pub fn sent(&mut self, channel: &ChannelName, offset: u64) -> bool {
        let Some(track) = self.channels.get_mut(channel) else { return false };
        track.sent = offset;
        let first = !self.due;
        self.due = true;
        first && !self.waiting
    }

    /// The payload of a ping that asks about everything sent so far.
    pub fn ask(&mut self) -> [u8; 8] {
        for track in self.channels.values_mut() {
            track.asked = track.sent;
        }
        self.asked += 1;
        (self.waiting, self.due) = (true, false);
        self.asked.to_be_bytes()
    }

    /// A pong came: whether it answers the ping that is out.
    pub fn answered(&mut self, payload: &[u8]) -> bool {
        if !self.waiting || payload != self.asked.to_be_bytes() {
            return false;
        }
        self.waiting = false;
        for track in self.channels.values() {
            track.cursor.confirm(track.asked);
        }
        true
    }

    /// Whether something was sent that no ping has asked about.
    pub const fn is_due(&self) -> bool {
        self.due && !self.waiting
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
        let ping = confirmations.ask();
        assert!(!confirmations.sent(&name, 2), "one ping is out at a time");
        assert_eq!(cursor.confirmed(), 0);
        assert!(confirmations.answered(&ping));
        assert_eq!(cursor.confirmed(), 1);
        assert!(confirmations.is_due());
        let ping = confirmations.ask();
        assert!(confirmations.answered(&ping));
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
    fn a_burst_asks_once_and_messages_of_channels_not_followed_never() {
        let (mut confirmations, name, _) = following("a");
        assert!(!confirmations.sent(&channel("b"), 1));
        assert!(confirmations.sent(&name, 1));
        assert!(!confirmations.sent(&name, 2), "the caller knows already");
    }

    #[test]
    fn an_answered_goodbye_confirms_all() {
        let (mut confirmations, name, cursor) = following("a");
        confirmations.sent(&name, 5);
        confirmations.all_arrived();
        assert_eq!(cursor.confirmed(), 5);
    }
}
