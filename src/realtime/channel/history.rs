//! `History`: the last messages of a channel, bounded by count, bytes and age, each with its offset. Pure.
//!
//! It answers one question without ever lying: everything after a position, or that this cannot be had.

use crate::config::Channels;
use crate::domain::{Epoch, EventId, Position, SocketId, Timestamp};
use crate::realtime::frame::Frame;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// What an entry costs beside its text.
const OVERHEAD: usize = 160;

/// Bounds of one history.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Entries.
    pub messages: usize,
    /// Bytes.
    pub bytes: usize,
    /// Age of an entry; zero = nothing is kept.
    pub age: Duration,
    /// What all histories of this process hold and may hold together.
    pub total: Arc<Total>,
}

impl Bounds {
    /// The bounds of the settings, with a total of their own.
    pub fn of(channels: &Channels) -> Self {
        Self {
            messages: channels.history_messages,
            bytes: channels.history_bytes,
            age: Duration::from_secs(channels.history_seconds),
            total: Arc::new(Total::new(channels.history_total_bytes)),
        }
    }
}

/// The bytes that all histories of a process hold together.
#[derive(Debug)]
pub struct Total {
    used: AtomicUsize,
    limit: usize,
}

impl Total {
    /// None held yet, and at most so many.
    pub const fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }

    fn exceeded(&self) -> bool {
        self.used.load(Relaxed) > self.limit
    }
}

/// A message that was published.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place in the stream.
    pub offset: u64,
    /// As it was sent.
    pub frame: Arc<Frame>,
    /// The connection that was not told.
    pub except: Option<SocketId>,
    /// The last row of the outbox at or before this entry: its own, when it comes from one.
    pub row: EventId,
    /// Whether it comes from no row, so that it is gone with the process.
    pub volatile: bool,
    /// When it was published.
    pub at: Timestamp,
}

/// What a client missed cannot be had completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap;

/// The last messages.
#[derive(Debug)]
pub struct History {
    epoch: Epoch,
    entries: VecDeque<Entry>,
    /// The offset of the last entry that was let go, and its row: what comes after it is complete.
    floor: (u64, EventId),
    last_volatile: u64,
    bytes: usize,
    bounds: Bounds,
}

impl History {
    /// An empty one.
    pub const fn new(epoch: Epoch, bounds: Bounds) -> Self {
        let floor = (0, EventId(0));
        Self { epoch, entries: VecDeque::new(), floor, last_volatile: 0, bytes: 0, bounds }
    }

    /// Says, while it is empty, that rows up to this one were published before and are not in it.
    pub const fn start_after(&mut self, row: EventId) {
        self.floor.1 = row;
    }

    /// The offset that the next entry must have.
    pub fn next_offset(&self) -> u64 {
        self.last_offset() + 1
    }

    /// The offset of the last message published, kept or not.
    pub fn last_offset(&self) -> u64 {
        self.entries.back().map_or(self.floor.0, |entry| entry.offset)
    }

    /// The last row published.
    pub fn last_row(&self) -> EventId {
        self.entries.back().map_or(self.floor.1, |entry| entry.row)
    }

    /// The end of the stream.
    pub fn head(&self) -> Position {
        Position { epoch: self.epoch, offset: self.last_offset() }
    }

    /// What was published before this is let go.
    pub fn window(&self, now: Timestamp) -> Timestamp {
        now.minus(self.bounds.age)
    }

