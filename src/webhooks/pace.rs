//! `Pace`: spreads an endpoint's requests so that it gets no more a minute than its owner wants. Pure.
//!
//! A token bucket in the form of GCRA: one number, the time at which the bucket would be full again. A second's
//! worth may go at once; what is over the rate is put off and never dropped. Each process keeps its own.

use crate::domain::Timestamp;
use std::time::Duration;

/// What may go at once, in time at the rate.
const BURST: Duration = Duration::from_secs(1);

/// One endpoint's rate, and how much of it is used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    interval: Duration,
    full_at: Option<Timestamp>,
}

impl Pace {
    /// So many requests a minute; at least one.
    pub(super) fn per_minute(requests: u32) -> Self {
        Self { interval: Duration::from_mins(1) / requests.max(1), full_at: None }
    }

    /// Whether this is a pace of so many requests a minute.
    pub(super) fn is_of(&self, requests: u32) -> bool {
        self.interval == Self::per_minute(requests).interval
    }

    /// Takes one request's worth, or says when there is one.
    pub(super) fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        let burst = BURST.max(self.interval);
        let next = full_at.plus(self.interval);
        if next.since(now) > burst {
            return Err(next.minus(burst));
        }
        self.full_at = Some(next);
        Ok(())
    }

    /// How many deliveries are worth holding: what goes out in two seconds.
    pub(super) fn worth(&self) -> usize {
        let two_seconds = Duration::from_secs(2).as_micros() / self.interval.as_micros().max(1);
        usize::try_from(two_seconds).unwrap_or(usize::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000).unwrap()
    }

    #[test]
    fn a_seconds_worth_goes_at_once_and_the_rest_at_the_rate() {
        let mut pace = Pace::per_minute(120);
        assert_eq!((pace.take(at(0)), pace.take(at(0))), (Ok(()), Ok(())));
        assert_eq!(pace.take(at(0)), Err(at(500)));
        assert_eq!(pace.take(at(499)), Err(at(500)));
        assert_eq!(pace.take(at(500)), Ok(()));
        assert_eq!(pace.take(at(60_000)), Ok(()), "rest is not saved up beyond the burst");
        assert_eq!((pace.take(at(60_000)), pace.take(at(60_000))), (Ok(()), Err(at(60_500))));
    }

    #[test]
    fn one_a_minute_is_one_a_minute() {
        let mut pace = Pace::per_minute(1);
        assert_eq!(pace.take(at(0)), Ok(()));
        assert_eq!(pace.take(at(1_000)), Err(at(60_000)));
        assert_eq!(pace.worth(), 1);
        assert_eq!(Pace::per_minute(600).worth(), 20);
    }

    proptest! {
        #[test]
        fn no_minute_sees_more_than_its_rate_and_a_burst(rate in 1..5_000_u32, gaps in proptest::collection::vec(0..200_i64, 1..400)) {
            let (mut pace, mut now, mut went) = (Pace::per_minute(rate), 0, Vec::new());
            for gap in gaps {
                now += gap;
                if pace.take(at(now)).is_ok() {
                    went.push(now);
                }
            }
            let burst = (rate as usize).div_ceil(60).max(1);
            for (n, first) in went.iter().enumerate() {
                let in_minute = went[n..].iter().take_while(|t| **t < first + 60_000).count();
                prop_assert!(in_minute <= rate as usize + burst);
            }
        }
    }
}
