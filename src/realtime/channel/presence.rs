//! `Presence`: sockets to members. A user joins with the first socket and leaves with the last. Pure.

use crate::domain::SocketId;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

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

/// The members of one channel.
#[derive(Debug, Default)]
pub struct Presence {
    users: BTreeMap<Arc<str>, Present>,
    sockets: HashMap<SocketId, Arc<str>>,
}

#[derive(Debug)]
struct Present {
    member: Member,
    sockets: usize,
}

/// What a join changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined {
    /// The user is new here: tell the others.
    First,
    /// The user was here already, through another socket.
    Again,
    /// The channel has as many members as it may have.
    Full,
}

impl Presence {
    /// A socket joins as this member; at most `limit` different users.
    pub fn join(&mut self, socket: SocketId, member: &Member, limit: usize) -> Joined {
        if self.sockets.contains_key(&socket) {
            return Joined::Again;
        }
        if let Some(present) = self.users.get_mut(&member.user_id) {
            present.sockets += 1;
            self.sockets.insert(socket, member.user_id.clone());
            return Joined::Again;
        }
        if self.users.len() >= limit {
            return Joined::Full;
        }
        self.users.insert(member.user_id.clone(), Present { member: member.clone(), sockets: 1 });
        self.sockets.insert(socket, member.user_id.clone());
        Joined::First
    }

    /// A socket leaves; returns the member if it was the user's last.
    pub fn leave(&mut self, socket: SocketId) -> Option<Member> {
        let user = self.sockets.remove(&socket)?;
        let present = self.users.get_mut(&user)?;
        present.sockets -= 1;
        if present.sockets > 0 {
            return None;
        }
        self.users.remove(&user).map(|p| p.member)
    }

    /// The members, each once, by id.
    pub fn members(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.users.iter().map(|(id, present)| (&**id, &*present.member.user_info))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn member(id: &str) -> Member {
        Member::named(id, "x")
    }

    #[test]
    fn a_user_with_two_sockets_joins_once_and_leaves_once() {
        let (mut presence, [a, b]) = (Presence::default(), [1, 2].map(SocketId::from_bits));
        assert_eq!(presence.join(a, &member("7"), 100), Joined::First);
        assert_eq!(presence.join(b, &member("7"), 100), Joined::Again);
        assert!(presence.leave(a).is_none());
        assert_eq!(&*presence.leave(b).unwrap().user_id, "7");
        assert!(presence.leave(b).is_none());
    }

    #[test]
    fn a_full_channel_still_takes_another_socket_of_a_member() {
        let (mut presence, ids) = (Presence::default(), [1, 2, 3].map(SocketId::from_bits));
        assert_eq!(presence.join(ids[0], &member("1"), 1), Joined::First);
        assert_eq!(presence.join(ids[1], &member("2"), 1), Joined::Full);
        assert_eq!(presence.join(ids[2], &member("1"), 1), Joined::Again);
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

    proptest! {
        /// After any sequence of joins and leaves the members are those whose sockets are there, and every
        /// user's joins and leaves were told alternately.
        #[test]
        fn the_roster_is_exact(steps in proptest::collection::vec((any::<bool>(), 0_u64..6, 0_usize..3), 0..80)) {
            let mut presence = Presence::default();
            let mut model: HashMap<u64, usize> = HashMap::new();
            let mut told: BTreeSet<String> = BTreeSet::new();
            for (joins, socket, user) in steps {
                let id = SocketId::from_bits(socket);
                if joins {
                    let user = *model.entry(socket).or_insert(user);
                    if presence.join(id, &member(&user.to_string()), 100) == Joined::First {
                        prop_assert!(told.insert(user.to_string()));
                    }
                } else {
                    model.remove(&socket);
                    if let Some(left) = presence.leave(id) {
                        prop_assert!(told.remove(&*left.user_id));
                    }
                }
                let expected: BTreeSet<String> = model.values().map(ToString::to_string).collect();
                let members: BTreeSet<String> = presence.members().map(|(id, _)| id.to_owned()).collect();
                prop_assert_eq!(&members, &expected);
                prop_assert_eq!(&told, &expected);
            }
        }
    }
}
