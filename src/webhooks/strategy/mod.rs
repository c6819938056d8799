//! `DeliveryStrategy`: the ways in which deliveries reach an endpoint, and `Sender`, the one that an endpoint has.
//!
//! A strategy makes one request of one delivery or of several, within the endpoint's time and our bounds, and reports
//! how it went. When to send, how often again, and when not to is not its business.

mod http_post;
mod kind;
pub(super) mod pusher_batch;
mod redis_stream;

pub use kind::Strategy;

use super::client::Outbound;
use super::delivery::Delivery;
use super::endpoint::Endpoint;
use super::outcome::{Outcome, Report};
use super::vault::Vault;
use crate::domain::Clock;
use bytes::Bytes;
use http_post::HttpPost;
use pusher_batch::PusherBatch;
use redis_stream::RedisStream;
use std::cell::RefCell;
use std::time::Duration;

/// A way of sending to one endpoint. It belongs to the endpoint's actor and its thread.
pub(super) trait DeliveryStrategy {
    /// How many deliveries one request takes at most.
    fn most(&self) -> usize;

    /// Whether `next` may travel with those that are `taken`, of which there is one at least.
    fn fits(&self, taken: &[Delivery], next: &Delivery) -> bool;

    /// Makes one request of these deliveries. It always comes back, at the latest when `limit` is over.
    async fn send(&self, deliveries: &[Delivery], clock: &Clock, limit: Duration) -> Report;

    /// Lets connections go that nothing is sent over just now; the next request makes its own.
    fn rest(&self);
}

/// The strategy of one endpoint, ready to send.
pub(super) enum Sender {
    HttpPost(HttpPost),
    PusherBatch(PusherBatch),
    RedisStream(Box<RedisStream>),
    /// The row does not hold what a request needs; the door lets no such row in.
    Broken,
}

impl Sender {
    /// Of this endpoint, its secrets opened.
    pub(super) fn of(endpoint: &Endpoint, vault: &Vault, outbound: &Outbound) -> Self {
        let sender = match endpoint.strategy {
            Strategy::HttpPost => HttpPost::of(endpoint, vault, outbound).map(Self::HttpPost),
            Strategy::PusherBatch => PusherBatch::of(endpoint, vault, outbound).map(Self::PusherBatch),
            Strategy::RedisStream => {
                RedisStream::of(endpoint, vault, outbound).map(Box::new).map(Self::RedisStream)
            }
        };
        sender.unwrap_or(Self::Broken)
    }
}

impl DeliveryStrategy for Sender {
    fn most(&self) -> usize {
        match self {
            Self::HttpPost(strategy) => strategy.most(),
            Self::PusherBatch(strategy) => strategy.most(),
            Self::RedisStream(strategy) => strategy.most(),
            Self::Broken => 1,
        }
    }

    fn fits(&self, taken: &[Delivery], next: &Delivery) -> bool {
        match self {
            Self::HttpPost(strategy) => strategy.fits(taken, next),
            Self::PusherBatch(strategy) => strategy.fits(taken, next),
            Self::RedisStream(strategy) => strategy.fits(taken, next),
            Self::Broken => false,
        }
    }

    async fn send(&self, deliveries: &[Delivery], clock: &Clock, limit: Duration) -> Report {
        match self {
            Self::HttpPost(strategy) => strategy.send(deliveries, clock, limit).await,
            Self::PusherBatch(strategy) => strategy.send(deliveries, clock, limit).await,
            Self::RedisStream(strategy) => strategy.send(deliveries, clock, limit).await,
            Self::Broken => unsendable(),
        }
    }

    fn rest(&self) {
        match self {
            Self::HttpPost(strategy) => strategy.rest(),
            Self::PusherBatch(strategy) => strategy.rest(),
            Self::RedisStream(strategy) => strategy.rest(),
            Self::Broken => {}
        }
    }
}

/// Connections, made when they are first needed and let go when they rest. Clones of `T` share them.
struct Kept<T>(RefCell<Option<T>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(RefCell::new(None))
    }
}

impl<T: Clone> Kept<T> {
    fn get(&self, make: impl FnOnce() -> T) -> T {
        self.0.borrow_mut().get_or_insert_with(make).clone()
    }

    fn let_go(&self) {
        self.0.take();
    }
}

/// `{"event":NAME,"data":DATA}`, with the data as it was written: the same bytes at every attempt.
fn body(delivery: &Delivery) -> Option<Bytes> {
    let name = serde_json::to_string(&*delivery.event).ok()?;
    Some(format!(r#"{{"event":{name},"data":{}}}"#, delivery.data).into())
}

fn unsendable() -> Report {
    let message = "The endpoint's URL or secret cannot be used: set them again, or ask the operator whether the key \
                   that sealed the secret is missing.";
    Report::without_answer(Outcome::Unsendable, message.to_owned(), Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DeliveryId, EndpointId, Timestamp};

    /// A delivery that says this.
    pub(super) fn delivery(event: &str, data: &str) -> Delivery {
        Delivery {
            id: DeliveryId(1),
            endpoint: EndpointId(1),
            attempts: 0,
            attempts_before: 0,
            lease_until: Timestamp::from_micros(0).unwrap(),
            message_id: "msg_1".into(),
            event: event.into(),
            data: data.into(),
        }
    }

    #[test]
    fn the_body_carries_the_data_byte_for_byte() {
        let body = body(&delivery("product:updated", r#"{"b": 1.50,"a":"\u00e4"}"#)).unwrap();
        assert_eq!(body, r#"{"event":"product:updated","data":{"b": 1.50,"a":"\u00e4"}}"#);
    }

    #[test]
    fn what_rests_is_made_anew() {
        let kept = Kept::default();
        assert_eq!((kept.get(|| 1), kept.get(|| 2)), (1, 1));
        kept.let_go();
        assert_eq!(kept.get(|| 3), 3);
    }
}
