//! `Turns`: whose turn it is when more is due than one claim takes, and how much each may take. Pure.
//!
//! Tenants take turns in the order of their ids, and a claim goes on where the last one ended. So a tenant with one row
//! waits for a few claims, however long the herd of another is.

use crate::domain::TenantId;

/// Tenants of one claim: each costs a statement.
const TENANTS: usize = 50;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns {
    last: Option<TenantId>,
}

impl Turns {
    /// Of these tenants, which are in order, those whose turn it is, and how many of `room` rows each may take.
    pub(super) fn next(&mut self, tenants: &[TenantId], room: usize) -> (Vec<TenantId>, usize) {
        let split = self.last.map_or(0, |last| tenants.partition_point(|tenant| *tenant <= last));
        let (served, waiting) = tenants.split_at(split);
        let turn: Vec<TenantId> = waiting.iter().chain(served).copied().take(TENANTS).collect();
        self.last = turn.last().copied();
        let share = room.checked_div(turn.len()).unwrap_or(0).max(1);
        (turn, share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(range: std::ops::RangeInclusive<i64>) -> Vec<TenantId> {
        range.map(TenantId).collect()
    }

    #[test]
    fn everybody_has_a_turn_and_then_it_begins_anew() {
        let (all, mut turns) = (ids(1..=120), Turns::default());
        assert_eq!(turns.next(&all, 1_000), (ids(1..=50), 20));
        assert_eq!(turns.next(&all, 1_000).0, ids(51..=100));
        let third = turns.next(&all, 1_000).0;
        assert_eq!(third, [ids(101..=120), ids(1..=30)].concat());
        assert_eq!(turns.next(&all, 1_000).0[0], TenantId(31));
    }

    #[test]
    fn few_share_all_of_it_and_one_has_it_alone() {
        let mut turns = Turns::default();
        assert_eq!(turns.next(&ids(1..=3), 1_000), (ids(1..=3), 333));
        assert_eq!(turns.next(&ids(7..=7), 1_000), (ids(7..=7), 1_000));
        assert!(turns.next(&[], 1_000).0.is_empty());
    }
}
