//! `bellwire migrate`

use super::database;
use super::output::Output;
use crate::config::Config;
use crate::domain::Result;
use crate::storage::migrate;
use serde_json::json;

pub(super) async fn run(config: &Config) -> Result<Output> {
    let ran = migrate::run(&database::open(config)?).await?;
    let human = match ran.len() {
        0 => "The database is up to date.".to_owned(),
        n => format!("Ran {n} migration(s): {}.", ran.join(", ")),
    };
    Ok(Output { json: json!({ "ran": ran }), human })
}
