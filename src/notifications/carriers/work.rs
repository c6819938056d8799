//! `CarrierWork`: claims what is due on a channel, asks again whether it is wanted, and has it carried.

use super::{Carrier, CarryFailure, Handover, Letter, queue};
use crate::domain::{Clock, Result, Timestamp, UserId};
use crate::notifications::decision::{Decision, Question, SkipReason, Trigger};
use crate::notifications::herald::Herald;
use crate::notifications::recipients::{self, Recipient};
use crate::notifications::retry::RetryRule;
use crate::notifications::worker::{Turn, Work};
use crate::storage::{Conn, Db};
use futures_util::future::LocalBoxFuture;
use std::collections::BTreeSet;
use std::sync::Arc;

/// For a [`WorkerActor`](crate::notifications::worker::WorkerActor).
#[derive(Clone)]
pub struct CarrierWork {
    /// The rows.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Who is told of what was committed; nobody where there is no server.
    pub herald: Option<Herald>,
    /// Who carries.
    pub carrier: Arc<dyn Carrier>,
}

impl CarrierWork {
    /// Carries as many as the carrier takes at once.
    pub async fn carry_some(&self) -> Result<Turn> {
        let channel = self.carrier.channel();
        let terms = (self.carrier.at_once(), self.carrier.lease());
        let letters = queue::claim(&self.db, channel, terms, self.clock.now()).await?;
        if letters.is_empty() {
            let after = self.carrier.follow_up().await?;
            let next = queue::next_due(&self.db, channel).await?;
            return Ok(Turn::Sleep([after, next].into_iter().flatten().min()));
        }
        let wanted = self.leave_unwanted(letters).await?;
        if !wanted.is_empty()
            && let Some(committed) = self.carrier.carry(wanted).await?
            && let Some(herald) = &self.herald
        {
            herald.tell(committed);
        }
        Ok(Turn::Again)
    }

    /// Settles what is not to go, or not now, and gives the rest.
    async fn leave_unwanted(&self, letters: Vec<Letter>) -> Result<Vec<Letter>> {
        let (now, channel) = (self.clock.now(), self.carrier.channel());
        let users: BTreeSet<UserId> = letters.iter().map(|letter| letter.user).collect();
        let known = recipients::read(&mut self.db.read().await?, &users).await?;
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for mut letter in letters {
            let recipient = known.get(&letter.user).filter(|known| known.tenant == letter.tenant);
            if let Some(handover) = against(&letter, recipient, channel, now) {
                unwanted.push((letter, handover));
                continue;
            }
            // An address that was corrected in the meantime.
            letter.recipient = recipient.map(|known| known.email.clone());
            wanted.push(letter);
        }
        if !unwanted.is_empty() {
            let write = async |conn: &mut Conn| {
                for (letter, handover) in &unwanted {
                    queue::settle(conn, letter, handover, now).await?;
                }
                Ok(())
            };
            self.db.transaction(write).await?;
        }
        Ok(wanted)
    }
}

/// What speaks against sending it now.
fn against(
    letter: &Letter,
    recipient: Option<&Recipient>,
    channel: super::Channel,
    now: Timestamp,
) -> Option<Handover> {
    let failed = |reason, message: &str| Some(Handover::Failed(reason, message.to_owned()));
    let Some(recipient) = recipient else {
        return failed(CarryFailure::RecipientGone, "There is no such user any more.");
    };
    if letter.extras.expires_at.is_some_and(|at| at <= now) {
        return failed(CarryFailure::Expired, "It expired before it could be sent.");
    }
    if letter.attempt > RetryRule::default().max_retries + 1 {
        let message = "Its attempts came to no end: whoever made them died over them.";
        return failed(CarryFailure::Exhausted, message);
    }
    let (kind, priority) = (&letter.kind, letter.priority);
    let question = Question { kind, priority, channel, trigger: Trigger::Immediate };
    match Decision::on(question, &recipient.wishes, now) {
        Decision::Send(_) | Decision::Digest(..) => None,
        Decision::Defer(time) => Some(Handover::Postponed(time.due_at, time.reason.as_str())),
        Decision::Skip(SkipReason::TurnedOff) => {
            failed(CarryFailure::TurnedOff, "The channel was turned off before it could be sent.")
        }
    }
}

impl Work for CarrierWork {
    fn name(&self) -> &'static str {
        self.carrier.name()
    }

    fn turn(&self) -> LocalBoxFuture<'static, Result<Turn>> {
        let work = self.clone();
        Box::pin(async move { work.carry_some().await })
    }
}
