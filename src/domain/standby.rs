//! `Standby`: the endpoints of this process that have a lane free. What is written for one of them is leased to it in
//! the same transaction and handed to it with the nudge, so that the way from change to request knows no claim.
//!
//! A lane is taken before the row is written and held by its [`Place`]. A place that does not arrive, because the
//! transaction was rolled back or a mailbox was full, hands its lease back when it is dropped; when the process dies
//! the lease runs out. So a delivery may be late by this, and is never lost.

use super::{DeliveryId, EndpointId, Event, Timestamp};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// See the module. Cloning shares it; the default one stands nobody by.
#[derive(Clone, Default)]
pub struct Standby(Arc<Inner>);

#[derive(Default)]
struct Inner {
    posts: Mutex<HashMap<EndpointId, Arc<Post>>>,
    lost: OnceLock<HandBack>,
    is_closed: AtomicBool,
}

type HandBack = Box<dyn Fn(DeliveryId, Timestamp) + Send + Sync>;

impl Standby {
    /// Whom to tell of leases that were written and did not arrive. The first call counts.
    pub fn on_lost(&self, hand_back: impl Fn(DeliveryId, Timestamp) + Send + Sync + 'static) {
        let _ = self.0.lost.set(Box::new(hand_back));
    }

    /// The post of an endpoint's actor, which leases as `owner`; it stands by when it is [set](Post::set). It takes
    /// the place of another of the same endpoint.
    pub fn post(&self, endpoint: EndpointId, owner: Arc<str>) -> Arc<Post> {
        let post = Arc::new(Post { owner, duty: Mutex::default() });
        lock(&self.0.posts).insert(endpoint, Arc::clone(&post));
        post
    }

    /// Gives the post up.
    pub fn leave(&self, endpoint: EndpointId, post: &Arc<Post>) {
        post.set(Duty::default());
        let mut posts = lock(&self.0.posts);
        if posts.get(&endpoint).is_some_and(|present| Arc::ptr_eq(present, post)) {
            posts.remove(&endpoint);
        }
    }

    /// From now on nobody stands by.
    pub fn close(&self) {
        self.0.is_closed.store(true, Ordering::Relaxed);
    }

    /// A lane of the endpoint, if one is free and its actor knows it as of this revision.
    pub fn take(&self, endpoint: EndpointId, revision: i32) -> Option<Place> {
        if self.0.is_closed.load(Ordering::Relaxed) {
            return None;
        }
        let post = lock(&self.0.posts).get(&endpoint).map(Arc::clone)?;
        let lasts = post.take(revision)?;
        Some(Place { post, standby: self.clone(), lasts, lease: None })
    }
}

impl fmt::Debug for Standby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Standby({} posts)", lock(&self.0.posts).len())
    }
}

/// What an endpoint's actor is ready for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Duty {
    /// The endpoint's row as the actor knows it.
    pub revision: i32,
    /// Deliveries that could be sent at once, those that are on their way to it included.
    pub lanes: usize,
    /// How long a lease has to last.
    pub lasts: Duration,
}

/// Where an endpoint's actor says what it is ready for.
#[derive(Debug)]
pub struct Post {
    owner: Arc<str>,
    duty: Mutex<(Duty, usize)>,
}

impl Post {
    /// From now on this.
    pub fn set(&self, duty: Duty) {
        lock(&self.duty).0 = duty;
    }

    fn take(&self, known: i32) -> Option<Duration> {
        let mut state = lock(&self.duty);
        let (duty, taken) = &mut *state;
        let is_free = duty.revision == known && *taken < duty.lanes;
        is_free.then(|| {
            *taken += 1;
            duty.lasts
        })
    }

    fn give_back(&self) {
        let (_, taken) = &mut *lock(&self.duty);
        *taken = taken.saturating_sub(1);
    }
}

/// A lane that is taken.
pub struct Place {
    post: Arc<Post>,
    standby: Standby,
    lasts: Duration,
    lease: Option<(DeliveryId, Timestamp)>,
}

impl Place {
    /// In whose name to lease.
    pub fn owner(&self) -> &Arc<str> {
        &self.post.owner
    }

    /// Until when to lease what is written `now`.
    pub fn lease_until(&self, now: Timestamp) -> Timestamp {
        now.plus(self.lasts)
    }