    /// A client that broke off before this is not waited for any more: long after anything is left for it, so
    /// that a late one is still told of its gap.
    pub fn horizon(&self, now: Timestamp) -> Timestamp {
        now.minus(self.bounds.age * 5)
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes the next message: its frame, whom it was not told, and its row if it comes from one.
    pub fn push(
        &mut self,
        frame: Arc<Frame>,
        except: Option<SocketId>,
        row: Option<EventId>,
        now: Timestamp,
    ) {
        let offset = self.next_offset();
        if row.is_none() {
            self.last_volatile = offset;
        }
        let (volatile, row) = (row.is_none(), row.unwrap_or(self.last_row()));
        self.held(frame.text.len() + OVERHEAD);
        self.entries.push_back(Entry { offset, frame, except, row, volatile, at: now });
        self.trim(now);
    }

    /// Lets go of what is over the bounds.
    pub fn trim(&mut self, now: Timestamp) {
        while let Some(first) = self.entries.front() {
            let old = now.since(first.at) >= self.bounds.age;
            let over = self.entries.len() > self.bounds.messages || self.bytes > self.bounds.bytes;
            if !(old || over || self.bounds.total.exceeded()) {
                return;
            }
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.floor = (entry.offset, entry.row);
            let size = entry.frame.text.len() + OVERHEAD;
            self.bytes -= size;
            self.bounds.total.used.fetch_sub(size, Relaxed);
        }
    }

    fn held(&mut self, size: usize) {
        self.bytes += size;
        self.bounds.total.used.fetch_add(size, Relaxed);
    }

    /// Everything after `offset`, oldest first.
    pub fn since(&self, offset: u64) -> Result<impl Iterator<Item = &Entry>, Gap> {
        if offset < self.floor.0 {
            return Err(Gap);
        }
        let skip = usize::try_from(offset - self.floor.0).unwrap_or(usize::MAX);
        Ok(self.entries.iter().skip(skip))
    }

    /// Whether a message after `offset` has been on its way to this connection for longer than `patience`.
    pub fn is_overdue(&self, offset: u64, socket: SocketId, patience: Duration, now: Timestamp) -> bool {
        let mut missing = self.page(offset, usize::MAX).filter(|entry| entry.except != Some(socket));
        missing.next().is_some_and(|entry| now.since(entry.at) >= patience)
    }

    /// Whether everything after `offset` is still there.
    pub const fn reaches(&self, offset: u64) -> bool {
        offset >= self.floor.0
    }

    /// What is there after `offset`, complete or not: for reading the past page by page.
    pub fn page(&self, offset: u64, limit: usize) -> impl Iterator<Item = &Entry> {
        let skip = usize::try_from(offset.saturating_sub(self.floor.0)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skip).take(limit)
    }

    /// The offset of the last message that whoever had seen rows up to `row` can have seen.
    pub fn offset_at(&self, row: EventId) -> Result<u64, Gap> {
        if row < self.floor.1 {
            return Err(Gap);
        }
        let seen = self.entries.partition_point(|entry| entry.row <= row);
        Ok(seen.checked_sub(1).and_then(|i| self.entries.get(i)).map_or(self.floor.0, |entry| entry.offset))
    }

    /// The last row at or before `offset`, and whether only rows come after it, so that a restart loses nothing.
    pub fn row_at(&self, offset: u64) -> (EventId, bool) {
        let index = offset.checked_sub(self.floor.0 + 1).and_then(|i| usize::try_from(i).ok());
        let row = match index {
            Some(index) => self.entries.get(index).map_or(self.last_row(), |entry| entry.row),
            None => self.floor.1,
        };
        (row, self.last_volatile <= offset)
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.bounds.total.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bounds(messages: usize, bytes: usize, seconds: u64) -> Bounds {
        let total = Arc::new(Total::new(usize::MAX / 2));
        Bounds { messages, bytes, age: Duration::from_secs(seconds), total }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    fn history(bounds: Bounds) -> History {
        History::new(Epoch::from_bits(1), bounds)
    }

    fn push(history: &mut History, row: Option<i64>, now: i64) {
        history.push(Frame::answer("12345".into()), None, row.map(EventId), at(now));
    }

    fn offsets(history: &History, since: u64) -> Result<Vec<u64>, Gap> {
        history.since(since).map(|entries| entries.map(|entry| entry.offset).collect())
    }

    #[test]
    fn it_gives_what_comes_after_a_position() {
        let mut history = history(bounds(10, 10_000, 60));
        assert_eq!(offsets(&history, 0), Ok(vec![]));
        (0..3).for_each(|_| push(&mut history, None, 0));
        assert_eq!(offsets(&history, 1), Ok(vec![2, 3]));
        assert_eq!(offsets(&history, 3), Ok(vec![]));
        assert_eq!(history.head(), Position { epoch: Epoch::from_bits(1), offset: 3 });
    }

    #[test]
    fn each_bound_lets_the_oldest_go_and_says_that_it_is_gone() {
        for bounds in [bounds(2, 10_000, 60), bounds(10, 2 * (OVERHEAD + 5), 60), bounds(10, 10_000, 2)] {
            let mut history = history(bounds);
            (0..3).for_each(|n| push(&mut history, None, n));
            assert_eq!(offsets(&history, 0), Err(Gap));
            assert_eq!(offsets(&history, 1), Ok(vec![2, 3]));
        }
    }

    #[test]
    fn what_all_histories_hold_is_bounded_together_and_given_back() {
        let total = Arc::new(Total::new(3 * (OVERHEAD + 5)));
        let bounds = || Bounds { total: total.clone(), ..bounds(10, 10_000, 60) };
        let (mut one, mut other) = (history(bounds()), history(bounds()));
        (0..3).for_each(|_| push(&mut one, None, 0));
        push(&mut other, None, 0);
        assert_eq!(offsets(&other, 0), Err(Gap));
        drop(one);
        push(&mut other, None, 0);
        assert_eq!(offsets(&other, 1), Ok(vec![2]));
        drop(other);
        assert_eq!(total.used.load(Relaxed), 0);
    }

    #[test]
    fn without_an_age_nothing_is_kept() {
        let mut history = history(bounds(10, 10_000, 0));
        push(&mut history, None, 0);
        assert_eq!((history.is_empty(), history.last_offset()), (true, 1));
        assert_eq!(offsets(&history, 0), Err(Gap));
    }

    #[test]
    fn rows_and_offsets_translate_into_each_other() {
        let mut history = history(bounds(4, 10_000, 60));
        history.start_after(EventId(10));
        for row in [Some(11), None, Some(15), None, Some(16)] {
            push(&mut history, row, 0);
        }
        // Row 11, offset 1, was let go.
        assert_eq!(history.offset_at(EventId(10)), Err(Gap));
        assert_eq!(history.offset_at(EventId(11)), Ok(2), "the volatile one behind it was seen with it");
        assert_eq!(history.offset_at(EventId(14)), Ok(2));
        assert_eq!(history.offset_at(EventId(15)), Ok(4));
        assert_eq!(history.offset_at(EventId(99)), Ok(5));
        assert_eq!(history.row_at(1), (EventId(11), false));
        assert_eq!(history.row_at(3), (EventId(15), false));
        assert_eq!(history.row_at(4), (EventId(15), true));
        assert_eq!(history.row_at(5), (EventId(16), true));
    }

    proptest! {
        /// Against the whole stream: what is given is exactly what came after, or the gap is said.
        #[test]
        fn it_never_lies(
            steps in proptest::collection::vec((0_i64..3, any::<bool>()), 1..60),
            since in 0_u64..70,
        ) {
            let mut history = history(bounds(20, 4_000, 30));
            let mut now = 0;
            for (n, (pause, row)) in steps.iter().enumerate() {
                now += pause;
                push(&mut history, row.then(|| i64::try_from(n).unwrap() + 1), now);
            }
            let last = steps.len() as u64;
            match offsets(&history, since) {
                Ok(given) => prop_assert_eq!(given, (since + 1..=last).collect::<Vec<_>>()),
                Err(Gap) => prop_assert!(since < last),
            }
        }
    }
}
