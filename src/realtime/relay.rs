//! `Relay`: the cursor in the outbox. Decides what to route and when to read, so that every event is routed
//! once and in id order, whatever nudges are lost, late or out of order. Pure.

use crate::domain::{Event, EventId};

/// Where routing has come to, and whether a read of the rows is under way.
#[derive(Debug)]
pub struct Relay {
    cursor: EventId,
    reading: bool,
    again: bool,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Route these, in this order.
    Route(&'a [Event]),
    /// Read the rows after the cursor and come back with [`Relay::arrived`].
    Read,
    /// Nothing; it is known already, or a read that is under way will bring it.
    Rest,
}

impl Relay {
    /// A relay that has routed everything up to `cursor`.
    pub const fn new(cursor: EventId) -> Self {
        Self { cursor, reading: false, again: false }
    }

    /// The last event that was routed.
    pub const fn cursor(&self) -> EventId {
        self.cursor
    }

    /// A nudge brought events. When they continue where the cursor stands they are routed without a look at
    /// the rows, which is the common case and saves a query; any gap (another writer, a rolled back id) is
    /// filled from the rows.
    pub fn nudged<'a>(&mut self, events: &'a [Event]) -> Step<'a> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Step::Rest };
        if last.id <= self.cursor {
            return Step::Rest;
        }
        let contiguous = i64::try_from(events.len()).is_ok_and(|n| last.id.0 - first.id.0 == n - 1);
        if !self.reading && contiguous && first.id.0 == self.cursor.0 + 1 {
            self.cursor = last.id;
            return Step::Route(events);
        }
        self.look()
    }

    /// Time to look at the rows, whether or not a nudge came (the reconciler).
    pub fn look(&mut self) -> Step<'static> {
        if self.reading {
            self.again = true;
            return Step::Rest;
        }
        self.reading = true;
        Step::Read
    }

    /// A read came back. `full` says that it was cut at its limit. Returns what to route; ask
    /// [`Relay::settled`] afterwards whether to read on.
    pub fn arrived<'a>(&mut self, events: &'a [Event], full: bool) -> &'a [Event] {
        self.again |= full;
        let known = events.partition_point(|e| e.id <= self.cursor);
        let (_, fresh) = events.split_at(known);
        if let Some(last) = fresh.last() {
            self.cursor = last.id;
        }
        fresh
    }

    /// The read failed: the next look tries again.
    pub fn failed(&mut self) {
        self.reading = false;
        self.again = false;
    }

    /// What was read has been routed: read on, or rest.
    pub fn settled(&mut self) -> Step<'static> {
        self.reading = false;
        if std::mem::take(&mut self.again) { self.look() } else { Step::Rest }
    }

    /// Event `id` could not be routed (a channel was full): go back to before it; the next look brings it
    /// and what follows again, and until then there is no use in reading on.
    pub fn step_back(&mut self, id: EventId) {
        self.again = false;
        self.cursor = self.cursor.min(EventId(id.0 - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChannelName, EventName, TenantId, Timestamp};
    use proptest::prelude::*;

    fn event(id: i64) -> Event {
        Event {
            id: EventId(id),
            message_id: format!("msg_{id}").into(),
            tenant_id: TenantId(1),
            name: EventName::new("product:updated"),
            channel: ChannelName::tenant(TenantId(1)),
            data: "{}".into(),
            except: None,
            created_at: Timestamp::from_micros(0).unwrap(),
        }
    }

    fn events(ids: &[i64]) -> Vec<Event> {
        ids.iter().copied().map(event).collect()
    }

    #[test]
    fn a_nudge_that_continues_the_cursor_is_routed_without_reading() {
        let mut relay = Relay::new(EventId(4));
        let given = events(&[5, 6]);
        assert_eq!(relay.nudged(&given), Step::Route(&given));
        assert_eq!(relay.nudged(&given), Step::Rest);
    }

    #[test]
    fn a_nudge_that_skips_ids_makes_it_read() {
        let mut relay = Relay::new(EventId(4));
        assert_eq!(relay.nudged(&events(&[6])), Step::Read);
        assert_eq!(relay.nudged(&events(&[7])), Step::Rest);
        let rows = events(&[5, 6]);
        assert_eq!(relay.arrived(&rows, false).len(), 2);
        // 7 was nudged meanwhile, so it reads once more.
        assert_eq!(relay.settled(), Step::Read);
    }

    #[test]
    fn a_failed_read_is_tried_again_at_the_next_look() {
        let mut relay = Relay::new(EventId(0));
        assert_eq!(relay.look(), Step::Read);
        relay.failed();
        assert_eq!(relay.look(), Step::Read);
    }

    proptest! {
        /// Writers commit ids 1..=n in order; their nudges come in any order, some never. However the reads
        /// fall between them, each id is routed once and in order.
        #[test]
        fn every_event_is_routed_once_in_order(
            steps in proptest::collection::vec((0_u8..4, 1_i64..40), 1..200),
        ) {
            let mut relay = Relay::new(EventId(0));
            let (mut committed, mut routed, mut reading) = (0_i64, Vec::new(), false);
            let mut take = |fresh: &[Event]| routed.extend(fresh.iter().map(|e| e.id.0));
            for (kind, id) in steps {
                let step = match kind {
                    0 => { committed += 1; Step::Rest }
                    1 if id <= committed => {
                        let nudge = events(&[id]);
                        match relay.nudged(&nudge) {
                            Step::Route(given) => { take(given); Step::Rest }
                            Step::Read => Step::Read,
                            Step::Rest => Step::Rest,
                        }
                    }
                    2 => relay.look(),
                    _ if reading => {
                        let rows: Vec<i64> = (relay.cursor().0 + 1..=committed).take(3).collect();
                        let full = rows.len() == 3;
                        let rows = events(&rows);
                        take(relay.arrived(&rows, full));
                        reading = false;
                        relay.settled()
                    }
                    _ => Step::Rest,
                };
                if step == Step::Read {
                    prop_assert!(!reading, "two reads at once");
                    reading = true;
                }
            }
            prop_assert_eq!(routed.clone(), (1..=i64::try_from(routed.len()).unwrap()).collect::<Vec<_>>());
        }
    }
}
