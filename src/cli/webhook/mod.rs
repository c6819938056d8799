//! `bellwire webhook …`: endpoints, their deliveries, and how the sending to them goes.
//!
//! What REST has, without a server: one that runs beside it notices within `webhooks.sweep_ms`.

mod again;
mod endpoints;
mod views;

use super::database;
use super::output::Output;
use crate::config::Config;
use crate::domain::{Clock, EndpointId, Result, TenantId, Timestamp};
use crate::storage::{Conn, Db};
use crate::webhooks::endpoint::{self, Endpoint};
use crate::webhooks::{Vault, vault};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make an endpoint; its secret is shown this once
    Create(Box<endpoints::Create>),
    /// List a tenant's endpoints
    List(Owner),
    /// Show an endpoint and the state of its breaker
    Show(One),
    /// Change an endpoint; what is not said stays
    Update(Box<endpoints::Update>),
    /// Delete an endpoint; its deliveries go at the next pruning
    Delete(One),
    /// Let an endpoint get events again
    Enable(One),
    /// Stop an endpoint; its rows stay
    Disable(One),
    /// Hold an endpoint's deliveries back; new ones wait
    Pause(One),
    /// Let an endpoint's deliveries go
    Resume(One),
    /// Close an endpoint's breaker and forget its failures
    Reset(One),
    /// Give an endpoint a new secret, shown this once; the old one signs beside it for a while
    RotateSecret(endpoints::Rotate),
    /// Print a key for `webhooks.secret_keys`, which seals the secrets of endpoints
    NewKey,
    /// Send webhook:test to an endpoint
    Test(One),
    /// List an endpoint's deliveries, newest first
    Deliveries(views::Deliveries),
    /// List the failed deliveries of all endpoints of a tenant, newest first
    Failed(views::Failed),
    /// Send a delivery again, its schedule afresh
    Resend(again::Resend),
    /// Send all deliveries of a time again that failed
    Recover(again::Recover),
    /// Send past events to an endpoint that wants them and never got them, such as a new one
    Replay(again::Replay),
    /// Show how the sending to an endpoint goes
    Stats(views::Stats),
}

/// Whose endpoints.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Owner {
    /// The tenant's id
    #[arg(long, value_name = "ID")]
    tenant: TenantId,
}

/// Which endpoint.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct One {
    /// The endpoint's id
    id: EndpointId,
    #[command(flatten)]
    owner: Owner,
}

impl One {
    const fn owned(self) -> (TenantId, EndpointId) {
        (self.owner.tenant, self.id)
    }

    async fn find(self, conn: &mut Conn) -> Result<Endpoint> {
        endpoint::find(conn, self.owner.tenant, self.id).await
    }
}

/// What every verb works with.
struct Desk<'a> {
    db: Db,
    now: Timestamp,
    config: &'a Config,
    json: bool,
}

impl Desk<'_> {
    fn vault(&self) -> Result<Vault> {
        Vault::of(&self.config.webhooks, &self.db)
    }
}

pub(super) async fn run(verb: Verb, config: &Config, json: bool) -> Result<Output> {
    if let Verb::NewKey = verb {
        return new_key();
    }
    let desk = Desk { db: database::open_migrated(config).await?, now: Clock::System.now(), config, json };
    match verb {
        Verb::Create(args) => endpoints::create(&desk, *args).await,
        Verb::List(owner) => endpoints::list(&desk, owner).await,
        Verb::Show(one) => endpoints::show(&desk, one).await,
        Verb::Update(args) => endpoints::update(&desk, *args).await,
        Verb::Delete(one) => endpoints::delete(&desk, one).await,
        Verb::Enable(one) => endpoints::set_active(&desk, one, true).await,
        Verb::Disable(one) => endpoints::set_active(&desk, one, false).await,
        Verb::Pause(one) => endpoints::set_paused(&desk, one, true).await,
        Verb::Resume(one) => endpoints::set_paused(&desk, one, false).await,
        Verb::Reset(one) => endpoints::reset(&desk, one).await,
        Verb::RotateSecret(args) => endpoints::rotate(&desk, &args).await,
        Verb::NewKey => new_key(),
        Verb::Test(one) => again::test(&desk, one).await,
        Verb::Deliveries(args) => views::deliveries(&desk, args).await,
        Verb::Failed(args) => views::failed(&desk, args).await,
        Verb::Resend(args) => again::resend(&desk, &args).await,
        Verb::Recover(args) => again::recover(&desk, &args).await,
        Verb::Replay(args) => again::replay(&desk, args).await,
        Verb::Stats(args) => views::stats(&desk, args).await,
    }
}

/// Needs no database: it is what a database may be waiting for.
fn new_key() -> Result<Output> {
    let key = vault::new_key()?.text();
    let human = format!(
        "{}\nThe line above is a key. Set BELLWIRE__WEBHOOKS__SECRET_KEYS to it, the same on every node, and keep it: \
         what it has sealed opens with nothing else.",
        key.expose()
    );
    Ok(Output { json: json!({"key": key.expose()}), human })
}
