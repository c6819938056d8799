//! The pools of SQLite connections and the pragmas that make a commit durable.

use super::{DbOptions, SqliteConn};
use crate::domain::{Code, Error, Result};
use diesel::connection::SimpleConnection;
use diesel::{Connection, ConnectionError, SqliteConnection};
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use futures_util::FutureExt;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Handle;

/// `FULL`: a commit that was answered has reached the disk. `busy_timeout` is for the command line, which
/// writes to the same file from another process. The journal is cut back after a burst.
pub(super) const PRAGMAS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864";

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// The disk.
    Full,
    /// The journal's pages in memory: what another process reads, and what the death of this one leaves.
    Process,
}

/// One pool of `size` connections.
pub(super) fn pool(
    path: &str,
    (size, durability): (usize, Durability),
    options: &DbOptions,
    handle: &Handle,
) -> Result<Pool<SqliteConn>> {
    create_folder(path)?;
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    let handle = handle.clone();
    config.custom_setup = Box::new(move |path| {
        let (path, runtime) = (path.to_owned(), handle.clone());
        let opening = handle.spawn_blocking(move || {
            let _on_runtime = runtime.enter();
            let mut conn = open(&path)?;
            if durability == Durability::Process {
                let relaxed = conn.batch_execute("PRAGMA synchronous = NORMAL");
                relaxed.map_err(ConnectionError::CouldntSetupConfiguration)?;
            }
            Ok(SqliteConn::new(conn))
        });
        async move { opening.await.unwrap_or_else(|e| Err(ConnectionError::BadConnection(e.to_string()))) }
            .boxed()
    });
    Pool::builder(AsyncDieselConnectionManager::new_with_config(path, config))
        .max_size(size)
        .runtime(deadpool::Runtime::Tokio1)
        .wait_timeout(Some(patience(options)))
        .build()
        .map_err(|e| Error::new(Code::Internal, "The database pool could not be made.").because(e))
}

/// How long one waits for a connection, or for the turn to write.
pub(super) fn patience(options: &DbOptions) -> Duration {
    options.wait.max(Duration::from_secs(5))
}

/// One connection, ready for use.
pub(super) fn open(path: &str) -> diesel::ConnectionResult<SqliteConnection> {
    let mut conn = SqliteConnection::establish(path)?;
    set_up(&mut conn).map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(conn)
}

/// Processes that meet at a new file all want to change its journal mode, and there SQLite refuses at once
/// instead of keeping to `busy_timeout`. So the waiting is done here, for as long.
fn set_up(conn: &mut SqliteConnection) -> diesel::QueryResult<()> {
    let mut tries_left = 100;
    loop {
        match conn.batch_execute(PRAGMAS) {
            Err(e) if tries_left > 0 && e.to_string().contains("database is locked") => {
                tries_left -= 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            done => return done,
        }
    }
}

fn create_folder(path: &str) -> Result<()> {
    match Path::new(path).parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder).map_err(|e| {
            Error::new(Code::Unavailable, format!("The folder {} could not be made.", folder.display()))
                .because(e)
        }),
        _ => Ok(()),
    }
}
