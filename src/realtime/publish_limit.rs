//! `PublishLimit`: how many events a second the back ends of each app may publish, as token buckets. The
//! buckets of two apps share nothing, so that one over its limit does not slow another.

use crate::config::App;
use crate::domain::AppId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One bucket an app, of a second's worth: full at first, refilled evenly, refused while there is not one
/// token. What is admitted may take more than there is (an event on 100 channels of an app that may publish
/// 50 a second); the debt is waited off, so the average holds.
#[derive(Debug)]
pub struct PublishLimit {
    /// Apps without a bound are not in it.
    buckets: HashMap<AppId, Mutex<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    per_second: f64,
    tokens: f64,
    filled_at: Option<Instant>,
}

impl PublishLimit {
    /// The limits of these apps (`events_per_second`; 0 = none).
    pub fn new(apps: &[Arc<App>]) -> Self {
        let bounded = apps.iter().filter(|app| app.events_per_second > 0);
        let bucket = |app: &Arc<App>| {
            let per_second = f64::from(app.events_per_second);
            (app.id.clone(), Mutex::new(Bucket { per_second, tokens: per_second, filled_at: None }))
        };
        Self { buckets: bounded.map(bucket).collect() }
    }

    /// Takes so many events of this app, or says how long to wait for the next. Taking none only asks.
    pub fn admit(&self, app: &AppId, events: usize, now: Instant) -> Result<(), Duration> {
        let Some(bucket) = self.buckets.get(app) else { return Ok(()) };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = now.saturating_duration_since(bucket.filled_at.unwrap_or(now)).as_secs_f64();
        bucket.tokens = rested.mul_add(bucket.per_second, bucket.tokens).min(bucket.per_second);
        bucket.filled_at = Some(now);
        if bucket.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / bucket.per_second));
        }
        bucket.tokens -= f64::from(u32::try_from(events).unwrap_or(u32::MAX));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Secret;

    fn app(id: &str, events_per_second: u32) -> Arc<App> {
        Arc::new(App { events_per_second, ..App::new(id, id, Secret::new("s")) })
    }

    #[test]
    fn an_app_over_its_limit_waits_and_the_others_do_not() {
        let apps = [app("small", 5), app("large", 1_000), app("free", 0)];
        let (limit, now) = (PublishLimit::new(&apps), Instant::now());
        assert!((0..5).all(|_| limit.admit(&apps[0].id, 1, now).is_ok()));
        assert_eq!(limit.admit(&apps[0].id, 1, now), Err(Duration::from_millis(200)));
        assert!((0..1_000).all(|_| limit.admit(&apps[1].id, 1, now).is_ok()));
        assert!((0..9_999).all(|_| limit.admit(&apps[2].id, 1, now).is_ok()));
        assert!(limit.admit(&apps[0].id, 1, now + Duration::from_millis(201)).is_ok());
    }

    #[test]
    fn more_than_there_is_is_admitted_once_and_waited_off() {
        let apps = [app("a", 10)];
        let (limit, now) = (PublishLimit::new(&apps), Instant::now());
        limit.admit(&apps[0].id, 100, now).unwrap();
        assert_eq!(limit.admit(&apps[0].id, 0, now), Err(Duration::from_millis(9_100)));
        assert!(limit.admit(&apps[0].id, 0, now + Duration::from_secs(9)).is_err());
        assert!(limit.admit(&apps[0].id, 1, now + Duration::from_millis(9_101)).is_ok());
    }

    proptest::proptest! {
        /// Whatever is asked when: over any time no more is admitted than the rate allows, and one burst.
        #[test]
        fn the_average_holds(steps in proptest::collection::vec((0_u64..400, 1_usize..30), 1..200)) {
            let apps = [app("a", 20)];
            let (limit, begin) = (PublishLimit::new(&apps), Instant::now());
            let (mut now, mut admitted) = (begin, 0);
            for (pause, events) in steps {
                now += Duration::from_millis(pause);
                if limit.admit(&apps[0].id, events, now).is_ok() {
                    admitted += events;
                }
            }
            let most = 20.0 + 20.0 * (now - begin).as_secs_f64() + 30.0;
            proptest::prop_assert!(f64::from(u32::try_from(admitted).unwrap()) <= most);
        }
    }
}
