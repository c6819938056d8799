//! What the registry says to a channel.

use super::presence::Member;
use crate::domain::SocketId;
use crate::realtime::cursor::Cursor;
use crate::realtime::frame::{Departure, Publication};
use crate::realtime::link::Link;
use actix::prelude::*;
use std::sync::Arc;

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
    /// How much the registry has sent this channel that it lives on for, this included.
    pub count: u64,
}

/// A session leaves.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Unsubscribe(pub SocketId, pub Departure);

/// Say this to the subscribers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Publish {
    /// What.
    pub publication: Arc<Publication>,
    /// The session of the client that says it, if a client does; one that is not subscribed is refused.
    pub from: Option<Arc<Link>>,
    /// As in [`Subscribe`]; a publication counts where it is kept for newcomers.
    pub count: u64,
}

/// Note where the clients stand, now; answered when it is in the database.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Note;

/// Asks nothing: whether it can be sent says whether the mailbox has room.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Room;

/// These subscribers were over their budget and are being cut off.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CutOff(pub Vec<SocketId>);

/// The process is about to end: tell back ends now what has gone and waits for the end of its grace.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Conclude;
