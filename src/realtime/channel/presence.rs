//! `Presence`: sockets to members. A user joins with the first socket and leaves with the last; a socket that
//! broke off leaves its user a grace, in which coming back is no news to the others. Pure.

use crate::domain::SocketId;
use crate::realtime::frame::Departure;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest user id, as the protocol documents it.
const MAX_USER_ID: usize = 128;
/// Largest `user_info`, in bytes of JSON. Pusher documents 1 kB, servers in use allow 2.
const MAX_USER_INFO: usize = 2_048;

/// A user in a presence channel.
#[derive(Debug, Clone)]
pub struct Member {
    /// Unique in the channel.
    pub user_id: Arc<str>,
    /// What the others are told; JSON.
    pub user_info: Arc<RawValue>,
}

impl Member {
    /// Reads the `channel_data` that was signed: `{"user_id", "user_info"?}`; a numeric id is as good as
    /// a string. The error is for the client.
    pub fn parse(channel_data: &str) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Data {
            user_id: serde_json::Value,
            #[serde(default)]
            user_info: Option<Box<RawValue>>,
        }
        let data: Data = serde_json::from_str(channel_data)
            .map_err(|_| "channel_data must be JSON with a user_id and, if you like, user_info.")?;
        let user_id = match data.user_id {
            serde_json::Value::String(id) if !id.is_empty() => id,
            serde_json::Value::Number(id) => id.to_string(),
            _ => return Err("user_id must be a number or a string that is not empty."),
        };
        let Some(info) = data.user_info else { return Self::bare(user_id) };
        if user_id.len() > MAX_USER_ID || info.get().len() > MAX_USER_INFO {
            return Err("user_id has at most 128 bytes and user_info at most 2048.");
        }
        Ok(Self { user_id: user_id.into(), user_info: info.into() })
    }

    /// A member known by a name only (a user who came with a token).
    pub fn named(user_id: &str, name: &str) -> Self {
        let info = serde_json::value::to_raw_value(&serde_json::json!({ "name": name }));
        Self { user_id: user_id.into(), user_info: info.map_or_else(|_| nothing(), Arc::from) }
    }

    fn bare(user_id: String) -> Result<Self, &'static str> {
        if user_id.len() > MAX_USER_ID {
            return Err("user_id has at most 128 bytes.");
        }
        Ok(Self { user_id: user_id.into(), user_info: nothing() })
    }
}

fn nothing() -> Arc<RawValue> {
    Arc::from(RawValue::NULL.to_owned())
}

/// The members of one channel: users with a socket, and users in their grace.
#[derive(Debug)]
pub struct Presence {
    limit: usize,
    grace: Duration,
    users: BTreeMap<Arc<str>, Present>,
    sockets: HashMap<SocketId, Arc<str>>,
    /// Users without a socket, by the end of their grace.
    due: BTreeSet<(Instant, Arc<str>)>,
}

#[derive(Debug)]
struct Present {
    member: Member,
    sockets: usize,
    /// Sockets that broke off and have not come back, by when they no longer count; oldest first. A socket
    /// that joins stands for the oldest of them, so there are never more than there were sockets at one time.
    awaited: Vec<Instant>,
}

/// What a join changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The user is new here: tell the others.
    First,
    /// The user was here already, through another socket or in the grace.
    Again,
    /// The channel has as many members as it may have.
    Full,
}

impl Presence {
    /// Nobody yet, and at most `limit` different users; who breaks off may come back within `grace`.
    pub fn new(limit: usize, grace: Duration) -> Self {
        let (users, sockets, due) = (BTreeMap::new(), HashMap::new(), BTreeSet::new());
        Self { limit, grace, users, sockets, due }
    }

