//! `State`: what every request needs, handed to each worker as `web::Data<State>`.

use crate::auth::Tokens;
use crate::catalog::Observer;
use crate::config::Config;
use crate::domain::Clock;
use crate::notifications::notifier::Notifier;
use crate::storage::Db;
use crate::telemetry::Metrics;
use crate::webhooks::{Cooldown, Doorbell, Vault};
use std::sync::Arc;

/// Made once a worker: the observer's and the doorbell's clones own slots of the registry's mailbox.
#[derive(Clone)]
pub struct State {
    /// The rows.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Who is behind a bearer token.
    pub tokens: Tokens,
    /// The way for changes of the catalog.
    pub observer: Observer,
    /// Seals what endpoints keep secret.
    pub vault: Vault,
    /// Where the sender of webhooks is told to look.
    pub doorbell: Doorbell,
    /// How often endpoints may be called by hand.
    pub cooldown: Arc<Cooldown>,
    /// The bounds on notifying, and whoever works at it.
    pub notifier: Notifier,
    /// The settings.
    pub config: Arc<Config>,
    /// The counters.
    pub metrics: Arc<Metrics>,
}
