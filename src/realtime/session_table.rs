//! `SessionTable`: every open session of this process, for counting, watching and draining.
//!
//! Shared state and not an actor: a session enters and leaves it in a few nanoseconds, also from `Drop`.

use super::link::{CoarseClock, Link};
use crate::domain::{SocketId, TokenId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tokens that are remembered of one session beside its own; a page uses one. The oldest is forgotten first.
const VOUCHERS: usize = 8;

/// The open sessions. Cloning shares the table.
#[derive(Debug, Clone, Default)]
pub struct SessionTable {
    sessions: Arc<Mutex<Sessions>>,
    clock: Arc<CoarseClock>,
    closed: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Sessions {
    open: HashMap<SocketId, Arc<Link>>,
    /// The tokens that subscriptions of a session were signed for, the latest last.
    vouchers: HashMap<SocketId, Vec<Voucher>>,
}

/// A token that subscriptions of a session were signed for, and what the page that asked calls itself.
type Voucher = (TokenId, Option<Arc<str>>);

impl SessionTable {
    /// Enters a session, unless there are `limit` already or the table is closed for a drain.
    pub fn enter(&self, link: &Arc<Link>, limit: usize) -> bool {
        let mut sessions = self.lock();
        if self.closed.load(Ordering::Relaxed) || sessions.open.len() >= limit {
            return false;
        }
        sessions.open.insert(link.socket, link.clone());
        true
    }

    /// A session is over; false if it had never been entered.
    pub fn leave(&self, socket: SocketId) -> bool {
        let mut sessions = self.lock();
        sessions.vouchers.remove(&socket);
        sessions.open.remove(&socket).is_some()
    }

    /// A subscription of this session is being signed for the bearer of this token: the session is to end
    /// with the token, as if it had come with it. `client` is what the page calls itself, so that two pages
    /// with one token can be told apart.
    pub fn vouch(&self, socket: SocketId, token: TokenId, client: Option<Arc<str>>) {
        let mut sessions = self.lock();
        if !sessions.open.contains_key(&socket) {
            return;
        }
        let vouchers = sessions.vouchers.entry(socket).or_default();
        vouchers.retain(|(known, _)| *known != token);
        if vouchers.len() == VOUCHERS {
            vouchers.remove(0);
        }
        vouchers.push((token, client));
    }

    /// Whose session this is, as far as tokens tell: the latest that vouched for it, else the one that it
    /// came with.
    pub fn identity_of(&self, socket: SocketId) -> Option<(TokenId, Option<Arc<str>>)> {
        let sessions = self.lock();
        let latest = sessions.vouchers.get(&socket).and_then(|vouchers| vouchers.last().cloned());
        latest.or_else(|| sessions.open.get(&socket)?.token.map(|token| (token, None)))
    }

    /// The sessions that stand on each token.
    pub fn by_token(&self) -> HashMap<TokenId, Vec<Arc<Link>>> {
        let sessions = self.lock();
        let mut by_token: HashMap<TokenId, Vec<Arc<Link>>> = HashMap::new();
        for (socket, link) in &sessions.open {
            let vouchers = sessions.vouchers.get(socket).into_iter().flatten().map(|(token, _)| *token);
            for token in link.token.into_iter().chain(vouchers) {
                by_token.entry(token).or_default().push(link.clone());
            }
        }
        by_token
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.lock().open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes no more sessions; those that are open stay.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether a drain has begun.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// The open sessions at this moment.
    pub fn snapshot(&self) -> Vec<Arc<Link>> {
        self.lock().open.values().cloned().collect()
    }

    /// The time that links are measured by.
    pub fn clock(&self) -> &Arc<CoarseClock> {
        &self.clock
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        // A panic while the lock was held cannot have left a map half changed.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_takes_no_more_than_its_limit_and_none_when_closed() {
        let table = SessionTable::default();
        let link = |bits| Arc::new(Link::new(SocketId::from_bits(bits), None, 1, None, 0));
        assert!(table.enter(&link(1), 1));
        assert!(!table.enter(&link(2), 1));
        table.leave(SocketId::from_bits(1));
        table.close();
        assert!(!table.enter(&link(3), 1));
        assert!(table.is_empty());
    }

    #[test]
    fn a_session_stands_on_the_tokens_it_was_signed_for_while_it_is_open() {
        let table = SessionTable::default();
        let own = Arc::new(Link::new(SocketId::from_bits(1), Some(TokenId(1)), 1, None, 0));
        table.vouch(own.socket, TokenId(9), None);
        assert!(table.by_token().is_empty(), "it is not open yet");
        table.enter(&own, 1);
        (2..20).chain(2..20).for_each(|id| table.vouch(own.socket, TokenId(id), None));
        let by_token = table.by_token();
        assert_eq!(by_token.len(), 1 + VOUCHERS);
        assert!(by_token.contains_key(&TokenId(1)) && by_token.contains_key(&TokenId(19)));
        table.leave(own.socket);
        assert!(table.by_token().is_empty());
        assert!(table.lock().vouchers.is_empty());
    }

    #[test]
    fn a_session_is_whose_token_vouched_for_it_last_else_whose_it_came_with() {
        let table = SessionTable::default();
        let own = Arc::new(Link::new(SocketId::from_bits(1), Some(TokenId(1)), 1, None, 0));
        assert_eq!(table.identity_of(own.socket), None);
        table.enter(&own, 1);
        assert_eq!(table.identity_of(own.socket), Some((TokenId(1), None)));
        let tab = |name: &str| Some(Arc::from(name));
        for (token, client) in [(2, tab("a")), (3, tab("b")), (2, tab("c"))] {
            table.vouch(own.socket, TokenId(token), client.clone());
            assert_eq!(table.identity_of(own.socket), Some((TokenId(token), client)));
        }
        table.leave(own.socket);
        assert_eq!(table.identity_of(own.socket), None);
    }
}
