//! `bellwire migrate`

use super::database;
use super::output::Output;
use crate::config::Config;
use crate::domain::{Clock, Result};
use crate::notifications::templates;
use crate::storage::migrate;
use serde_json::json;

pub(super) async fn run(config: &Config) -> Result<Output> {
    let db = database::open(config)?;
    let ran = migrate::run(&db).await?;
    let written = templates::seed(&db, Clock::System.now()).await?;
    let human = match (ran.len(), written) {
        (0, 0) => "The database is up to date.".to_owned(),
        (n, 0) => format!("Ran {n} migration(s): {}.", ran.join(", ")),
        (0, written) => format!("Wrote {written} template(s) of the system."),
        (n, written) => {
            format!("Ran {n} migration(s): {}. Wrote {written} template(s) of the system.", ran.join(", "))
        }
    };
    Ok(Output { json: json!({ "ran": ran, "templates": written }), human })
}
