//! `SendLimits`: how many notifications a tenant may send, and a user be sent, a minute.
//!
//! A bucket of a minute's worth each: full at first, refilled evenly. What is admitted may take more than there is (a
//! page of a thousand), and the debt is waited off, so that the average holds. Each process keeps its own count,
//! under a lock that is held for a map's lookup.

use crate::config;
use crate::domain::{TenantId, Timestamp, UserId};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);

/// So many buckets are kept before those that are full again, and say no more than none, are left out.
const FIRST_TIDY: usize = 4_096;

/// The bounds of a process.
#[derive(Debug)]
pub struct SendLimits {
    tenants: Buckets<TenantId>,
    users: Buckets<UserId>,
}

impl SendLimits {
    /// As configured.
    pub fn of(config: &config::Notifications) -> Self {
        Self::new(config.tenant_per_minute, config.user_per_minute)
    }

    /// So many a minute from each tenant, and to each user; 0 = no bound.
    pub fn new(tenant_per_minute: u32, user_per_minute: u32) -> Self {
        Self { tenants: Buckets::new(tenant_per_minute), users: Buckets::new(user_per_minute) }
    }

    /// Takes so many of what the tenant may send, or says how long to wait.
    pub fn admit_tenant(&self, tenant: TenantId, count: usize, now: Timestamp) -> Result<(), Duration> {
        self.tenants.admit(tenant, count, now)
    }

    /// Takes one of what the user may be sent, or says how long to wait.
    pub fn admit_user(&self, user: UserId, now: Timestamp) -> Result<(), Duration> {
        self.users.admit(user, 1, now)
    }

    /// So many were not sent after all.
    pub(super) fn return_to_tenant(&self, tenant: TenantId, count: usize) {
        self.tenants.give_back(&tenant, count);
    }

    /// One was not sent after all.
    pub(super) fn return_to_user(&self, user: UserId) {
        self.users.give_back(&user, 1);
    }
}

/// When each bucket would be full again, for those that are not.
#[derive(Debug)]
struct Buckets<K> {
    per_minute: u32,
    full_at: Mutex<Kept<K>>,
}

#[derive(Debug)]
struct Kept<K> {
    times: HashMap<K, Timestamp>,
    tidy_at: usize,
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(per_minute: u32) -> Self {
        let kept = Kept { times: HashMap::new(), tidy_at: FIRST_TIDY };
        Self { per_minute, full_at: Mutex::new(kept) }
    }

    fn admit(&self, key: K, count: usize, now: Timestamp) -> Result<(), Duration> {
        let Some(interval) = MINUTE.checked_div(self.per_minute) else { return Ok(()) };
        let mut kept = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.times.len() >= kept.tidy_at {
            kept.times.retain(|_, full_at| *full_at > now);
            kept.tidy_at = (kept.times.len() * 2).max(FIRST_TIDY);
        }
        let full_at = kept.times.entry(key).or_insert(now);
        let filled = (*full_at).max(now);
        // One more than there is time for would overflow the bucket.
        let over = (filled.since(now) + interval).saturating_sub(MINUTE);
        if !over.is_zero() {
            return Err(over);
        }
        *full_at = filled.plus(worth(interval, count));
        Ok(())
    }

    fn give_back(&self, key: &K, count: usize) {
        let Some(interval) = MINUTE.checked_div(self.per_minute) else { return };
        let mut kept = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full_at) = kept.times.get_mut(key) {
            *full_at = full_at.minus(worth(interval, count));
        }
    }
}

/// How long it takes to fill up so many.
fn worth(interval: Duration, count: usize) -> Duration {
    interval.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn a_minutes_worth_goes_at_once_and_then_the_rate() {
        let limits = SendLimits::new(0, 60);
        assert!((0..60).all(|_| limits.admit_user(UserId(1), at(0)).is_ok()));
        assert_eq!(limits.admit_user(UserId(1), at(0)), Err(Duration::from_secs(1)));
        assert!(limits.admit_user(UserId(2), at(0)).is_ok(), "another user has a bucket of their own");
        assert!(limits.admit_user(UserId(1), at(1)).is_ok());
        assert!(limits.admit_user(UserId(1), at(1)).is_err());
    }

    #[test]
    fn a_page_is_admitted_whole_and_its_debt_waited_off() {
        let limits = SendLimits::new(600, 0);
        limits.admit_tenant(TenantId(1), 1_000, at(0)).unwrap();
        let wait = limits.admit_tenant(TenantId(1), 1, at(0)).unwrap_err();
        assert!(wait > Duration::from_secs(40) && wait < Duration::from_secs(41), "{wait:?}");
        assert!(limits.admit_tenant(TenantId(1), 1, at(41)).is_ok());
        assert!((0..9_999).all(|_| limits.admit_user(UserId(1), at(0)).is_ok()), "0 is no bound");
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten() {
        let limits = SendLimits::new(0, 60);
        for id in 0..i64::try_from(FIRST_TIDY).unwrap() {
            limits.admit_user(UserId(id), at(0)).unwrap();
        }
        limits.admit_user(UserId(-1), at(60)).unwrap();
        assert_eq!(limits.users.full_at.lock().unwrap().times.len(), 1);
    }
}
