//! `ChannelDriver`: what a channel makes of a notification.
//!
//! It is delivered at once, in the transaction that brings it into being, or it waits in the history until the channel's
//! [`Carrier`] takes it out of the house. `dispatch` asks the drivers; by its name it knows only the inbox, for two rules of
//! the product: what is scheduled waits for it, and what names no channel is its. The server starts a worker for each carrier
//! that a driver has.
//!
//! One more channel is a word of [`Channel`], which the CHECKs of the tables have, too; a file with its driver, and with
//! its carrier if it needs one; and a line in [`Channel::driver`].

use super::Channel;
use super::carriers::Carrier;
use super::carriers::email::EmailChannel;
use super::carriers::webhook::WebhookChannel;
use super::dispatch::{Plan, Terms};
use super::inbox::in_app::InAppChannel;
use super::recipients::Recipient;
use super::template::Rendered;
use crate::config::Notifications;
use crate::domain::{Clock, NotificationId, Result};
use crate::storage::outbox::NewEvent;
use crate::storage::{Conn, Db};
use futures_util::future::LocalBoxFuture;
use std::sync::Arc;

impl Channel {
    /// What this channel makes of a notification.
    pub const fn driver(self) -> &'static dyn ChannelDriver {
        match self {
            Self::InApp => &InAppChannel,
            Self::Webhook => &WebhookChannel,
            Self::Email => &EmailChannel,
        }
    }
}

/// See the module.
pub trait ChannelDriver {
    /// To which address it goes, and in which words; by itself to none, with title and text.
    fn envelope(&self, _recipient: &Recipient, words: &Rendered) -> Envelope {
        Envelope { address: None, subject: words.title.clone(), body_html: None }
    }

    /// The template of the system by which it tells of what was gathered for it.
    fn digest_template(&self) -> &'static str {
        "digest_in_app"
    }

    /// Delivers those of a batch that go out on it now, with as many statements for all as for one, and tells what became
    /// of each, in their order. By itself it delivers nothing: then they wait for its carrier. What must wait for a later
    /// time waits in any case.
    fn deliver<'a>(
        &'a self,
        _conn: &'a mut Conn,
        _outgoing: &'a [&'a Plan<'a>],
        _terms: Terms<'a>,
    ) -> LocalBoxFuture<'a, Result<Vec<Arrival>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Who carries what waits on it; nobody where all is delivered at once.
    fn carrier(&self, (_db, _clock): (&Db, &Clock), _settings: &Notifications) -> Option<Arc<dyn Carrier>> {
        None
    }
}

/// Where a notification goes on a channel, and in which words. Its text is the same on all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Where it goes, where that is not known otherwise.
    pub address: Option<String>,
    /// One line.
    pub subject: String,
    /// HTML, where the channel has it.
    pub body_html: Option<String>,
}

/// What became of a notification that a channel delivers at once.
#[derive(Debug)]
pub enum Arrival {
    /// It is in the inbox as this row, of which this event tells.
    New(NotificationId, NewEvent),
    /// It had been dispatched before.
    Repeated,
}
