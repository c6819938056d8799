//! `Mind`: what a session thinks with. What the client said goes in, what to do comes out; no IO, no clock, no
//! actor. [`Machine`](super::machine::Machine) is the Pusher protocol's; whatever else implements it is served
//! through the same read and write path, limits and endings.

use crate::domain::ChannelName;
use crate::realtime::channel::Member;
use crate::realtime::frame::{Ending, Publication};
use crate::realtime::users::User;
use bytes::Bytes;
use bytestring::ByteString;
use std::sync::Arc;
use std::time::Instant;

/// What to do.
#[derive(Debug)]
pub enum Effect {
    /// Say this to the client.
    Send(ByteString),
    /// Say this to the client in a binary message.
    SendBinary(Bytes),
    /// Subscribe to a channel, which will answer the client; the number tells this join from later ones.
    Join(ChannelName, Option<Member>, u32),
    /// Leave a channel.
    Leave(ChannelName),
    /// The connection has shown a credential.
    Authenticated,
    /// The connection is signed in as this user.
    SignIn(User),
    /// Say this to the other subscribers of a channel.
    Publish(ChannelName, Publication),
    /// Tell the client that what it asked is refused; the word is the metric's label.
    Refuse(&'static str, ByteString),
    /// End the connection.
    End(Ending),
    /// End the connection for what its client did; the word is the metric's label.
    Expel(&'static str, Ending),
}

/// Decides what a session does.
pub trait Mind {
    /// The connection is open: what is said first.
    fn opened(&mut self) -> Vec<Effect>;

    /// A text message arrived, whole.
    fn text(&mut self, text: &str, now: Instant) -> Vec<Effect>;

    /// A binary message arrived, whole.
    fn binary(&mut self, bytes: Bytes, now: Instant) -> Vec<Effect>;

    /// A channel refused this join. A later join of the same channel is another matter: it may stand.
    fn refused(&mut self, _channel: &ChannelName, _join: u32) {}

    /// Who the connection is signed in as.
    fn user(&self) -> Option<Arc<str>> {
        None
    }

    /// How many channels it is subscribed to.
    fn subscriptions(&self) -> usize {
        0
    }

    /// The channels that it is subscribed to; taking them ends all subscriptions.
    fn take_channels(&mut self) -> Vec<ChannelName> {
        Vec::new()
    }
}
