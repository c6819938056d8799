//! `HttpPost`: one signed POST of `{"event", "data"}` for each delivery.

use super::{DeliveryStrategy, Kept, body, unsendable};
use crate::domain::{Clock, Timestamp};
use crate::webhooks::client::{Client, Outbound, Post};
use crate::webhooks::delivery::Delivery;
use crate::webhooks::endpoint::Endpoint;
use crate::webhooks::outcome::Report;
use crate::webhooks::ready::Ready;
use crate::webhooks::vault::Vault;
use std::time::Duration;

/// See the module.
pub(in crate::webhooks) struct HttpPost {
    ready: Ready,
    outbound: Outbound,
    client: Kept<Client>,
}

impl HttpPost {
    /// `None` when the row does not hold what a request needs.
    pub(super) fn of(endpoint: &Endpoint, vault: &Vault, outbound: &Outbound) -> Option<Self> {
        let ready = Ready::of(endpoint, vault)?;
        Some(Self { ready, outbound: outbound.clone(), client: Kept::default() })
    }

    fn post(&self, delivery: &Delivery, now: Timestamp, limit: Duration) -> Option<Post> {
        self.ready.post(&delivery.message_id, body(delivery)?, now, limit)
    }
}

impl DeliveryStrategy for HttpPost {
    fn most(&self) -> usize {
        1
    }

    fn fits(&self, _: &[Delivery], _: &Delivery) -> bool {
        false
    }

    async fn send(&self, deliveries: &[Delivery], clock: &Clock, limit: Duration) -> Report {
        let [delivery] = deliveries else { return unsendable() };
        match self.post(delivery, clock.now(), limit) {
            Some(post) => self.ready.send(&self.client.get(|| Client::of(&self.outbound)), post, clock).await,
            None => unsendable(),
        }
    }

    fn rest(&self) {
        self.client.let_go();
    }
}
