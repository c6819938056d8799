//! Pusher protocol 7: what clients say and what they are told. <https://pusher.com/docs/channels/library_auth_reference/pusher-websockets-protocol/>
//!
//! An envelope is `{"event", "channel"?, "data"}`. Towards clients `data` is a string that holds JSON; from
//! clients it is an object, or (some libraries) a string that holds one.

use crate::domain::{ChannelName, Position, SocketId};
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// `pusher:ping`
    Ping,
    /// `pusher:pong`
    Pong,
    /// `pusher:subscribe`
    Subscribe(Subscribe),
    /// `pusher:unsubscribe` from a channel.
    Unsubscribe(String),
    /// `pusher:signin`
    SignIn(SignIn),
    /// `client-…`: something for the other subscribers of a channel.
    ClientEvent(ClientEvent),
    /// Any other event.
    Other,
}

/// The data of `pusher:subscribe`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Subscribe {
    /// The channel's name, not yet checked.
    pub channel: String,
    /// `KEY:SIGNATURE`; empty or absent without one.
    #[serde(default)]
    pub auth: Option<String>,
    /// Signed with it: for presence channels the member, as JSON text.
    #[serde(default)]
    pub channel_data: Option<String>,
}

/// The data of `pusher:signin`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SignIn {
    /// `KEY:SIGNATURE`.
    pub auth: String,
    /// Signed with it: the user, as JSON text.
    pub user_data: String,
}

/// A `client-…` event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientEvent {
    /// `client-…`
    pub name: String,
    /// The channel's name, not yet checked.
    pub channel: Option<String>,
    /// The JSON text of its data, as it was sent; `null` without any.
    pub data: String,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    channel: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Unsubscribe {
    channel: String,
}

/// Reads one text message. The error is for the client.
pub fn decode(text: &str) -> Result<ClientFrame, &'static str> {
    let envelope: Envelope<'_> =
        serde_json::from_str(text).map_err(|_| "Expected a JSON object with an \"event\" string.")?;
    match &*envelope.event {
        "pusher:ping" => Ok(ClientFrame::Ping),
        "pusher:pong" => Ok(ClientFrame::Pong),
        "pusher:subscribe" => data(envelope.data)
            .map(ClientFrame::Subscribe)
            .ok_or("pusher:subscribe needs data with a \"channel\" string."),
        "pusher:unsubscribe" => data::<Unsubscribe>(envelope.data)
            .map(|d| ClientFrame::Unsubscribe(d.channel))
            .ok_or("pusher:unsubscribe needs data with a \"channel\" string."),
        "pusher:signin" => data(envelope.data)
            .map(ClientFrame::SignIn)
            .ok_or("pusher:signin needs data with the strings \"auth\" and \"user_data\"."),
        name if name.starts_with("client-") => Ok(ClientFrame::ClientEvent(ClientEvent {
            name: name.to_owned(),
            channel: envelope.channel.and_then(|raw| serde_json::from_str(raw.get()).ok()),
            data: envelope.data.map_or("null", RawValue::get).to_owned(),
        })),
        _ => Ok(ClientFrame::Other),
    }
}

fn data<T: for<'de> Deserialize<'de>>(raw: Option<&RawValue>) -> Option<T> {
    let raw = raw?.get();
    if raw.starts_with('"') {
        let inner: String = serde_json::from_str(raw).ok()?;
        serde_json::from_str(&inner).ok()
    } else {
        serde_json::from_str(raw).ok()
    }
}

/// `pusher:connection_established`: must be the first message of a connection.
pub fn connection_established(socket: SocketId, activity_timeout_seconds: u64) -> ByteString {
    let data = format!(r#"{{"socket_id":"{socket}","activity_timeout":{activity_timeout_seconds}}}"#);
    envelope("pusher:connection_established", None, &data)
}

/// `pusher:ping`
pub fn ping() -> ByteString {
    ByteString::from_static(r#"{"event":"pusher:ping","data":"{}"}"#)
}

/// `pusher:pong`
pub fn pong() -> ByteString {
    ByteString::from_static(r#"{"event":"pusher:pong","data":"{}"}"#)
}

/// `pusher_internal:subscription_succeeded`; `data` is `{}` or the presence roster.
pub fn subscription_succeeded(channel: &ChannelName, data: &str) -> ByteString {
    envelope("pusher_internal:subscription_succeeded", Some(channel.as_str()), data)
}

/// The members of a presence channel as `subscription_succeeded` tells them.
pub fn presence_data<'a>(members: impl Iterator<Item = (&'a str, &'a RawValue)>) -> String {
    #[derive(Serialize)]
    struct Roster<'a> {
        ids: Vec<&'a str>,
        hash: BTreeMap<&'a str, &'a RawValue>,
        count: usize,
    }
    #[derive(Serialize)]
    struct Data<'a> {
        presence: Roster<'a>,
    }
    let hash: BTreeMap<_, _> = members.collect();
    let presence = Roster { ids: hash.keys().copied().collect(), count: hash.len(), hash };
    json(&Data { presence })
}

