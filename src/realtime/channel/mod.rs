//! A channel: who is subscribed ([`roster`]), who is present ([`presence`]), and the [`actor`] that owns both.

pub mod actor;
pub mod presence;
pub mod roster;

pub use actor::ChannelActor;
pub use presence::Member;
