//! `bellwire user create|update|list`

use super::database;
use super::output::Output;
use crate::auth::account::{self, NewUser, User, UserChanges};
use crate::config::Config;
use crate::domain::{Clock, Fields, Result, TenantId, UserId};
use clap::Subcommand;
use serde_json::{Map, Value, json};

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
        #[command(flatten)]
        settings: Settings,
    },
    /// Change a user; what is not said stays
    Update {
        /// The user's id
        id: UserId,
        /// Shown to others in presence channels
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// List a tenant's users
    List {
        /// The tenant's id
        #[arg(long, value_name = "ID")]
        tenant: TenantId,
    },
}

/// What decides when, in which language and with whom a user is notified.
#[derive(Debug, clap::Args)]
pub(super) struct Settings {
    /// What the user is to the tenant, such as manager; notifications can be sent to a role. "" takes it away
    #[arg(long)]
    role: Option<String>,
    /// The user's clock, such as Asia/Manila; the tenant's unless said. "" takes it away
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// The user's language, such as pt-BR; the tenant's unless said. "" takes it away
    #[arg(long)]
    locale: Option<String>,
}

impl Settings {
    fn changes(&self, name: Option<&str>) -> Result<UserChanges> {
        let mut body = Map::new();
        let given = [("role", &self.role), ("timezone", &self.timezone), ("locale", &self.locale)];
        for (field, value) in given {
            if let Some(value) = value {
                let value = Some(value.as_str()).filter(|text| !text.is_empty());
                body.insert(field.to_owned(), json!(value));
            }
        }
        if let Some(name) = name {
            body.insert("name".to_owned(), json!(name));
        }
        UserChanges::parse(Fields::of(body.into())?)
    }
}

pub(super) async fn run(verb: Verb, config: &Config) -> Result<Output> {
    let db = database::open_migrated(config).await?;
    match verb {
        Verb::Create { tenant, name, email, settings } => {
            let new = NewUser::parse(tenant, &name, &email)?.with(settings.changes(None)?);
            let now = Clock::System.now();
            let made = db.transaction(async |conn| account::create_user(conn, &new, now).await).await?;
            let human = format!("Made user {} \"{}\" of tenant {}.", made.id, made.name, made.tenant_id);
            Ok(Output { json: json!({ "id": made.id }), human })
        }
        Verb::Update { id, name, settings } => {
            let (changes, now) = (settings.changes(name.as_deref())?, Clock::System.now());
            let written =
                db.transaction(async |conn| account::update_user(conn, id, &changes, now).await).await?;
            let human = format!("Changed user {} \"{}\".", written.id, written.name);
            Ok(Output { json: shown(&written), human })
        }
        Verb::List { tenant } => {
            let users = account::list_users(&mut db.read().await?, tenant).await?;
            Ok(Output::list(&["id", "name", "email", "role", "timezone", "locale"], users.iter().map(shown)))
        }
    }
}

fn shown(user: &User) -> Value {
    json!({
        "id": user.id, "name": user.name, "email": user.email, "role": user.role,
        "timezone": user.timezone, "locale": user.locale,
    })
}
