//! `SessionTable`: every open session of this process, for counting, watching and draining.
//!
//! Shared state and not an actor: a session enters and leaves it in a few nanoseconds, also from `Drop`.

use super::link::{CoarseClock, Link};
use crate::domain::{AppId, SocketId, TokenId, UserId};
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
    open: HashMap<SocketId, Session>,
    /// How many each app has.
    by_app: HashMap<AppId, usize>,
    /// The tokens that subscriptions of a session were signed for, the latest last.
    vouchers: HashMap<SocketId, Vec<Voucher>>,
}

#[derive(Debug)]
struct Session {
    link: Arc<Link>,
    app: AppId,
    user: Option<UserId>,
}

/// A token that a subscription of a session was signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voucher {
    /// The token.
    pub token: TokenId,
    /// The user it belongs to.
    pub user: UserId,
    /// What the page that asked calls itself, so that two pages with one token can be told apart.
    pub client: Option<Arc<str>>,
}

/// Bounds of the sessions that may be open at once.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// In this process.
    pub process: usize,
    /// Of one app; 0 = as many as the process takes.
    pub app: usize,
}

/// Why a session is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEntry {
    /// A drain has begun.
    Closed,
    /// The process has as many as it takes.
    Full,
    /// The app has as many as it may have.
    OverQuota,
}

impl SessionTable {
    /// Enters a session of an app, by this user if it came with a token, unless there are as many already as
    /// there may be or the table is closed for a drain.
    pub fn enter(
        &self,
        link: &Arc<Link>,
        app: &AppId,
        user: Option<UserId>,
        capacity: Capacity,
    ) -> Result<(), NoEntry> {
        let mut sessions = self.lock();
        if self.closed.load(Ordering::Relaxed) {
            return Err(NoEntry::Closed);
        }
        if sessions.open.len() >= capacity.process {
            return Err(NoEntry::Full);
        }
        let of_app = sessions.by_app.entry(app.clone()).or_default();
        if capacity.app > 0 && *of_app >= capacity.app {
            return Err(NoEntry::OverQuota);
        }
        *of_app += 1;
        sessions.open.insert(link.socket, Session { link: link.clone(), app: app.clone(), user });
        Ok(())
    }

    /// A session is over; false if it had never been entered.
    pub fn leave(&self, socket: SocketId) -> bool {
        let mut sessions = self.lock();
        sessions.vouchers.remove(&socket);
        let Some(session) = sessions.open.remove(&socket) else { return false };
        if let Some(of_app) = sessions.by_app.get_mut(&session.app) {
            *of_app -= 1;
        }
        true
    }

    /// A subscription of this session is being signed for the bearer of a token: the session is to end with the
    /// token, as if it had come with it.
    pub fn vouch(&self, socket: SocketId, voucher: Voucher) {
        let mut sessions = self.lock();
        if !sessions.open.contains_key(&socket) {
            return;
        }
        let vouchers = sessions.vouchers.entry(socket).or_default();
        vouchers.retain(|known| known.token != voucher.token);
        if vouchers.len() == VOUCHERS {
            vouchers.remove(0);
        }
        vouchers.push(voucher);
    }

    /// Whose session this is, as far as tokens tell: the latest that vouched for it, else the one that it
    /// came with.
    pub fn identity_of(&self, socket: SocketId) -> Option<(TokenId, Option<Arc<str>>)> {
        let sessions = self.lock();
        let latest = sessions.vouchers.get(&socket).and_then(|vouchers| vouchers.last());
        let latest = latest.map(|voucher| (voucher.token, voucher.client.clone()));
        latest.or_else(|| sessions.open.get(&socket)?.link.token.map(|token| (token, None)))
    }

    /// The sessions of an app that stand on a token of this user.
    pub fn of_user(&self, app: &AppId, user: UserId) -> Vec<Arc<Link>> {
        let sessions = self.lock();
        let vouched =
            |socket| sessions.vouchers.get(socket).into_iter().flatten().any(|voucher| voucher.user == user);
        let of_user = sessions.open.iter().filter(|(socket, session)| {
            session.app == *app && (session.user == Some(user) || vouched(*socket))
        });
        of_user.map(|(_, session)| session.link.clone()).collect()
    }

