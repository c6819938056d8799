//! `Batcher`: the queue of one receiver of Pusher webhooks. Pure: events and the time in, batches out.
//!
//! Up to [`BATCH_EVENTS`] events go together, and none waits longer than [`BATCH_WAIT`] for company. One batch is
//! out at a time, so the order is kept. A batch that fails is tried again after 1 s, 2 s, 4 s, … up to
//! [`LONGEST_PAUSE`], for [`PATIENCE`] from its last event; then it is given up, and so is what waited behind it
//! for longer than that. The pauses go on over batches until one is taken: a dead receiver is not hurried.
//!
//! The answer to full: the oldest events that wait give way, because the newest say how things stand.

use super::format::Note;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most events of one batch.
pub const BATCH_EVENTS: usize = 20;
/// How long an event may wait for others.
pub const BATCH_WAIT: Duration = Duration::from_millis(250);
/// How long an event is tried.
pub const PATIENCE: Duration = Duration::from_mins(5);
/// Most events that may wait.
pub const MAX_EVENTS: usize = 10_000;
/// Most bytes of JSON that may wait.
pub const MAX_BYTES: usize = 4 << 20;
/// Most time between two tries.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Pauses differ by up to so many percent, so that receivers which failed together are not tried together.
const JITTER_PERCENT: u64 = 10;

/// See the module.
#[derive(Debug, Default)]
pub struct Batcher {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    batch: Option<Batch>,
    failures: u32,
    retry_at: Option<Instant>,
    hurried: bool,
}

#[derive(Debug)]
struct Waiting {
    note: Note,
    since: Instant,
}

#[derive(Debug)]
struct Batch {
    notes: Arc<[Note]>,
    /// When it is given up.
    until: Instant,
    /// Whether it is on its way.
    out: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send these and report.
    Send(Arc<[Note]>),
    /// Ask again then.
    Wait(Instant),
    /// Nothing, until something is pushed or reported.
    Rest,
}

impl Batcher {
    /// Takes an event; how many older ones it pushed out.
    pub fn push(&mut self, note: Note, now: Instant) -> usize {
        let mut dropped = 0;
        while self.waiting.len() >= MAX_EVENTS || self.bytes + note.json.len() > MAX_BYTES {
            if self.pop().is_none() {
                break;
            }
            dropped += 1;
        }
        self.bytes += note.json.len();
        self.waiting.push_back(Waiting { note, since: now });
        dropped
    }

    /// Gives up what waits for too long; how many events that were.
    pub fn expire(&mut self, now: Instant) -> usize {
        let before = self.waiting.len();
        while self.waiting.front().is_some_and(|first| now >= first.since + PATIENCE) {
            self.pop();
        }
        before - self.waiting.len()
    }

    /// What to do now.
    pub fn step(&mut self, now: Instant) -> Step {
        if self.batch.as_ref().is_some_and(|batch| batch.out) {
            return Step::Rest;
        }
        if self.is_empty() {
            return Step::Rest;
        }
        if let Some(at) = self.retry_at.filter(|at| *at > now) {
            return Step::Wait(at);
        }
        if self.batch.is_none() {
            match self.sealed_at() {
                Some(at) if at > now => return Step::Wait(at),
                _ => self.seal(now),
            }
        }
        match &mut self.batch {
            Some(batch) => {
                batch.out = true;
                Step::Send(batch.notes.clone())
            }
            None => Step::Rest,
        }
    }

    /// The batch that was out was taken; how many events it had.
    pub fn taken(&mut self) -> usize {
        (self.failures, self.retry_at) = (0, None);
        self.batch.take().map_or(0, |batch| batch.notes.len())
    }

    /// The batch that was out was not taken; `seed` is any random number. How many events were given up, which
    /// is none when the batch will be tried again.
    pub fn refused(&mut self, now: Instant, seed: u64) -> usize {
        let at = now + pause(self.failures, seed);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(at);
        if let Some(batch) = &mut self.batch {
            batch.out = false;
        }
        self.batch.take_if(|batch| at > batch.until).map_or(0, |batch| batch.notes.len())
    }

    /// From now on nothing waits for company, and the first try is at once: the process is ending.
    pub fn hurry(&mut self) {
        (self.hurried, self.failures, self.retry_at) = (true, 0, None);
    }

