//! One event as a back end sends it, checked: alone (`events`) or in a list (`batch_events`).

use super::info::{Attributes, Info};
use super::wrong;
use crate::auth::api_signature::Query;
use crate::config::App;
use crate::domain::{ChannelKind, ChannelName, Code, Error, Result, SocketId};
use crate::realtime::frame::Origin;
use crate::realtime::{Hub, Publication};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

/// Channels of one event.
const MAX_CHANNELS: usize = 100;
/// Longest event name, in characters.
const MAX_NAME: usize = 200;
/// What a body may hold beside data: names, escaped, and the JSON around them.
const ENVELOPE: usize = 65_536;
/// One byte of data is at most so many of JSON (`\u0000`).
const ESCAPED: usize = 6;

/// The largest body that can hold so many events of the app, so that no event which is allowed is refused.
pub(super) fn body_limit(app: &App, events: usize) -> usize {
    app.max_data_bytes.saturating_mul(ESCAPED).saturating_mul(events).saturating_add(ENVELOPE)
}

/// The fields of an event. What else there is is not looked at; null is as good as absent.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "an object with name, data and channels")]
pub struct Raw {
    name: Option<Text<Arc<str>>>,
    data: Option<Text<Arc<str>>>,
    channels: Option<Vec<Text<ChannelName>>>,
    channel: Option<Text<ChannelName>>,
    socket_id: Option<Text<SocketId>>,
    info: Option<Text<Info>>,
}

/// A checked event.
#[derive(Debug)]
pub struct Event {
    /// One or more.
    pub channels: Vec<ChannelName>,
    /// What to say on them.
    pub publication: Arc<Publication>,
    /// What the back end wants to know of them.
    pub(super) info: Option<Info>,
}

/// A string of the body, read into what it means without a copy between.
#[derive(Debug)]
struct Text<T>(T);

/// What a [`Text`] may hold.
trait Readable: Sized {
    fn read(text: &str) -> Result<Self, String>;
}

impl Readable for Arc<str> {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }
}

impl Readable for ChannelName {
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl Readable for SocketId {
    fn read(text: &str) -> Result<Self, String> {
        Self::from_str(text).map_err(|()| "A socket_id is two numbers and a dot between them.".to_owned())
    }
}

impl Readable for Info {
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|e| e.message().to_owned())
    }
}

impl<'de, T: Readable> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(std::marker::PhantomData<T>);

        impl<T: Readable> Visitor<'_> for Reader<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string (anything else must be encoded as one, as JSON text)")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::read(text).map(Text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Reader(std::marker::PhantomData))
    }
}

impl Raw {
    /// The event of a body, or of the query where the body does not say.
    pub fn read(body: &[u8], query: &Query<'_>) -> Result<Self> {
        let raw = if body.is_empty() {
            Self::default()
        } else {
            serde_json::from_slice(body).map_err(|e| wrong(format!("The body is not an event: {e}.")))?
        };
        raw.or_of(query)
    }

    fn or_of(mut self, query: &Query<'_>) -> Result<Self> {
        self.name = either(self.name, "name", query)?;
        self.data = either(self.data, "data", query)?;
        self.socket_id = either(self.socket_id, "socket_id", query)?;
        self.info = either(self.info, "info", query)?;
        if self.channels.is_none() && self.channel.is_none() {
            let list: Result<Vec<_>, _> =
                query.all("channels[]").map(|c| ChannelName::read(c).map(Text)).collect();
            self.channels = Some(list.map_err(wrong)?).filter(|list| !list.is_empty());
            self.channel = either(None, "channel", query)?;
        }
        Ok(self)
    }

    /// An event of a batch goes to one channel.
    pub(super) fn for_one_channel(mut self) -> Result<Self> {
        self.channels = None;
        match self.channel {
            Some(_) => Ok(self),
            None => Err(wrong("It needs a channel.")),
        }
    }

    /// Checks it against the limits of the protocol and of the app. `at` is when it came.
    pub fn check(self, app: &App, at: Instant) -> Result<Event> {
        let name = self.name.map(|n| n.0).unwrap_or_default();
        if name.is_empty() || name.chars().count() > MAX_NAME {
            return Err(wrong(format!("name has 1 to {MAX_NAME} characters.")));
        }
        let Some(Text(data)) = self.data else {
            return Err(wrong("It needs data, a string."));
        };
        if data.len() > app.max_data_bytes {
            let message = format!("data has {} bytes; at most {} are taken.", data.len(), app.max_data_bytes);
            return Err(Error::new(Code::TooLarge, message));
        }
        let channels = self.channels.into_iter().flatten().chain(self.channel).map(|c| c.0).collect();
        let except = self.socket_id.map(|id| id.0);
        let publication = Publication { name, data, except, origin: Origin::BackEnd, user_id: None, at };
        Ok(Event {
            channels: few(channels)?,
            publication: Arc::new(publication),
            info: self.info.map(|info| info.0),
        })
    }
}

fn few(channels: Vec<ChannelName>) -> Result<Vec<ChannelName>> {
    if channels.is_empty() || channels.len() > MAX_CHANNELS {
        return Err(wrong(format!("An event goes to 1 to {MAX_CHANNELS} channels.")));
    }
    // Each encrypted channel has a key of its own: one payload cannot be meant for two.
    if channels.len() > 1 && channels.iter().any(|c| c.kind() == ChannelKind::Encrypted) {
        return Err(wrong("An event on an encrypted channel goes to that channel alone."));
    }
    Ok(channels)
}

fn either<T: Readable>(given: Option<Text<T>>, key: &str, query: &Query<'_>) -> Result<Option<Text<T>>> {
    match given {
        Some(given) => Ok(Some(given)),
        None => query.get(key).map(|text| T::read(text).map(Text)).transpose().map_err(wrong),
    }
}

impl Event {
    /// Refuses it if it opens a cache channel and the app has as many channels as it may.
    pub(super) fn check_room(&self, hub: &Hub, app: &App) -> Result<()> {
        let mut opened = self.channels.iter().filter(|name| name.is_cache());
        let Some(name) = opened.find(|name| !hub.occupancy.has_room(&app.id, name)) else { return Ok(()) };
        hub.metrics.events_refused.with_label_values(&["app_channels"]).inc();
        let message =
            format!("The app has as many channels as it may ([[apps]] channels): {name} cannot be opened.");
        Err(Error::new(Code::Forbidden, message))
    }

    /// What was asked of each of its channels, as they are now.
    pub(super) fn attributes<'a>(
        &'a self,
        info: Info,
        hub: &Hub,
        app: &App,
    ) -> BTreeMap<&'a str, Attributes> {
        let attributes = |name| info.of(name, hub.occupancy.counts(&app.id, name));
        self.channels.iter().map(|name| (name.as_str(), attributes(name))).collect()
    }
}

/// The answer to a trigger that asked for `info`.
#[derive(Debug, Serialize)]
pub(super) struct Told<'a> {
    pub(super) channels: BTreeMap<&'a str, Attributes>,
}
