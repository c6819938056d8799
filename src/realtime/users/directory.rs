//! `Directory`: which users of an app are online, and who is told when that changes. Pure.
//!
//! A user is online while at least one connection is signed in as them, and for a grace after the last of them
//! ended, so that a page that reloads or a connection that broke off is no news. It is bounded by the connections
//! there are and the watchlist that each may bring.

use crate::domain::SocketId;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The signed-in connections of one app.
#[derive(Debug)]
pub struct Directory {
    grace: Duration,
    seats: HashMap<SocketId, Seat>,
    /// Users who are online, as far as anybody was told.
    users: HashMap<Arc<str>, Online>,
    /// Who watches a user.
    watchers: HashMap<Arc<str>, Vec<SocketId>>,
    /// Users without a connection, by the end of their grace.
    due: BTreeSet<(Instant, Arc<str>)>,
}

#[derive(Debug)]
struct Seat {
    user: Arc<str>,
    watching: Vec<Arc<str>>,
}

#[derive(Debug, Default)]
struct Online {
    sockets: Vec<SocketId>,
    grace_ends: Option<Instant>,
}

/// What connections are to be told.
#[derive(Debug, PartialEq, Eq)]
pub struct News {
    /// Which connections.
    pub to: Vec<SocketId>,
    /// Users of their watchlist who are online (now).
    pub online: Vec<Arc<str>>,
    /// Users of their watchlist who are not (any more).
    pub offline: Vec<Arc<str>>,
}

