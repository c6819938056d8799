//! `Positions`: where each client of a channel stands in its stream: those who are there, and those who broke
//! off and may come back. Pure.
//!
//! Clients are told apart by their [`Identity`] alone. Of several that broke off under one identity, the first to
//! come back is taken to be the first that went.

use super::history::History;
use crate::domain::{EventId, SocketId, Timestamp};
use crate::realtime::cursor::{Cursor, Identity};
use crate::realtime::frame::Departure;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Those who broke off that are remembered at one time, more than a process has sockets. One more is not: it
/// comes back as a newcomer.
const MAX_PARKED: usize = 20_000;
/// How long a client that has not confirmed lately is given to show that it is alive, before another connection
/// of the same identity is taken to be the same client come back.
const PATIENCE: Duration = Duration::from_secs(1);

/// A client that broke off.
#[derive(Debug, Clone)]
pub struct Parked {
    /// Its connection, which was not told of what it caused itself.
    pub socket: Option<SocketId>,
    /// Up to where it has the stream; `None` when that lies before everything we know.
    pub offset: Option<u64>,
    /// When it broke off.
    pub at: Timestamp,
}

/// Where a client that subscribes comes from.
#[derive(Debug)]
pub enum Whence {
    /// It is new, and starts at the end of the stream.
    New,
    /// It is back, and had come this far.
    Back(Parked),
    /// Another connection of the identity may be alive or dead: ask again shortly, with this.
    Unclear(Doubt),
}

/// Connections of one identity that have not confirmed everything, at the moment they were first looked at.
#[derive(Debug)]
pub struct Doubt {
    since: Timestamp,
    seen: Vec<(SocketId, u64)>,
}

/// What is noted of a client for after a restart.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// Who.
    pub identity: &'a Identity,
    /// Its connection.
    pub socket: Option<SocketId>,
    /// The last row of the outbox it has; `None` if it lacks something that rows cannot bring back.
    pub row: Option<EventId>,
}

/// The clients of one channel.
#[derive(Debug, Default)]
pub struct Positions {
    live: HashMap<SocketId, Arc<Cursor>>,
    by_identity: HashMap<Identity, Vec<SocketId>>,
    parked: HashMap<Identity, VecDeque<Parked>>,
    parked_count: usize,
}

impl Positions {
    /// A client is there now. False if it was already.
    pub fn enter(&mut self, socket: SocketId, cursor: Arc<Cursor>) -> bool {
        let identity = cursor.identity.clone();
        if self.live.insert(socket, cursor).is_some() {
            return false;
        }
        self.by_identity.entry(identity).or_default().push(socket);
        true
    }

    /// Whether this connection is there.
    pub fn has(&self, socket: SocketId) -> bool {
        self.live.contains_key(&socket)
    }

    /// A client has gone. One that may return is remembered, unless another connection stands for it.
    pub fn leave(&mut self, socket: SocketId, departure: Departure, history: &History, now: Timestamp) {
        let may_return = match departure {
            Departure::Broken => true,
            // It said goodbye to a connection that had long been silent: a client that gave up on it.
            Departure::Closed => self
                .is_behind(socket, history)
                .is_some_and(|offset| history.is_overdue(offset, socket, PATIENCE, now)),
            Departure::Away | Departure::Unsubscribed => false,
        };
        let Some(cursor) = self.live.remove(&socket) else { return };
        if let Some(sockets) = self.by_identity.get_mut(&cursor.identity) {
            sockets.retain(|other| *other != socket);
            if sockets.is_empty() {
                self.by_identity.remove(&cursor.identity);
            }
        }
        if may_return && !cursor.is_adopted() {
            let parked = Parked { socket: Some(socket), offset: Some(cursor.confirmed()), at: now };
            self.park(cursor.identity.clone(), parked);
        }
    }

    /// Remembers a client that broke off.
    pub fn park(&mut self, identity: Identity, parked: Parked) {
        if self.parked_count >= MAX_PARKED {
            return;
        }
        self.parked.entry(identity).or_default().push_back(parked);
        self.parked_count += 1;
    }

    /// Forgets those who broke off before `then`.
    pub fn forget_before(&mut self, then: Timestamp) {
        self.parked.retain(|_, list| {
            list.retain(|parked| parked.at >= then);
            !list.is_empty()
        });
        self.parked_count = self.parked.values().map(VecDeque::len).sum();
    }

    /// Whether nobody who broke off is remembered.
    pub fn is_empty(&self) -> bool {
        self.parked.is_empty()
    }

