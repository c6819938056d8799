//! A channel: who is subscribed ([`roster`]), who is present ([`presence`]), its last event ([`cache`]), when its
//! number of subscribers is told ([`count`]) and when back ends are told that somebody has gone ([`absence`]);
//! and the [`actor`] that owns them.

pub mod absence;
pub mod actor;
pub mod cache;
pub mod count;
pub mod presence;
pub mod roster;

pub use actor::ChannelActor;
pub use presence::{Departure, Member};
