//! `bellwire tenant create|list`

use super::database;
use super::output::Output;
use crate::auth::account::{self, NewTenant};
use crate::config::Config;
use crate::domain::{Clock, Result};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a tenant
    Create {
        /// What the shop or company is called
        #[arg(long)]
        name: String,
    },
    /// List all tenants
    List,
}

pub(super) async fn run(verb: Verb, config: &Config) -> Result<Output> {
    let db = database::open_migrated(config).await?;
    match verb {
        Verb::Create { name } => {
            let (new, now) = (NewTenant::parse(&name)?, Clock::System.now());
            let made = db.transaction(async |conn| account::create_tenant(conn, &new, now).await).await?;
            let human = format!("Made tenant {} \"{}\".", made.id, made.name);
            Ok(Output { json: json!({ "id": made.id }), human })
        }
        Verb::List => {
            let tenants = account::list_tenants(&mut db.read().await?).await?;
            let rows = tenants.iter().map(|t| json!({"id": t.id, "name": t.name}));
            Ok(Output::list(&["id", "name"], rows))
        }
    }
}
