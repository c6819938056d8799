//! Webhooks: every event, signed, to every endpoint that wants it, at least once, each time with its stable
//! `webhook-id`.
//!
//! Rows are the truth: [`endpoint`] and [`delivery`] hold them, [`delivery_log`] keeps a row for each attempt.
//! An `endpoint_actor` for each endpoint claims what is due by lease and makes each `attempt` by its [`strategy`];
//! the `ledger` gathers claims and attempts into the few transactions of its [`books`]. [`SweepActor`] finds what
//! nobody was told of. [`Endpoints`] is what `app` holds of all this. Pure beside them: [`signing`], [`backoff`],
//! [`address`], [`outcome`], [`judgement`], [`breaker`], [`queue`].
//!
//! What an endpoint keeps secret is opened by a [`vault`] when it is about to be sent to.
//!
//! For the owner of an endpoint: [`deliveries`] lists them, [`recovery`] sends them again, [`stats`] says how the
//! sending goes; [`Doorbell`] makes the sender look at once.
//!
//! [`pusher`] is apart: what happens on an app's channels, posted in Pusher's format, from memory.

mod access_token;
pub mod address;
mod attempt;
pub mod authorization;
pub mod backoff;
pub mod books;
pub mod breaker;
pub mod breakers;
pub mod client;
mod cooldown;
pub mod custom_headers;
pub mod deliveries;
pub mod delivery;
pub mod delivery_log;
mod dialer;
mod doorbell;
pub mod endpoint;
mod endpoint_actor;
mod endpoints;
pub mod judgement;
pub mod jwe;
mod key_file;
mod ledger;
mod operational;
pub mod outcome;
mod pace;
mod permits;
pub mod pusher;
pub mod queue;
mod ready;
pub mod recovery;
pub mod rotation;
pub mod sealing;
pub mod secret_changes;
pub mod secrets;
mod settlement;
pub mod signing;
pub mod signing_key;
pub mod stats;
pub mod strategy;
mod sweep_actor;
pub mod time_range;
pub mod vault;
mod ward;

pub use cooldown::Cooldown;
pub use dialer::Resolve;
pub use doorbell::Doorbell;
pub use endpoints::Endpoints;
pub use pusher::PusherHooks;
pub use strategy::Strategy;
pub use sweep_actor::SweepActor;
pub use vault::Vault;
