//! `bellwire demo`: the whole road in one process, with a shop, a subscriber and commands to try.

mod folder;
mod load;
mod receiver;
mod sample;
mod script;
mod sink;

use super::app::NewApp;
use super::output::{self, Output};
use super::{database, signals};
use crate::app::App;
use crate::config::{self, Config};
use crate::domain::{Code, Error, Result, Secret};
use crate::telemetry::logs;
use crate::webhooks::Vault;
use folder::Folder;
use receiver::Receiver;
use script::Script;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Listen here; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    bind: String,
    /// Serve the k6 scripts of load-tests: credentials that they know, 1,000 users, a receiver on the next port
    #[arg(long)]
    load: bool,
}

pub(super) async fn run(args: Args, json: bool) -> Result<Output> {
    if args.load {
        return load::run(&args.bind, json).await;
    }
    let folder = Folder::make()?;
    let config = configuration(args.bind, &folder)?;
    logs::init(&config.log);
    let receiver = Receiver::start(json)?;
    let db = database::open_migrated(&config).await?;
    let vault = Vault::of(&config.webhooks, &db)?;
    let sample = sample::fill(&db, &vault, &receiver.url()).await?;
    receiver.expect_signatures_of(sample.webhook_secret.clone())?;
    let (app, shutdown) = (config.apps[0].clone(), signals::shutdown()?);
    let server = App::build(config).await?;
    let script = Script { server: server.addr(), app, sample, webhook: receiver.url() };
    output::say(&if json { script.json().to_string() } else { script.text(output::is_terminal()) });
    let first_change = actix_rt::spawn(sample::change_a_price(script.first_change()));
    server.run_until(shutdown).await?;
    first_change.abort();
    receiver.stop().await;
    Ok(Output::nothing())
}

fn configuration(bind: String, folder: &Folder) -> Result<Config> {
    let NewApp { id, key, secret } = NewApp::random();
    let loopback = ["127.0.0.0/8", "::1/128"]
        .map(|net| net.parse().map_err(|e| Error::new(Code::Internal, "").because(e)));
    let mut config = Config::default();
    config.server.bind = bind;
    config.database.url = format!("sqlite:{}", folder.path().join("demo.db").display());
    config.webhooks.allowed_networks = loopback.into_iter().collect::<Result<_>>()?;
    "warn".clone_into(&mut config.log.filter);
    config.apps = vec![config::App::new(&id, &key, Secret::new(secret))];
    Ok(config)
}
