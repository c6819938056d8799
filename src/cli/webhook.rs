//! `bellwire webhook create|list|disable`

use super::database;
use super::output::Output;
use crate::config::Config;
use crate::domain::{Clock, EndpointId, Result, TenantId};
use crate::webhooks::endpoint::{self, Endpoint, EndpointDraft, NewEndpoint};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make an endpoint; its secret is shown this once
    Create {
        /// The tenant's id
        #[arg(long, value_name = "ID")]
        tenant: TenantId,
        /// Where to post
        #[arg(long)]
        url: String,
        /// Which events: names (product:updated), prefixes (order:*) or *
        #[arg(long, value_name = "A,B", value_delimiter = ',', required = true)]
        events: Vec<String>,
        /// What to call it; the URL's host unless said
        #[arg(long)]
        name: Option<String>,
    },
    /// List a tenant's endpoints
    List {
        /// The tenant's id
        #[arg(long, value_name = "ID")]
        tenant: TenantId,
    },
    /// Stop an endpoint; its rows stay
    Disable {
        /// The endpoint's id
        id: EndpointId,
        /// The tenant's id
        #[arg(long, value_name = "ID")]
        tenant: TenantId,
    },
}

pub(super) async fn run(verb: Verb, config: &Config) -> Result<Output> {
    let (db, now) = (database::open_migrated(config).await?, Clock::System.now());
    match verb {
        Verb::Create { tenant, url, events, name } => {
            let new =
                NewEndpoint::parse(EndpointDraft { tenant_id: tenant, name, url, events, secret: None })?;
            let made = db.transaction(async |conn| endpoint::create(conn, new.clone(), now).await).await?;
            let secret = made.secret.expose();
            let human =
                format!("{secret}\nMade webhook {} to {}. The line above is its secret.", made.id, made.url);
            Ok(Output { json: json!({"id": made.id, "secret": secret}), human })
        }
        Verb::List { tenant } => {
            let endpoints = endpoint::list(&mut db.read().await?, tenant).await?;
            let columns = ["id", "name", "url", "events", "is_active"];
            Ok(Output::list(&columns, endpoints.iter().map(row)))
        }
        Verb::Disable { id, tenant } => {
            db.transaction(async |conn| endpoint::deactivate(conn, tenant, id, now).await).await?;
            let human = format!("Disabled webhook {id}.");
            Ok(Output { json: json!({"id": id, "is_active": false}), human })
        }
    }
}

fn row(endpoint: &Endpoint) -> Value {
    json!({"id": endpoint.id, "name": endpoint.name, "url": endpoint.url, "events": endpoint.events,
        "is_active": endpoint.is_active, "last_triggered_at": endpoint.last_triggered_at})
}
