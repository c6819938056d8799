//! The schedule: notifications that go out at a time, once or again and again.
//!
//! A row is made with the words it will be sent with, and with the time at which it is due: the time asked for, or the
//! end of its recipient's quiet hours, or their best time (`due`). While it waits it can be moved and called off ([`change`]). When it is
//! due it is claimed by a lease (`claim`) and handed to `dispatch`, its end written in the same transaction
//! (`deliver`); what recurs has its next row there, too. A lease that ran out is claimed anew, and an end counts only
//! with the token of the claim, so a row is delivered once, whoever dies when.

pub mod change;
mod claim;
mod create;
mod deliver;
mod due;
mod endings;
mod input;
mod list;
mod pace;
mod plan;
mod preview;
mod resource;
mod row;
mod share;
mod standing;
mod work;

pub use claim::Claim;
pub use create::create;
pub use input::{Wanted, parse};
pub use list::{ScheduledFilter, list};
pub use plan::{Planned, plan};
pub use preview::{PreviewResource, preview};
pub use resource::{ScheduledResource, find};
pub use standing::{Standing, standing};
pub use work::{Counts, Listeners, Scheduler};

/// Rows of one request, of one claim and of one transaction at most.
pub const MOST: usize = 1_000;
