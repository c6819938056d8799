//! `Outcome`: what became of a notice.

use crate::domain::{NotificationId, Timestamp};
use crate::notifications::Channel;
use crate::notifications::decision::SkipReason;
use crate::notifications::effective_time::{DueReason, EffectiveTime};
use crate::notifications::words::words;

/// What became of one notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is written down, and on its way where it is not there yet.
    Sent(Sent),
    /// It is too early: nothing was written. Only of what was scheduled.
    Deferred(EffectiveTime),
    /// Its recipient does not want it; nothing was written.
    Skipped(SkipReason),
    /// It cannot be sent. Of what was not scheduled the history tells.
    Failed(Failure),
}

/// A notice that was written down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Its row in the inbox, if it went there.
    pub in_app: Option<NotificationId>,
    /// What was done on each of its channels.
    pub channels: Vec<(Channel, Fate)>,
    /// It had been dispatched before, and nothing was done now.
    pub repeated: bool,
}

/// What became of a notice on one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It arrived.
    Delivered(DueReason),
    /// It waits for the channel until then.
    Pending(Timestamp, DueReason),
    /// It is gathered with others, and told with them then.
    Gathered(Timestamp),
    /// It is not wanted there.
    Skipped(SkipReason),
}

words! {
    /// Why a notice cannot be sent.
    FailureReason ("reason") {
        /// There is no such user, or not any more.
        RecipientGone = "recipient_gone",
        /// It had expired.
        Expired = "expired",
        /// The template does not work with these variables.
        TemplateError = "template_error",
        /// The recipient has had too many.
        RateLimited = "rate_limited",
    }
}

/// Why a notice cannot be sent, and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub reason: FailureReason,
    /// For people, in a sentence.
    pub message: String,
}

impl Outcome {
    /// A failure with its sentence, which may quote what the sender said: PostgreSQL takes no NUL.
    pub(super) fn failed(reason: FailureReason, message: impl Into<String>) -> Self {
        Self::Failed(Failure { reason, message: message.into().replace('\0', "\u{FFFD}") })
    }

    /// The word for it in answers: `sent`, `deferred`, `skipped` or `failed`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Sent(_) => "sent",
            Self::Deferred(_) => "deferred",
            Self::Skipped(_) => "skipped",
            Self::Failed(_) => "failed",
        }
    }
}
