//! `bellwire user create|list`

use super::database;
use super::output::Output;
use crate::auth::account::{self, NewUser};
use crate::config::Config;
use crate::domain::{Clock, Result, TenantId};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a user of a tenant
    Create {
        /// The tenant's id
        #[arg(long, value_name = "ID")]
        tenant: TenantId,
        /// Shown to others in presence channels
        #[arg(long)]
        name: String,
        /// Unique among all users
        #[arg(long)]
        email: String,
    },
    /// List a tenant's users
    List {
        /// The tenant's id
        #[arg(long, value_name = "ID")]
        tenant: TenantId,
    },
}

pub(super) async fn run(verb: Verb, config: &Config) -> Result<Output> {
    let db = database::open_migrated(config).await?;
    match verb {
        Verb::Create { tenant, name, email } => {
            let (new, now) = (NewUser::parse(tenant, &name, &email)?, Clock::System.now());
            let made = db.transaction(async |conn| account::create_user(conn, &new, now).await).await?;
            let human = format!("Made user {} \"{}\" of tenant {}.", made.id, made.name, made.tenant_id);
            Ok(Output { json: json!({ "id": made.id }), human })
        }
        Verb::List { tenant } => {
            let users = account::list_users(&mut db.read().await?, tenant).await?;
            let rows = users.iter().map(|u| json!({"id": u.id, "name": u.name, "email": u.email}));
            Ok(Output::list(&["id", "name", "email"], rows))
        }
    }
}
