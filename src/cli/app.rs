//! `bellwire app create|list`: apps stand in the configuration, so `create` prints one to paste.

use super::output::Output;
use crate::config::App;
use crate::domain::Result;
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make up an app and print it as a block for config.toml
    Create,
    /// List the apps of the configuration
    List,
}

pub(super) fn run(verb: &Verb, apps: impl FnOnce() -> Result<Vec<App>>) -> Result<Output> {
    match verb {
        Verb::Create => Ok(create()),
        Verb::List => Ok(list(&apps()?)),
    }
}

/// An id as Pusher's look, a public key of 80 random bits and a secret of 160.
pub(super) struct NewApp {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) secret: String,
}

impl NewApp {
    pub(super) fn random() -> Self {
        let id = rand::random_range(100_000..1_000_000).to_string();
        let key = hex::encode(rand::random::<[u8; 10]>());
        let secret = hex::encode(rand::random::<[u8; 20]>());
        Self { id, key, secret }
    }
}

fn create() -> Output {
    let NewApp { id, key, secret } = NewApp::random();
    let human = format!(
        "# Put this into config.toml, then start (or restart) `bellwire serve`.\n\
         [[apps]]\nid = \"{id}\"\nkey = \"{key}\"\nsecret = \"{secret}\""
    );
    Output { json: json!({"id": id, "key": key, "secret": secret}), human }
}

fn list(apps: &[App]) -> Output {
    let row = |app: &App| json!({"id": app.id, "key": app.key, "allowed_origins": app.allowed_origins});
    Output::list(&["id", "key", "allowed_origins"], apps.iter().map(row))
}
