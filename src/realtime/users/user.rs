//! `User`: who a connection signed in as (`pusher:signin`), as its app's back end describes and signs it.
//! <https://pusher.com/docs/channels/using_channels/user-authentication/>

use crate::domain::ChannelName;
use crate::realtime::channel::Member;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Longest user id, in bytes.
const MAX_ID: usize = 128;
/// Largest `user_info`, in bytes of JSON. Pusher documents 1 kB, servers in use allow 2.
const MAX_INFO: usize = 2_048;
/// Users that one connection may watch.
pub const MAX_WATCHED: usize = 100;

/// A signed-in user.
#[derive(Debug, Clone)]
pub struct User {
    /// Unique in the app.
    pub id: Arc<str>,
    /// What presence channels tell of the user; JSON.
    pub info: Arc<RawValue>,
    /// Whose coming and going the connection is told of; each once, at most [`MAX_WATCHED`].
    pub watchlist: Vec<Arc<str>>,
    /// Whether the watchlist was longer than that.
    pub cut: bool,
}

impl User {
    /// Reads the `user_data` that was signed: `{"id", "user_info"?, "watchlist"?}`. The error is for the client.
    pub fn parse(user_data: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Data {
            id: String,
            #[serde(default)]
            user_info: Option<Box<RawValue>>,
            #[serde(default)]
            watchlist: Option<Vec<String>>,
        }
        let data: Data = serde_json::from_str(user_data).map_err(|_| {
            "user_data must be JSON with an id (a string) and, if you like, user_info and watchlist (strings)."
        })?;
        if data.id.is_empty() || data.id.len() > MAX_ID {
            return Err(format!("The id of a user has 1 to {MAX_ID} bytes."));
        }
        // Its channel is where back ends reach it.
        ChannelName::server_to_user(&data.id)?;
        if data.user_info.as_ref().is_some_and(|info| info.get().len() > MAX_INFO) {
            return Err(format!("user_info has at most {MAX_INFO} bytes."));
        }
        let mut watchlist: Vec<Arc<str>> =
            data.watchlist.unwrap_or_default().into_iter().map(Arc::from).collect();
        let cut = watchlist.len() > MAX_WATCHED;
        watchlist.truncate(MAX_WATCHED);
        if watchlist.iter().any(|id| id.is_empty() || id.len() > MAX_ID) {
            return Err(format!("The ids of a watchlist have 1 to {MAX_ID} bytes."));
        }
        watchlist.sort_unstable();
        watchlist.dedup();
        let info = data.user_info.unwrap_or_else(|| RawValue::NULL.to_owned());
        Ok(Self { id: data.id.into(), info: info.into(), watchlist, cut })
    }

    /// The user as a member of a presence channel.
    pub fn member(&self) -> Member {
        Member { user_id: self.id.clone(), user_info: self.info.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn user_data_is_read_as_the_libraries_write_it() {
        let data = r#"{"id":"7","user_info":{"name":"Ana"},"watchlist":["9","8","9"]}"#;
        let user = User::parse(data).unwrap();
        assert_eq!((&*user.id, user.info.get(), user.cut), ("7", r#"{"name":"Ana"}"#, false));
        assert_eq!(user.watchlist, ["8", "9"].map(std::sync::Arc::from));
        let bare = User::parse(r#"{"id":"7"}"#).unwrap();
        assert_eq!((bare.info.get(), bare.watchlist.len()), ("null", 0));
        assert_eq!(&*bare.member().user_id, "7");
    }

    #[test]
    fn a_watchlist_keeps_its_first_hundred() {
        let list = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        for (n, kept, cut) in [(100, 100, false), (101, 100, true)] {
            let user = User::parse(&json!({"id": "7", "watchlist": list(n)}).to_string()).unwrap();
            assert_eq!((user.watchlist.len(), user.cut), (kept, cut));
            assert!(!user.watchlist.contains(&"100".into()));
        }
    }

    #[test]
    fn what_is_no_user_is_refused() {
        let long = "x".repeat(129);
        for data in [
            String::new(),
            "7".to_owned(),
            "{}".to_owned(),
            r#"{"id":7}"#.to_owned(),
            r#"{"id":""}"#.to_owned(),
            r#"{"id":"a\nb"}"#.to_owned(),
            json!({ "id": long }).to_string(),
            json!({"id": "7", "user_info": "x".repeat(2_047)}).to_string(),
            r#"{"id":"7","watchlist":"8"}"#.to_owned(),
            r#"{"id":"7","watchlist":[8]}"#.to_owned(),
            r#"{"id":"7","watchlist":[""]}"#.to_owned(),
            json!({"id": "7", "watchlist": [long]}).to_string(),
        ] {
            assert!(User::parse(&data).is_err(), "{data:.80}");
        }
        assert!(
            User::parse(&json!({"id": "x".repeat(128), "user_info": "x".repeat(2_046)}).to_string()).is_ok()
        );
    }
}
