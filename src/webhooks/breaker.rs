//! `Breaker`: whether an endpoint is sent to, by what its last attempts came to. Pure.
//!
//! Closed: everything goes. After `threshold` failed attempts in a row it opens: for `open_for` nothing is sent,
//! and what is due waits with its number of attempts unchanged. Then one delivery, the oldest, goes out as a
//! probe (half-open): its success closes the breaker, its failure opens it again. A probe that is never heard of
//! counts as lost when its lease has run out, and another one goes.
//!
//! Beside it stands a pause that an endpoint asks for (`Retry-After`): nothing is sent before it is over. An
//! endpoint that says when it wants more is alive, so that is no failure.

use crate::domain::Timestamp;
use std::time::Duration;

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRule {
    /// Failed attempts in a row; at least 1.
    pub threshold: u32,
    /// From opening to the probe.
    pub open_for: Duration,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Deliveries go out.
    Closed,
    /// Nothing goes out before `probe_at`.
    Open {
        /// When one delivery may go.
        probe_at: Timestamp,
    },
    /// One delivery is out.
    HalfOpen {
        /// When it counts as lost.
        lost_at: Timestamp,
    },
}

/// What may be claimed just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Whatever there is room for.
    Free,
    /// One delivery; call [`Breaker::probe`] when there was one.
    Probe,
    /// Nothing before then.
    Wait(Timestamp),
}

/// What an attempt says about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It answers as it should.
    Good,
    /// It does not.
    Bad,
    /// It asks not to be called before then.
    Busy(Timestamp),
}

/// A change worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It opened, or opened again after a probe that failed.
    Opened,
    /// It closed.
    Closed,
}

/// One endpoint's breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// Where it stands.
    pub state: BreakerState,
    /// Attempts that failed one after another.
    pub failures: u32,
    /// The end of the pause that the endpoint asked for.
    pub deferred_until: Option<Timestamp>,
}

impl Default for Breaker {
    /// Closed, and nothing has failed.
    fn default() -> Self {
        Self { state: BreakerState::Closed, failures: 0, deferred_until: None }
    }
}

impl Breaker {
    /// What may be claimed `now`.
    pub fn admits(&self, now: Timestamp) -> Admission {
        let pause = self.deferred_until.filter(|until| *until > now);
        let gate = match self.state {
            BreakerState::Closed => return pause.map_or(Admission::Free, Admission::Wait),
            BreakerState::Open { probe_at: gate } | BreakerState::HalfOpen { lost_at: gate } => gate,
        };
        match pause.max(Some(gate).filter(|gate| *gate > now)) {
            Some(until) => Admission::Wait(until),
            None => Admission::Probe,
        }
    }

    /// A probe was claimed; it counts as lost at `lost_at`.
    pub const fn probe(&mut self, lost_at: Timestamp) {
        self.state = BreakerState::HalfOpen { lost_at };
    }

    /// Counts an attempt under a lease to `lease_until` that ended `now`. In half-open its lease tells the probe
    /// from an attempt that began before the breaker opened and was long on its way: that one decides nothing.
    pub fn record(
        &mut self,
        sign: Sign,
        lease_until: Timestamp,
        rule: BreakerRule,
        now: Timestamp,
    ) -> Option<Turn> {
        let is_probe = self.state == BreakerState::HalfOpen { lost_at: lease_until };
        match sign {
            Sign::Good => self.good(is_probe, now),
            Sign::Bad => self.bad(is_probe, rule, now),
            Sign::Busy(until) => {
                self.deferred_until = self.deferred_until.max(Some(until));
                // A probe that is told to wait is as good as one that is answered: somebody is there.
                is_probe.then(|| self.close())
            }
        }
    }

