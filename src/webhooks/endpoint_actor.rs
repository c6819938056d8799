//! `EndpointActor`: one for each active endpoint; claims what is due, sends it, sleeps until there is more.
//!
//! While a lane is free it stands by (`domain::Standby`): what is written for it then comes leased, without a claim.
//!
//! Spoken to by the registry (`domain::ToEndpoint`). Mailbox: 256; a full one already holds a wake, so another may be
//! dropped, and what comes leased, of which there is no more than it has lanes, is handed back. It owns no truth: what
//! it holds is leased rows, and when it dies they are claimed again. It is not supervised: it ends when its endpoint is
//! gone or inactive, and the registry makes a new one on demand.

use super::attempt::{self, Job};
use super::books::Claimed;
use super::breaker::{Admission, Breaker, BreakerRule, BreakerState, Turn};
use super::delivery::Delivery;
use super::endpoint::Endpoint;
use super::endpoints::Works;
use super::judgement::{Judgement, Verdict};
use super::pace::Pace;
use super::queue::{Claim, Gate, Queue};
use super::strategy::DeliveryStrategy;
use crate::domain::standby::{Duty, Post};
use crate::domain::{EndpointId, Leased, Timestamp, ToEndpoint};
use actix::prelude::*;
use prometheus::IntGauge;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// After so long without a request its connections go.
const IDLE: Duration = Duration::from_secs(10);

/// Deliveries are held so long for want of anything but the endpoint's own speed.
const WORTH_HOLDING: Duration = Duration::from_secs(2);

pub(super) struct EndpointActor {
    id: EndpointId,
    works: Arc<Works>,
    queue: Queue<Delivery>,
    /// As its row said at the last claim, and moved on by what was heard since.
    breaker: Breaker,
    /// How many requests were told of.
    heard: u64,
    is_ordered: bool,
    pace: Option<Pace>,
    target: Option<Rc<attempt::Target>>,
    /// Of its row, as it was claimed with.
    revision: i32,
    last_sent: Instant,
    /// Whether somebody will look, by and by, if connections are still needed.
    is_watched: bool,
    alarm: Option<(Timestamp, SpawnHandle)>,
    post: Arc<Post>,
}

/// See the module.
const MAILBOX: usize = 256;

impl EndpointActor {
    pub(super) fn new(id: EndpointId, works: Arc<Works>) -> Self {
        let queue = Queue::new(works.lanes);
        let post = works.standby.post(id, Arc::clone(&works.owner));
        Self {
            id,
            works,
            queue,
            breaker: Breaker::default(),
            heard: 0,
            is_ordered: false,
            pace: None,
            target: None,
            revision: 0,
            last_sent: Instant::now(),
            is_watched: false,
            alarm: None,
            post,
        }
    }

