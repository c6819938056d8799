//! `Plan`: what is to be written of a notice, or why nothing is.

use super::notice::Notice;
use super::outcome::{FailureReason, Outcome};
use super::renders::Renders;
use crate::domain::{TenantId, Timestamp, UserId};
use crate::notifications::Channel;
use crate::notifications::decision::{Decision, Question, SkipReason};
use crate::notifications::effective_time::EffectiveTime;
use crate::notifications::recipients::Recipient;
use crate::notifications::template::Rendered;
use std::sync::Arc;

/// A notice that is going to be written down.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The notice.
    pub notice: &'a Notice,
    /// Who is told.
    pub recipient: &'a Recipient,
    /// In which words.
    pub words: Arc<Rendered>,
    /// What is done on each of its channels.
    pub(super) steps: Vec<(Channel, Decision)>,
}

impl<'a> Plan<'a> {
    /// Decides for a recipient, if there is one. Whether that one has had as many as may be (`is_over`) is asked when all
    /// else is well: it counts.
    pub(super) fn of(
        notice: &'a Notice,
        recipient: Option<&'a Recipient>,
        is_over: impl FnOnce() -> bool,
        renders: &mut Renders,
        now: Timestamp,
    ) -> Result<Self, Outcome> {
        let recipient = recipient.filter(|recipient| recipient.tenant == notice.tenant);
        let recipient = recipient
            .ok_or_else(|| Outcome::failed(FailureReason::RecipientGone, "There is no such user."))?;
        let message = &notice.message;
        if let Some(at) = message.extras.expires_at.filter(|at| *at <= now) {
            return Err(Outcome::failed(FailureReason::Expired, format!("It expired at {at}.")));
        }
        let steps = steps(notice, recipient, now);
        if let Some(outcome) = not_now(notice, &steps) {
            return Err(outcome);
        }
        let words = renders.words(message, message.content.template(&recipient.locales));
        let words = words.map_err(|e| Outcome::failed(FailureReason::TemplateError, e))?;
        if is_over() {
            let sentence = "The user has had as many notifications as may be sent to one at a time.";
            return Err(Outcome::failed(FailureReason::RateLimited, sentence));
        }
        Ok(Self { notice, recipient, words, steps })
    }

    /// Whose inbox it is for.
    pub(super) fn owner(&self) -> (TenantId, UserId) {
        (self.notice.tenant, self.notice.recipient)
    }

    /// Whether it goes out on this channel now.
    pub(super) fn goes_out_on(&self, channel: Channel) -> bool {
        self.steps.iter().any(|(on, decision)| *on == channel && matches!(decision, Decision::Send(_)))
    }
}

fn steps(notice: &Notice, recipient: &Recipient, now: Timestamp) -> Vec<(Channel, Decision)> {
    let message = &notice.message;
    let channels = message.channels.clone().unwrap_or_else(|| recipient.wishes.preferred(&message.kind));
    let decided = |channel| {
        let question =
            Question { kind: &message.kind, priority: message.priority, channel, trigger: notice.trigger };
        (channel, Decision::on(question, &recipient.wishes, now))
    };
    channels.into_iter().map(decided).collect()
}

/// What is not wanted anywhere, and what was scheduled and must wait: for the inbox, or for the first of its channels
/// where it does not go there. A channel that must wait by itself does so in its queue. That the inbox goes before others is
/// a rule of the product, so it has its name here: no driver is asked.
fn not_now(notice: &Notice, steps: &[(Channel, Decision)]) -> Option<Outcome> {
    let wanted: Vec<&(Channel, Decision)> =
        steps.iter().filter(|(_, decision)| !matches!(decision, Decision::Skip(_))).collect();
    if wanted.is_empty() {
        return Some(Outcome::Skipped(SkipReason::TurnedOff));
    }
    let waits = |decision: &Decision| match decision {
        Decision::Defer(time) => Some(time.clone()),
        _ => None,
    };
    let in_app = wanted.iter().find(|(channel, _)| *channel == Channel::InApp);
    let first_of_all = || {
        let times: Option<Vec<EffectiveTime>> = wanted.iter().map(|(_, decision)| waits(decision)).collect();
        times?.into_iter().min_by_key(|time| time.due_at)
    };
    let time = match in_app {
        Some((_, decision)) => waits(decision),
        None if notice.scheduled.is_some() => first_of_all(),
        None => None,
    };
    time.map(Outcome::Deferred)
}
