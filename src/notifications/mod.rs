//! Notifications: who is told of what, on which channel, when, and in which words.
//!
//! Pure is what decides: what happened and what time it is go in, decisions come out.
//! - When: [`quiet_hours`] and [`effective_time`], [`asked_time`], [`recurrence`], [`digest`], [`best_time`], and
//!   [`retry`] for a channel that failed.
//! - Whether and how: [`preferences`] and [`subscriptions`] hold what people chose, [`decision`] applies it.
//! - In which words: [`template`].
//! - Into being: [`dispatch()`](dispatch::dispatch) writes what was decided, for [`recipients`] read from rows.
//! - To its recipient: each channel has a [`ChannelDriver`](channel_driver::ChannelDriver). That of the inbox delivers at
//!   once; what is for another leaves by its [carrier](carriers).
//! - Asked for: [`draft`] and [`send`], which goes on by [`fan_out`] where there are many; [`history`] tells what became
//!   of it. Work that waits in rows is done by a [`worker`] each, whom the [`notifier`] wakes.
//! - The words of the tables and of the wire: [`kind`], [`channel`], [`priority`], [`status`].
//!
//! Around it are the rows: [`templates`], the system's words and the tenants' own, in versions; `engagement`, what is known
//! of the hours at which people read.

pub mod asked_time;
pub mod best_time;
pub mod carriers;
pub mod channel;
pub mod channel_driver;
pub mod charges;
pub mod choices;
pub mod decision;
pub mod digest;
mod digest_items;
pub mod digest_work;
pub mod dispatch;
pub mod draft;
pub mod effective_time;
mod engagement;
mod event_words;
pub mod event_work;
pub mod fan_out;
pub mod fan_out_work;
pub mod herald;
pub mod history;
pub mod inbox;
pub mod kind;
pub mod notifier;
mod preference_rows;
pub mod preferences;
pub mod priority;
pub mod quiet_hours;
pub mod readers;
pub mod recipients;
pub mod recurrence;
pub mod retry;
pub mod schedule;
pub mod send;
mod send_best;
pub mod send_limits;
pub mod status;
pub mod subscription_rows;
pub mod subscriptions;
pub mod template;
pub mod templates;
mod words;
pub mod worker;

pub use channel::Channel;
pub use dispatch::Notice;
pub use kind::NotificationType;
pub use priority::Priority;
pub use quiet_hours::QuietHours;
