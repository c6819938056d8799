//! `PusherBatch`: what waits for an endpoint and may go, as one POST in the format of Pusher's webhooks, for the
//! `webhook()` of any Pusher server SDK to verify.
//!
//! `{"time_ms": …, "events": [{"name", "id", "data"}, …]}`: the event's name, the `webhook-id` of its delivery, and
//! its data as JSON text, because libraries for typed languages read nothing but a string there; of an endpoint with
//! an encryption key, that text as a compact JWE. The secret that signs is the endpoint's whole `whsec_…`, so
//! `X-Pusher-Signature` and `X-Webhook-Signature` are the same. A batch is made anew at each attempt, so it has no
//! id: the three headers of Standard Webhooks, which sign one, stay out.

use super::{DeliveryStrategy, Kept, unsendable};
use crate::domain::{Clock, EndpointId, Timestamp};
use crate::webhooks::client::{Client, Outbound, Post};
use crate::webhooks::delivery::Delivery;
use crate::webhooks::endpoint::Endpoint;
use crate::webhooks::outcome::Report;
use crate::webhooks::ready::Ready;
use crate::webhooks::vault::Vault;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// Events of one request.
const MOST_EVENTS: usize = 50;

/// Of names, ids and data together, unless one event alone has more: escaped or encrypted it stays below the 100 kB
/// that common servers take at most.
const MOST_BYTES: usize = 65_536;

/// See the module.
pub(in crate::webhooks) struct PusherBatch {
    ready: Ready,
    key: String,
    outbound: Outbound,
    client: Kept<Client>,
}

/// What `X-Pusher-Key` says: by which key a receiver of several knows the secret.
pub(in crate::webhooks) fn key(endpoint: EndpointId) -> String {
    format!("webhook-{endpoint}")
}

/// The body of a request.
#[derive(Serialize)]
struct Batch<'a> {
    time_ms: i64,
    events: Vec<Event<'a>>,
}

#[derive(Serialize)]
struct Event<'a> {
    name: &'a str,
    id: &'a str,
    data: Cow<'a, str>,
}

impl PusherBatch {
    /// `None` when the row does not hold what a request needs.
    pub(super) fn of(endpoint: &Endpoint, vault: &Vault, outbound: &Outbound) -> Option<Self> {
        let ready = Ready::of(endpoint, vault)?;
        Some(Self { ready, key: key(endpoint.id), outbound: outbound.clone(), client: Kept::default() })
    }

    fn event<'a>(&self, delivery: &'a Delivery) -> Option<Event<'a>> {
        let data = match self.ready.encryption_key() {
            Some(key) => {
                Cow::Owned(String::from_utf8(key.encrypt(delivery.data.as_bytes()).ok()?.into()).ok()?)
            }
            None => Cow::Borrowed(&*delivery.data),
        };
        Some(Event { name: &delivery.event, id: &delivery.message_id, data })
    }

    fn post(&self, deliveries: &[Delivery], now: Timestamp, limit: Duration) -> Option<Post> {
        let events = deliveries.iter().map(|delivery| self.event(delivery)).collect::<Option<_>>()?;
        let body = serde_json::to_vec(&Batch { time_ms: now.micros() / 1_000, events }).ok()?;
        let signature = self.ready.signer().sign_body(&body);
        let headers = vec![
            ("x-pusher-key", self.key.clone()),
            ("x-pusher-signature", signature.clone()),
            ("x-webhook-signature", signature),
        ];
        Some(self.ready.request(headers, body.into(), limit))
    }
}

impl DeliveryStrategy for PusherBatch {
    fn most(&self) -> usize {
        MOST_EVENTS
    }

    fn fits(&self, taken: &[Delivery], next: &Delivery) -> bool {
        let bytes: usize = taken.iter().chain([next]).map(size).sum();
        taken.len() < MOST_EVENTS && bytes <= MOST_BYTES
    }

    async fn send(&self, deliveries: &[Delivery], clock: &Clock, limit: Duration) -> Report {
        match self.post(deliveries, clock.now(), limit) {
            Some(post) => self.ready.send(&self.client.get(|| Client::of(&self.outbound)), post, clock).await,
            None => unsendable(),
        }
    }

    fn rest(&self) {
        self.client.let_go();
    }
}

fn size(delivery: &Delivery) -> usize {
    delivery.event.len() + delivery.message_id.len() + delivery.data.len()
}
