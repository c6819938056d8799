//! `Cache`: the last event that back ends published on a cache channel, for newcomers, until it is too old. Pure.
//! <https://pusher.com/docs/channels/using_channels/cache-channels/>

use crate::realtime::frame::Publication;
use bytestring::ByteString;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a cache channel remembers.
#[derive(Debug)]
pub struct Cache {
    ttl: Duration,
    last: Option<Kept>,
    /// Back ends have been told that there is nothing, and have not filled it since.
    missed: bool,
}

/// A kept event.
#[derive(Debug, Clone)]
struct Kept {
    text: ByteString,
    data: Arc<str>,
    until: Instant,
}

/// What a newcomer finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The message with the last event, as the others got it.
    Last(ByteString),
    /// Nothing.
    Miss {
        /// Nobody found nothing since the cache was last filled: back ends are to be told.
        first: bool,
    },
}

impl Cache {
    /// Empty; an event is kept for `ttl`.
    pub const fn new(ttl: Duration) -> Self {
        Self { ttl, last: None, missed: false }
    }

    /// Back ends published this, encoded as `text`. What clients say must not come here.
    pub fn keep(&mut self, publication: &Publication, text: ByteString, now: Instant) {
        self.last = Some(Kept { text, data: publication.data.clone(), until: now + self.ttl });
        self.missed = false;
    }

    /// A newcomer asks.
    pub fn find(&mut self, now: Instant) -> Found {
        match self.fresh(now) {
            Some(kept) => Found::Last(kept.text.clone()),
            None => Found::Miss { first: !std::mem::replace(&mut self.missed, true) },
        }
    }

    /// The data of the last event and how long it is kept yet.
    pub fn content(&self, now: Instant) -> Option<(&Arc<str>, Duration)> {
        self.fresh(now).map(|kept| (&kept.data, kept.until - now))
    }

    /// Until when there is something for newcomers; the channel lives on for so long without subscribers.
    pub fn until(&self) -> Option<Instant> {
        self.last.as_ref().map(|kept| kept.until)
    }

    fn fresh(&self, now: Instant) -> Option<&Kept> {
        self.last.as_ref().filter(|kept| kept.until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::frame::Origin;

    const TTL: Duration = Duration::from_mins(30);

    fn said(data: &str, at: Instant) -> Publication {
        let (name, data, origin) = ("e".into(), data.into(), Origin::BackEnd);
        Publication { name, data, except: None, origin, user_id: None, at }
    }

    #[test]
    fn a_newcomer_finds_the_last_event_until_it_is_too_old() {
        let (mut cache, now) = (Cache::new(TTL), Instant::now());
        cache.keep(&said("1", now), "one".into(), now);
        cache.keep(&said("2", now), "two".into(), now);
        assert_eq!(cache.find(now), Found::Last("two".into()));
        let (data, left) = cache.content(now + TTL / 2).unwrap();
        assert_eq!((&**data, left), ("2", TTL / 2));
        assert_eq!(cache.until(), Some(now + TTL));
        assert_eq!(cache.find(now + TTL), Found::Miss { first: true });
        assert!(cache.content(now + TTL).is_none());
    }

    #[test]
    fn back_ends_are_told_of_the_first_miss_until_they_fill_it_again() {
        let (mut cache, now) = (Cache::new(TTL), Instant::now());
        assert_eq!(cache.find(now), Found::Miss { first: true });
        assert_eq!(cache.find(now), Found::Miss { first: false });
        cache.keep(&said("1", now), "one".into(), now);
        assert_eq!(cache.find(now + TTL), Found::Miss { first: true });
        assert_eq!(cache.find(now + TTL), Found::Miss { first: false });
    }
}
