//! The command line: what the verbs are, and what every verb does alike.
//!
//! A verb family is one file: its arguments, and a `run` that answers with an `Output`. Answers go to
//! standard output, as one JSON object with `--json`; errors go to standard error in one sentence. The exit
//! code is 0, 1 for a failure, 2 for a command line that makes no sense.

mod app;
mod config;
mod database;
mod demo;
mod lifetime;
mod migrate;
mod notifications;
mod output;
mod progress;
mod prune;
mod seed;
mod serve;
mod signals;
mod tenant;
mod token;
mod user;
mod webhook;

use crate::config::Config;
use crate::domain::{Code, Error, Result};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use output::Output;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Real-time hub: Pusher WebSockets, catalog REST, signed webhooks, in one binary.
#[derive(Debug, Parser)]
#[command(name = "bellwire", version, propagate_version = true)]
struct Cli {
    /// Read this file instead of config.toml
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Print one JSON object, for scripts
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server
    Serve(serve::Args),
    /// Run everything in one process on sample data, with commands to try
    Demo(demo::Args),
    /// Bring the database to the present schema
    Migrate,
    /// Shops or companies: the wall that nothing crosses
    #[command(subcommand)]
    Tenant(tenant::Verb),
    /// People and back ends of a tenant
    #[command(subcommand)]
    User(user::Verb),
    /// Bearer tokens of users
    #[command(subcommand)]
    Token(token::Verb),
    /// Pusher apps, which stand in the configuration
    #[command(subcommand)]
    App(app::Verb),
    /// Endpoints that get signed POSTs
    #[command(subcommand)]
    Webhook(webhook::Verb),
    /// Work at notifications that a server does by itself
    #[command(subcommand)]
    Notifications(notifications::Verb),
    Prune(prune::Args),
    Seed(seed::Args),
    /// The configuration
    #[command(subcommand)]
    Config(config::Verb),
}

/// Parses the command line, carries the verb out and says how it went.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // Known before parsing, for the errors of parsing.
    let json = args.iter().any(|a| a == "--json");
    match Cli::try_parse_from(args) {
        Ok(cli) => output::finish(actix_rt::System::new().block_on(carry_out(cli)), json),
        Err(error) => misunderstood(&error, json),
    }
}

async fn carry_out(cli: Cli) -> Result<Output> {
    let load = || crate::config::load(cli.config.as_deref());
    match cli.verb {
        Verb::Serve(args) => serve::run(args, load()?).await,
        Verb::Demo(args) => demo::run(args, cli.json).await,
        Verb::Migrate => migrate::run(&load()?).await,
        Verb::Tenant(verb) => tenant::run(verb, &load()?).await,
        Verb::User(verb) => user::run(verb, &load()?).await,
        Verb::Token(verb) => token::run(verb, &load()?).await,
        Verb::App(verb) => app::run(&verb, || load().map(|c: Config| c.apps)),
        Verb::Webhook(verb) => webhook::run(verb, &load()?, cli.json).await,
        Verb::Notifications(verb) => notifications::run(verb, &load()?).await,
        Verb::Prune(args) => prune::run(&args, &load()?).await,
        Verb::Seed(args) => seed::run(&args, &load()?, cli.json).await,
        Verb::Config(verb) => config::run(&verb, &load()?),
    }
}

/// `--help` and `--version` come this way too, and are no errors.
fn misunderstood(error: &clap::Error, json: bool) -> ExitCode {
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if json && !asked_for {
        output::complain(&Error::new(Code::Malformed, sentence(error)), true);
    } else {
        // Nobody is left to be told when this fails.
        let _ = error.print();
    }
    ExitCode::from(if asked_for { 0 } else { 2 })
}

/// What clap says before it goes on to usage and tips, on one line.
fn sentence(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "A verb is missing; --help lists them.".to_owned();
    }
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}
