//! The rules of client events (`client-…`): who may say what to whom. Pure. What breaks a rule is answered with
//! `pusher:error` 4301, which says the rule, and the connection stays.
//! <https://pusher.com/docs/channels/using_channels/events/#triggering-client-events>

use crate::config::App;
use crate::domain::{ChannelKind, ChannelName, SocketId};
use crate::realtime::frame::{Origin, Publication};
use crate::realtime::protocol::pusher::{self, ClientEvent};
use bytestring::ByteString;
use std::sync::Arc;
use std::time::Instant;

/// Longest event name, in bytes.
const MAX_NAME: usize = 200;

/// The metric's label of events that met a full mailbox.
pub const OVERLOADED: &str = "client_event_overloaded";

/// What the sender of an event is told that met a full mailbox.
pub fn overloaded() -> ByteString {
    pusher::error(Some(REJECTED), "The channel is overloaded and did not get this client event.")
}

/// What breaks the rule that the sender is subscribed to the channel.
pub fn not_subscribed(channel: &ChannelName) -> Broken {
    let message = format!("Client events need a subscription; there is none to {channel}.");
    ("client_event_not_subscribed", message)
}

/// The code of every answer to an event that is not passed on.
pub const REJECTED: u16 = 4301;

/// The rule that an event breaks: the metric's label, and what the client is told.
pub type Broken = (&'static str, String);

/// Where the event is to go, if the app and the channel's kind allow for it.
pub fn destination(app: &App, event: &ClientEvent) -> Result<ChannelName, Broken> {
    if !app.client_events {
        return Err(("client_event_disabled", "Client events are not enabled for this app.".to_owned()));
    }
    let channel = event.channel.as_deref().ok_or_else(|| {
        ("client_event_channel", "A client event needs the name of a channel in \"channel\".".to_owned())
    })?;
    let channel = ChannelName::parse(channel).map_err(|e| ("client_event_channel", e))?;
    match channel.kind() {
        ChannelKind::Private | ChannelKind::Presence => Ok(channel),
        ChannelKind::Public | ChannelKind::Encrypted | ChannelKind::ServerToUser => {
            let message =
                format!("Client events are for private and presence channels; {channel} is neither.");
            Err(("client_event_channel", message))
        }
    }
}

/// The event as it goes to the channel's other subscribers: its data as it was sent.
pub fn publication(
    app: &App,
    event: ClientEvent,
    socket: SocketId,
    user_id: Option<Arc<str>>,
    now: Instant,
) -> Result<Publication, Broken> {
    if event.name.len() > MAX_NAME {
        let message = format!("The name of a client event has at most {MAX_NAME} bytes.");
        return Err(("client_event_name", message));
    }
    if event.data.len() > app.max_data_bytes {
        let message = format!("The data of a client event has at most {} bytes.", app.max_data_bytes);
        return Err(("client_event_too_big", message));
    }
    Ok(Publication {
        name: event.name.into(),
        data: event.data.into(),
        except: Some(socket),
        origin: Origin::Client,
        user_id,
        at: now,
    })
}
