//! `bellwire demo --load`: a server for the k6 scripts of `load-tests/`, with the credentials that they have for
//! defaults, and nothing in it that would hold load back.
//!
//! Everyone knows these credentials: it serves loopback addresses and no others.

use super::folder::Folder;
use super::sink::Sink;
use crate::app::App;
use crate::auth::account::{self, NewTenant, NewUser};
use crate::auth::token::{self, Grant};
use crate::cli::output::{self, Output};
use crate::cli::{database, signals};
use crate::config::{self, Config};
use crate::domain::{Clock, Code, Error, Result, Secret, TenantId, UserId};
use crate::storage::Db;
use crate::telemetry::logs;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The app's id, key and secret.
const APP: (&str, &str, &str) = ("load", "load-key", "load-secret");

/// What the first user's token is, after its id.
const TOKEN: &str = "loadloadloadloadloadloadloadloadloadload";

const USERS: i64 = 1_000;

/// Whom the scripts act for.
struct Crowd {
    tenant: TenantId,
    token: Secret,
    first: UserId,
    last: UserId,
}

/// Serves until it is told to stop.
pub(super) async fn run(bind: &str, json: bool) -> Result<Output> {
    let address = loopback(bind)?;
    let folder = Folder::make()?;
    let config = configuration(bind.to_owned(), &folder)?;
    logs::init(&config.log);
    let sink = Sink::start(address.ip(), address.port().checked_add(1).filter(|_| address.port() > 0))?;
    let db = database::open_migrated(&config).await?;
    let crowd = fill(&db).await?;
    let shutdown = signals::shutdown()?;
    let server = App::build(config).await?;
    let said = told(server.addr(), &crowd, &sink.url());
    output::say(&if json { said.to_string() } else { text(&said) });
    server.run_until(shutdown).await?;
    sink.stop().await;
    Ok(Output::nothing())
}

fn loopback(bind: &str) -> Result<SocketAddr> {
    bind.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback()).ok_or_else(|| {
        let why = "its token and secrets are known to everyone, so it listens on a loopback address only";
        Error::new(Code::Invalid, format!("--load cannot listen on {bind}: {why}, as 127.0.0.1:8080."))
    })
}

/// Without the bounds that keep one client, tenant or user from taking more than a share.
fn configuration(bind: String, folder: &Folder) -> Result<Config> {
    let mut config = super::configuration(bind, folder)?;
    config.limits.connections_per_ip_per_minute = 0;
    config.notifications.tenant_per_minute = 0;
    config.notifications.user_per_minute = 0;
    let (id, key, secret) = APP;
    let app = config::App::new(id, key, Secret::new(secret));
    config.apps = vec![config::App { client_events: true, ..app }];
    Ok(config)
}

/// Fills an empty database.
async fn fill(db: &Db) -> Result<Crowd> {
    let now = Clock::System.now();
    db.transaction(async |conn| {
        let tenant = account::create_tenant(conn, &NewTenant::parse("Load")?, now).await?.id;
        let mut users = Vec::new();
        for number in 1..=USERS {
            let user = format!("User {number}");
            let user = NewUser::parse(tenant, &user, &format!("user{number}@load.example"))?;
            users.push(account::create_user(conn, &user, now).await?.id);
        }
        let (Some(&first), Some(&last)) = (users.first(), users.last()) else {
            return Err(Error::new(Code::Internal, "There is nobody to load the server with."));
        };
        let grant = Grant { user: first, name: "load", abilities: &["*".to_owned()], expires_at: None };
        let token = token::issue_known(conn, &grant, TOKEN, now).await?.plaintext;
        Ok(Crowd { tenant, token, first, last })
    })
    .await
}

fn told(server: SocketAddr, crowd: &Crowd, webhook: &str) -> Value {
    let (id, key, secret) = APP;
    json!({
        "url": format!("http://{server}"),
        "app": {"id": id, "key": key, "secret": secret},
        "tenant": crowd.tenant,
        "token": crowd.token.expose(),
        "first_user": crowd.first,
        "last_user": crowd.last,
        "webhook_url": webhook,
    })
}

fn text(told: &Value) -> String {
    let plain = |key: &str| match &told[key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (id, key, secret) = APP;
    format!(
        "\nbellwire demo --load  a server for the scripts of load-tests/; what is in it goes when you press Ctrl-C\n\n  \
         server    {}\n  \
         app       id {id}, key {key}, secret {secret}\n  \
         tenant    {}, with the users {} to {}\n  \
         token     {}\n  \
         receiver  {}, in this process; it takes every webhook and says nothing\n\n\
         k6 run load-tests/connections.js\n",
        plain("url"),
        plain("tenant"),
        plain("first_user"),
        plain("last_user"),
        plain("token"),
        plain("webhook_url"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_listens_where_nobody_else_comes() {
        for bind in ["127.0.0.1:8080", "[::1]:0", "127.8.8.8:1"] {
            assert!(loopback(bind).is_ok(), "{bind}");
        }
        for bind in ["0.0.0.0:8080", "[::]:8080", "192.168.1.2:8080", "localhost", ""] {
            let refused = loopback(bind).unwrap_err();
            assert!(refused.message().contains("loopback"), "{bind}: {refused:?}");
        }
    }
}
