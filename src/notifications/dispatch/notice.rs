//! `Notice`: one notification for one recipient, as it is handed to [`dispatch`](super::dispatch()).

use super::wordings::Wordings;
use crate::domain::{Locale, ScheduledId, TenantId, Timestamp, UserId};
use crate::notifications::decision::Trigger;
use crate::notifications::template::{Template, Variables};
use crate::notifications::{Channel, NotificationType, Priority};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Something to tell one user. What is told to many shares its message.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Whose user it is; a user of another tenant is not there.
    pub tenant: TenantId,
    /// Who is told.
    pub recipient: UserId,
    /// What they are told.
    pub message: Arc<Message>,
    /// How it came to be due.
    pub trigger: Trigger,
    /// Of which scheduled one it is: dispatched again, it comes once.
    pub scheduled: Option<ScheduledId>,
}

/// What is told, whoever it is told to.
#[derive(Debug)]
pub struct Message {
    /// What it is about.
    pub kind: NotificationType,
    /// How much it matters.
    pub priority: Priority,
    /// Its words.
    pub content: Content,
    /// What belongs to it beside the words.
    pub extras: Extras,
    /// Where it goes; none said: where its recipient wants it.
    pub channels: Option<BTreeSet<Channel>>,
}

/// The words of a message, or where they come from.
#[derive(Debug)]
pub enum Content {
    /// As they are.
    Words {
        /// One line.
        title: String,
        /// Text.
        body: String,
    },
    /// From a template, in the language of the recipient.
    Template {
        /// Its texts in each of its languages.
        wordings: Arc<Wordings>,
        /// Its variables.
        variables: Variables,
    },
}

impl Content {
    /// The template for somebody who reads these languages, the best first.
    pub(super) fn template(&self, locales: &[Locale]) -> Option<&Template> {
        match self {
            Self::Words { .. } => None,
            Self::Template { wordings, .. } => wordings.for_reader(locales),
        }
    }
}

/// What belongs to a message beside its words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extras {
    /// What to do about it.
    pub action: Option<Action>,
    /// The name of a picture.
    pub icon: Option<String>,
    /// Whatever the sender's program makes of it: a JSON object.
    pub data: Option<Variables>,
    /// From then on nobody is told, and it is in no inbox.
    pub expires_at: Option<Timestamp>,
}

/// What to do about a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Where it is done.
    pub url: String,
    /// What the button says.
    pub label: Option<String>,
}
