//! `Cooldown`: how often an endpoint may be called by hand, past its schedule and its breaker: `/test`, `/reset`.
//!
//! Somebody who resets a breaker in a loop, or tests, would make of the sender a hammer. Ten may come at once, and
//! then one every six seconds. Each process keeps its own count, under a lock that is held for a map's lookup.

use crate::domain::{Code, EndpointId, Error, Result, TenantId, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(6);
const AT_ONCE: u32 = 10;

/// So many buckets are kept before those that are full again, and say no more than none, are left out.
const TIDY_AT: usize = 4_096;

/// When each endpoint's bucket would be full again, for those where it is not. A bucket is its tenant's: strangers
/// who name the endpoint take nothing out of it.
#[derive(Debug, Default)]
pub struct Cooldown(Mutex<HashMap<(TenantId, EndpointId), Timestamp>>);

impl Cooldown {
    /// Takes one call out of the bucket, or says when there will be one.
    pub fn take(&self, whose: (TenantId, EndpointId), now: Timestamp) -> Result<()> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= TIDY_AT {
            buckets.retain(|_, full_at| *full_at > now);
        }
        let full_at = buckets.entry(whose).or_insert(now);
        let next = (*full_at).max(now).plus(INTERVAL);
        let over = next.since(now).saturating_sub(INTERVAL * AT_ONCE);
        if !over.is_zero() {
            let message =
                "This webhook was called by hand too often: ten times at once, then every six seconds.";
            return Err(Error::new(Code::TooMany, message).after(over));
        }
        *full_at = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: (TenantId, EndpointId) = (TenantId(1), EndpointId(7));

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn ten_calls_go_at_once_and_then_one_every_six_seconds() {
        let cooldown = Cooldown::default();
        assert!((0..10).all(|_| cooldown.take(OURS, at(0)).is_ok()));
        let refused = cooldown.take(OURS, at(0)).unwrap_err();
        assert_eq!((refused.code(), refused.retry_after()), (Code::TooMany, Some(INTERVAL)));
        assert!(cooldown.take(OURS, at(5)).is_err(), "a refusal costs nothing");
        assert!(cooldown.take(OURS, at(6)).is_ok() && cooldown.take(OURS, at(6)).is_err());
    }

    #[test]
    fn another_tenant_who_names_the_endpoint_takes_nothing_out() {
        let cooldown = Cooldown::default();
        assert!((0..11).any(|_| cooldown.take((TenantId(2), OURS.1), at(0)).is_err()));
        assert!(cooldown.take(OURS, at(0)).is_ok());
    }

    #[test]
    fn buckets_that_are_full_again_are_let_go() {
        let cooldown = Cooldown::default();
        for id in 0..10_000 {
            cooldown.take((TenantId(1), EndpointId(id)), at(id)).unwrap();
        }
        assert!(cooldown.0.lock().unwrap().len() <= TIDY_AT);
    }
}
