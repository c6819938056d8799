//! The bytes of a Pusher webhook: `{"time_ms":…,"events":[…]}` and the headers that prove its sender. Pure.

use crate::config;
use crate::domain::{ChannelFact, ChannelNotice, Timestamp};
use crate::webhooks::signing;
use bytes::Bytes;
use serde::Serialize;
use std::borrow::Cow;
use std::sync::Arc;

/// A notice as its receivers will read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// A JSON object.
    pub json: Arc<str>,
    /// When it happened.
    pub at: Timestamp,
}

/// An event of a webhook; absent fields are left out.
#[derive(Serialize)]
struct Written<'a> {
    name: &'static str,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_count: Option<usize>,
}

impl Note {
    /// Writes a notice down.
    pub fn of(notice: &ChannelNotice) -> serde_json::Result<Self> {
        let (name, channel) = (notice.fact.name(), notice.channel.as_str());
        let mut written = Written {
            name,
            channel,
            event: None,
            data: None,
            socket_id: None,
            user_id: None,
            subscription_count: None,
        };
        match &notice.fact {
            ChannelFact::Occupied | ChannelFact::Vacated | ChannelFact::CacheMiss => {}
            ChannelFact::MemberAdded(user) | ChannelFact::MemberRemoved(user) => written.user_id = Some(user),
            ChannelFact::SubscriptionCount(count) => written.subscription_count = Some(*count),
            ChannelFact::ClientEvent { event, data, socket, user_id } => {
                written.event = Some(event);
                written.data = Some(as_text(data));
                written.socket_id = Some(socket.to_string());
                written.user_id = user_id.as_deref();
            }
        }
        Ok(Self { json: serde_json::to_string(&written)?.into(), at: notice.at })
    }
}

/// Data is a string in Pusher's messages: a string is itself, anything else its JSON. Libraries for back ends
/// (pusher-http-go) read nothing but a string there.
fn as_text(json: &str) -> Cow<'_, str> {
    serde_json::from_str(json).map_or(Cow::Borrowed(json), Cow::Owned)
}

/// The body of a webhook with these events; its time is that of the last, so that each attempt has the same
/// bytes.
pub fn body(notes: &[Note]) -> Bytes {
    let time_ms = notes.last().map_or(0, |note| note.at.micros() / 1_000);
    let events: Vec<&str> = notes.iter().map(|note| &*note.json).collect();
    format!(r#"{{"time_ms":{time_ms},"events":[{}]}}"#, events.join(",")).into()
}

/// The headers that go with a body: whose webhook it is, and the hex HMAC-SHA256 of the bytes.
pub fn headers(app: &config::App, body: &[u8]) -> Vec<(&'static str, String)> {
    let signature = hex::encode(signing::hmac(app.secret.expose().as_bytes(), &[body]));
    vec![("x-pusher-key", app.key.clone()), ("x-pusher-signature", signature)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AppId, ChannelName, Secret};

    fn note(channel: &str, fact: ChannelFact) -> Note {
        let (app, channel) = (AppId("1".into()), ChannelName::parse(channel).unwrap());
        let at = Timestamp::from_micros(1_327_078_148_132_999).unwrap();
        Note::of(&ChannelNotice { app, channel, fact, at }).unwrap()
    }

    fn client_event(data: &str, user_id: Option<&str>) -> Note {
        let fact = ChannelFact::ClientEvent {
            event: "client-typing".into(),
            data: data.into(),
            socket: "34718.5367461".parse().unwrap(),
            user_id: user_id.map(Into::into),
        };
        note("presence-room", fact)
    }

    #[test]
    fn each_fact_is_written_as_documented() {
        for (fact, json) in [
            (ChannelFact::Occupied, r#"{"name":"channel_occupied","channel":"presence-a"}"#),
            (ChannelFact::Vacated, r#"{"name":"channel_vacated","channel":"presence-a"}"#),
            (
                ChannelFact::MemberAdded("7\"".into()),
                r#"{"name":"member_added","channel":"presence-a","user_id":"7\""}"#,
            ),
            (
                ChannelFact::MemberRemoved("7".into()),
                r#"{"name":"member_removed","channel":"presence-a","user_id":"7"}"#,
            ),
            (ChannelFact::CacheMiss, r#"{"name":"cache_miss","channel":"presence-a"}"#),
            (
                ChannelFact::SubscriptionCount(3),
                r#"{"name":"subscription_count","channel":"presence-a","subscription_count":3}"#,
            ),
        ] {
            assert_eq!(&*note("presence-a", fact).json, json);
        }
    }

    #[test]
    fn the_data_of_a_client_event_is_a_string_whatever_was_sent() {
        let head = r#"{"name":"client_event","channel":"presence-room","event":"client-typing","data":"#;
        for (sent, written) in [
            (r#"{"data": 1234}"#, r#""{\"data\": 1234}""#),
            (r#""plain \u00e4""#, "\"plain ä\""),
            ("null", r#""null""#),
            ("[1]", r#""[1]""#),
        ] {
            let expected = format!(r#"{head}{written},"socket_id":"34718.5367461"}}"#);
            assert_eq!(*client_event(sent, None).json, expected);
        }
        assert!(client_event("1", Some("7")).json.ends_with(r#","user_id":"7"}"#));
    }

    #[test]
    fn a_body_has_the_time_of_its_last_event_and_the_events_in_order() {
        let notes = [note("a", ChannelFact::Occupied), note("b", ChannelFact::CacheMiss)];
        let (one, two) =
            (r#"{"name":"channel_occupied","channel":"a"}"#, r#"{"name":"cache_miss","channel":"b"}"#);
        assert_eq!(body(&notes), format!(r#"{{"time_ms":1327078148132,"events":[{one},{two}]}}"#));
    }

    #[test]
    fn a_body_is_signed_with_the_apps_secret() {
        // printf '{"a":1}' | openssl dgst -sha256 -hmac 7ad3773142a6692b25b8
        let app = config::App::new("3", "278d425bdf160c739803", Secret::new("7ad3773142a6692b25b8"));
        let [key, signature] = <[_; 2]>::try_from(headers(&app, br#"{"a":1}"#)).unwrap();
        assert_eq!(key, ("x-pusher-key", "278d425bdf160c739803".to_owned()));
        assert_eq!(
            signature,
            (
                "x-pusher-signature",
                "d087f9b1180ef0faa7c39a1dc3c325f5becdf1a792b11b1f6d4195e79cddfbe3".to_owned()
            )
        );
    }
}
