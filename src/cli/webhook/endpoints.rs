//! Verbs for endpoints themselves.

use super::{Desk, One, Owner};
use crate::cli::output::Output;
use crate::domain::{Code, EndpointId, Error, Fields, Result};
use crate::storage::Conn;
use crate::webhooks::Strategy;
use crate::webhooks::endpoint::{self, Endpoint, EndpointChanges, EndpointResource, NewEndpoint};
use crate::webhooks::rotation;
use crate::webhooks::secret_changes::SecretChanges;
use crate::webhooks::secrets::{Secrets, Shown};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

const STRATEGIES: [&str; 3] =
    [Strategy::HttpPost.as_str(), Strategy::PusherBatch.as_str(), Strategy::RedisStream.as_str()];

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Create {
    #[command(flatten)]
    owner: Owner,
    /// Where to send: https://…, or redis://HOST:PORT/DB?stream=NAME
    #[arg(long)]
    url: String,
    /// How to send; a POST for each delivery unless said
    #[arg(long, value_parser = STRATEGIES)]
    strategy: Option<String>,
    /// Which events: names (product:updated), prefixes (order:*) or *
    #[arg(long, value_name = "A,B", value_delimiter = ',', required = true)]
    events: Vec<String>,
    /// What to call it; the URL's host unless said
    #[arg(long)]
    name: Option<String>,
    /// Sign with a key pair too, so that it can be verified with a public key (Standard Webhooks' v1a)
    #[arg(long)]
    v1a: bool,
    #[command(flatten)]
    settings: Settings,
    /// A file with what else is secret, as JSON: `headers`, `auth`, `encryption_key`; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Update {
    #[command(flatten)]
    one: One,
    /// Where to send
    #[arg(long)]
    url: Option<String>,
    /// How to send
    #[arg(long, value_parser = STRATEGIES)]
    strategy: Option<String>,
    /// Which events
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    events: Option<Vec<String>>,
    /// What to call it
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// A file with what is secret, as JSON: `headers`, `auth`, `encryption_key`; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
}

/// What an endpoint may have otherwise than the configuration says.
#[derive(Debug, clap::Args)]
struct Settings {
    /// Tries after the first one, 0 to 5
    #[arg(long, value_name = "N")]
    max_retries: Option<i64>,
    /// Percent of the schedule, 1 to 1000
    #[arg(long, value_name = "PERCENT")]
    retry_delay: Option<i64>,
    /// From connecting to the end of the answer, 100 to 30000
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<i64>,
    /// Requests in flight to it, or default
    #[arg(long, value_name = "N", value_parser = bound)]
    concurrency: Option<Value>,
    /// Requests a minute, or default for no bound
    #[arg(long, value_name = "N", value_parser = bound)]
    rate_per_minute: Option<Value>,
    /// Whether each delivery waits for the one before it
    #[arg(long, value_name = "BOOL")]
    ordered: Option<bool>,
    /// Failures in a row that open its breaker, or default
    #[arg(long, value_name = "N", value_parser = bound)]
    breaker_threshold: Option<Value>,
    /// How long its breaker stays open, or default
    #[arg(long, value_name = "SECONDS", value_parser = bound)]
    breaker_open_seconds: Option<Value>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rotate {
    #[command(flatten)]
    one: One,
    /// How long the old one goes on signing, at most a week; the configuration's unless said
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=604_800))]
    overlap_seconds: Option<u64>,
}

fn bound(text: &str) -> Result<Value, String> {
    match text {
        "default" => Ok(Value::Null),
        number => number.parse::<i64>().map(Value::from).map_err(|_| "a number or default".to_owned()),
    }
}

