//! The database of a verb: opened as the configuration says and brought to the present schema.

use crate::config::Config;
use crate::domain::{Clock, Result};
use crate::notifications::templates;
use crate::storage::{Db, DbOptions, migrate};
use std::time::Duration;

/// Opens without asking the schema anything.
pub(super) fn open(config: &Config) -> Result<Db> {
    Db::open(DbOptions {
        url: config.database.url.clone(),
        pool_size: config.database.pool_size,
        wait: Duration::from_millis(config.database.wait_ms),
    })
}

/// Opens and migrates, so that a verb works on a database that is new; it has the system's templates then.
pub(super) async fn open_migrated(config: &Config) -> Result<Db> {
    let db = open(config)?;
    migrate::run(&db).await?;
    templates::seed(&db, Clock::System.now()).await?;
    Ok(db)
}
