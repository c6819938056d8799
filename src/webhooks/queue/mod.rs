//! `Queue`: what one endpoint's actor does next: claim, send, or sleep until when. Pure.
//!
//! It holds few deliveries: rows are the queue, this is the part of it that is leased. A claim grows while the
//! endpoint keeps up and falls back when an attempt fails, so that a dead endpoint holds few leases.
//!
//! In flight it begins with one and adds one for each success (1, 2, 4 … a round trip) up to its lanes; a failure
//! halves that. So an endpoint that hangs holds little, and one that has just come back is not run over. While
//! its gate is shut, because the breaker is open or its owner paused it, nothing is sent, and rows are looked at
//! no more than once a second, in case somebody opened it by hand.

use crate::domain::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// Deliveries held at most.
pub const MAX_HELD: usize = 128;

/// How often rows are looked at while there is no need to, at most.
const LOOK: Duration = Duration::from_secs(1);

/// Whether anything may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Open,
    /// Not before then.
    Until(Timestamp),
    /// Not until somebody says so.
    Shut,
}

/// A claim to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// How many deliveries there is room for.
    pub room: usize,
    /// Whether to ask when the next one will be due.
    pub look_ahead: bool,
}

/// The leased deliveries of one endpoint, in the order they were due.
#[derive(Debug)]
pub struct Queue<T> {
    waiting: VecDeque<T>,
    in_flight: usize,
    lanes: usize,
    /// In flight at most just now, as the endpoint has earned it.
    window: usize,
    /// Held at most, because more would outlive its leases.
    worth: usize,
    /// One request takes so many at most.
    share: usize,
    /// One request takes so many just now: what is too much for the endpoint is halved until it is not, or until one
    /// delivery that it refuses fails alone.
    batch: usize,
    hold_at_most: usize,
    gate: Gate,
    /// Nothing is claimed before then: the endpoint's rate lets nothing more go.
    held_off: Option<Timestamp>,
    /// When rows may be looked at although the gate is shut.
    look_at: Option<Timestamp>,
    claimed_at: Option<Timestamp>,
    /// There may be rows that are due.
    more: bool,
    claiming: bool,
    look_ahead: bool,
    wakes_at: Option<Timestamp>,
}

