//! A channel: who is subscribed ([`roster`]), who is present ([`presence`]), what was said ([`history`], and before
//! a restart, [`past`]), who has come how far in it ([`positions`]), its last event ([`cache`]), when its number of
//! subscribers is told ([`count`]) and when back ends are told that somebody has gone ([`absence`]); and the
//! [`actor`] that owns them all.

pub mod absence;
pub mod actor;
pub mod cache;
pub mod count;
pub mod history;
pub mod past;
pub mod positions;
pub mod presence;
pub mod roster;

pub use actor::ChannelActor;
pub use presence::Member;
