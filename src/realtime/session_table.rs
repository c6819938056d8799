//! `SessionTable`: every open session of this process, for counting, watching and draining.
//!
//! Shared state and not an actor: a session enters and leaves it in a few nanoseconds, also from `Drop`.

use super::link::{CoarseClock, Link};
use crate::domain::SocketId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The open sessions. Cloning shares the table.
#[derive(Debug, Clone, Default)]
pub struct SessionTable {
    sessions: Arc<Mutex<HashMap<SocketId, Arc<Link>>>>,
    clock: Arc<CoarseClock>,
    closed: Arc<AtomicBool>,
}

impl SessionTable {
    /// Enters a session, unless there are `limit` already or the table is closed for a drain.
    pub fn enter(&self, link: &Arc<Link>, limit: usize) -> bool {
        let mut sessions = self.lock();
        if self.closed.load(Ordering::Relaxed) || sessions.len() >= limit {
            return false;
        }
        sessions.insert(link.socket, link.clone());
        true
    }

    /// A session is over; false if it had never been entered.
    pub fn leave(&self, socket: SocketId) -> bool {
        self.lock().remove(&socket).is_some()
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.lock().len()
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
        self.lock().values().cloned().collect()
    }

    /// The time that links are measured by.
    pub fn clock(&self) -> &Arc<CoarseClock> {
        &self.clock
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketId, Arc<Link>>> {
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
}
