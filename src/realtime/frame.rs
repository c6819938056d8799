//! What travels to sessions: `Publication` (to a channel) and `Frame` (from it, encoded once for all).

use crate::domain::{ChannelName, EventId, SocketId};
use bytestring::ByteString;
use std::sync::Arc;
use std::time::Instant;

/// Something to say on a channel.
#[derive(Debug)]
pub struct Publication {
    /// The event's name as clients see it.
    pub name: Arc<str>,
    /// The event's data as text; clients parse it as JSON when it is JSON.
    pub data: Arc<str>,
    /// The connection that is not told.
    pub except: Option<SocketId>,
    /// Who says it.
    pub origin: Origin,
    /// The sender's user id, when a client says it on a presence channel.
    pub user_id: Option<Arc<str>>,
    /// When it was published, for the latency metric.
    pub at: Instant,
}

/// Where a publication comes from, which decides how long it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The outbox: a channel passes each row on once, and finds it again after a restart.
    Row(EventId),
    /// A back end, through the Pusher HTTP API: remembered in memory.
    BackEnd,
    /// Another client: for those who are there, and not remembered.
    Client,
}

/// A text message, encoded, shared by all who get it.
#[derive(Debug)]
pub struct Frame {
    /// The payload of the WebSocket message.
    pub text: ByteString,
    /// When what it carries was published; `None` for the hub's own answers.
    pub published: Option<Instant>,
    /// Its place in a channel's stream; `None` for what no stream keeps.
    pub place: Option<(ChannelName, u64)>,
}

impl Frame {
    /// An answer of the hub itself.
    pub fn answer(text: ByteString) -> Arc<Self> {
        Arc::new(Self { text, published: None, place: None })
    }
}

/// What reaches a session's mailbox.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "()")]
pub enum ToSession {
    /// Write this to the client.
    Frame(Arc<Frame>),
    /// Write these to the client: what it missed. They are bounded by what a channel keeps, and not by the
    /// session's budget, or a client that missed much could never catch up.
    Replay(Vec<Arc<Frame>>),
    /// A channel refused the join with this number (its presence is full); the frame tells the client why.
    Refused(ChannelName, u32, Arc<Frame>),
    /// Something was written past the session: write what is left of it, and ask what has arrived if that is due.
    Turn,
    /// The client was silent for long: ask whether it is there.
    Ping,
    /// End the connection.
    End(Ending),
}

/// How a session left a channel, which decides whether it is expected back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// Its client unsubscribed.
    Unsubscribed,
    /// Its client closed the connection, or the hub did for good (a close code of 40xx).
    Closed,
    /// Its client's page went away (RFC 6455 code 1001): the next one starts anew.
    Away,
    /// The connection broke, or the hub ended it for the client to come back.
    Broken,
}

impl Departure {
    /// Whether the client's user may be back in a moment, on the next page or after the cut.
    pub const fn may_be_back(self) -> bool {
        matches!(self, Self::Away | Self::Broken)
    }
}

/// Why a connection ends: a WebSocket close code and a reason for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// RFC 6455 code, or a Pusher code: 40xx stay away, 41xx come back in a second, 42xx come back now.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: &'static str,
}

impl Ending {
    /// No credential in time, a wrong one, or one that was revoked.
    pub const UNAUTHENTICATED: Self = Self { code: 4009, reason: "Connection is unauthorized" };
    /// The process has as many connections as it takes.
    pub const OVER_CAPACITY: Self = Self { code: 4100, reason: "Over capacity" };
    /// The app takes no connections.
    pub const DISABLED: Self = Self { code: 4003, reason: "This app is disabled" };
    /// The app has as many connections as it may have.
    pub const OVER_QUOTA: Self =
        Self { code: 4004, reason: "This app has as many connections as it may have" };
    /// There is nothing to connect to at this path.
    pub const NO_PATH: Self = Self { code: 4005, reason: "Connect to /app/KEY" };
    /// A sign-in that does not hold, or a second one as somebody else.
    pub const NOT_SIGNED_IN: Self = Self { code: 4009, reason: "The sign-in is not valid" };
    /// A back end ended the user's connections.
    pub const TERMINATED: Self = Self { code: 4009, reason: "The app ended this user's connections" };
    /// More messages than a client may send. A policy violation in the words of RFC 6455 (7.4.1): stock clients
    /// take codes below 4000 for a broken connection and come back in a second, so that a page with one outburst
    /// loses nothing; 40xx would end it for good. Who floods again has paid for a handshake, which are limited.
    pub const FLOODING: Self = Self { code: 1008, reason: "Too many messages" };
    /// No subscription for long.
    pub const UNSUBSCRIBED: Self = Self { code: 4202, reason: "Closed after inactivity: no subscription" };
    /// The server stops; the client is to reconnect (elsewhere, or here when it is back).
    pub const DRAINING: Self = Self { code: 4200, reason: "Server is restarting; reconnect" };
    /// The server stops, and the client has just come (back): not at once again. A stock client that is refused
    /// before the upgrade instead tries no more for 15 s.
    pub const RESTARTING: Self = Self { code: 4100, reason: "Server is restarting; come back in a second" };
    /// A ping was not answered.
    pub const NO_PONG: Self = Self { code: 4201, reason: "Pong reply not received in time" };
    /// Pusher's messages are JSON text.
    pub const NO_BINARY: Self =
        Self { code: 1003, reason: "Binary messages are not supported; send JSON text" };
    /// The client has begun a message and does not end it.
    pub const UNFINISHED: Self = Self { code: 1008, reason: "Message not finished in time" };
    /// More is waiting for the client than it may leave waiting.
    pub const SLOW: Self = Self { code: 4100, reason: "Client reads too slowly" };
}
