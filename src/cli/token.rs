//! `bellwire token create|list|revoke`

use super::output::Output;
use super::{database, lifetime};
use crate::auth::token;
use crate::config::Config;
use crate::domain::{Clock, Error, Result, TokenId, UserId};
use clap::Subcommand;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a token; it is shown this once
    Create {
        /// The user's id
        #[arg(long, value_name = "ID")]
        user: UserId,
        /// What it is for
        #[arg(long)]
        name: String,
        /// What it may be used for; everything unless said
        #[arg(long, value_name = "A,B", value_delimiter = ',', default_value = "*")]
        abilities: Vec<String>,
        /// 30d, 12h or 15m from now; never unless said
        #[arg(long, value_name = "LIFETIME", value_parser = lifetime::parse)]
        expires_in: Option<Duration>,
    },
    /// List a user's tokens
    List {
        /// The user's id
        #[arg(long, value_name = "ID")]
        user: UserId,
    },
    /// Delete a token; its open sockets are closed within seconds
    Revoke {
        /// The part of the token before its |
        id: TokenId,
    },
}

pub(super) async fn run(verb: Verb, config: &Config) -> Result<Output> {
    let db = database::open_migrated(config).await?;
    match verb {
        Verb::Create { user, name, abilities, expires_in } => {
            check(&name, &abilities)?;
            let now = Clock::System.now();
            let expires_at = expires_in.map(|lifetime| now.plus(lifetime));
            let made = db
                .transaction(async |conn| token::issue(conn, user, &name, &abilities, expires_at, now).await)
                .await?;
            let plaintext = made.plaintext.expose();
            let human = format!("{plaintext}\nMade token {}. It is not kept: store it now.", made.id);
            Ok(Output { json: json!({"id": made.id, "token": plaintext}), human })
        }
        Verb::List { user } => {
            let tokens = token::list(&mut db.read().await?, user).await?;
            let columns = ["id", "name", "abilities", "expires_at", "last_used_at"];
            Ok(Output::list(&columns, tokens.iter().map(row)))
        }
        Verb::Revoke { id } => {
            db.transaction(async |conn| token::revoke(conn, id).await).await?;
            Ok(Output { json: json!({"id": id, "revoked": true}), human: format!("Revoked token {id}.") })
        }
    }
}

fn check(name: &str, abilities: &[String]) -> Result<()> {
    if !(1..=255).contains(&name.chars().count()) {
        return Err(Error::field("name", "The name must have 1 to 255 characters."));
    }
    if abilities.iter().any(String::is_empty) {
        return Err(Error::field(
            "abilities",
            "An ability is empty: write them as products:read,orders:read.",
        ));
    }
    Ok(())
}

fn row(token: &token::Token) -> Value {
    let abilities: Value =
        token.abilities.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    json!({"id": token.id, "name": token.name, "abilities": abilities, "expires_at": token.expires_at,
        "last_used_at": token.last_used_at, "created_at": token.created_at})
}
