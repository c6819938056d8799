//! `Batch`: how many rows the next transaction of a pruning takes, by how long the last one took. Pure.
//!
//! What a thousand rows cost differs a hundredfold between machines, and between a quiet hour and a busy one. So a
//! pruning begins small, grows while its transactions are short, and shrinks at once when one was long: nothing
//! beside it waits longer for a lock than it would for a slow request.

use std::time::Duration;

/// So many rows at least: fewer would not be much shorter.
const LEAST: i64 = 50;

/// So many at most.
pub const MOST: i64 = 500;

/// Longer than this is long. Far below the 100 ms that a statement may last, as the next one may meet a full disk
/// queue or a checkpoint.
const LONG: Duration = Duration::from_millis(15);

/// A batch's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch(i64);

impl Default for Batch {
    /// The first one.
    fn default() -> Self {
        Self(LEAST)
    }
}

impl Batch {
    pub(super) const fn rows(self) -> i64 {
        self.0
    }

    /// The next one, after this one took so long.
    pub(super) fn after(self, lasted: Duration) -> Self {
        let next = if lasted > LONG {
            self.0 / 2
        } else if lasted < LONG / 2 {
            self.0 + self.0 / 4
        } else {
            self.0
        };
        Self(next.clamp(LEAST, MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of `count` batches on a machine that needs so many microseconds a row.
    fn sizes(per_row: u64, count: usize) -> Vec<i64> {
        let cost = |batch: &Batch| Duration::from_micros(batch.0.unsigned_abs() * per_row);
        std::iter::successors(Some(Batch::default()), |batch| Some(batch.after(cost(batch))))
            .map(Batch::rows)
            .take(count)
            .collect()
    }

    #[test]
    fn a_fast_machine_takes_the_most_soon() {
        assert_eq!(sizes(5, 30).last(), Some(&MOST));
    }

    #[test]
    fn a_slow_machine_keeps_its_transactions_short() {
        for per_row in [50, 100, 400] {
            let longest = sizes(per_row, 1_000).into_iter().max().unwrap().unsigned_abs() * per_row;
            // A quarter more than what is not long, or as few as it takes.
            assert!(longest <= 20_000, "{per_row} µs a row: {longest} µs");
        }
        assert_eq!(sizes(9_999, 9).last(), Some(&LEAST), "it goes on, however slow");
    }

    #[test]
    fn one_long_transaction_is_answered_at_once() {
        assert_eq!(Batch(MOST).after(Duration::from_millis(300)), Batch(MOST / 2));
        assert_eq!(Batch(LEAST).after(Duration::from_secs(9)), Batch(LEAST));
    }
}
