//! `bellwire tenant create|update|list`

use super::database;
use super::output::Output;
use crate::auth::account::{self, NewTenant, Tenant, TenantChanges};
use crate::config::Config;
use crate::domain::{Clock, Result, TenantId};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a tenant
    Create {
        /// What the shop or company is called
        #[arg(long)]
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Change a tenant; what is not said stays
    Update {
        /// The tenant's id
        id: TenantId,
        #[command(flatten)]
        settings: Settings,
    },
    /// List all tenants
    List,
}

/// What holds for its users, where they say nothing else.
#[derive(Debug, clap::Args)]
pub(super) struct Settings {
    /// The clock, such as Asia/Manila; UTC unless said
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// The language, such as pt-BR; en unless said
    #[arg(long)]
    locale: Option<String>,
}

impl Settings {
    fn changes(&self) -> Result<TenantChanges> {
        TenantChanges::parse(self.timezone.as_deref(), self.locale.as_deref())
    }
}

pub(super) async fn run(verb: Verb, config: &Config) -> Result<Output> {
    let db = database::open_migrated(config).await?;
    match verb {
        Verb::Create { name, settings } => {
            let (new, now) = (NewTenant::parse(&name)?.with(settings.changes()?), Clock::System.now());
            let made = db.transaction(async |conn| account::create_tenant(conn, &new, now).await).await?;
            let human = format!("Made tenant {} \"{}\".", made.id, made.name);
            Ok(Output { json: json!({ "id": made.id }), human })
        }
        Verb::Update { id, settings } => {
            let (changes, now) = (settings.changes()?, Clock::System.now());
            let written =
                db.transaction(async |conn| account::update_tenant(conn, id, &changes, now).await).await?;
            let human = format!("Changed tenant {} \"{}\".", written.id, written.name);
            Ok(Output { json: shown(&written), human })
        }
        Verb::List => {
            let tenants = account::list_tenants(&mut db.read().await?).await?;
            Ok(Output::list(&["id", "name", "timezone", "locale"], tenants.iter().map(shown)))
        }
    }
}

fn shown(tenant: &Tenant) -> Value {
    json!({"id": tenant.id, "name": tenant.name, "timezone": tenant.timezone, "locale": tenant.locale})
}