impl Directory {
    /// Nobody is signed in. A user whose last connection ended stays online for `grace`.
    pub fn new(grace: Duration) -> Self {
        Self {
            grace,
            seats: HashMap::new(),
            users: HashMap::new(),
            watchers: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// A connection signed in. It is told how its watchlist stands; who watches the user is told if they were
    /// not online. Signing in again replaces the watchlist.
    pub fn sign_in(&mut self, socket: SocketId, user: &Arc<str>, watchlist: &[Arc<str>]) -> Vec<News> {
        let mut news = Vec::new();
        if self.seats.get(&socket).is_some_and(|seat| seat.user == *user) {
            self.unwatch(socket);
        } else {
            news.extend(self.take_seat(socket, user));
        }
        for watched in watchlist {
            self.watchers.entry(watched.clone()).or_default().push(socket);
        }
        self.seats.insert(socket, Seat { user: user.clone(), watching: watchlist.to_vec() });
        let (online, offline): (Vec<_>, Vec<_>) =
            watchlist.iter().cloned().partition(|id| self.users.contains_key(id));
        if !watchlist.is_empty() {
            news.push(News { to: vec![socket], online, offline });
        }
        news
    }

    fn take_seat(&mut self, socket: SocketId, user: &Arc<str>) -> Option<News> {
        let known = self.users.contains_key(user);
        let online = self.users.entry(user.clone()).or_default();
        online.sockets.push(socket);
        if let Some(ends) = online.grace_ends.take() {
            self.due.remove(&(ends, user.clone()));
        }
        (!known).then(|| self.changed(user, true)).flatten()
    }

    /// A connection ended, whether or not it had signed in.
    pub fn leave(&mut self, socket: SocketId, now: Instant) -> Option<News> {
        self.unwatch(socket);
        let user = self.seats.remove(&socket)?.user;
        let online = self.users.get_mut(&user)?;
        online.sockets.retain(|other| *other != socket);
        if !online.sockets.is_empty() {
            return None;
        }
        if self.grace.is_zero() {
            self.users.remove(&user);
            return self.changed(&user, false);
        }
        let ends = now + self.grace;
        online.grace_ends = Some(ends);
        self.due.insert((ends, user));
        None
    }

    /// Users whose grace has ended are offline.
    pub fn tick(&mut self, now: Instant) -> Vec<News> {
        let mut news = Vec::new();
        while self.due.first().is_some_and(|(ends, _)| *ends <= now) {
            if let Some((_, user)) = self.due.pop_first() {
                self.users.remove(&user);
                news.extend(self.changed(&user, false));
            }
        }
        news
    }

    /// The connections that are signed in as this user.
    pub fn sockets_of(&self, user: &str) -> &[SocketId] {
        self.users.get(user).map_or(&[], |online| &online.sockets)
    }

    fn unwatch(&mut self, socket: SocketId) {
        let watching = self.seats.get_mut(&socket).map(|seat| std::mem::take(&mut seat.watching));
        for watched in watching.unwrap_or_default() {
            let Some(watchers) = self.watchers.get_mut(&watched) else { continue };
            watchers.retain(|other| *other != socket);
            if watchers.is_empty() {
                self.watchers.remove(&watched);
            }
        }
    }

    fn changed(&self, user: &Arc<str>, online: bool) -> Option<News> {
        let to = self.watchers.get(user)?.clone();
        let (is, is_not) = (vec![user.clone()], Vec::new());
        let (online, offline) = if online { (is, is_not) } else { (is_not, is) };
        Some(News { to, online, offline })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GRACE: Duration = Duration::from_secs(3);

    fn socket(n: u64) -> SocketId {
        SocketId::from_bits(n)
    }

    fn id(user: &str) -> Arc<str> {
        user.into()
    }

    fn news(to: u64, online: &[&str], offline: &[&str]) -> News {
        let ids = |list: &[&str]| list.iter().map(|user| id(user)).collect();
        News { to: vec![socket(to)], online: ids(online), offline: ids(offline) }
    }

    #[test]
    fn a_watcher_is_told_how_it_stands_and_then_what_changes() {
        let (mut directory, now) = (Directory::new(GRACE), Instant::now());
        assert!(directory.sign_in(socket(1), &id("ben"), &[]).is_empty());
        let told = directory.sign_in(socket(2), &id("ana"), &[id("ben"), id("eve")]);
        assert_eq!(told, [news(2, &["ben"], &["eve"])]);
        assert_eq!(directory.sign_in(socket(3), &id("eve"), &[]), [news(2, &["eve"], &[])]);
        assert!(directory.sign_in(socket(4), &id("eve"), &[]).is_empty(), "online already");
        assert_eq!(directory.leave(socket(3), now), None, "another connection is left");
        assert_eq!(directory.leave(socket(4), now), None, "the grace has begun");
        assert!(directory.tick(now + Duration::from_millis(2_999)).is_empty());
        assert_eq!(directory.tick(now + GRACE), [news(2, &[], &["eve"])]);
        assert!(directory.tick(now + GRACE * 2).is_empty());
    }

    #[test]
    fn who_comes_back_within_the_grace_is_no_news() {
        let (mut directory, now) = (Directory::new(GRACE), Instant::now());
        directory.sign_in(socket(1), &id("ana"), &[id("ben")]);
        directory.sign_in(socket(2), &id("ben"), &[]);
        directory.leave(socket(2), now);
        assert!(directory.sign_in(socket(3), &id("ben"), &[]).is_empty());
        assert!(directory.tick(now + GRACE * 2).is_empty());
        assert_eq!(directory.sockets_of("ben"), [socket(3)]);
    }

    #[test]
    fn signing_in_again_replaces_the_watchlist() {
        let mut directory = Directory::new(GRACE);
        directory.sign_in(socket(1), &id("ana"), &[id("ben")]);
        assert_eq!(directory.sign_in(socket(1), &id("ana"), &[id("eve")]), [news(1, &[], &["eve"])]);
        assert!(directory.sign_in(socket(2), &id("ben"), &[]).is_empty());
        assert_eq!(directory.sign_in(socket(3), &id("eve"), &[]), [news(1, &["eve"], &[])]);
        assert_eq!(directory.sockets_of("ana"), [socket(1)]);
    }

    #[test]
    fn without_a_grace_the_last_connection_is_the_end() {
        let (mut directory, now) = (Directory::new(Duration::ZERO), Instant::now());
        directory.sign_in(socket(1), &id("ana"), &[id("ben")]);
        directory.sign_in(socket(2), &id("ben"), &[]);
        assert_eq!(directory.leave(socket(2), now), Some(news(1, &[], &["ben"])));
    }

    #[derive(Debug, Clone)]
    enum Step {
        SignIn(u64, usize, Vec<usize>),
        Leave(u64),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let watchlist = proptest::collection::btree_set(0_usize..4, 0..4);
        prop_oneof![
            (0_u64..6, 0_usize..4, watchlist).prop_map(|(s, u, w)| Step::SignIn(
                s,
                u,
                w.into_iter().collect()
            )),
            (0_u64..6).prop_map(Step::Leave),
            (0_u64..5_000).prop_map(Step::Wait),
        ]
    }

    /// What each connection believes of the users it watches, from what it was told.
    #[derive(Default)]
    struct Beliefs(HashMap<(SocketId, Arc<str>), bool>);

    impl Beliefs {
        /// Every change must be one: nobody is told what they know.
        fn hear(&mut self, news: impl IntoIterator<Item = News>, first: Option<SocketId>) {
            for News { to, online, offline } in news {
                let said =
                    online.into_iter().map(|u| (u, true)).chain(offline.into_iter().map(|u| (u, false)));
                for (user, is) in said.collect::<Vec<_>>() {
                    for socket in &to {
                        let known = self.0.insert((*socket, user.clone()), is);
                        assert!(first == Some(*socket) || known == Some(!is), "{socket} of {user}: {is}");
                    }
                }
            }
        }
    }

    proptest! {
        /// After any sequence of sign-ins, ends and pauses, each connection believes of each user it watches
        /// what is true: online with a connection or within the grace of the last, else offline.
        #[test]
        fn everyone_knows_what_they_watch(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut directory, mut now) = (Directory::new(GRACE), Instant::now());
            let mut beliefs = Beliefs::default();
            let mut seats: HashMap<SocketId, (usize, Vec<usize>)> = HashMap::new();
            let mut last_left: HashMap<usize, Instant> = HashMap::new();
            let name = |user: &usize| id(&user.to_string());
            for step in steps {
                match step {
                    Step::SignIn(n, user, watching) => {
                        let user = seats.get(&socket(n)).map_or(user, |(user, _)| *user);
                        let list: Vec<_> = watching.iter().map(name).collect();
                        beliefs.0.retain(|(who, _), _| *who != socket(n));
                        beliefs.hear(directory.sign_in(socket(n), &name(&user), &list), Some(socket(n)));
                        seats.insert(socket(n), (user, watching));
                    }
                    Step::Leave(n) => {
                        beliefs.hear(directory.leave(socket(n), now), None);
                        beliefs.0.retain(|(who, _), _| *who != socket(n));
                        if let Some((user, _)) = seats.remove(&socket(n)) {
                            last_left.insert(user, now);
                        }
                    }
                    Step::Wait(ms) => now += Duration::from_millis(ms),
                }
                beliefs.hear(directory.tick(now), None);
                let online = |user: &usize| {
                    seats.values().any(|(u, _)| u == user)
                        || last_left.get(user).is_some_and(|left| now < *left + GRACE)
                };
                let expected = seats.iter().flat_map(|(who, (_, watching))| {
                    watching.iter().map(move |user| ((*who, name(user)), online(user)))
                });
                prop_assert_eq!(&beliefs.0, &expected.collect::<HashMap<_, _>>());
            }
        }
    }
}