    /// Where a client of this identity that subscribes now comes from. `doubt` is what an earlier call for the
    /// same subscription returned.
    pub fn whence(
        &mut self,
        identity: &Identity,
        history: &History,
        doubt: Option<Doubt>,
        now: Timestamp,
    ) -> Whence {
        if let Some(parked) = self.take(identity, history.window(now), history.horizon(now)) {
            return Whence::Back(parked);
        }
        let behind = self.behind(identity, history);
        let Some(doubt) = doubt else {
            return if behind.is_empty() {
                Whence::New
            } else {
                Whence::Unclear(Doubt { since: now, seen: behind })
            };
        };
        // Who has confirmed anything since is alive, and so is who has confirmed all.
        let silent: Vec<(SocketId, u64)> =
            doubt.seen.into_iter().filter(|seen| behind.contains(seen)).collect();
        let Some((socket, offset)) = silent.first().copied() else { return Whence::New };
        if now.since(doubt.since) < PATIENCE {
            return Whence::Unclear(Doubt { since: doubt.since, seen: silent });
        }
        if let Some(cursor) = self.live.get(&socket) {
            cursor.adopt();
        }
        Whence::Back(Parked { socket: Some(socket), offset: Some(offset), at: now })
    }

    fn take(&mut self, identity: &Identity, window: Timestamp, horizon: Timestamp) -> Option<Parked> {
        let list = self.parked.get_mut(identity)?;
        let before = list.len();
        list.retain(|parked| parked.at >= horizon);
        // One that was lost for good must not stand before one for which everything is still there.
        let fresh = list.iter().position(|parked| parked.at >= window).unwrap_or(0);
        let parked = list.remove(fresh);
        self.parked_count -= before - list.len();
        if list.is_empty() {
            self.parked.remove(identity);
        }
        parked
    }

    /// The connections of an identity that were sent more than they confirmed, and nobody stands for yet.
    fn behind(&self, identity: &Identity, history: &History) -> Vec<(SocketId, u64)> {
        let sockets = self.by_identity.get(identity).map_or(&[][..], Vec::as_slice);
        let behind = |socket: &SocketId| self.is_behind(*socket, history).map(|offset| (*socket, offset));
        sockets.iter().filter_map(behind).collect()
    }

    /// How far this connection has come, if it was sent more than that and nobody stands for it.
    fn is_behind(&self, socket: SocketId, history: &History) -> Option<u64> {
        let cursor = self.live.get(&socket)?;
        let confirmed = cursor.confirmed();
        let missing = match history.since(confirmed) {
            Ok(mut entries) => entries.any(|entry| entry.except != Some(socket)),
            Err(_) => true,
        };
        (missing && !cursor.is_adopted()).then_some(confirmed)
    }

    /// Whether somebody has not confirmed all.
    pub fn anyone_behind(&self, history: &History) -> bool {
        let last = history.last_offset();
        self.live.values().any(|cursor| cursor.confirmed() < last)
    }

    /// Everyone, for after a restart.
    pub fn rows<'a>(&'a self, history: &'a History) -> impl Iterator<Item = Standing<'a>> {
        let live = self
            .live
            .iter()
            .map(|(socket, cursor)| (&cursor.identity, Some(*socket), Some(cursor.confirmed())));
        let parked = self
            .parked
            .iter()
            .flat_map(|(identity, list)| list.iter().map(move |p| (identity, p.socket, p.offset)));
        live.chain(parked).map(|(identity, socket, offset)| {
            let known = offset.filter(|offset| history.reaches(*offset)).map(|offset| history.row_at(offset));
            let row = known.and_then(|(row, only_rows)| only_rows.then_some(row));
            Standing { identity, socket, row }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Epoch, TokenId};
    use crate::realtime::channel::history::{Bounds, Total};
    use crate::realtime::frame::Frame;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000).unwrap()
    }

    fn history(messages: usize) -> History {
        let age = Duration::from_mins(2);
        let total = Arc::new(Total::new(1_000_000));
        let bounds = Bounds { messages: 100, bytes: 100_000, age, total };
        let mut history = History::new(Epoch::from_bits(1), bounds);
        for _ in 0..messages {
            history.push(Frame::answer("x".into()), None, None, at(0));
        }
        history
    }

    fn ana() -> Identity {
        Identity::Token(TokenId(1), None)
    }

    fn socket(bits: u64) -> SocketId {
        SocketId::from_bits(bits)
    }

    /// Ana's client on this socket, who has confirmed so far.
    fn enter(positions: &mut Positions, bits: u64, confirmed: u64) -> Arc<Cursor> {
        let cursor = Arc::new(Cursor::new(ana()));
        cursor.confirm(confirmed);
        positions.enter(socket(bits), cursor.clone());
        cursor
    }

