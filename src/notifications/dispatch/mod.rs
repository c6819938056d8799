//! `dispatch`: the one way by which a notification comes into being, whoever wants it: a sender, the schedule, a
//! subscription or a digest.
//!
//! It takes a batch and runs in its caller's transaction, in a number of statements that does not depend on the
//! batch's size: it reads the recipients and their wishes, decides for each channel, renders, and writes inboxes,
//! history and digests. The inbox is delivered when that commits; other channels find their work in the history. What
//! is wrong with one notice is its outcome, and no other's.
//!
//! The events it gives back are the caller's to write, with `outbox::write`, last in the same transaction.

mod digests;
pub(super) mod events;
mod notice;
mod outcome;
mod plan;
mod renders;
mod rows;
mod wordings;

pub use notice::{Action, Content, Extras, Message, Notice};
pub use outcome::{Failure, FailureReason, Fate, Outcome, Sent};
pub use wordings::{Compiled, Wordings};

use super::best_time::Observation;
use super::charges::Charges;
use super::decision::Decision;
use super::{Channel, engagement, recipients};
use crate::domain::{NotificationId, Result, SocketId, Timestamp, UserId};
use crate::storage::Conn;
use crate::storage::outbox::NewEvent;
use digests::Gathered;
use plan::Plan;
use renders::Renders;
use rows::HistoryRow;
use std::collections::BTreeSet;

/// Notices of one batch at most.
pub const MOST: usize = 1_000;

/// What holds for a whole batch.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Who has had too many is left out, where a bound is given. The caller keeps what was charged after the commit.
    pub limits: Option<&'a Charges<'a>>,
    /// The connection that caused it, which is not told.
    pub except: Option<SocketId>,
    /// The time.
    pub now: Timestamp,
}

/// What a batch came to.
#[derive(Debug, Default)]
pub struct Dispatched {
    /// To be written last in the same transaction.
    pub events: Vec<NewEvent>,
    /// Of each notice, in their order.
    pub outcomes: Vec<Outcome>,
    /// Whether there is work now for a channel that has a queue.
    pub queued: bool,
}

/// Brings a batch of up to [`MOST`] notices into being.
pub async fn dispatch(conn: &mut Conn, notices: &[Notice], terms: Terms<'_>) -> Result<Dispatched> {
    if notices.is_empty() {
        return Ok(Dispatched::default());
    }
    let users: BTreeSet<UserId> = notices.iter().map(|notice| notice.recipient).collect();
    let recipients = recipients::read(conn, &users).await?;
    let (mut plans, mut outcomes, mut renders) = (Vec::new(), Vec::new(), Renders::default());
    for notice in notices {
        renders.take_turns().await;
        let recipient = recipients.get(&notice.recipient);
        match Plan::of(notice, recipient, || is_over(notice, terms), &mut renders, terms.now) {
            Ok(plan) => {
                plans.push(plan);
                outcomes.push(None);
            }
            Err(outcome) => outcomes.push(Some(outcome)),
        }
    }
    let inboxes = rows::write_inboxes(conn, &plans, terms.now).await?;
    let (plans, inboxes, repeats) = without_repeats(plans, inboxes);
    let gathered = digests::gather(conn, &plans, terms.now).await?;
    let mut history = failures(notices, &outcomes, terms.now);
    let mut dispatched = Dispatched::default();
    let (mut sent, mut came) = (Vec::new(), Vec::new());
    for (number, (plan, in_app)) in plans.iter().zip(inboxes).enumerate() {
        if let Some(id) = in_app {
            dispatched.events.push(events::created(plan, id, terms.except, terms.now)?);
            came.push((plan.owner(), Observation::sent(terms.now, &plan.recipient.wishes.zone)));
        }
        history.extend(history_of(plan, (number, in_app), &gathered, terms.now)?);
        sent.push(Sent { in_app, channels: fates(plan, number, &gathered, terms.now), repeated: false });
    }
    dispatched.queued = sent.iter().any(|one| is_queued(one, terms.now));
    rows::write_history(conn, history).await?;
    // Last, as others wait for these rows.
    engagement::note(conn, came).await?;
    dispatched.outcomes = woven(outcomes, sent, &repeats);
    Ok(dispatched)
}

fn is_over(notice: &Notice, terms: Terms<'_>) -> bool {
    let limits = terms.limits.filter(|_| !notice.message.priority.is_critical());
    limits.is_some_and(|limits| limits.admit_user(notice.recipient, terms.now).is_err())
}