    /// Carries out what the queue says.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        if self.works.is_draining() {
            self.let_go();
            return;
        }
        self.send_waiting(ctx);
        if let Some(claim) = self.queue.claim(self.works.clock.now()) {
            self.claim(claim, ctx);
        }
        self.post.set(self.duty().unwrap_or_default());
        self.set_alarm(ctx);
    }

    /// What may come leased: nothing to an endpoint whose breaker, rate or order decides what goes, or that was not
    /// looked at yet.
    fn duty(&self) -> Option<Duty> {
        let target = self.target.as_ref()?;
        let is_free = self.breaker == Breaker::default() && self.pace.is_none() && !self.is_ordered;
        let lanes = if is_free { self.queue.free_lanes(self.works.clock.now()) } else { 0 };
        Some(Duty { revision: self.revision, lanes, lasts: target.lease() })
    }

    /// Takes what was leased to it as it was written; what it may not send by now goes back to the rows.
    fn receive(&mut self, leased: Vec<Leased>) {
        let deliveries: Vec<Delivery> = leased.into_iter().map(Delivery::leased).collect();
        self.waiting_gauge().add(count(deliveries.len()));
        let is_free = self.breaker == Breaker::default() && self.pace.is_none() && !self.is_ordered;
        // Another actor of this endpoint may have stood by for them.
        if self.target.is_some() && self.queue.gate() == Gate::Open && is_free {
            self.queue.hold(deliveries);
        } else {
            self.hand_back(&deliveries);
            self.queue.wake(self.works.clock.now());
        }
    }

    fn claim(&mut self, claim: Claim, ctx: &mut Context<Self>) {
        let (works, id) = (Arc::clone(&self.works), self.id);
        let heard = self.heard;
        let asked = async move { works.ledger.claim(id, claim.room, claim.look_ahead).await };
        ctx.spawn(asked.into_actor(self).map(move |answer, actor, ctx| match answer {
            Ok(claimed) => actor.claimed(claim, claimed, heard == actor.heard, ctx),
            // The sweep finds what is due when the database is back.
            Err(_) => actor.queue.claim_failed(claim),
        }));
    }

    fn claimed(&mut self, claim: Claim, claimed: Claimed, is_current: bool, ctx: &mut Context<Self>) {
        let Some(endpoint) = claimed.endpoint else {
            self.works.ledger.hand_back(claimed.deliveries.iter().map(Delivery::lease).collect());
            ctx.stop();
            return;
        };
        let brings_probe = !claimed.deliveries.is_empty();
        if brings_probe && !claimed.breaker.is_closed() {
            // Another process opened it: a probe goes alone, and what was claimed before waits.
            let held = self.queue.clear();
            self.hand_back(&held);
        }
        // Of what was heard while the claim was made its row may not know yet; but a probe is a probe.
        if is_current || (brings_probe && !claimed.breaker.is_closed()) {
            self.breaker = claimed.breaker;
        }
        let is_paused = endpoint.is_paused;
        self.aim(endpoint);
        self.waiting_gauge().add(count(claimed.deliveries.len()));
        let is_probe = brings_probe || self.queue.holds_any();
        let gate = gate(&self.breaker, is_paused, is_probe, self.works.clock.now());
        // While nothing may go it does not matter what will be due; when it may, that is asked anew.
        let next_due = claimed.next_due.filter(|_| gate == Gate::Open);
        self.queue.claimed(claim, claimed.deliveries, next_due);
        self.set_gate(gate);
        self.advance(ctx);
    }

    /// Takes the endpoint as its row is now.
    fn aim(&mut self, endpoint: Endpoint) {
        let breaker = BreakerRule {
            threshold: endpoint.breaker_threshold.unwrap_or(self.works.breaker.threshold),
            open_for: endpoint.breaker_open.unwrap_or(self.works.breaker.open_for),
        };
        (self.revision, self.is_ordered) = (endpoint.revision, endpoint.is_ordered);
        let lanes = if self.is_ordered { 1 } else { endpoint.concurrency.unwrap_or(self.works.lanes) };
        match endpoint.rate_per_minute {
            Some(rate) if self.pace.is_some_and(|pace| pace.is_of(rate)) => {}
            None if self.pace.is_none() => {}
            rate => {
                self.pace = rate.map(Pace::per_minute);
                self.queue.hold_off_no_longer();
            }
        }
        let same = self.target.take().filter(|target| target.is_of(&endpoint, breaker));
        let target = same.unwrap_or_else(|| {
            let means = (&self.works.vault, &self.works.outbound);
            Rc::new(attempt::Target::new(endpoint, breaker, means))
        });
        let share = target.sender().most();
        let worth = self.pace.map_or(usize::MAX, |pace| pace.worth().saturating_mul(share));
        self.queue.shape(lanes, worth, share);
        self.target = Some(target);
    }

    fn set_gate(&mut self, gate: Gate) {
        let unwanted = self.queue.set_gate(gate);
        self.hand_back(&unwanted);
    }

    fn hand_back(&self, unwanted: &[Delivery]) {
        self.waiting_gauge().sub(count(unwanted.len()));
        self.works.ledger.hand_back(unwanted.iter().map(Delivery::lease).collect());
    }

    fn waiting_gauge(&self) -> IntGauge {
        self.works.metrics.webhook_deliveries.with_label_values(&["waiting"])
    }

    fn send_waiting(&mut self, ctx: &mut Context<Self>) {
        let Some(target) = self.target.clone() else { return };
        self.drop_stale(&target);
        while self.queue.may_take() {
            let now = self.works.clock.now();
            if let Some(Err(at)) = self.pace.as_mut().map(|pace| pace.take(now)) {
                self.put_off(at, now);
                return;
            }
            let Some(first) = self.queue.take() else { return };
            let lease_until = first.lease_until;
            let mut deliveries = vec![first];
            let fits = |taken: &[Delivery], next: &Delivery| target.sender().fits(taken, next);
            while let Some(next) = self.queue.take_along(deliveries.len(), |next| fits(&deliveries, next)) {
                deliveries.push(next);
            }
            self.waiting_gauge().sub(count(deliveries.len()));
            self.watch(ctx);
            let job = Job { works: Arc::clone(&self.works), target: Rc::clone(&target), deliveries };
            let (tell, told) = oneshot::channel();
            // Not one of the context's futures: it would poll all of them whenever one can go on, and an attempt
            // is written down even when this actor ends.
            actix::spawn(attempt::make(job, tell));
            let heard = told.into_actor(self);
            ctx.spawn(
                heard.map(move |judgement, actor, ctx| actor.finished(judgement.ok(), lease_until, ctx)),
            );
        }
    }

    /// Hands back what could not be sent and written down within its lease any more, to be claimed anew.
    fn drop_stale(&mut self, target: &attempt::Target) {
        let needed = target.lease_needed(self.works.clock.now());
        let mut stale = self.queue.drop_stale(|delivery| delivery.lease_until < needed);
        if self.is_ordered && !stale.is_empty() {
            // Those behind them must not go first.
            stale.extend(self.queue.start_over());
        }
        self.hand_back(&stale);
    }

    /// Nothing goes before `at`, because of the rate. What would have to wait long is handed back: its lease would
    /// not last.
    fn put_off(&mut self, at: Timestamp, now: Timestamp) {
        if at.since(now) > WORTH_HOLDING {
            let unwanted = self.queue.hold_off(at);
            self.hand_back(&unwanted);
        } else {
            self.queue.sleep_until(Some(at));
        }
    }

    /// A request under a lease to `lease_until` is over, with what follows from it, or without that when it was not
    /// made.
    fn finished(&mut self, judgement: Option<Judgement>, lease_until: Timestamp, ctx: &mut Context<Self>) {
        let verdict = judgement.map(|j| j.verdict);
        let retry_at = match verdict {
            Some(Verdict::Retry(at)) => Some(at),
            _ => None,
        };
        match verdict {
            Some(verdict) => self.queue.finished(verdict == Verdict::Delivered, retry_at),
            None => self.queue.not_made(),
        }
        let has_ended = matches!(verdict, Some(Verdict::Delivered | Verdict::Failed));
        if self.is_ordered && !(has_ended && self.queue.holds_any()) {
            // Those behind it have to wait for it; or, where it was the last of those that are held, a claim that was
            // made meanwhile has found nothing: what is in flight stands in the way of what follows.
            let unwanted = self.queue.start_over();
            self.hand_back(&unwanted);
        }
        if let Some(judgement) = judgement {
            self.heard += 1;
            self.heed(judgement, lease_until);
        }
        self.advance(ctx);
    }

    /// What the request means for those that follow.
    fn heed(&mut self, judgement: Judgement, lease_until: Timestamp) {
        let now = self.works.clock.now();
        let Some(rule) = self.target.as_ref().map(|target| target.breaker()) else { return };
        match self.breaker.record(judgement.sign, lease_until, rule, now) {
            Some(Turn::Closed) => self.queue.start_slowly(),
            Some(Turn::Opened) | None => {}
        }
        if judgement.disable.is_some() {
            self.set_gate(Gate::Shut);
            // A look at the row ends this actor.
            self.queue.start_over();
        } else if self.queue.gate() != Gate::Shut {
            self.set_gate(gate(&self.breaker, false, false, now));
        }
    }

    /// Something is sent; once nothing was for a while, connections go.
    fn watch(&mut self, ctx: &mut Context<Self>) {
        self.last_sent = Instant::now();
        if !std::mem::replace(&mut self.is_watched, true) {
            ctx.run_later(IDLE, Self::rest_if_idle);
        }
    }

    fn rest_if_idle(&mut self, ctx: &mut Context<Self>) {
        let left = IDLE.saturating_sub(self.last_sent.elapsed());
        self.is_watched = !left.is_zero();
        if self.is_watched {
            ctx.run_later(left, Self::rest_if_idle);
        } else if let Some(target) = &self.target {
            target.sender().rest();
        }
    }

    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        let at = self.queue.wakes_at();
        if self.alarm.map(|(at, _)| at) == at {
            return;
        }
        if let Some((_, handle)) = self.alarm.take() {
            ctx.cancel_future(handle);
        }
        self.alarm = at.map(|at| (at, ctx.run_later(at.since(self.works.clock.now()), Self::ring)));
    }

    fn ring(&mut self, ctx: &mut Context<Self>) {
        self.alarm = None;
        self.queue.tick(self.works.clock.now());
        self.advance(ctx);
    }

    fn let_go(&mut self) {
        self.post.set(Duty::default());
        let held = self.queue.clear();
        self.hand_back(&held);
    }
}

impl Actor for EndpointActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.advance(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.let_go();
        self.works.standby.leave(self.id, &self.post);
    }
}

impl Handler<ToEndpoint> for EndpointActor {
    type Result = ();

    fn handle(&mut self, wake: ToEndpoint, ctx: &mut Self::Context) {
        let now = self.works.clock.now();
        self.queue.tick(now);
        match wake {
            ToEndpoint::Look => self.queue.wake(now),
            ToEndpoint::Send(leased) => self.receive(leased),
        }
        self.advance(ctx);
    }
}

/// Whether the endpoint may be sent to; a probe that was just claimed may go.
fn gate(breaker: &Breaker, is_paused: bool, is_probe: bool, now: Timestamp) -> Gate {
    match (breaker.state, breaker.admits(now)) {
        _ if is_paused => Gate::Shut,
        (BreakerState::HalfOpen { .. }, _) if is_probe => Gate::Open,
        // The next claim that finds something due brings the probe, and that alone.
        (_, Admission::Free | Admission::Probe) => Gate::Open,
        (_, Admission::Wait(until)) => Gate::Until(until),
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