impl<T> Queue<T> {
    /// An empty queue that sends `lanes` deliveries at once. It begins by looking at the rows.
    pub fn new(lanes: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            in_flight: 0,
            lanes,
            window: 1,
            worth: usize::MAX,
            share: 1,
            batch: usize::MAX,
            held_off: None,
            hold_at_most: lanes.min(MAX_HELD),
            gate: Gate::Open,
            look_at: None,
            claimed_at: None,
            more: true,
            claiming: false,
            look_ahead: true,
            wakes_at: None,
        }
    }

    /// From now on so many lanes, so many deliveries held at most, and so many of them in one request, as the
    /// endpoint's row says.
    pub fn shape(&mut self, lanes: usize, worth: usize, share: usize) {
        (self.lanes, self.worth, self.share) = (lanes.max(1), worth.max(1), share.clamp(1, MAX_HELD));
        self.window = self.window.min(self.lanes);
        self.hold_at_most = self.hold_at_most.max(self.share).min(self.worth);
    }

    /// Rows may have become due, or the gate may have been opened by hand.
    pub fn wake(&mut self, now: Timestamp) {
        if let Some(at) = self.look_at.filter(|at| self.gate != Gate::Open && now < *at) {
            self.sleep_until(Some(at));
        } else {
            self.more = true;
            self.look_at = Some(now.plus(LOOK));
        }
    }

    /// Opens or shuts the gate. What was held and may not go now is handed back.
    pub fn set_gate(&mut self, gate: Gate) -> Vec<T> {
        if self.gate != Gate::Open && gate == Gate::Open {
            (self.more, self.look_ahead) = (true, true);
        }
        self.gate = gate;
        match gate {
            Gate::Open => Vec::new(),
            Gate::Until(at) => {
                self.sleep_until(Some(at));
                self.waiting.drain(..).collect()
            }
            Gate::Shut => self.waiting.drain(..).collect(),
        }
    }

    /// Whether anything may be sent.
    pub fn gate(&self) -> Gate {
        self.gate
    }

    /// Begins again with one in flight, and looks at the rows.
    pub fn start_slowly(&mut self) {
        self.window = 1;
        (self.more, self.look_ahead) = (true, true);
    }

    /// Whether deliveries are held that are not in flight.
    pub fn holds_any(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Hands back what is held and stale, and looks at the rows again if there was any.
    pub fn drop_stale(&mut self, is_stale: impl Fn(&T) -> bool) -> Vec<T> {
        if !self.waiting.iter().any(&is_stale) {
            return Vec::new();
        }
        let (stale, fresh): (Vec<T>, Vec<T>) = self.waiting.drain(..).partition(is_stale);
        self.waiting = fresh.into();
        (self.more, self.look_ahead) = (true, true);
        stale
    }

    /// An attempt was not made, for want of time: that says nothing of the endpoint.
    pub fn not_made(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        (self.more, self.look_ahead) = (true, true);
    }

    /// The time is `now`: what was to wait until then waits no longer.
    pub fn tick(&mut self, now: Timestamp) {
        if self.wakes_at.is_some_and(|at| at <= now) {
            self.wakes_at = None;
            self.more = true;
            self.look_ahead = true;
        }
    }

    /// The claim to make now, if one is wanted: one at a time, and not before half of the last is gone or a second
    /// is over: with it comes what the endpoint's owner has changed.
    pub fn claim(&mut self, now: Timestamp) -> Option<Claim> {
        let is_early = self.claimed_at.is_some_and(|then| now < then.plus(LOOK));
        let is_held_off = self.held_off.is_some_and(|at| now < at);
        if !self.more
            || self.claiming
            || ((self.waiting.len() * 2 > self.hold_at_most || is_held_off) && is_early)
        {
            return None;
        }
        self.claiming = true;
        self.more = false;
        self.claimed_at = Some(now);
        // With no room it is a look at the endpoint's row.
        let room = if is_held_off { 0 } else { self.hold_at_most.saturating_sub(self.waiting.len()) };
        Some(Claim { room, look_ahead: std::mem::take(&mut self.look_ahead) })
    }

    /// What a claim brought, and when the next delivery is due, if that was asked.
    pub fn claimed(&mut self, claim: Claim, rows: Vec<T>, next_due: Option<Timestamp>) {
        self.claiming = false;
        self.more |= claim.room > 0 && rows.len() >= claim.room;
        if rows.len() >= claim.room.max(1) {
            self.hold_at_most = (self.hold_at_most * 2).min(MAX_HELD.max(self.lanes)).min(self.worth);
        }
        self.waiting.extend(rows);
        self.sleep_until(next_due);
    }

    /// A claim that came to nothing; whoever watches the rows wakes the queue again.
    pub fn claim_failed(&mut self, claim: Claim) {
        self.claiming = false;
        self.look_ahead |= claim.look_ahead;
    }

    /// How many deliveries that nobody knows of yet could go at once: none while there may be rows that wait.
    pub fn free_lanes(&self, now: Timestamp) -> usize {
        let is_held_off = self.held_off.is_some_and(|at| now < at);
        if self.more || is_held_off || self.gate != Gate::Open {
            return 0;
        }
        self.window.saturating_sub(self.in_flight + self.waiting.len())
    }

    /// Deliveries that came leased, without a claim.
    pub fn hold(&mut self, leased: impl IntoIterator<Item = T>) {
        self.waiting.extend(leased);
    }

    /// Whether there is a delivery to send now, and a lane for it.
    pub fn may_take(&self) -> bool {
        self.in_flight < self.window && self.gate == Gate::Open && !self.waiting.is_empty()
    }

    /// The delivery to send now, if there is one.
    pub fn take(&mut self) -> Option<T> {
        if !self.may_take() {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.in_flight += 1;
        Some(next)
    }

    /// Another delivery for the request that was just [taken](Self::take) and has so many, if the next one fits.
    pub fn take_along(&mut self, taken: usize, fits: impl FnOnce(&T) -> bool) -> Option<T> {
        if taken >= self.batch.min(self.share) {
            return None;
        }
        self.waiting.pop_front_if(|next| fits(next))
    }

    /// Hands back what is held, and claims nothing before `at`. Rows are looked at meanwhile, once a second at most.
    pub fn hold_off(&mut self, at: Timestamp) -> Vec<T> {
        self.held_off = Some(at);
        self.more = false;
        self.sleep_until(Some(at));
        self.waiting.drain(..).collect()
    }

    /// The rate is another: what was held off for the old one may be claimed.
    pub fn hold_off_no_longer(&mut self) {
        self.more |= self.held_off.take().is_some();
    }

    /// A request is over; `retry_at` is when the first of its deliveries is due again.
    pub fn finished(&mut self, ok: bool, retry_at: Option<Timestamp>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if ok {
            self.window = (self.window + 1).min(self.lanes);
            self.batch = self.batch.saturating_mul(2);
        } else {
            self.batch = (self.batch.min(self.share) / 2).max(1);
            self.window = (self.window / 2).max(1);
            self.hold_at_most = self.lanes.min(MAX_HELD).max(self.share).min(self.worth);
        }
        self.sleep_until(retry_at);
    }

    /// Hands back what is held and not in flight, and looks at the rows again.
    pub fn start_over(&mut self) -> Vec<T> {
        (self.more, self.look_ahead) = (true, true);
        self.waiting.drain(..).collect()
    }

    /// Sleeps at least until then, with what is held.
    pub fn sleep_until(&mut self, at: Option<Timestamp>) {
        self.wakes_at = [self.wakes_at, at].into_iter().flatten().min();
    }

    /// When to [`tick`](Self::tick) next.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        self.wakes_at
    }

    /// Whether nothing is held, in flight or asked for.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight == 0 && !self.claiming
    }

    /// Hands back what is held and not in flight.
    pub fn clear(&mut self) -> Vec<T> {
        self.waiting.drain(..).collect()
    }
}

#[cfg(test)]
mod tests;
