//! `bellwire webhook create|list|disable|rotate-secret|new-key`

use super::database;
use super::output::Output;
use crate::config::Config;
use crate::domain::{Clock, Code, EndpointId, Error, Fields, Result, TenantId};
use crate::storage::Conn;
use crate::webhooks::endpoint::{self, Endpoint, EndpointDraft, NewEndpoint};
use crate::webhooks::rotation;
use crate::webhooks::secret_changes::SecretChanges;
use crate::webhooks::secrets::{Shown, SigningSecrets};
use crate::webhooks::vault::{self, Vault};
use clap::Subcommand;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
        /// Sign with a key pair too, so that it can be verified with a public key (Standard Webhooks' v1a)
        #[arg(long)]
        v1a: bool,
        /// A file with what else is secret, as JSON: `headers`, `auth`, `encryption_key`; `-` reads standard input
        #[arg(long, value_name = "FILE")]
        secrets: Option<PathBuf>,
    },
    /// List a tenant's endpoints
    List {
        /// The tenant's id
        #[arg(long, value_name = "ID")]
        tenant: TenantId,
    },
    /// Give an endpoint a new secret, shown this once; the old one signs beside it for a while
    RotateSecret {
        /// The endpoint's id
        id: EndpointId,
        /// The tenant's id
        #[arg(long, value_name = "ID")]
        tenant: TenantId,
        /// How long the old one goes on signing, at most a week; the configuration's unless said
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=604_800))]
        overlap_seconds: Option<u64>,
    },
    /// Print a key for `webhooks.secret_keys`, which seals the secrets of endpoints
    NewKey,
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
    if let Verb::NewKey = verb {
        return new_key();
    }
    let (db, now) = (database::open_migrated(config).await?, Clock::System.now());
    match verb {
        Verb::Create { tenant, url, events, name, v1a, secrets } => {
            let mut new =
                NewEndpoint::parse(EndpointDraft { tenant_id: tenant, name, url, events, secret: None })?;
            if v1a {
                new.secrets.current = SigningSecrets::generate(true)?;
            }
            if let Some(file) = secrets {
                let more = read_secrets(&file)?;
                more.apply(&mut new.secrets)?;
            }
            new.permit(&config.webhooks)?;
            let vault = Vault::of(&config.webhooks, &db)?;
            let create = async |conn: &mut Conn| endpoint::create(conn, &vault, new.clone(), now).await;
            let (made, shown) = db.transaction(create).await?;
            Ok(shown_once(made.id, &shown, &format!("Made webhook {} to {}.", made.id, made.url)))
        }
        Verb::List { tenant } => {
            let endpoints = endpoint::list(&mut db.read().await?, tenant).await?;
            let columns = ["id", "name", "url", "events", "is_active"];
            Ok(Output::list(&columns, endpoints.iter().map(row)))
        }
        Verb::RotateSecret { id, tenant, overlap_seconds } => {
            let vault = Vault::of(&config.webhooks, &db)?;
            let seconds = overlap_seconds.unwrap_or(config.webhooks.secret_overlap_seconds);
            let overlap = Duration::from_secs(seconds);
            let rotate =
                async |conn: &mut Conn| rotation::rotate(conn, &vault, (tenant, id), overlap, now).await;
            let shown = db.transaction(rotate).await?;
            let told = format!("The old secret of webhook {id} goes on signing for {seconds} s.");
            Ok(shown_once(id, &shown, &told))
        }
        Verb::NewKey => new_key(),
        Verb::Disable { id, tenant } => {
            db.transaction(async |conn| endpoint::deactivate(conn, tenant, id, now).await).await?;
            let human = format!("Disabled webhook {id}.");
            Ok(Output { json: json!({"id": id, "is_active": false}), human })
        }
    }
}

/// From a file, because a command line is there for every user of the machine to see.
fn read_secrets(file: &Path) -> Result<SecretChanges> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let unread =
        |e| Error::new(Code::Invalid, format!("The file {} cannot be read.", file.display())).because(e);
    // What is wrong with it may be part of a secret, so it is not repeated.
    let body = serde_json::from_str(text.map_err(unread)?.as_str());
    let body =
        body.map_err(|_| Error::new(Code::Invalid, format!("{} does not hold JSON.", file.display())))?;
    let mut fields = Fields::of(body)?;
    let changes = SecretChanges::read(&mut fields);
    fields.finish().map(|()| changes)
}

fn shown_once(id: EndpointId, shown: &Shown, told: &str) -> Output {
    let secret = shown.secret.expose();
    let mut json = json!({"id": id, "secret": secret});
    let mut human = format!("{secret}\n{told} The line above is its secret.");
    if let Some(key) = &shown.public_key {
        json["public_key"] = json!(key);
        // Writing to a string does not fail.
        let _ = write!(human, " Its public key: {key}");
    }
    Output { json, human }
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

fn row(endpoint: &Endpoint) -> Value {
    json!({"id": endpoint.id, "name": endpoint.name, "url": endpoint.url, "events": endpoint.events,
        "is_active": endpoint.is_active, "last_triggered_at": endpoint.last_triggered_at})
}