/// Leaves out what is in its inbox already, by the number among the plans.
fn without_repeats(
    plans: Vec<Plan<'_>>,
    inboxes: Vec<Option<NotificationId>>,
) -> (Vec<Plan<'_>>, Vec<Option<NotificationId>>, BTreeSet<usize>) {
    let (mut kept, mut ids, mut repeats) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (number, (plan, id)) in plans.into_iter().zip(inboxes).enumerate() {
        if id.is_none() && matches!(plan.in_app(), Some(Decision::Send(_))) {
            repeats.insert(number);
        } else {
            kept.push(plan);
            ids.push(id);
        }
    }
    (kept, ids, repeats)
}

/// The outcomes of all, from those that were known and those of the plans.
fn woven(known: Vec<Option<Outcome>>, sent: Vec<Sent>, repeats: &BTreeSet<usize>) -> Vec<Outcome> {
    let (mut number, mut sent) = (0, sent.into_iter());
    let mut of_plan = || {
        let is_repeat = repeats.contains(&number);
        number += 1;
        let repeat = || Sent { repeated: true, ..Sent::default() };
        Outcome::Sent(if is_repeat { repeat() } else { sent.next().unwrap_or_default() })
    };
    known.into_iter().map(|outcome| outcome.unwrap_or_else(&mut of_plan)).collect()
}

/// The history of a plan: a row for each channel that it goes to, now or later, by itself or with others.
fn history_of(
    plan: &Plan<'_>,
    (number, in_app): (usize, Option<NotificationId>),
    gathered: &Gathered,
    now: Timestamp,
) -> Result<Vec<HistoryRow>> {
    let mut rows = Vec::new();
    for (channel, decision) in &plan.steps {
        if let Some(digest) = gathered.get(&(number, *channel)) {
            rows.push(HistoryRow::gathered(plan, *channel, *digest, now)?);
        }
        let waits_until = match (channel, decision, in_app) {
            (Channel::InApp, Decision::Send(reason), Some(id)) => {
                rows.push(HistoryRow::delivered(plan, id, *reason, now));
                None
            }
            (Channel::InApp, ..) | (_, Decision::Digest(..) | Decision::Skip(_), _) => None,
            (_, Decision::Send(reason), _) => Some((now, *reason)),
            (_, Decision::Defer(time), _) => Some((time.due_at, time.reason)),
        };
        if let Some(due) = waits_until {
            rows.push(HistoryRow::pending(plan, *channel, in_app, due, now)?);
        }
    }
    Ok(rows)
}

/// The history of what cannot be sent to somebody who is there. What was scheduled keeps that by itself, and may come
/// again.
fn failures(notices: &[Notice], outcomes: &[Option<Outcome>], now: Timestamp) -> Vec<HistoryRow> {
    let mut rows = Vec::new();
    for (notice, outcome) in notices.iter().zip(outcomes) {
        let Some(Outcome::Failed(failure)) = outcome else { continue };
        if failure.reason == FailureReason::RecipientGone || notice.scheduled.is_some() {
            continue;
        }
        let channels = notice.message.channels.clone().unwrap_or_else(|| BTreeSet::from([Channel::InApp]));
        rows.extend(channels.into_iter().map(|channel| HistoryRow::failed(notice, channel, failure, now)));
    }
    rows
}

fn fates(plan: &Plan<'_>, number: usize, gathered: &Gathered, now: Timestamp) -> Vec<(Channel, Fate)> {
    let fate = |(channel, decision): &(Channel, Decision)| {
        let fate = match decision {
            Decision::Send(reason) if *channel == Channel::InApp => Fate::Delivered(*reason),
            Decision::Send(reason) => Fate::Pending(now, *reason),
            Decision::Defer(time) => Fate::Pending(time.due_at, time.reason),
            Decision::Digest(_, window) => {
                Fate::Gathered(gathered.get(&(number, *channel)).map_or(window.due_at, |(_, due_at)| *due_at))
            }
            Decision::Skip(reason) => Fate::Skipped(*reason),
        };
        (*channel, fate)
    };
    plan.steps.iter().map(fate).collect()
}

fn is_queued(sent: &Sent, now: Timestamp) -> bool {
    sent.channels.iter().any(|(_, fate)| matches!(fate, Fate::Pending(due_at, _) if *due_at <= now))
}
