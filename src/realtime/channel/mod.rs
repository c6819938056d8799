//! A channel: who is subscribed ([`roster`]), what was said ([`history`], and before a restart, [`past`]) and who has
//! come how far in it ([`positions`]); its [`life`] beside that: who is present ([`presence`]), its last event
//! ([`cache`]), when its number of subscribers is told ([`count`]) and when back ends are told that somebody has gone
//! ([`absence`]); the [`actor`] that owns them all, made as [`setup`] says, what it is told ([`message`]), what it can
//! be asked ([`inquiry`]) and what it says (`voice`).

pub mod absence;
pub mod actor;
pub mod cache;
pub mod count;
pub mod history;
pub mod inquiry;
pub mod life;
pub mod message;
pub mod notes;
pub mod page;
pub mod past;
pub mod positions;
pub mod presence;
pub mod roster;
pub mod setup;
mod voice;

pub use actor::ChannelActor;
pub use presence::Member;
