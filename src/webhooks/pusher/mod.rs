//! Webhooks in Pusher's format: what happens on an app's channels, posted to the app's own receivers
//! (`[[apps.webhooks]]`), so that a back end which listened to Pusher listens to us unchanged.
//! <https://pusher.com/docs/channels/server_api/webhooks/>
//!
//! Channels tell facts to the `HooksActor`, which writes each down once ([`mod@format`]) and hands it to a
//! `ReceiverActor` for each receiver that wants it: a slow one holds up nobody else. There a [`Batcher`] makes
//! batches of what has come and says when to send, to try again and to give up. Facts are not rows: what a
//! receiver has not taken five minutes after it happened, or when the process ends, is lost, counted and logged.

pub mod batcher;
pub mod format;
mod hooks;
mod receiver_actor;

pub use batcher::Batcher;
pub use hooks::PusherHooks;
