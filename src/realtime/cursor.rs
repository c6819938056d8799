//! `Cursor`: how far one client has come in one channel's stream, as it has itself confirmed; shared by its
//! session, which learns of it, and the channel, which asks.

use crate::domain::TokenId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Who a client is to the hub when it comes back on another connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The bearer of a token, and the id that its page made up to be told apart from others of the token.
    Token(TokenId, Option<Arc<str>>),
    /// A user who signed in.
    User(Arc<str>),
    /// A member of the presence channel.
    Member(Arc<str>),
}

/// One client's place in one channel.
#[derive(Debug)]
pub struct Cursor {
    /// Whose.
    pub identity: Identity,
    confirmed: AtomicU64,
    adopted: AtomicBool,
}

impl Cursor {
    /// Of a client that has seen nothing yet.
    pub const fn new(identity: Identity) -> Self {
        Self { identity, confirmed: AtomicU64::new(0), adopted: AtomicBool::new(false) }
    }

    /// The client has received everything up to `offset`. Whoever confirms is there: no other connection
    /// stands for this client.
    pub fn confirm(&self, offset: u64) {
        self.confirmed.fetch_max(offset, Relaxed);
        self.adopted.store(false, Relaxed);
    }

    /// Up to where the client has confirmed.
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Relaxed)
    }

    /// Another connection has taken this place over, because this one seemed dead.
    pub fn adopt(&self) {
        self.adopted.store(true, Relaxed);
    }

    /// Whether another connection stands for this client now.
    pub fn is_adopted(&self) -> bool {
        self.adopted.load(Relaxed)
    }
}