    /// A socket joins as this member. What it says of the user is what newcomers are told from now on; a
    /// socket that is here already stays who it is.
    pub fn join(&mut self, socket: SocketId, member: &Member, now: Instant) -> Joined {
        if let Some(user) = self.sockets.get(&socket) {
            if let Some(present) = self.users.get_mut(user).filter(|_| *user == member.user_id) {
                present.member = member.clone();
            }
            return Joined::Again;
        }
        let full = self.users.len() >= self.limit;
        let joined = match self.users.get_mut(&member.user_id) {
            Some(present) => {
                if let (0, Some(end)) = (present.sockets, present.awaited.last()) {
                    self.due.remove(&(*end, member.user_id.clone()));
                }
                present.back(member, now);
                Joined::Again
            }
            None if full => return Joined::Full,
            None => {
                let present = Present { member: member.clone(), sockets: 1, awaited: Vec::new() };
                self.users.insert(member.user_id.clone(), present);
                Joined::First
            }
        };
        self.sockets.insert(socket, member.user_id.clone());
        joined
    }

    /// A socket leaves; returns the user that is no member any more, if it was the last and none is awaited. A page
    /// that went away is awaited as a broken connection is: it may be about to load anew.
    pub fn leave(&mut self, socket: SocketId, how: Departure, now: Instant) -> Option<Arc<str>> {
        let user = self.sockets.remove(&socket)?;
        let present = self.users.get_mut(&user)?;
        present.sockets -= 1;
        present.awaited.retain(|end| *end > now);
        if how.may_be_back() && !self.grace.is_zero() {
            present.awaited.push(now + self.grace);
        }
        if present.sockets > 0 {
            return None;
        }
        if let Some(end) = present.awaited.last() {
            self.due.insert((*end, user));
            return None;
        }
        self.users.remove(&user);
        Some(user)
    }

    /// The users whose grace has ended by now, who are members no more; each is returned once.
    pub fn expire(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut expired = Vec::new();
        while let Some((_, user)) = self.due.first().filter(|(end, _)| *end <= now).cloned() {
            self.due.pop_first();
            self.users.remove(&user);
            expired.push(user);
        }
        expired
    }

    /// The users whose grace runs, the first to end first.
    pub fn broken(&self) -> impl Iterator<Item = &Arc<str>> {
        self.due.iter().map(|(_, user)| user)
    }

    /// When a grace ends next.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(end, _)| *end)
    }

    /// The members, each once, by id.
    pub fn members(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.users.iter().map(|(id, present)| (&**id, &*present.member.user_info))
    }

    /// How many members there are.
    pub fn count(&self) -> usize {
        self.users.len()
    }

    /// The member that this socket is.
    pub fn user_of(&self, socket: SocketId) -> Option<&Arc<str>> {
        self.sockets.get(&socket)
    }

    /// Whether no socket is here and none is awaited.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

