//! `Charges`: what one transaction takes of the [`SendLimits`]. It is given back unless the transaction is committed: what
//! was rolled back was not sent, and does not count.

use super::send_limits::SendLimits;
use crate::domain::{TenantId, Timestamp, UserId};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// See the module. Drop it before the commit and nothing was taken.
#[derive(Debug)]
pub struct Charges<'a> {
    limits: &'a SendLimits,
    taken: Mutex<Vec<Charge>>,
}

#[derive(Debug, Clone, Copy)]
enum Charge {
    Tenant(TenantId, usize),
    User(UserId),
}

impl<'a> Charges<'a> {
    /// Nothing so far.
    pub const fn new(limits: &'a SendLimits) -> Self {
        Self { limits, taken: Mutex::new(Vec::new()) }
    }

    /// Takes so many of what the tenant may send, or says how long to wait.
    pub fn admit_tenant(&self, tenant: TenantId, count: usize, now: Timestamp) -> Result<(), Duration> {
        self.limits.admit_tenant(tenant, count, now)?;
        self.note(Charge::Tenant(tenant, count));
        Ok(())
    }

    /// Takes one of what the user may be sent, or says how long to wait.
    pub fn admit_user(&self, user: UserId, now: Timestamp) -> Result<(), Duration> {
        self.limits.admit_user(user, now)?;
        self.note(Charge::User(user));
        Ok(())
    }

    /// So many of what was taken for the tenant were not sent.
    pub fn return_to_tenant(&self, tenant: TenantId, mut count: usize) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for charge in taken.iter_mut() {
            if let Charge::Tenant(of, left) = charge
                && *of == tenant
            {
                let back = count.min(*left);
                self.limits.return_to_tenant(tenant, back);
                (*left, count) = (*left - back, count - back);
            }
        }
    }

    /// It is committed: what was taken stays taken.
    pub fn keep(self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn note(&self, charge: Charge) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(charge);
    }
}

impl Drop for Charges<'_> {
    fn drop(&mut self) {
        let taken = self.taken.get_mut().unwrap_or_else(PoisonError::into_inner);
        for charge in taken.drain(..) {
            match charge {
                Charge::Tenant(tenant, count) => self.limits.return_to_tenant(tenant, count),
                Charge::User(user) => self.limits.return_to_user(user),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000_000;
    const TENANT: TenantId = TenantId(1);
    const USER: UserId = UserId(1);

    fn now() -> Timestamp {
        Timestamp::from_micros(NOW).unwrap()
    }

    #[test]
    fn what_does_not_come_to_its_end_does_not_count() {
        let limits = SendLimits::new(10, 2);
        for _ in 0..5 {
            let charges = Charges::new(&limits);
            charges.admit_tenant(TENANT, 10, now()).unwrap();
            charges.admit_user(USER, now()).unwrap();
            charges.admit_user(USER, now()).unwrap();
            assert!(charges.admit_user(USER, now()).is_err());
        }
        let charges = Charges::new(&limits);
        charges.admit_tenant(TENANT, 10, now()).unwrap();
        charges.keep();
        assert!(Charges::new(&limits).admit_tenant(TENANT, 1, now()).is_err());
    }

    #[test]
    fn what_nobody_was_sent_is_given_back() {
        let limits = SendLimits::new(10, 0);
        let charges = Charges::new(&limits);
        charges.admit_tenant(TENANT, 10, now()).unwrap();
        charges.return_to_tenant(TENANT, 4);
        charges.keep();
        let charges = Charges::new(&limits);
        assert!((0..4).all(|_| charges.admit_tenant(TENANT, 1, now()).is_ok()));
        assert!(charges.admit_tenant(TENANT, 1, now()).is_err());
    }
}