    fn good(&mut self, is_probe: bool, now: Timestamp) -> Option<Turn> {
        self.deferred_until = self.deferred_until.filter(|until| *until > now);
        match self.state {
            BreakerState::Closed => {
                self.failures = 0;
                None
            }
            // Without `is_probe` it was on its way when the others failed; the hour stands.
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } => is_probe.then(|| self.close()),
        }
    }

    fn bad(&mut self, is_probe: bool, rule: BreakerRule, now: Timestamp) -> Option<Turn> {
        self.failures = self.failures.saturating_add(1);
        let opens = match self.state {
            BreakerState::Closed => self.failures >= rule.threshold,
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } => is_probe,
        };
        opens.then(|| {
            self.state = BreakerState::Open { probe_at: now.plus(rule.open_for) };
            Turn::Opened
        })
    }

    fn close(&mut self) -> Turn {
        self.state = BreakerState::Closed;
        self.failures = 0;
        Turn::Closed
    }

    /// Whether deliveries go out freely, the endpoint's own pause apart.
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, BreakerState::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: BreakerRule = BreakerRule { threshold: 5, open_for: Duration::from_hours(1) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    /// When the leases ended of what was claimed while it was closed.
    fn early() -> Timestamp {
        at(-1)
    }

    fn after(signs: &[Sign]) -> (Breaker, Vec<Turn>) {
        let mut breaker = Breaker::default();
        let turns =
            signs.iter().zip(0..).filter_map(|(s, n)| breaker.record(*s, early(), HOUR, at(n))).collect();
        (breaker, turns)
    }

    #[test]
    fn five_failures_in_a_row_open_it_for_an_hour() {
        let (four, none) = after(&[Sign::Bad; 4]);
        assert_eq!((four.admits(at(4)), none), (Admission::Free, vec![]));
        let (open, turns) = after(&[Sign::Bad; 5]);
        assert_eq!(turns, [Turn::Opened]);
        assert_eq!(open.admits(at(5)), Admission::Wait(at(3_604)));
        assert_eq!(open.admits(at(3_603)), Admission::Wait(at(3_604)));
        assert_eq!(open.admits(at(3_604)), Admission::Probe);
    }

    #[test]
    fn a_success_in_between_starts_the_count_afresh() {
        let mut signs = vec![Sign::Bad; 4];
        signs.push(Sign::Good);
        signs.extend([Sign::Bad; 4]);
        assert_eq!(after(&signs), (Breaker { failures: 4, ..Breaker::default() }, vec![]));
    }

    #[test]
    fn attempts_that_were_on_their_way_change_nothing_when_it_is_open() {
        let (mut open, _) = after(&[Sign::Bad; 5]);
        let state = open.state;
        assert_eq!(open.record(Sign::Bad, early(), HOUR, at(9)), None);
        assert_eq!(open.record(Sign::Good, early(), HOUR, at(9)), None);
        assert_eq!(open.state, state);
    }

    #[test]
    fn one_probe_goes_and_decides() {
        let (mut open, _) = after(&[Sign::Bad; 5]);
        open.probe(at(3_650));
        assert_eq!(open.admits(at(3_610)), Admission::Wait(at(3_650)), "one at a time");
        assert_eq!(open.admits(at(3_650)), Admission::Probe, "nothing was heard of it");
        let mut closed = open;
        assert_eq!(closed.record(Sign::Good, at(3_650), HOUR, at(3_611)), Some(Turn::Closed));
        assert_eq!(closed, Breaker::default());
        assert_eq!(open.record(Sign::Bad, at(3_650), HOUR, at(3_611)), Some(Turn::Opened));
        assert_eq!(open.admits(at(3_611)), Admission::Wait(at(7_211)));
    }

    #[test]
    fn an_attempt_that_began_before_the_breaker_opened_does_not_decide_it() {
        let (mut open, _) = after(&[Sign::Bad; 5]);
        open.probe(at(3_650));
        for sign in [Sign::Good, Sign::Bad, Sign::Busy(at(3_620))] {
            assert_eq!(open.record(sign, early(), HOUR, at(3_612)), None, "{sign:?}");
            assert_eq!(open.state, BreakerState::HalfOpen { lost_at: at(3_650) }, "{sign:?}");
        }
        assert_eq!(open.record(Sign::Good, at(3_650), HOUR, at(3_613)), Some(Turn::Closed));
    }

    #[test]
    fn an_endpoint_that_asks_for_a_pause_gets_it_and_is_not_held_to_have_failed() {
        let (mut breaker, turns) = after(&[Sign::Busy(at(100)); 9]);
        assert!(turns.is_empty() && breaker.failures == 0);
        assert_eq!(breaker.admits(at(99)), Admission::Wait(at(100)));
        assert_eq!(breaker.admits(at(100)), Admission::Free);
        breaker.record(Sign::Busy(at(50)), early(), HOUR, at(10));
        assert_eq!(breaker.admits(at(60)), Admission::Wait(at(100)), "the longest pause stands");
    }

    #[test]
    fn a_pause_outlasts_the_hour_of_an_open_breaker() {
        let (mut open, _) = after(&[Sign::Bad; 5]);
        open.record(Sign::Busy(at(9_000)), early(), HOUR, at(6));
        assert_eq!(open.admits(at(4_000)), Admission::Wait(at(9_000)));
        assert_eq!(open.admits(at(9_000)), Admission::Probe);
    }

    proptest! {
        /// Whatever comes back in whatever order: no more is admitted than the rule allows.
        #[test]
        fn an_open_breaker_lets_one_probe_an_hour_through(signs in proptest::collection::vec(0..3_u8, 0..60)) {
            let (mut breaker, mut row, mut opened) = (Breaker::default(), 0, None);
            for (sign, n) in signs.iter().zip(0_i64..) {
                let now = at(n * 600);
                let mut lease_until = early();
                match breaker.admits(now) {
                    Admission::Wait(until) => {
                        prop_assert!(until > now);
                        continue;
                    }
                    Admission::Probe => {
                        prop_assert!(opened.is_none_or(|then: Timestamp| now >= then.plus(HOUR.open_for)));
                        lease_until = now.plus(Duration::from_secs(40));
                        breaker.probe(lease_until);
                    }
                    Admission::Free => prop_assert!(breaker.is_closed()),
                }
                let sign = if *sign == 0 { Sign::Good } else { Sign::Bad };
                row = if sign == Sign::Good { 0 } else { row + 1 };
                if breaker.record(sign, lease_until, HOUR, now) == Some(Turn::Opened) {
                    prop_assert!(row >= 5);
                    opened = Some(now);
                }
            }
        }
    }
}
