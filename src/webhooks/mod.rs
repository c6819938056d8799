//! Webhooks: every event, signed, to every endpoint that wants it, at least once, each time with its stable
//! `webhook-id`.

pub mod address;
pub mod backoff;
pub mod endpoint;
pub mod signing;
