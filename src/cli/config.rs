//! `bellwire config check`

use super::output::Output;
use crate::config::Config;
use crate::domain::Result;
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Read the configuration as `serve` would and say what is wrong with it
    Check,
}

/// Loading has checked already; what is left is what is allowed and still worth a word.
#[expect(clippy::unnecessary_wraps, reason = "every verb answers alike")]
pub(super) fn run(verb: &Verb, config: &Config) -> Result<Output> {
    let Verb::Check = verb;
    let apps: Vec<String> = config.apps.iter().map(|app| app.id.to_string()).collect();
    let human = if apps.is_empty() {
        "The configuration is good. It has no app yet: `bellwire app create` prints one.".to_owned()
    } else {
        format!("The configuration is good. Apps: {}.", apps.join(", "))
    };
    Ok(Output { json: json!({"ok": true, "apps": apps}), human })
}
