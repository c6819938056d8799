//! `Permits`: how many attempts may be under way in this process, in all and for each tenant.
//!
//! One is held from before the POST until the attempt is written down. Who gets none waits, in order; what waits
//! is bounded by the endpoints' windows. The tenant's permit is asked for first, so that a tenant whose endpoints
//! all hang waits for its own and not with the others' in hand.

use crate::domain::TenantId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) struct Permits {
    process: Arc<Semaphore>,
    in_all: usize,
    per_tenant: usize,
    /// Of each tenant that was ever sent for: a few dozen bytes each.
    tenants: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
}

/// What an attempt holds.
pub(super) struct Permit {
    _tenant: OwnedSemaphorePermit,
    _process: OwnedSemaphorePermit,
}

impl Permits {
    /// So many in all, and so many for each tenant.
    pub(super) fn new(in_all: usize, per_tenant: usize) -> Self {
        let process = Arc::new(Semaphore::new(in_all));
        Self { process, in_all, per_tenant, tenants: Mutex::default() }
    }

    /// Waits for a permit of this weight, or of as much as there is at all; `None` when the process ends.
    pub(super) async fn acquire(&self, tenant: TenantId, weight: usize) -> Option<Permit> {
        let of_tenant = self.of(tenant);
        let weight = u32::try_from(weight.min(self.per_tenant).min(self.in_all)).ok()?;
        let tenant = of_tenant.acquire_many_owned(weight).await.ok()?;
        let process = Arc::clone(&self.process).acquire_many_owned(weight).await.ok()?;
        Some(Permit { _tenant: tenant, _process: process })
    }

    /// Attempts that are being made or written down.
    pub(super) fn in_use(&self) -> usize {
        self.in_all.saturating_sub(self.process.available_permits())
    }

    /// Waits until none is in use, for at most `limit`; whether that came true.
    pub(super) async fn wait_for_all(&self, limit: Duration) -> bool {
        let all = u32::try_from(self.in_all).unwrap_or(u32::MAX);
        let acquired = tokio::time::timeout(limit, self.process.acquire_many(all)).await;
        matches!(acquired, Ok(Ok(_)))
    }

    fn of(&self, tenant: TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tenants.entry(tenant).or_insert_with(|| Arc::new(Semaphore::new(self.per_tenant))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[actix_rt::test]
    async fn a_tenant_takes_its_share_and_no_more() {
        let permits = Permits::new(3, 2);
        let one = [permits.acquire(TenantId(1), 1).await, permits.acquire(TenantId(1), 1).await];
        assert!(permits.acquire(TenantId(1), 1).now_or_never().is_none(), "it has its two");
        let other = permits.acquire(TenantId(2), 1).await;
        assert_eq!(permits.in_use(), 3);
        assert!(permits.acquire(TenantId(2), 1).now_or_never().is_none(), "the process has its three");
        drop((one, other));
        assert!(permits.acquire(TenantId(1), 1).now_or_never().flatten().is_some());
    }

    #[actix_rt::test]
    async fn what_weighs_more_than_there_is_takes_all_there_is() {
        let permits = Permits::new(3, 2);
        let heavy = permits.acquire(TenantId(1), 9).await;
        assert_eq!(permits.in_use(), 2);
        assert!(permits.acquire(TenantId(1), 1).now_or_never().is_none());
        drop(heavy);
        assert_eq!(permits.in_use(), 0);
    }

    #[actix_rt::test]
    async fn the_end_waits_for_what_is_under_way() {
        let permits = Permits::new(2, 2);
        let held = permits.acquire(TenantId(1), 1).await;
        assert!(!permits.wait_for_all(Duration::from_millis(1)).await);
        drop(held);
        assert!(permits.wait_for_all(Duration::from_secs(9)).await);
    }
}