    /// The row is written.
    pub fn leased(&mut self, delivery: DeliveryId, until: Timestamp) {
        self.lease = Some((delivery, until));
    }

    /// Whoever sends it has it.
    fn arrived(mut self) {
        self.lease = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.post.give_back();
        if let (Some((delivery, until)), Some(hand_back)) = (self.lease, self.standby.0.lost.get()) {
            hand_back(delivery, until);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({:?})", self.lease)
    }
}

/// A delivery that was leased as it was written, on its way to its endpoint's actor.
#[derive(Debug)]
pub struct Leased {
    /// Its row.
    pub delivery: DeliveryId,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// Until when it is leased.
    pub lease_until: Timestamp,
    /// What it tells of.
    pub event: Event,
    /// The lane that waits for it.
    pub place: Place,
}

impl Leased {
    /// Takes it in hand: from here on the lease is the caller's.
    pub fn arrive(self) -> (DeliveryId, Timestamp, Event) {
        self.place.arrived();
        (self.delivery, self.lease_until, self.event)
    }
}

/// Nothing is left half done where a holder could panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: EndpointId = EndpointId(7);
    const LASTS: Duration = Duration::from_secs(15);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    fn standing_by(lanes: usize) -> (Standby, Arc<Post>) {
        let standby = Standby::default();
        let post = standby.post(SHOP, "us".into());
        post.set(Duty { revision: 3, lanes, lasts: LASTS });
        (standby, post)
    }

    /// Where lost leases are kept.
    fn heard(standby: &Standby) -> Arc<Mutex<Vec<DeliveryId>>> {
        let lost = Arc::<Mutex<Vec<DeliveryId>>>::default();
        let told = Arc::clone(&lost);
        standby.on_lost(move |delivery, _| told.lock().unwrap().push(delivery));
        lost
    }

    #[test]
    fn no_more_places_are_given_than_there_are_lanes() {
        let (standby, _post) = standing_by(2);
        let first = standby.take(SHOP, 3).unwrap();
        assert_eq!((&**first.owner(), first.lease_until(at(100))), ("us", at(115)));
        let _second = standby.take(SHOP, 3).unwrap();
        assert!(standby.take(SHOP, 3).is_none(), "both are taken");
        drop(first);
        assert!(standby.take(SHOP, 3).is_some(), "one was given back");
        assert!(standby.take(EndpointId(8), 3).is_none(), "nobody stands by there");
    }

    #[test]
    fn an_endpoint_that_was_changed_meanwhile_gets_no_place() {
        let (standby, post) = standing_by(2);
        assert!(standby.take(SHOP, 4).is_none());
        post.set(Duty { revision: 4, lanes: 2, lasts: LASTS });
        assert!(standby.take(SHOP, 4).is_some());
        assert!(standby.take(SHOP, 3).is_none(), "nor whoever reads an older row");
    }

    #[test]
    fn what_does_not_arrive_is_handed_back_and_what_does_is_not() {
        let (standby, _post) = standing_by(3);
        let lost = heard(&standby);
        drop(standby.take(SHOP, 3).unwrap());
        assert!(lost.lock().unwrap().is_empty(), "no row was written");
        let mut place = standby.take(SHOP, 3).unwrap();
        place.leased(DeliveryId(1), at(15));
        drop(place);
        let mut place = standby.take(SHOP, 3).unwrap();
        place.leased(DeliveryId(2), at(15));
        place.arrived();
        assert_eq!(*lost.lock().unwrap(), [DeliveryId(1)]);
        let free: Vec<Place> = (0..9).filter_map(|_| standby.take(SHOP, 3)).collect();
        assert_eq!(free.len(), 3, "each place was given back once");
    }

    #[test]
    fn a_post_that_is_left_gives_no_place_and_leaves_its_successor_alone() {
        let (standby, old) = standing_by(1);
        let new = standby.post(SHOP, "us".into());
        new.set(Duty { revision: 3, lanes: 1, lasts: LASTS });
        standby.leave(SHOP, &old);
        let place = standby.take(SHOP, 3);
        assert!(place.is_some());
        standby.leave(SHOP, &new);
        drop(place);
        assert!(standby.take(SHOP, 3).is_none());
    }

    #[test]
    fn once_it_is_closed_nobody_stands_by() {
        let (standby, _post) = standing_by(1);
        standby.close();
        assert!(standby.take(SHOP, 3).is_none());
    }
}
