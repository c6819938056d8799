//! `dispatch`: the one way by which a notification comes into being, whoever wants it: a sender, the schedule, a
//! subscription or a digest.
//!
//! It takes a batch and runs in its caller's transaction, in a number of statements that does not depend on the
//! batch's size: it reads the recipients and their wishes, decides for each channel, renders, and writes inboxes,
//! history and digests. What a [driver](super::channel_driver) delivers at once has arrived when that commits; other channels
//! find their work in the history. What is wrong with one notice is its outcome, and no other's.
//!
//! The events it gives back are the caller's to write, with `outbox::write`, last in the same transaction.

mod digests;
mod notice;
mod outcome;
mod plan;
mod renders;
mod rows;
mod wordings;

pub use notice::{Action, Content, Extras, Message, Notice};
pub use outcome::{Failure, FailureReason, Fate, Outcome, Sent};
pub use plan::Plan;
pub(super) use rows::text;
pub use wordings::{Compiled, Wordings};

use super::best_time::Observation;
use super::channel_driver::Arrival;
use super::charges::Charges;
use super::decision::Decision;
use super::{Channel, engagement, recipients};
use crate::domain::{NotificationId, Result, SocketId, Timestamp, UserId};
use crate::storage::Conn;
use crate::storage::outbox::NewEvent;
use digests::Gathered;
use renders::Renders;
use rows::HistoryRow;
use std::collections::{BTreeMap, BTreeSet};

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
    let arrivals = deliver(conn, &plans, terms).await?;
    let (plans, arrivals, repeats) = without_repeats(plans, arrivals);
    let gathered = digests::gather(conn, &plans, terms.now).await?;
    let mut history = failures(notices, &outcomes, terms.now);
    let mut dispatched = Dispatched::default();
    let (mut sent, mut came) = (Vec::new(), Vec::new());
    for (number, (plan, arrivals)) in plans.iter().zip(arrivals).enumerate() {
        history.extend(history_of(plan, (number, &arrivals), &gathered, terms.now)?);
        let channels = fates(plan, (number, &arrivals), &gathered, terms.now);
        sent.push(Sent { in_app: in_app(&arrivals), channels, repeated: false });
        for arrival in arrivals.into_values() {
            if let Arrival::New(_, event) = arrival {
                dispatched.events.push(event);
                came.push((plan.owner(), Observation::sent(terms.now, &plan.recipient.wishes.zone)));
            }
        }
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

/// What was delivered at once of one notice, by channel.
type Arrivals = BTreeMap<Channel, Arrival>;

/// Has the channels deliver at once what they do: for each plan, what came of it.
async fn deliver(conn: &mut Conn, plans: &[Plan<'_>], terms: Terms<'_>) -> Result<Vec<Arrivals>> {
    let mut arrivals: Vec<Arrivals> = plans.iter().map(|_| Arrivals::new()).collect();
    for channel in Channel::ALL {
        let going = plans.iter().zip(&mut arrivals).filter(|(plan, _)| plan.goes_out_on(*channel));
        let (outgoing, places): (Vec<&Plan<'_>>, Vec<&mut Arrivals>) = going.unzip();
        if outgoing.is_empty() {
            continue;
        }
        let arrived = channel.driver().deliver(conn, &outgoing, terms).await?;
        for (place, arrival) in places.into_iter().zip(arrived) {
            place.insert(*channel, arrival);
        }
    }
    Ok(arrivals)
}

/// Its row in the inbox, if it came there.
fn in_app(arrivals: &Arrivals) -> Option<NotificationId> {
    arrivals.values().find_map(|arrival| match arrival {
        Arrival::New(id, _) => Some(*id),
        Arrival::Repeated => None,
    })
}

/// Leaves out what had been dispatched before, by the number among the plans.
fn without_repeats(
    plans: Vec<Plan<'_>>,
    arrivals: Vec<Arrivals>,
) -> (Vec<Plan<'_>>, Vec<Arrivals>, BTreeSet<usize>) {
    let (mut kept, mut theirs, mut repeats) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (number, (plan, arrivals)) in plans.into_iter().zip(arrivals).enumerate() {
        if arrivals.values().any(|arrival| matches!(arrival, Arrival::Repeated)) {
            repeats.insert(number);
        } else {
            kept.push(plan);
            theirs.push(arrivals);
        }
    }
    (kept, theirs, repeats)
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
    (number, arrivals): (usize, &Arrivals),
    gathered: &Gathered,
    now: Timestamp,
) -> Result<Vec<HistoryRow>> {
    let in_app = in_app(arrivals);
    let mut rows = Vec::new();
    for (channel, decision) in &plan.steps {
        let row = match decision {
            Decision::Send(reason) => match arrivals.get(channel) {
                Some(Arrival::New(id, _)) => Ok(HistoryRow::delivered(plan, *channel, *id, *reason, now)),
                _ => HistoryRow::pending(plan, *channel, in_app, (now, *reason), now),
            },
            Decision::Defer(time) => {
                HistoryRow::pending(plan, *channel, in_app, (time.due_at, time.reason), now)
            }
            Decision::Digest(..) => match gathered.get(&(number, *channel)) {
                Some(digest) => HistoryRow::gathered(plan, *channel, *digest, now),
                None => continue,
            },
            Decision::Skip(_) => continue,
        };
        rows.push(row?);
    }
    Ok(rows)
}

/// The history of what cannot be sent to somebody who is there; where nobody said on which channels, it is the inbox's,
/// where all goes that says nothing. What was scheduled keeps that by itself, and may come again.
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

fn fates(
    plan: &Plan<'_>,
    (number, arrivals): (usize, &Arrivals),
    gathered: &Gathered,
    now: Timestamp,
) -> Vec<(Channel, Fate)> {
    let fate = |(channel, decision): &(Channel, Decision)| {
        let fate = match decision {
            Decision::Send(reason) if arrivals.contains_key(channel) => Fate::Delivered(*reason),
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
