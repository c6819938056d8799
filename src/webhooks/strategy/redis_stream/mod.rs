//! `RedisStream`: each delivery as an entry of a Redis stream (`XADD`), for consumer groups to read.
//!
//! The fields of an entry are the headers of a POST under their own names, the event's name, and the body, the exact
//! text that was signed: so what verifies a webhook verifies an entry. An attempt whose answer was lost is made
//! again, and its entry stands there twice, with one `webhook-id`.
//!
//! Connections are few, kept while there is something to send, and made by the dialer of all webhooks. One time
//! limit is over all of an attempt: waiting for a connection, lookup, connect, TLS, AUTH, SELECT and XADD.

mod connection;
mod stream_url;

pub(in crate::webhooks) use stream_url::StreamUrl;

use super::{DeliveryStrategy, body, unsendable};
use crate::domain::{Clock, Timestamp};
use crate::webhooks::authorization::Authorization;
use crate::webhooks::client::{ERROR_LIMIT, Failure, KEEP_LIMIT, Outbound, readable};
use crate::webhooks::delivery::Delivery;
use crate::webhooks::endpoint::Endpoint;
use crate::webhooks::jwe::{self, EncryptionKey};
use crate::webhooks::outcome::{Outcome, Report};
use crate::webhooks::ready::opened;
use crate::webhooks::signing::Signer;
use crate::webhooks::vault::Vault;
use connection::{Borrowed, Connector, Credentials, Fault, no_redis};
use deadpool::managed::{Pool, PoolError};
use deadpool_redis::redis::{Cmd, Value, cmd};
use std::time::{Duration, Instant};

/// Of one endpoint at most: as many as it may have lanes, so that none waits for a connection in its own time.
const CONNECTIONS: usize = 100;

/// See the module.
pub(in crate::webhooks) struct RedisStream {
    place: StreamUrl,
    signer: Signer,
    encryption_key: Option<EncryptionKey>,
    pool: Pool<Connector>,
}

impl RedisStream {
    /// `None` when the row does not hold what a request needs.
    pub(super) fn of(endpoint: &Endpoint, vault: &Vault, outbound: &Outbound) -> Option<Self> {
        let place = StreamUrl::parse(&endpoint.url).ok()?;
        let secrets = opened(endpoint, vault)?;
        let credentials = match &secrets.auth {
            None => None,
            Some(Authorization::Basic { username, password }) => {
                let (username, password) = (username.clone(), password.clone());
                Some(Credentials { username, password })
            }
            Some(_) => return None,
        };
        let connector = Connector { outbound: outbound.clone(), place: place.clone(), credentials };
        Some(Self {
            place,
            encryption_key: secrets.encryption_key.clone(),
            signer: secrets.signer().ok()?,
            pool: Pool::builder(connector).max_size(CONNECTIONS).build().ok()?,
        })
    }

    /// What adds the delivery's entry, signed `now`.
    fn command(&self, delivery: &Delivery, now: Timestamp) -> Option<Cmd> {
        let plain = body(delivery)?;
        let body = match &self.encryption_key {
            Some(key) => key.encrypt(&plain).ok()?,
            None => plain,
        };
        let mut add = cmd("XADD");
        // About so many: to cut exactly would cost Redis more than it is worth.
        add.arg(&self.place.stream).arg("MAXLEN").arg("~").arg(self.place.max_len).arg("*");
        for (name, value) in self.signer.sign(&delivery.message_id, now, &body).headers(&delivery.message_id)
        {
            add.arg(name).arg(value);
        }
        if self.encryption_key.is_some() {
            add.arg("content-type").arg(jwe::CONTENT_TYPE);
        }
        add.arg("event").arg(&*delivery.event).arg("body").arg(&body[..]);
        Some(add)
    }

    /// Adds the entry; its id.
    async fn add(&self, command: &Cmd) -> Result<String, Fault> {
        let mut connection = Borrowed::new(self.pool.get().await.map_err(|e| match e {
            PoolError::Backend(fault) => fault,
            // It waits for ever, and is never closed.
            _ => Fault::Failure(Failure::closed()),
        })?);
        match connection.ask(command).await? {
            Value::BulkString(id) if is_entry_id(&id) => Ok(readable(&id, KEEP_LIMIT)),
            _ => {
                connection.break_off();
                Err(Fault::Failure(no_redis()))
            }
        }
    }
}

impl DeliveryStrategy for RedisStream {
    fn most(&self) -> usize {
        1
    }

    fn fits(&self, _: &[Delivery], _: &Delivery) -> bool {
        false
    }

    async fn send(&self, deliveries: &[Delivery], clock: &Clock, limit: Duration) -> Report {
        let [delivery] = deliveries else { return unsendable() };
        let Some(command) = self.command(delivery, clock.now()) else { return unsendable() };
        let begun = Instant::now();
        match tokio::time::timeout(limit, self.add(&command)).await {
            Ok(added) => report(added, begun.elapsed()),
            Err(_) => report(Err(Fault::Failure(Failure::timeout(limit))), begun.elapsed()),
        }
    }

    fn rest(&self) {
        self.pool.retain(|_, _| false);
    }
}

/// `MILLISECONDS-SEQUENCE`, as XADD answers. Anything else was not meant for this command.
fn is_entry_id(answer: &[u8]) -> bool {
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let mut parts = answer.split(|byte| *byte == b'-');
    matches!((parts.next(), parts.next(), parts.next()), (Some(ms), Some(n), None) if is_number(ms) && is_number(n))
}

/// What is kept of an attempt: the id of its entry, or the error that Redis answered with, stands for the body.
fn report(added: Result<String, Fault>, duration: Duration) -> Report {
    match added {
        Ok(id) => Report {
            body: Some(id),
            error: None,
            ..Report::without_answer(Outcome::Ok, String::new(), duration)
        },
        Err(Fault::Reply(text)) => {
            let error = format!("Redis answered with an error: {text}");
            let error = readable(error.as_bytes(), ERROR_LIMIT);
            Report {
                body: Some(readable(text.as_bytes(), KEEP_LIMIT)),
                ..Report::without_answer(Outcome::Redis, error, duration)
            }
        }
        Err(Fault::Failure(failure)) => Report::without_answer(failure.outcome, failure.message, duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xadd_answers_is_an_entry_id_and_nothing_else() {
        assert!(is_entry_id(b"1526919030474-55") && is_entry_id(b"0-1"));
        for other in ["", "-", "1-", "-1", "QUEUED", "PONG", "1-2-3", "1 -2", "12"] {
            assert!(!is_entry_id(other.as_bytes()), "{other}");
        }
    }
}
