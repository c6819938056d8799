//! Notifications: who is told of what, on which channel, when, and in which words.
//!
//! Its core is pure: what happened and what time it is go in, decisions come out.
//! - When: [`quiet_hours`] and [`effective_time`], [`asked_time`], [`recurrence`], [`digest`], [`best_time`], and
//!   [`retry`] for a channel that failed.
//! - Whether and how: [`preferences`] and [`subscriptions`] hold what people chose, [`decision`] applies it.
//! - In which words: [`template`].
//! - The words of the tables and of the wire: [`kind`], [`channel`], [`priority`], [`status`].
//!
//! Around it are the rows: [`templates`], the system's words and the tenants' own, in versions.

pub mod asked_time;
pub mod best_time;
pub mod channel;
pub mod decision;
pub mod digest;
pub mod effective_time;
pub mod kind;
pub mod preferences;
pub mod priority;
pub mod quiet_hours;
pub mod recurrence;
pub mod retry;
pub mod status;
pub mod subscriptions;
pub mod template;
pub mod templates;
mod words;

pub use channel::Channel;
pub use kind::NotificationType;
pub use priority::Priority;
pub use quiet_hours::QuietHours;
