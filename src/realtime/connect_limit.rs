//! `ConnectLimit`: how many WebSockets one address may open a minute (SEC-003), as token buckets.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Buckets are looked through for full ones (forgotten) when their number has doubled since the last look.
const FIRST_SWEEP: usize = 1_024;

/// One bucket an address: full at first, refilled evenly, empty = refused. An address is an IPv4 address or
/// the /64 of an IPv6 one (a household has 2⁶⁴ of those).
#[derive(Debug)]
pub struct ConnectLimit {
    per_minute: u32,
    buckets: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    by_address: HashMap<IpAddr, Bucket>,
    sweep_at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl ConnectLimit {
    /// A limit of so many connects a minute; 0 = none.
    pub fn new(per_minute: u32) -> Self {
        let buckets = Buckets { by_address: HashMap::new(), sweep_at: FIRST_SWEEP };
        Self { per_minute, buckets: Mutex::new(buckets) }
    }

    /// Takes one connect of this address, or says how long to wait for the next.
    pub fn admit(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.by_address.len() >= buckets.sweep_at {
            buckets
                .by_address
                .retain(|_, bucket| self.refill(*bucket, now).tokens < f64::from(self.per_minute));
            buckets.sweep_at = (buckets.by_address.len() * 2).max(FIRST_SWEEP);
        }
        let full = Bucket { tokens: f64::from(self.per_minute), filled_at: now };
        let bucket = buckets.by_address.entry(network(address)).or_insert(full);
        *bucket = self.refill(*bucket, now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            Ok(())
        } else {
            Err(Duration::from_secs_f64((1.0 - bucket.tokens) * 60.0 / f64::from(self.per_minute)))
        }
    }

    fn refill(&self, bucket: Bucket, now: Instant) -> Bucket {
        let gained = now.saturating_duration_since(bucket.filled_at).as_secs_f64() / 60.0;
        let most = f64::from(self.per_minute);
        Bucket { tokens: (bucket.tokens + gained * most).min(most), filled_at: now }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hundred_and_first_connect_of_a_minute_is_refused_and_told_when_to_return() {
        let limit = ConnectLimit::new(100);
        let (now, address) = (Instant::now(), "192.0.2.1".parse().unwrap());
        assert!((0..100).all(|_| limit.admit(address, now).is_ok()));
        let wait = limit.admit(address, now).unwrap_err();
        assert!(wait <= Duration::from_millis(600), "{wait:?}");
        assert!(limit.admit("192.0.2.2".parse().unwrap(), now).is_ok());
        assert!(limit.admit(address, now + Duration::from_millis(601)).is_ok());
    }

    #[test]
    fn a_64_of_ipv6_is_one_address() {
        let (limit, now) = (ConnectLimit::new(1), Instant::now());
        assert!(limit.admit("2001:db8::1".parse().unwrap(), now).is_ok());
        assert!(limit.admit("2001:db8::2".parse().unwrap(), now).is_err());
        assert!(limit.admit("2001:db8:0:1::2".parse().unwrap(), now).is_ok());
    }

    #[test]
    fn addresses_that_have_rested_are_forgotten() {
        let (limit, now) = (ConnectLimit::new(60), Instant::now());
        for n in 0..u32::try_from(FIRST_SWEEP).unwrap() {
            limit.admit(IpAddr::V4((n + 1).into()), now).unwrap();
        }
        limit.admit("192.0.2.1".parse().unwrap(), now + Duration::from_mins(1)).unwrap();
        assert_eq!(limit.buckets.lock().unwrap().by_address.len(), 1);
    }
}