    /// Events that were not taken yet, those on their way included.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.batch.as_ref().map_or(0, |batch| batch.notes.len())
    }

    /// Whether there is nothing to send and nothing on its way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the next batch is complete; `None` = it is.
    fn sealed_at(&self) -> Option<Instant> {
        if self.hurried || self.waiting.len() >= BATCH_EVENTS {
            return None;
        }
        self.waiting.front().map(|first| first.since + BATCH_WAIT)
    }

    fn seal(&mut self, now: Instant) {
        let mut since = now;
        let mut next = || self.pop().map(|waiting| (since = waiting.since, waiting.note).1);
        let notes: Arc<[Note]> = std::iter::from_fn(&mut next).take(BATCH_EVENTS).collect();
        self.batch = (!notes.is_empty()).then(|| Batch { notes, until: since + PATIENCE, out: false });
    }

    fn pop(&mut self) -> Option<Waiting> {
        let first = self.waiting.pop_front()?;
        self.bytes -= first.note.json.len();
        Some(first)
    }
}

/// How long to wait after so many failures and one more.
fn pause(failures: u32, seed: u64) -> Duration {
    let planned = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_PAUSE);
    let planned = u64::try_from(planned.as_millis()).unwrap_or(u64::MAX);
    let spread = planned * JITTER_PERCENT / 100;
    Duration::from_millis(planned - spread + seed % (2 * spread + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use proptest::prelude::*;

    fn note(n: usize) -> Note {
        Note { json: n.to_string().into(), at: Timestamp::from_micros(0).unwrap() }
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// The numbers of the notes that are to be sent.
    fn sent(step: Step) -> Vec<usize> {
        match step {
            Step::Send(notes) => notes.iter().map(|note| note.json.parse().unwrap()).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn batcher(events: usize, now: Instant) -> Batcher {
        let mut batcher = Batcher::default();
        for n in 0..events {
            assert_eq!(batcher.push(note(n), now), 0);
        }
        batcher
    }

    #[test]
    fn an_event_waits_a_quarter_of_a_second_for_others() {
        let zero = Instant::now();
        let mut batcher = batcher(1, zero);
        assert_eq!(batcher.step(zero), Step::Wait(zero + BATCH_WAIT));
        batcher.push(note(1), zero + ms(249));
        assert_eq!(batcher.step(zero + ms(249)), Step::Wait(zero + BATCH_WAIT));
        assert_eq!(sent(batcher.step(zero + BATCH_WAIT)), [0, 1]);
        assert_eq!(batcher.step(zero + BATCH_WAIT), Step::Rest);
        assert_eq!(batcher.taken(), 2);
        assert_eq!(batcher.step(zero + BATCH_WAIT), Step::Rest);
    }

    #[test]
    fn twenty_events_go_at_once_and_the_rest_wait_their_time() {
        let zero = Instant::now();
        let mut batcher = batcher(21, zero);
        assert_eq!(sent(batcher.step(zero)), (0..20).collect::<Vec<_>>());
        batcher.taken();
        assert_eq!(batcher.step(zero), Step::Wait(zero + BATCH_WAIT));
    }

    #[test]
    fn a_refused_batch_goes_again_as_it_was_before_what_came_later() {
        let zero = Instant::now();
        let mut batcher = batcher(1, zero);
        assert_eq!(sent(batcher.step(zero + BATCH_WAIT)), [0]);
        batcher.push(note(1), zero + BATCH_WAIT);
        let failed = zero + ms(300);
        assert_eq!(batcher.refused(failed, 100), 0);
        // A seed in the middle of the spread is no jitter.
        assert_eq!(batcher.step(failed), Step::Wait(failed + ms(1_000)));
        assert_eq!(sent(batcher.step(failed + ms(1_000))), [0]);
        batcher.taken();
        assert_eq!(sent(batcher.step(failed + ms(1_000))), [1]);
    }

    /// Refuses whatever is sent until something is given up; the seconds of the tries, how much, and when.
    fn refuse_all(batcher: &mut Batcher, zero: Instant) -> (Vec<u64>, usize, Instant) {
        let (mut now, mut tries) = (zero, Vec::new());
        loop {
            match batcher.step(now) {
                Step::Send(_) => {
                    tries.push((now - zero).as_secs());
                    let planned = FIRST_PAUSE.saturating_mul(1 << (tries.len() - 1)).min(LONGEST_PAUSE);
                    // A seed in the middle of the spread is no jitter.
                    let given_up = batcher.refused(now, u64::try_from(planned.as_millis()).unwrap() / 10);
                    if given_up > 0 {
                        return (tries, given_up, now);
                    }
                }
                Step::Wait(at) => now = at,
                Step::Rest => panic!("it rests with a batch at hand"),
            }
        }
    }

    #[test]
    fn a_receiver_that_is_away_is_tried_for_five_minutes_and_ever_less_often() {
        let zero = Instant::now();
        let mut batcher = batcher(20, zero);
        let (tries, given_up, _) = refuse_all(&mut batcher, zero);
        assert_eq!(given_up, 20);
        assert_eq!(tries, [0, 1, 3, 7, 15, 31, 61, 91, 121, 151, 181, 211, 241, 271]);
        assert!(batcher.is_empty());
    }

    #[test]
    fn what_waited_behind_a_batch_that_was_given_up_has_its_own_five_minutes_and_no_haste() {
        let zero = Instant::now();
        let mut batcher = batcher(20, zero);
        let (_, _, now) = refuse_all(&mut batcher, zero);
        batcher.push(note(20), now);
        assert_eq!(batcher.step(now), Step::Wait(now + LONGEST_PAUSE));
        assert_eq!(batcher.expire(now + ms(299_999)), 0);
        assert_eq!(batcher.expire(now + PATIENCE), 1);
    }

    #[test]
    fn a_full_queue_lets_the_oldest_go() {
        let zero = Instant::now();
        let mut batcher = batcher(MAX_EVENTS, zero);
        assert_eq!(sent(batcher.step(zero))[0], 0);
        for n in 0..BATCH_EVENTS {
            assert_eq!(batcher.push(note(MAX_EVENTS + n), zero), 0, "the batch on its way takes no room");
        }
        assert_eq!(batcher.push(note(0), zero), 1);
        batcher.taken();
        assert_eq!(sent(batcher.step(zero))[0], BATCH_EVENTS + 1);

        let large = |n: usize| Note { json: "x".repeat(n).into(), at: note(0).at };
        let mut batcher = Batcher::default();
        assert_eq!((0..3).map(|_| batcher.push(large(MAX_BYTES / 2), zero)).sum::<usize>(), 1);
        assert_eq!(batcher.push(large(MAX_BYTES), zero), 2);
    }

    #[test]
    fn a_batcher_in_a_hurry_waits_for_nobody() {
        let zero = Instant::now();
        let mut batcher = batcher(1, zero);
        assert!(matches!(batcher.step(zero), Step::Wait(_)));
        batcher.hurry();
        assert_eq!(sent(batcher.step(zero)), [0]);
        batcher.refused(zero, 0);
        assert!(matches!(batcher.step(zero), Step::Wait(at) if at < zero + ms(1_001)));
    }

    #[derive(Debug, Clone)]
    enum Act {
        Push(u8),
        Report(bool, u64),
        Pass(u16),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            3 => (1..60_u8).prop_map(Act::Push),
            2 => (any::<bool>(), any::<u64>()).prop_map(|(taken, seed)| Act::Report(taken, seed)),
            2 => (0..40_000_u16).prop_map(Act::Pass),
        ];
        proptest::collection::vec(act, 1..300)
    }

    proptest! {
        /// Whatever happens: events are taken in order and once, none is lost without being counted, no batch is
        /// larger than it may be, one is out at a time, and the batcher never waits longer than it should.
        #[test]
        fn order_sizes_and_deadlines_hold(acts in acts()) {
            let (mut now, mut batcher) = (Instant::now(), Batcher::default());
            let (mut pushed, mut taken, mut lost) = (0_usize, Vec::new(), 0);
            let mut out: Option<Vec<usize>> = None;
            for act in acts {
                match act {
                    Act::Push(count) => for _ in 0..count {
                        lost += batcher.push(note(pushed), now);
                        pushed += 1;
                    },
                    Act::Pass(millis) => now += ms(millis.into()),
                    Act::Report(ok, seed) => if let Some(batch) = out.take() {
                        if ok {
                            prop_assert_eq!(batcher.taken(), batch.len());
                            taken.extend(batch);
                        } else {
                            lost += batcher.refused(now, seed);
                        }
                    },
                }
                lost += batcher.expire(now);
                match batcher.step(now) {
                    Step::Send(notes) => {
                        prop_assert!(out.is_none());
                        prop_assert!((1..=BATCH_EVENTS).contains(&notes.len()));
                        out = Some(sent(Step::Send(notes)));
                    }
                    Step::Wait(at) => {
                        prop_assert!(out.is_none() && !batcher.is_empty());
                        prop_assert!(at > now && at <= now + LONGEST_PAUSE * 11 / 10);
                    }
                    Step::Rest => prop_assert!(out.is_some() || batcher.is_empty()),
                }
            }
            prop_assert!(taken.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(taken.len() + lost + batcher.len(), pushed);
        }
    }
}