impl Present {
    fn back(&mut self, member: &Member, now: Instant) {
        self.sockets += 1;
        self.member = member.clone();
        self.awaited.retain(|end| *end > now);
        if !self.awaited.is_empty() {
            self.awaited.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GRACE: Duration = Duration::from_secs(3);

    fn member(id: &str) -> Member {
        Member::named(id, "x")
    }

    fn presence(limit: usize) -> (Presence, Instant) {
        (Presence::new(limit, GRACE), Instant::now())
    }

    fn sockets<const N: usize>() -> [SocketId; N] {
        std::array::from_fn(|n| SocketId::from_bits(n as u64))
    }

    fn ids(presence: &Presence) -> Vec<&str> {
        presence.members().map(|(id, _)| id).collect()
    }

    #[test]
    fn a_user_with_two_sockets_joins_once_and_leaves_once() {
        let ((mut presence, now), [a, b]) = (presence(100), sockets());
        assert_eq!(presence.join(a, &member("7"), now), Joined::First);
        assert_eq!(presence.join(b, &member("7"), now), Joined::Again);
        assert_eq!(presence.leave(a, Departure::Unsubscribed, now), None);
        assert_eq!(presence.leave(b, Departure::Unsubscribed, now).as_deref(), Some("7"));
        assert_eq!(presence.leave(b, Departure::Unsubscribed, now), None);
        assert!(presence.is_empty());
    }

    #[test]
    fn a_full_channel_still_takes_another_socket_of_a_member_and_one_that_comes_back() {
        let ((mut presence, now), [a, b, c]) = (presence(1), sockets());
        assert_eq!(presence.join(a, &member("1"), now), Joined::First);
        assert_eq!(presence.join(b, &member("2"), now), Joined::Full);
        presence.leave(a, Departure::Broken, now);
        assert_eq!(presence.join(b, &member("2"), now), Joined::Full, "the place is kept");
        assert_eq!(presence.join(c, &member("1"), now), Joined::Again);
    }

    #[test]
    fn who_broke_off_stays_a_member_until_the_grace_ends_and_goes_once() {
        let ((mut presence, now), [a, _]) = (presence(100), sockets());
        presence.join(a, &member("7"), now);
        assert_eq!(presence.leave(a, Departure::Broken, now), None);
        assert_eq!((presence.next_due(), presence.count()), (Some(now + GRACE), 1));
        assert!(presence.expire(now + GRACE * 9 / 10).is_empty());
        assert_eq!(presence.expire(now + GRACE), [Arc::from("7")]);
        assert!(presence.expire(now + GRACE * 2).is_empty() && presence.is_empty());
    }

    #[test]
    fn who_comes_back_within_the_grace_never_left_and_is_known_by_what_it_says_now() {
        let ((mut presence, now), [a, b]) = (presence(100), sockets());
        presence.join(a, &Member::named("7", "Ana"), now);
        presence.leave(a, Departure::Broken, now);
        assert_eq!(presence.join(b, &Member::named("7", "Ana Maria"), now + GRACE / 2), Joined::Again);
        let told: Vec<_> = presence.members().map(|(_, info)| info.get().to_owned()).collect();
        assert_eq!(told, [r#"{"name":"Ana Maria"}"#]);
        assert!(presence.next_due().is_none() && presence.expire(now + GRACE * 2).is_empty());
        assert_eq!(
            presence.leave(b, Departure::Unsubscribed, now).as_deref(),
            Some("7"),
            "what came back may go"
        );
    }

    #[test]
    fn leaving_on_purpose_is_final_unless_another_socket_of_the_user_is_awaited() {
        let ((mut presence, now), [phone, tab]) = (presence(100), sockets());
        presence.join(phone, &member("7"), now);
        presence.join(tab, &member("7"), now);
        presence.leave(phone, Departure::Broken, now);
        assert_eq!(presence.leave(tab, Departure::Unsubscribed, now + GRACE / 2), None);
        assert_eq!(presence.expire(now + GRACE), [Arc::from("7")]);
    }

    #[test]
    fn a_socket_that_joins_again_as_another_user_stays_who_it_is() {
        let ((mut presence, now), [a]) = (presence(100), sockets());
        presence.join(a, &member("7"), now);
        assert_eq!(presence.join(a, &member("8"), now), Joined::Again);
        assert_eq!((ids(&presence), presence.user_of(a).map(|u| &**u)), (vec!["7"], Some("7")));
    }

    #[test]
    fn without_a_grace_a_break_is_a_leave() {
        let ((mut presence, now), [a]) = ((Presence::new(9, Duration::ZERO), Instant::now()), sockets());
        presence.join(a, &member("7"), now);
        assert_eq!(presence.leave(a, Departure::Broken, now).as_deref(), Some("7"));
    }

    #[test]
    fn channel_data_is_read_as_the_libraries_write_it() {
        let read = Member::parse(r#"{"user_id":10,"user_info":{"name":"Ana"}}"#).unwrap();
        assert_eq!((&*read.user_id, read.user_info.get()), ("10", r#"{"name":"Ana"}"#));
        assert_eq!(&*Member::parse(r#"{"user_id":"a"}"#).unwrap().user_id, "a");
        for wrong in ["", "{}", r#"{"user_id":""}"#, r#"{"user_id":null}"#, r#"{"user_id":{}}"#] {
            assert!(Member::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Member::parse(&format!(r#"{{"user_id":"{}"}}"#, "x".repeat(129))).is_err());
    }

    /// What may happen to a channel.
    #[derive(Debug, Clone)]
    enum Step {
        Join {
            socket: u64,
            user: u8,
            info: u8,
        },
        Leave(u64, Departure),
        /// A process or a network dies: all these users' sockets break off at once.
        Kill(u8),
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0_u64..8, 0_u8..4, 0_u8..3).prop_map(|(socket, user, info)| Step::Join { socket, user, info }),
            2 => (0_u64..8).prop_map(|socket| Step::Leave(socket, Departure::Unsubscribed)),
            1 => (0_u64..8).prop_map(|socket| Step::Leave(socket, Departure::Closed)),
            4 => (0_u64..8).prop_map(|socket| Step::Leave(socket, Departure::Broken)),
            1 => (0_u64..8).prop_map(|socket| Step::Leave(socket, Departure::Away)),
            1 => (0_u8..4).prop_map(Step::Kill),
            3 => (1_u64..2_500).prop_map(Step::Wait),
        ];
        proptest::collection::vec(step, 0..120)
    }

    /// The slow and plain way: every socket and every break, looked through each time.
    #[derive(Default)]
    struct Model {
        now: u64,
        sockets: Vec<(u64, u8)>,
        breaks: Vec<(u64, u8)>,
        infos: BTreeMap<u8, u8>,
    }

    impl Model {
        fn members(&self) -> BTreeSet<u8> {
            let awaited = self.breaks.iter().filter(|(end, _)| *end > self.now);
            self.sockets.iter().chain(awaited).map(|(_, user)| *user).collect()
        }

        fn join(&mut self, socket: u64, user: u8, info: u8, limit: usize) {
            if let Some((_, known)) = self.sockets.iter().find(|(s, _)| *s == socket) {
                if *known == user {
                    self.infos.insert(user, info);
                }
                return;
            }
            if !self.members().contains(&user) && self.members().len() >= limit {
                return;
            }
            self.breaks.retain(|(end, _)| *end > self.now);
            if let Some(oldest) = self.breaks.iter().position(|(_, u)| *u == user) {
                self.breaks.remove(oldest);
            }
            self.sockets.push((socket, user));
            self.infos.insert(user, info);
        }

        fn leave(&mut self, socket: u64, how: Departure) {
            let Some(at) = self.sockets.iter().position(|(s, _)| *s == socket) else { return };
            let (_, user) = self.sockets.remove(at);
            if matches!(how, Departure::Broken | Departure::Away) {
                self.breaks.push((self.now + 3_000, user));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        /// After any sequence of joins, leaves, breaks, returns, expiries and kills the members are those of
        /// the model, with what they said last, and each user's coming and going was told alternately.
        #[test]
        fn the_roster_is_exact(steps in steps(), limit in 2_usize..5) {
            let (mut presence, start) = presence(limit);
            let (mut model, mut told) = (Model::default(), BTreeSet::<Arc<str>>::new());
            for step in steps {
                let now = start + Duration::from_millis(model.now);
                let mut gone = Vec::new();
                match step {
                    Step::Join { socket, user, info } => {
                        let member = Member::named(&user.to_string(), &info.to_string());
                        if presence.join(SocketId::from_bits(socket), &member, now) == Joined::First {
                            prop_assert!(told.insert(member.user_id), "told of a member that was there");
                        }
                        model.join(socket, user, info, limit);
                    }
                    Step::Leave(socket, how) => {
                        gone.extend(presence.leave(SocketId::from_bits(socket), how, now));
                        model.leave(socket, how);
                    }
                    Step::Kill(user) => {
                        for (socket, _) in model.sockets.clone().into_iter().filter(|(_, u)| *u == user) {
                            gone.extend(presence.leave(SocketId::from_bits(socket), Departure::Broken, now));
                            model.leave(socket, Departure::Broken);
                        }
                    }
                    Step::Wait(ms) => {
                        model.now += ms;
                        gone.extend(presence.expire(start + Duration::from_millis(model.now)));
                    }
                }
                for user in gone {
                    prop_assert!(told.remove(&user), "told of the end of nobody");
                }
                let named = |user: &u8| (user.to_string(), format!(r#"{{"name":"{}"}}"#, model.infos[user]));
                let expected: Vec<_> = model.members().iter().map(named).collect();
                let told_of: Vec<_> = told.iter().map(ToString::to_string).collect();
                prop_assert_eq!(&told_of, &expected.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
                let is: Vec<_> = presence.members().map(|(id, info)| (id.to_owned(), info.get().to_owned())).collect();
                prop_assert_eq!(is, expected);
                prop_assert_eq!(presence.next_due().is_some(), presence.users.values().any(|p| p.sockets == 0));
            }
        }
    }
}
