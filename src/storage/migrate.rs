//! The embedded migrations: `serve` and `migrate` bring a database of either kind to the present schema.

use super::{Db, Pools, sqlite};
use crate::domain::{Code, Error, Result};
use diesel_async::{AsyncMigrationHarness, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Runs what is pending and returns the versions it ran. Safe to call from several processes at once:
/// PostgreSQL's take turns by an advisory lock, SQLite's by the file's.
pub async fn run(db: &Db) -> Result<Vec<String>> {
    let handle = db.runtime_handle()?;
    let done = match &db.pools {
        Pools::Sqlite { .. } => {
            let path = db.sqlite_path().unwrap_or_default().to_owned();
            handle.spawn_blocking(move || run_sqlite(&path)).await
        }
        Pools::Postgres(pool) => {
            let pool = pool.clone();
            // The harness blocks in place, which only the connections' own runtime allows.
            handle.spawn(async move { run_postgres(&pool).await }).await
        }
    };
    done.map_err(failed)?
}

fn run_sqlite(path: &str) -> Result<Vec<String>> {
    let mut conn = sqlite::open(path).map_err(|e| {
        Error::new(Code::Unavailable, format!("The database file {path} could not be opened.")).because(e)
    })?;
    // Usually there is nothing to do, and then nobody needs to be waited for.
    if !conn.has_pending_migration(SQLITE).map_err(failed)? {
        return Ok(Vec::new());
    }
    // In one transaction that begins with the write lock: who comes second finds nothing pending.
    conn.immediate_transaction(|conn| match conn.run_pending_migrations(SQLITE) {
        Ok(ran) => Ok(ran.iter().map(ToString::to_string).collect()),
        Err(error) => Err(failed(error)),
    })
}

async fn run_postgres(
    pool: &diesel_async::pooled_connection::deadpool::Pool<diesel_async::AsyncPgConnection>,
) -> Result<Vec<String>> {
    let mut conn = pool.get().await?;
    conn.batch_execute("SELECT pg_advisory_lock(7236841)").await?;
    let mut harness = AsyncMigrationHarness::new(conn);
    let ran = harness
        .run_pending_migrations(POSTGRES)
        .map(|versions| versions.iter().map(ToString::to_string).collect())
        .map_err(failed);
    harness.into_inner().batch_execute("SELECT pg_advisory_unlock(7236841)").await?;
    ran
}

fn failed(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Code::Unavailable, "The migrations could not be run.").because(cause)
}
