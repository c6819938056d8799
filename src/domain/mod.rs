//! The words every other folder speaks: ids, channel names, events, times, errors.
//!
//! No IO, no runtime and no clock may live here; what does is plain values with one way in (`parse`)
//! and derives for the wire (serde), the tables (diesel) and the mailboxes (`actix::Message`).

pub mod channel_fact;
pub mod channel_name;
pub mod clock;
pub mod error;
pub mod event;
pub mod event_filter;
pub mod fields;
pub mod hook_url;
pub mod ids;
pub mod locale;
pub mod nudge;
pub mod position;
pub mod secret;
pub mod standby;
pub mod zone;

pub use channel_fact::{ChannelFact, ChannelNotice};
pub use channel_name::{ChannelKind, ChannelName};
pub use clock::{Clock, Timestamp};
pub use error::{Code, Error, Result};
pub use event::{Event, EventName};
pub use event_filter::EventFilter;
pub use fields::Fields;
pub use hook_url::parse_hook_url;
pub use ids::{
    AppId, CategoryId, DeliveryId, DigestId, EndpointId, EventId, FanOutId, HistoryId, NotificationId,
    OrderId, ProductId, ScheduledId, SocketId, SubscriptionId, TemplateId, TenantId, TokenId, UserId,
};
pub use locale::Locale;
pub use nudge::{Committed, Probe, TellOfEvents, ToEndpoint, Wake, WakeEndpoints};
pub use position::{Epoch, Position};
pub use secret::Secret;
pub use standby::{Leased, Standby};
pub use zone::Zone;
