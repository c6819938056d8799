//! `Queue`: what one endpoint's actor does next: claim, send, or sleep until when. Pure.
//!
//! It holds few deliveries: rows are the queue, this is the part of it that is leased. A claim grows while the
//! endpoint keeps up and falls back when an attempt fails, so that a dead endpoint holds few leases.

use crate::domain::Timestamp;
use std::collections::VecDeque;

/// Deliveries held at most.
pub const MAX_HELD: usize = 128;

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
    hold: usize,
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
            hold: lanes.min(MAX_HELD),
            more: true,
            claiming: false,
            look_ahead: true,
            wakes_at: None,
        }
    }

    /// Rows may have become due.
    pub fn wake(&mut self) {
        self.more = true;
    }

    /// The time is `now`: what was to wait until then waits no longer.
    pub fn tick(&mut self, now: Timestamp) {
        if self.wakes_at.is_some_and(|at| at <= now) {
            self.wakes_at = None;
            self.more = true;
            self.look_ahead = true;
        }
    }

    /// The claim to make now, if one is wanted: one at a time, and not before half of the last is gone.
    pub fn claim(&mut self) -> Option<Claim> {
        if !self.more || self.claiming || self.waiting.len() * 2 > self.hold {
            return None;
        }
        self.claiming = true;
        self.more = false;
        Some(Claim { room: self.hold - self.waiting.len(), look_ahead: std::mem::take(&mut self.look_ahead) })
    }

    /// What a claim brought, and when the next delivery is due, if that was asked.
    pub fn claimed(&mut self, claim: Claim, rows: Vec<T>, next_due: Option<Timestamp>) {
        self.claiming = false;
        if rows.len() >= claim.room {
            self.more = true;
            self.hold = (self.hold * 2).min(MAX_HELD.max(self.lanes));
        }
        self.waiting.extend(rows);
        self.sleep_until(next_due);
    }

    /// A claim that came to nothing; whoever watches the rows wakes the queue again.
    pub fn claim_failed(&mut self, claim: Claim) {
        self.claiming = false;
        self.look_ahead |= claim.look_ahead;
    }

    /// The delivery to send now, if a lane is free.
    pub fn take(&mut self) -> Option<T> {
        if self.in_flight >= self.lanes {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.in_flight += 1;
        Some(next)
    }

    /// An attempt is over; `retry_at` is when its delivery is due again.
    pub fn finished(&mut self, ok: bool, retry_at: Option<Timestamp>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if !ok {
            self.hold = self.lanes.min(MAX_HELD);
        }
        self.sleep_until(retry_at);
    }

    /// When to [`tick`](Self::tick) next.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        self.wakes_at
    }

    /// Whether nothing is held, in flight or asked for.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight == 0 && !self.claiming
    }

    /// Lets go of what is held and not in flight; returns how many that were.
    pub fn clear(&mut self) -> usize {
        let held = self.waiting.len();
        self.waiting.clear();
        held
    }

    fn sleep_until(&mut self, at: Option<Timestamp>) {
        self.wakes_at = [self.wakes_at, at].into_iter().flatten().min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    fn filled(lanes: usize, rows: usize) -> Queue<usize> {
        let mut queue = Queue::new(lanes);
        let claim = queue.claim().unwrap();
        queue.claimed(claim, (0..rows).collect(), None);
        queue
    }

    #[test]
    fn it_begins_with_a_look_at_the_rows() {
        let mut queue = Queue::<()>::new(8);
        let claim = queue.claim().unwrap();
        assert_eq!(claim, Claim { room: 8, look_ahead: true });
        assert_eq!(queue.claim(), None, "one claim at a time");
        queue.claimed(claim, Vec::new(), Some(at(60)));
        assert_eq!((queue.claim(), queue.wakes_at()), (None, Some(at(60))));
        assert!(queue.is_idle());
    }

    #[test]
    fn no_more_is_in_flight_than_there_are_lanes() {
        let mut queue = filled(2, 2);
        queue.wake();
        assert_eq!((queue.take(), queue.take(), queue.take()), (Some(0), Some(1), None));
        let claim = queue.claim().unwrap();
        queue.claimed(claim, vec![2], None);
        assert_eq!(queue.take(), None);
        queue.finished(true, None);
        assert_eq!(queue.take(), Some(2));
    }

    #[test]
    fn a_wake_during_a_claim_is_not_lost() {
        let mut queue = Queue::<()>::new(8);
        let claim = queue.claim().unwrap();
        queue.wake();
        queue.claimed(claim, Vec::new(), None);
        assert_eq!(queue.claim(), Some(Claim { room: 8, look_ahead: false }));
    }

    #[test]
    fn claims_grow_while_the_endpoint_keeps_up_and_fall_back_when_it_fails() {
        let mut queue = filled(8, 8);
        assert_eq!(queue.claim().map(|c| c.room), Some(8), "half of 16 is free");
        queue.claimed(Claim { room: 8, look_ahead: false }, (0..8).collect(), None);
        assert_eq!(queue.claim(), Some(Claim { room: 16, look_ahead: false }));
        queue.claim_failed(Claim { room: 16, look_ahead: false });
        while queue.take().is_some() {
            queue.finished(false, Some(at(60)));
        }
        queue.wake();
        assert_eq!(queue.claim().map(|c| c.room), Some(8));
        assert_eq!(queue.wakes_at(), Some(at(60)));
    }

    #[test]
    fn never_more_than_its_bound_is_held() {
        let mut queue = filled(8, 8);
        for _ in 0..100 {
            if let Some(claim) = queue.claim() {
                queue.claimed(claim, vec![0; claim.room], None);
            }
        }
        assert_eq!(queue.clear(), MAX_HELD);
    }

    #[test]
    fn the_earliest_time_wakes_it() {
        let mut queue = filled(8, 2);
        let _ = (queue.take(), queue.take());
        queue.finished(false, Some(at(300)));
        queue.finished(false, Some(at(60)));
        queue.tick(at(59));
        assert_eq!(queue.claim(), None);
        queue.tick(at(60));
        assert_eq!(queue.claim(), Some(Claim { room: 8, look_ahead: true }));
        assert_eq!(queue.wakes_at(), None);
    }

    #[test]
    fn a_failed_claim_is_made_again_when_woken() {
        let mut queue = Queue::<()>::new(8);
        let claim = queue.claim().unwrap();
        queue.claim_failed(claim);
        assert_eq!(queue.claim(), None);
        queue.wake();
        assert_eq!(queue.claim(), Some(claim));
    }
}
