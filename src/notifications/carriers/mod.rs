//! Carriers: the ways by which notifications leave the house. The [driver](super::channel_driver) of a channel says who
//! carries what waits on it. (The inbox has none: what is in it has arrived.)
//!
//! The rows of the history are the queue. A [`CarrierWork`](work::CarrierWork) claims what is due on its channel by
//! lease, asks again whether it is wanted, and gives it to its [`Carrier`]. An outcome counts only with the token of the
//! claim: of two processes that had the same letter in hand, because one was slower than its lease, one is believed. A
//! process that dies leaves its lease behind, and when that is over the letter goes out again, under the same
//! name ([`Letter::name`]). What fails is tried again after 30, 60 and 120 seconds, and then has failed.

pub mod email;
mod follow_up;
mod queue;
mod smtp;
pub mod webhook;
pub mod work;

use super::dispatch::Extras;
use super::words::words;
use super::{Channel, NotificationType, Priority};
use crate::domain::{Committed, HistoryId, NotificationId, Result, TenantId, Timestamp, UserId};
use futures_util::future::LocalBoxFuture;
use std::time::Duration;

/// A way by which notifications leave the house.
pub trait Carrier: Send + Sync {
    /// What it does, for logs.
    fn name(&self) -> &'static str;

    /// Which letters it carries.
    fn channel(&self) -> Channel;

    /// How many it takes at once.
    fn at_once(&self) -> usize;

    /// How long they may be in hand: it is done with all that it takes at once well before. When a process dies with
    /// letters in hand, they go out so much later.
    fn lease(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Hands them over and writes down what became of each; gives what it committed to be told of.
    fn carry(&self, letters: Vec<Letter>) -> LocalBoxFuture<'_, Result<Option<Committed>>>;

    /// Looks after what was handed over and has not arrived yet; when to look again.
    fn follow_up(&self) -> LocalBoxFuture<'_, Result<Option<Timestamp>>> {
        Box::pin(async { Ok(None) })
    }
}

/// A row of the history that is in hand.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The row.
    pub id: HistoryId,
    /// Whose.
    pub tenant: TenantId,
    /// Who is told.
    pub user: UserId,
    /// What it is about.
    pub kind: NotificationType,
    /// Where, as it was when it was written.
    pub recipient: Option<String>,
    /// One line.
    pub subject: String,
    /// Text.
    pub body: String,
    /// HTML.
    pub body_html: Option<String>,
    /// How much it matters.
    pub priority: Priority,
    /// What belongs to it beside the words.
    pub extras: Extras,
    /// Its row in the inbox.
    pub in_app: Option<NotificationId>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When it was written.
    pub created_at: Timestamp,
    /// Of the claim.
    token: String,
}

impl Letter {
    /// The same at each attempt and another for each letter, so that a repeat can be known.
    pub fn name(&self) -> String {
        format!("notification-{}.{}", self.id, self.created_at.micros())
    }
}

words! {
    /// Why a letter was not carried.
    CarryFailure ("reason") {
        /// There is no such user any more.
        RecipientGone = "recipient_gone",
        /// It had expired.
        Expired = "expired",
        /// Its recipient turned the channel off in the meantime.
        TurnedOff = "turned_off",
        /// The channel is not set up.
        NotSetUp = "not_set_up",
        /// No webhook endpoint wants it.
        NoEndpoint = "no_endpoint",
        /// The receiving side refused it for good.
        Refused = "refused",
        /// It was tried as often as it may be.
        Exhausted = "exhausted",
    }
}

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handover {
    /// It was taken; what the channel calls it.
    Sent(String),
    /// It failed for good.
    Failed(CarryFailure, String),
    /// There is no such address.
    Bounced(String),
    /// It may go better later.
    Again(String),
    /// It is not to go before then, and why.
    Postponed(Timestamp, &'static str),
}