    /// The sessions that stand on each token.
    pub fn by_token(&self) -> HashMap<TokenId, Vec<Arc<Link>>> {
        let sessions = self.lock();
        let mut by_token: HashMap<TokenId, Vec<Arc<Link>>> = HashMap::new();
        for (socket, session) in &sessions.open {
            let vouchers = sessions.vouchers.get(socket).into_iter().flatten().map(|voucher| voucher.token);
            for token in session.link.token.into_iter().chain(vouchers) {
                by_token.entry(token).or_default().push(session.link.clone());
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
        self.lock().open.values().map(|session| session.link.clone()).collect()
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

    const ROOMY: Capacity = Capacity { process: 100, app: 0 };

    fn app(id: &str) -> AppId {
        AppId(id.into())
    }

    fn link(bits: u64, token: Option<i64>) -> Arc<Link> {
        Arc::new(Link::new(SocketId::from_bits(bits), token.map(TokenId), 1, None, 0))
    }

    fn voucher(token: i64, user: i64, client: Option<&str>) -> Voucher {
        Voucher { token: TokenId(token), user: UserId(user), client: client.map(Arc::from) }
    }

    #[test]
    fn the_table_takes_no_more_than_its_limit_and_none_when_closed() {
        let (table, one) = (SessionTable::default(), Capacity { process: 1, app: 0 });
        let enter = |bits| table.enter(&link(bits, None), &app("a"), None, one);
        assert_eq!(enter(1), Ok(()));
        assert_eq!(enter(2), Err(NoEntry::Full));
        table.leave(SocketId::from_bits(1));
        table.close();
        assert_eq!(enter(3), Err(NoEntry::Closed));
        assert!(table.is_empty());
    }

    #[test]
    fn an_app_over_its_quota_does_not_bound_another() {
        let (table, two) = (SessionTable::default(), Capacity { process: 100, app: 2 });
        let enter = |bits, id: &str| table.enter(&link(bits, None), &app(id), None, two);
        assert_eq!((enter(1, "a"), enter(2, "a")), (Ok(()), Ok(())));
        assert_eq!((enter(3, "a"), enter(4, "b")), (Err(NoEntry::OverQuota), Ok(())));
        assert!(!table.leave(SocketId::from_bits(3)), "it was never in");
        assert_eq!(enter(3, "a"), Err(NoEntry::OverQuota));
        assert!(table.leave(SocketId::from_bits(1)));
        assert_eq!(enter(3, "a"), Ok(()));
    }

    #[test]
    fn a_quota_is_exact_when_many_come_at_once() {
        let (table, quota) = (SessionTable::default(), Capacity { process: 1_000, app: 50 });
        let comers = (0..8).map(|thread| {
            let table = table.clone();
            std::thread::spawn(move || {
                let ids = (thread * 100)..(thread * 100 + 100);
                ids.filter(|id| table.enter(&link(*id, None), &app("a"), None, quota).is_ok()).count()
            })
        });
        let comers: Vec<_> = comers.collect();
        let entered: usize = comers.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!((entered, table.len()), (50, 50));
    }

    #[test]
    fn a_session_stands_on_the_tokens_it_was_signed_for_while_it_is_open() {
        let (table, own) = (SessionTable::default(), link(1, Some(1)));
        table.vouch(own.socket, voucher(9, 9, None));
        assert!(table.by_token().is_empty(), "it is not open yet");
        table.enter(&own, &app("a"), None, ROOMY).unwrap();
        (2..20).chain(2..20).for_each(|id| table.vouch(own.socket, voucher(id, id, None)));
        let by_token = table.by_token();
        assert_eq!(by_token.len(), 1 + VOUCHERS);
        assert!(by_token.contains_key(&TokenId(1)) && by_token.contains_key(&TokenId(19)));
        table.leave(own.socket);
        assert!(table.by_token().is_empty());
        assert!(table.lock().vouchers.is_empty());
    }

    #[test]
    fn a_session_is_whose_token_vouched_for_it_last_else_whose_it_came_with() {
        let (table, own) = (SessionTable::default(), link(1, Some(1)));
        assert_eq!(table.identity_of(own.socket), None);
        table.enter(&own, &app("a"), None, ROOMY).unwrap();
        assert_eq!(table.identity_of(own.socket), Some((TokenId(1), None)));
        for (token, client) in [(2, "a"), (3, "b"), (2, "c")] {
            table.vouch(own.socket, voucher(token, token, Some(client)));
            assert_eq!(table.identity_of(own.socket), Some((TokenId(token), Some(client.into()))));
        }
        table.leave(own.socket);
        assert_eq!(table.identity_of(own.socket), None);
    }

    #[test]
    fn a_users_sessions_are_those_of_their_tokens_in_one_app() {
        let table = SessionTable::default();
        for (bits, id, user) in [(1, "a", Some(7)), (2, "a", None), (3, "a", Some(8)), (4, "b", Some(7))] {
            table.enter(&link(bits, None), &app(id), user.map(UserId), ROOMY).unwrap();
        }
        table.vouch(SocketId::from_bits(2), voucher(5, 7, None));
        let mut sockets: Vec<u64> =
            table.of_user(&app("a"), UserId(7)).iter().map(|link| link.socket.bits()).collect();
        sockets.sort_unstable();
        assert_eq!(sockets, [1, 2]);
    }
}