/// `pusher_internal:member_added`
pub fn member_added(channel: &ChannelName, user_id: &str, user_info: &RawValue) -> ByteString {
    #[derive(Serialize)]
    struct Data<'a> {
        user_id: &'a str,
        user_info: &'a RawValue,
    }
    envelope("pusher_internal:member_added", Some(channel.as_str()), &json(&Data { user_id, user_info }))
}

/// `pusher_internal:member_removed`
pub fn member_removed(channel: &ChannelName, user_id: &str) -> ByteString {
    let data = format!(r#"{{"user_id":{}}}"#, json(user_id));
    envelope("pusher_internal:member_removed", Some(channel.as_str()), &data)
}

/// `pusher:cache_miss`: a cache channel has no event to give to a newcomer.
pub fn cache_miss(channel: &ChannelName) -> ByteString {
    envelope("pusher:cache_miss", Some(channel.as_str()), "{}")
}

/// `pusher_internal:subscription_count`
pub fn subscription_count(channel: &ChannelName, count: usize) -> ByteString {
    let data = format!(r#"{{"subscription_count":{count}}}"#);
    envelope("pusher_internal:subscription_count", Some(channel.as_str()), &data)
}

/// `pusher:subscription_error`: pusher-js gives it to the channel it is about. `status` is the HTTP status
/// that the same refusal would have.
pub fn subscription_error(channel: &str, kind: &str, message: &str, status: u16) -> ByteString {
    #[derive(Serialize)]
    struct Data<'a> {
        r#type: &'a str,
        error: &'a str,
        status: u16,
    }
    let data = json(&Data { r#type: kind, error: message, status });
    envelope("pusher:subscription_error", Some(channel), &data)
}

/// `pusher:error`: not fatal by itself. A `code` of the protocol where there is one that fits.
pub fn error(code: Option<u16>, message: &str) -> ByteString {
    #[derive(Serialize)]
    struct Data<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<u16>,
        message: &'a str,
    }
    #[derive(Serialize)]
    struct Error<'a> {
        event: &'static str,
        data: Data<'a>,
    }
    // The one message whose data is an object, not a string, in the documentation.
    json(&Error { event: "pusher:error", data: Data { code, message } }).into()
}

/// `bellwire:replay_gap`: what the client missed on this channel cannot be had completely; it is to fetch its
/// state anew. `head` is where the stream stands now.
pub fn replay_gap(channel: &ChannelName, head: Position) -> ByteString {
    envelope("bellwire:replay_gap", Some(channel.as_str()), &json(&head))
}

/// `pusher:signin_success`: the user data is said back as the string that it was.
pub fn signin_success(user_data: &str) -> ByteString {
    envelope("pusher:signin_success", None, &format!(r#"{{"user_data":{}}}"#, json(user_data)))
}

/// `pusher_internal:watchlist_events`: who of a watchlist is online and who is not, or has changed.
pub fn watchlist_events(online: &[Arc<str>], offline: &[Arc<str>]) -> ByteString {
    #[derive(Serialize)]
    struct Change<'a> {
        name: &'static str,
        user_ids: &'a [Arc<str>],
    }
    #[derive(Serialize)]
    struct Data<'a> {
        events: Vec<Change<'a>>,
    }
    let changes = [("online", online), ("offline", offline)].into_iter().filter(|(_, ids)| !ids.is_empty());
    let events = changes.map(|(name, user_ids)| Change { name, user_ids }).collect();
    envelope("pusher_internal:watchlist_events", None, &json(&Data { events }))
}

/// A client's event. Its data is JSON text and goes out as it came in, as the value that it is: pusher-js parses
/// the data of a message when it is a string and takes it as it is when it is not.
pub fn client_event(channel: &ChannelName, name: &str, data: &str, user_id: Option<&str>) -> ByteString {
    let user = user_id.map(|id| format!(r#","user_id":{}"#, json(id))).unwrap_or_default();
    let (name, channel) = (json(name), json(channel.as_str()));
    format!(r#"{{"event":{name},"channel":{channel},"data":{data}{user}}}"#).into()
}

/// An event on a channel; `user_id` is the sender's, when a member of a presence channel says it.
pub fn event(channel: &ChannelName, name: &str, data: &str, user_id: Option<&str>) -> ByteString {
    message(name, Some(channel.as_str()), data, user_id)
}

fn envelope(event: &str, channel: Option<&str>, data: &str) -> ByteString {
    message(event, channel, data, None)
}

fn message(event: &str, channel: Option<&str>, data: &str, user_id: Option<&str>) -> ByteString {
    #[derive(Serialize)]
    struct Out<'a> {
        event: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        channel: Option<&'a str>,
        data: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        user_id: Option<&'a str>,
    }
    json(&Out { event, channel, data, user_id }).into()
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    // Strings, numbers and maps with string keys always serialise.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn parsed(text: &ByteString) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn data_may_be_an_object_or_a_string_that_holds_one() {
        let expected = ClientFrame::Subscribe(Subscribe {
            channel: "private-a".into(),
            auth: Some("key:sig".into()),
            channel_data: None,
        });
        for text in [
            r#"{"event":"pusher:subscribe","data":{"channel":"private-a","auth":"key:sig"}}"#,
            r#"{"event":"pusher:subscribe","data":"{\"channel\":\"private-a\",\"auth\":\"key:sig\"}"}"#,
        ] {
            assert_eq!(decode(text).as_ref(), Ok(&expected));
        }
    }

    #[test]
    fn what_is_not_an_envelope_is_an_error() {
        for text in ["", "1", "[]", "{}", r#"{"event":1}"#, r#"{"event":"pusher:subscribe"}"#, "{\"event\":"]
        {
            assert!(decode(text).is_err(), "{text}");
        }
        let deep = format!(
            r#"{{"event":"pusher:subscribe","data":{}1{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(decode(&deep).is_err());
    }

    #[test]
    fn established_carries_the_socket_id_and_the_timeout_in_a_string() {
        let message = parsed(&connection_established(SocketId::from_bits((7 << 32) | 9), 120));
        let data: Value = serde_json::from_str(message["data"].as_str().unwrap()).unwrap();
        assert_eq!(data, json!({"socket_id": "7.9", "activity_timeout": 120}));
    }

    #[test]
    fn a_client_events_data_is_what_was_sent_whatever_it_is() {
        let channel = ChannelName::parse("presence-x").unwrap();
        for data in [r#""a string""#, r#""{\"n\":1}""#, r#"{"n": [1, 2]}"#, "7", "null", "1e999"] {
            let text = format!(r#"{{"event":"client-\"x","channel":"presence-x","data":{data}}}"#);
            let Ok(ClientFrame::ClientEvent(event)) = decode(&text) else { panic!("{text}") };
            assert_eq!(event.data, data);
            let out = client_event(&channel, &event.name, &event.data, Some("a\"b"));
            let expected =
                format!(r#"{{"event":"client-\"x","channel":"presence-x","data":{data},"user_id":"a\"b"}}"#);
            assert_eq!(out, expected);
        }
        let Ok(ClientFrame::ClientEvent(event)) = decode(r#"{"event":"client-x","channel":7}"#) else {
            panic!()
        };
        assert_eq!((event.channel, event.data.as_str()), (None, "null"));
    }

    #[test]
    fn watchlist_events_name_only_what_there_is() {
        let told = |online: &[Arc<str>], offline: &[Arc<str>]| {
            let message = parsed(&watchlist_events(online, offline));
            assert_eq!(message["event"], "pusher_internal:watchlist_events");
            serde_json::from_str::<Value>(message["data"].as_str().unwrap()).unwrap()
        };
        let (on, off) =
            (json!({"name": "online", "user_ids": ["1"]}), json!({"name": "offline", "user_ids": ["2"]}));
        assert_eq!(told(&["1".into()], &["2".into()]), json!({ "events": [on, off] }));
        assert_eq!(told(&["1".into()], &[]), json!({ "events": [on] }));
    }

    #[test]
    fn an_error_without_a_code_has_none() {
        assert_eq!(parsed(&error(None, "x"))["data"], json!({"message": "x"}));
        assert_eq!(parsed(&error(Some(4009), "x"))["data"], json!({"code": 4009, "message": "x"}));
    }

    #[test]
    fn a_roster_has_ids_hash_and_count() {
        let info = RawValue::from_string(r#"{"name":"Ana"}"#.into()).unwrap();
        let data: Value = serde_json::from_str(&presence_data([("7", &*info)].into_iter())).unwrap();
        assert_eq!(data, json!({"presence": {"ids": ["7"], "hash": {"7": {"name": "Ana"}}, "count": 1}}));
    }

    proptest! {
        #[test]
        fn no_input_panics_the_decoder(text in ".{0,200}") {
            let _ = decode(&text);
        }

        #[test]
        fn an_event_says_what_it_was_given(name in "\\PC{1,40}", data in "\\PC{0,80}") {
            let channel = ChannelName::parse("private-x").unwrap();
            let message = parsed(&event(&channel, &name, &data, None));
            prop_assert_eq!(message, json!({"event": name, "channel": "private-x", "data": data}));
        }
    }
}
