//! `Cache`: the last event that back ends published on a cache channel, for newcomers, until it is too old. Pure.
//! <https://pusher.com/docs/channels/using_channels/cache-channels/>

use crate::realtime::frame::Frame;
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
    frame: Arc<Frame>,
    data: Arc<str>,
    until: Instant,
}

/// What a newcomer finds.
#[derive(Debug)]
pub enum Found {
    /// The last event, as the others got it.
    Last(Arc<Frame>),
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

    /// Back ends published `data`, encoded as `frame`. What clients say must not come here.
    pub fn keep(&mut self, data: &Arc<str>, frame: &Frame, now: Instant) {
        // Told to a newcomer it says nothing of how long the hub takes.
        let frame = Frame { text: frame.text.clone(), published: None, place: frame.place.clone() };
        self.last = Some(Kept { frame: Arc::new(frame), data: data.clone(), until: now + self.ttl });
        self.missed = false;
    }

    /// A newcomer asks.
    pub fn find(&mut self, now: Instant) -> Found {
        match self.fresh(now) {
            Some(kept) => Found::Last(kept.frame.clone()),
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
    const TTL: Duration = Duration::from_mins(30);

    fn keep(cache: &mut Cache, text: &'static str, now: Instant) {
        cache.keep(&format!("data of {text}").into(), &Frame::answer(text.into()), now);
    }

    /// The text of the last event, or whether nobody had missed it before.
    fn found(cache: &mut Cache, now: Instant) -> Result<String, bool> {
        match cache.find(now) {
            Found::Last(frame) => Ok(frame.text.to_string()),
            Found::Miss { first } => Err(first),
        }
    }

    #[test]
    fn a_newcomer_finds_the_last_event_until_it_is_too_old() {
        let (mut cache, now) = (Cache::new(TTL), Instant::now());
        keep(&mut cache, "one", now);
        keep(&mut cache, "two", now);
        assert_eq!(found(&mut cache, now).as_deref(), Ok("two"));
        let (data, left) = cache.content(now + TTL / 2).unwrap();
        assert_eq!((&**data, left), ("data of two", TTL / 2));
        assert_eq!(cache.until(), Some(now + TTL));
        assert_eq!(found(&mut cache, now + TTL), Err(true));
        assert!(cache.content(now + TTL).is_none());
    }

    #[test]
    fn back_ends_are_told_of_the_first_miss_until_they_fill_it_again() {
        let (mut cache, now) = (Cache::new(TTL), Instant::now());
        assert_eq!(found(&mut cache, now), Err(true));
        assert_eq!(found(&mut cache, now), Err(false));
        keep(&mut cache, "one", now);
        assert_eq!(found(&mut cache, now + TTL), Err(true));
        assert_eq!(found(&mut cache, now + TTL), Err(false));
    }

    #[test]
    fn what_is_kept_keeps_its_place_and_is_not_measured_again() {
        let (mut cache, now) = (Cache::new(TTL), Instant::now());
        let place = Some((crate::domain::ChannelName::parse("cache-x").unwrap(), 7));
        cache.keep(
            &"1".into(),
            &Frame { text: "one".into(), published: Some(now), place: place.clone() },
            now,
        );
        let Found::Last(frame) = cache.find(now) else { panic!("it was kept") };
        assert_eq!((frame.published, &frame.place), (None, &place));
    }
}