    fn back(whence: Whence) -> Option<u64> {
        match whence {
            Whence::Back(parked) => parked.offset,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_broke_off_is_back_where_it_was_and_once() {
        let (mut positions, history) = (Positions::default(), history(9));
        enter(&mut positions, 1, 5);
        positions.leave(socket(1), Departure::Broken, &history, at(0));
        assert_eq!(back(positions.whence(&ana(), &history, None, at(1))), Some(5));
        assert!(matches!(positions.whence(&ana(), &history, None, at(1)), Whence::New));
        assert!(positions.is_empty());
    }

    #[test]
    fn who_left_for_good_comes_back_as_new() {
        let (mut positions, history) = (Positions::default(), history(9));
        enter(&mut positions, 1, 5);
        positions.leave(socket(1), Departure::Away, &history, at(0));
        assert!(matches!(positions.whence(&ana(), &history, None, at(1)), Whence::New));
    }

    #[test]
    fn who_says_goodbye_is_expected_back_only_if_the_connection_had_long_been_silent() {
        let (mut positions, history) = (Positions::default(), history(9));
        for (now, expected) in [(999, false), (1_000, true)] {
            enter(&mut positions, 1, 5);
            positions.leave(socket(1), Departure::Closed, &history, at(now));
            let back = matches!(positions.whence(&ana(), &history, None, at(now)), Whence::Back(_));
            assert_eq!(back, expected, "{now}");
        }
    }

    #[test]
    fn of_two_that_broke_off_the_first_is_back_first() {
        let (mut positions, history) = (Positions::default(), history(9));
        enter(&mut positions, 1, 5);
        enter(&mut positions, 2, 7);
        positions.leave(socket(2), Departure::Broken, &history, at(0));
        positions.leave(socket(1), Departure::Broken, &history, at(1));
        assert_eq!(back(positions.whence(&ana(), &history, None, at(2))), Some(7));
        assert_eq!(back(positions.whence(&ana(), &history, None, at(2))), Some(5));
    }

    #[test]
    fn a_second_tab_is_new_when_the_first_has_confirmed_all_or_shows_that_it_is_alive() {
        let (mut positions, history) = (Positions::default(), history(9));
        let first = enter(&mut positions, 1, 9);
        assert!(matches!(positions.whence(&ana(), &history, None, at(0)), Whence::New));
        positions.leave(socket(1), Departure::Away, &history, at(0));
        drop(first);
        let first = enter(&mut positions, 1, 7);
        let Whence::Unclear(doubt) = positions.whence(&ana(), &history, None, at(0)) else { panic!() };
        first.confirm(8);
        assert!(matches!(positions.whence(&ana(), &history, Some(doubt), at(100)), Whence::New));
    }

    #[test]
    fn a_connection_that_stays_silent_is_taken_to_be_the_one_that_is_back() {
        let (mut positions, history) = (Positions::default(), history(9));
        let dead = enter(&mut positions, 1, 7);
        let mut doubt = None;
        for now in [0, 500, 999] {
            let Whence::Unclear(next) = positions.whence(&ana(), &history, doubt, at(now)) else { panic!() };
            doubt = Some(next);
        }
        assert_eq!(back(positions.whence(&ana(), &history, doubt, at(1_000))), Some(7));
        assert!(dead.is_adopted());
        // When it is found dead at last, nobody is to come back for it.
        positions.leave(socket(1), Departure::Broken, &history, at(2_000));
        assert!(positions.is_empty());
    }

    #[test]
    fn a_connection_that_was_given_up_and_confirms_after_all_is_remembered_again() {
        let (mut positions, history) = (Positions::default(), history(9));
        let slow = enter(&mut positions, 1, 7);
        let Whence::Unclear(doubt) = positions.whence(&ana(), &history, None, at(0)) else { panic!() };
        assert_eq!(back(positions.whence(&ana(), &history, Some(doubt), at(1_000))), Some(7));
        slow.confirm(8);
        positions.leave(socket(1), Departure::Broken, &history, at(2_000));
        assert_eq!(back(positions.whence(&ana(), &history, None, at(2_000))), Some(8));
    }

    #[test]
    fn a_connection_found_dead_while_it_was_in_doubt_is_the_one_that_is_back() {
        let (mut positions, history) = (Positions::default(), history(9));
        enter(&mut positions, 1, 7);
        let Whence::Unclear(doubt) = positions.whence(&ana(), &history, None, at(0)) else { panic!() };
        positions.leave(socket(1), Departure::Broken, &history, at(50));
        assert_eq!(back(positions.whence(&ana(), &history, Some(doubt), at(100))), Some(7));
    }

    #[test]
    fn those_who_broke_off_are_forgotten_in_time_and_in_number() {
        let mut positions = Positions::default();
        for n in 0..=MAX_PARKED {
            let parked = Parked { socket: None, offset: Some(0), at: at(i64::try_from(n).unwrap()) };
            positions.park(Identity::Member(n.to_string().into()), parked);
        }
        assert!(positions.parked_count <= MAX_PARKED);
        positions.forget_before(at(i64::MAX / 1_000_000));
        assert!(positions.is_empty());
    }

    #[test]
    fn everyones_last_row_is_told_with_whether_a_restart_would_lose_something() {
        let (mut positions, mut history) = (Positions::default(), history(0));
        for row in [Some(1), Some(2), None] {
            history.push(Frame::answer("x".into()), None, row.map(EventId), at(0));
        }
        enter(&mut positions, 1, 1);
        enter(&mut positions, 2, 3);
        positions.leave(socket(2), Departure::Broken, &history, at(0));
        let mut rows: Vec<Option<i64>> = positions.rows(&history).map(|s| s.row.map(|row| row.0)).collect();
        rows.sort_unstable();
        assert_eq!(rows, [None, Some(2)], "the first lacks a message that no row has");
    }
}
