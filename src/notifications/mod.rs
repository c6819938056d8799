//! Notifications: who is told of what, on which channel, when, and in which words.
//!
//! Pure, the whole of it: what happened and what time it is go in, decisions come out.

pub mod asked_time;
pub mod channel;
pub mod effective_time;
pub mod kind;
pub mod priority;
pub mod quiet_hours;
pub mod recurrence;
pub mod retry;
pub mod status;
mod words;

pub use channel::Channel;
pub use kind::NotificationType;
pub use priority::Priority;
pub use quiet_hours::QuietHours;
