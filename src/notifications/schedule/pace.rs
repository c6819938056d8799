//! `Pace`: how many scheduled notifications of one tenant go out a minute. Pure.
//!
//! A bucket for each tenant: it holds a second's worth, and is refilled evenly. So a herd that is due at one moment
//! goes out at its pace and not at once, within what a second may bring more. Each process keeps its own count.

use crate::domain::{TenantId, Timestamp};
use std::collections::HashMap;
use std::time::Duration;

/// Buckets are kept up to so many, before those that are full again are left out.
const TIDY_AT: usize = 4_096;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// None: no bound.
    per_second: Option<f64>,
    /// What is in each bucket, and when that was so.
    buckets: HashMap<TenantId, (f64, Timestamp)>,
}

impl Pace {
    /// So many a minute for each tenant; 0 = no bound.
    pub(super) fn new(per_minute: u32) -> Self {
        let per_second = (per_minute > 0).then(|| f64::from(per_minute) / 60.0);
        Self { per_second, buckets: HashMap::new() }
    }

    /// Whether there is a bound at all.
    pub(super) const fn is_bound(&self) -> bool {
        self.per_second.is_some()
    }

    /// How many of the tenant's may go now.
    pub(super) fn room(&self, tenant: TenantId, now: Timestamp) -> usize {
        let Some(rate) = self.per_second else { return usize::MAX };
        whole(self.level(tenant, rate, now))
    }

    /// So many went.
    pub(super) fn took(&mut self, tenant: TenantId, count: usize, now: Timestamp) {
        let Some(rate) = self.per_second else { return };
        if self.buckets.len() >= TIDY_AT {
            let full_after = Duration::from_secs_f64(brim(rate) / rate);
            self.buckets.retain(|_, (_, at)| now.since(*at) < full_after);
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.buckets.insert(tenant, (self.level(tenant, rate, now) - f64::from(count), now));
    }

    /// When an empty bucket is worth coming back to: it holds a tenth of a second's worth, or one.
    pub(super) fn pause(&self) -> Option<Duration> {
        let rate = self.per_second?;
        Some(Duration::from_secs_f64((rate / 10.0).max(1.0) / rate))
    }

    fn level(&self, tenant: TenantId, rate: f64, now: Timestamp) -> f64 {
        self.buckets.get(&tenant).map_or(capacity(rate), |(level, at)| {
            (level + now.since(*at).as_secs_f64() * rate).min(brim(rate))
        })
    }
}

/// What a bucket begins with: a second's worth; of a slow pace, one.
fn capacity(rate: f64) -> f64 {
    rate.max(1.0)
}

/// What a bucket holds at most: a second's worth beside the fraction of one that could not go yet. Without room for
/// that fraction, who comes back once a second would lose some of the pace each time.
fn brim(rate: f64) -> f64 {
    rate + 1.0
}

/// Rounded down; nothing below zero. A bucket's level is far below what is not exact any more.
fn whole(level: f64) -> usize {
    // A sum of thirds of ones may be a hair below one.
    let level = Duration::try_from_secs_f64(level.max(0.0) + 1e-6).unwrap_or_default();
    usize::try_from(level.as_secs()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHOP: TenantId = TenantId(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000).unwrap().plus(Duration::from_millis(millis))
    }

    /// How many go within so many milliseconds, taken whenever there is room.
    fn within(per_minute: u32, millis: u64, step: u64) -> usize {
        let mut pace = Pace::new(per_minute);
        let mut gone = 0;
        for now in (0..millis).step_by(usize::try_from(step).unwrap()).map(at) {
            let room = pace.room(SHOP, now).min(1_000);
            pace.took(SHOP, room, now);
            gone += room;
        }
        gone
    }

    #[test]
    fn a_herd_goes_out_at_its_pace() {
        // One more second's worth, which the bucket held at first.
        assert_eq!(within(6_000, 60_000, 100), 6_090);
        assert_eq!(within(1_019, 60_000, 37), 1_035, "the fractions are not lost");
        assert_eq!(within(1, 180_000, 1_000), 3);
        assert_eq!(within(89, 60_000, 899), 89, "who comes back seldom has the pace, too");
    }

    #[test]
    fn without_a_bound_all_go_and_tenants_do_not_share() {
        let mut pace = Pace::new(0);
        pace.took(SHOP, 1_000_000, at(0));
        assert_eq!((pace.room(SHOP, at(0)), pace.pause(), pace.is_bound()), (usize::MAX, None, false));
        let mut pace = Pace::new(60);
        pace.took(SHOP, 1, at(0));
        assert_eq!((pace.room(SHOP, at(0)), pace.room(TenantId(2), at(0))), (0, 1));
        assert_eq!(pace.pause(), Some(Duration::from_secs(1)));
        assert_eq!(pace.room(SHOP, at(1_000)), 1);
    }

    proptest! {
        #[test]
        fn in_any_minute_it_is_the_pace_and_no_more_than_a_second_beside_it(
            per_minute in 60..60_000_u32, step in 1..1_000_u64,
        ) {
            let gone = within(per_minute, 60_000, step);
            let pace = usize::try_from(per_minute).unwrap();
            prop_assert!(gone <= pace + pace / 60 + 2, "{gone} of {pace}");
            prop_assert!(gone + pace / 60 + 2 >= pace, "{gone} of {pace}");
        }
    }
}