/// What was said, as the body of a request would have it.
fn body(said: impl IntoIterator<Item = (&'static str, Option<Value>)>, settings: Settings) -> Fields {
    let number = |given: Option<i64>| given.map(Value::from);
    let settings = [
        ("max_retries", number(settings.max_retries)),
        ("retry_delay", number(settings.retry_delay)),
        ("timeout_ms", number(settings.timeout_ms)),
        ("concurrency", settings.concurrency),
        ("rate_per_minute", settings.rate_per_minute),
        ("is_ordered", settings.ordered.map(Value::from)),
        ("breaker_threshold", settings.breaker_threshold),
        ("breaker_open_seconds", settings.breaker_open_seconds),
    ];
    let all = said.into_iter().chain(settings);
    let object: Map<String, Value> = all.filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    Fields::nested(object, String::new())
}

pub(super) async fn create(desk: &Desk<'_>, args: Create) -> Result<Output> {
    let said = [
        ("url", Some(args.url.into())),
        ("strategy", args.strategy.map(Value::from)),
        ("events", Some(args.events.into())),
        ("name", args.name.map(Value::from)),
        ("signature", args.v1a.then(|| "v1a".into())),
    ];
    let mut new = NewEndpoint::read(args.owner.tenant, body(said, args.settings))?;
    if let Some(file) = &args.secrets {
        read_secrets(file)?.apply(&mut new.secrets)?;
    }
    new.permit(&desk.config.webhooks)?;
    let vault = desk.vault()?;
    let create = async |conn: &mut Conn| {
        endpoint::make_room(conn, args.owner.tenant, desk.config.webhooks.endpoints_per_tenant).await?;
        endpoint::create(conn, &vault, new.clone(), desk.now).await
    };
    let (made, shown) = desk.db.transaction(create).await?;
    Ok(shown_once(made.id, &shown, &format!("Made webhook {} to {}.", made.id, made.url)))
}

pub(super) async fn rotate(desk: &Desk<'_>, args: &Rotate) -> Result<Output> {
    let vault = desk.vault()?;
    let seconds = args.overlap_seconds.unwrap_or(desk.config.webhooks.secret_overlap_seconds);
    let (overlap, owned) = (Duration::from_secs(seconds), args.one.owned());
    let rotate = async |conn: &mut Conn| rotation::rotate(conn, &vault, owned, overlap, desk.now).await;
    let shown = desk.db.transaction(rotate).await?;
    let told = format!("The old secret of webhook {} goes on signing for {seconds} s.", args.one.id);
    Ok(shown_once(args.one.id, &shown, &told))
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

pub(super) async fn list(desk: &Desk<'_>, owner: Owner) -> Result<Output> {
    let mut conn = desk.db.read().await?;
    let endpoints = endpoint::list(&mut conn, owner.tenant).await?;
    let shown = endpoint::show_all(&mut conn, endpoints).await?;
    let rows = shown.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>().map_err(unwritable)?;
    Ok(Output::list(&["id", "name", "url", "events", "is_active", "is_paused"], rows))
}

pub(super) async fn show(desk: &Desk<'_>, one: One) -> Result<Output> {
    let mut conn = desk.db.read().await?;
    let found = one.find(&mut conn).await?;
    output(&endpoint::show(&mut conn, found).await?)
}

pub(super) async fn update(desk: &Desk<'_>, args: Update) -> Result<Output> {
    let said = [
        ("url", args.url.map(Value::from)),
        ("strategy", args.strategy.map(Value::from)),
        ("events", args.events.map(Value::from)),
        ("name", args.name.map(Value::from)),
    ];
    let mut changes = EndpointChanges::parse(body(said, args.settings))?;
    if let Some(file) = &args.secrets {
        changes.secrets = read_secrets(file)?;
    }
    changes.permit(&desk.config.webhooks)?;
    let owned = args.one.owned();
    // Asking for it may make a key; who changes nothing secret needs none.
    let vault = (!changes.secrets.is_empty()).then(|| desk.vault()).transpose()?;
    let work = async |conn: &mut Conn| {
        if let Some(vault) = &vault {
            let change = |secrets: &mut Secrets| changes.secrets.clone().apply(secrets);
            rotation::change(conn, vault, owned, desk.now, change).await?;
        }
        endpoint::update(conn, owned, &changes, desk.now).await
    };
    output(&change(desk, work).await?)
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

pub(super) async fn set_active(desk: &Desk<'_>, one: One, is_active: bool) -> Result<Output> {
    let changes = EndpointChanges::active(is_active);
    let work = async |conn: &mut Conn| endpoint::update(conn, one.owned(), &changes, desk.now).await;
    change(desk, work).await?;
    let verb = if is_active { "Enabled" } else { "Disabled" };
    let human = format!("{verb} webhook {}.", one.id);
    Ok(Output { json: json!({"id": one.id, "is_active": is_active}), human })
}

pub(super) async fn set_paused(desk: &Desk<'_>, one: One, is_paused: bool) -> Result<Output> {
    let work = async |conn: &mut Conn| endpoint::set_paused(conn, one.owned(), is_paused, desk.now).await;
    change(desk, work).await?;
    let verb = if is_paused { "Paused" } else { "Resumed" };
    let human = format!("{verb} webhook {}.", one.id);
    Ok(Output { json: json!({"id": one.id, "is_paused": is_paused}), human })
}

pub(super) async fn reset(desk: &Desk<'_>, one: One) -> Result<Output> {
    let work = async |conn: &mut Conn| {
        let found = one.find(conn).await?;
        endpoint::reset_breaker(conn, found.id).await?;
        Ok(found)
    };
    let shown = change(desk, work).await?;
    let human = format!("Closed the breaker of webhook {}.", one.id);
    Ok(Output { json: json!({"id": one.id, "breaker": shown.breaker}), human })
}

pub(super) async fn delete(desk: &Desk<'_>, one: One) -> Result<Output> {
    let (tenant, id) = one.owned();
    desk.db.transaction(async |conn| endpoint::delete(conn, tenant, id, desk.now).await).await?;
    Ok(Output { json: json!({"id": id, "deleted": true}), human: format!("Deleted webhook {id}.") })
}

async fn change(
    desk: &Desk<'_>,
    work: impl AsyncFnOnce(&mut Conn) -> Result<Endpoint>,
) -> Result<EndpointResource> {
    desk.db
        .transaction(async |conn| {
            let changed = work(conn).await?;
            endpoint::show(conn, changed).await
        })
        .await
}

/// One object, or a line a field.
pub(super) fn output(shown: &impl serde::Serialize) -> Result<Output> {
    let json = serde_json::to_value(shown).map_err(unwritable)?;
    let fields = json.as_object().cloned().unwrap_or_default();
    let rows = fields.iter().map(|(field, value)| json!({"field": field, "value": value}));
    let human = Output::list(&["field", "value"], rows).human;
    Ok(Output { json, human })
}

pub(super) fn unwritable(error: serde_json::Error) -> Error {
    Error::new(Code::Internal, "The answer could not be written down.").because(error)
}
