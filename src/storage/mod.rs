//! `Db`: the two databases behind one type, and `on_conn!`, which writes a query once for both.
//!
//! Take a `Conn` with [`Db::read`] for queries, and run changes in [`Db::transaction`]. On SQLite there is one
//! writing connection, so writers queue here, in order, instead of spinning on the file's lock. What differs
//! between the databases is one named function with two arms, in this folder.
//!
//! Connections live on a small runtime of their own: an actor's or a worker's thread may end (drain) while
//! another still needs the connection it opened.

mod blocking;
mod condition;
mod error;
pub mod idempotency;
pub mod lock;
pub mod migrate;
pub mod outbox;
pub mod page;
pub mod positions;
mod postgres;
pub mod prune;
pub mod retention;
pub mod schema;
mod sqlite;
pub mod tasks;
mod types;
mod writers;

use crate::domain::{Code, Error, Result};
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use diesel_async::{AnsiTransactionManager, AsyncConnection, AsyncPgConnection, TransactionManager};
use sqlite::Durability;
use std::sync::Arc;
use std::time::Duration;
use writers::Writers;

pub(crate) use condition::condition;
pub use error::Violation;

/// SQLite's connection, made asynchronous by running each query on a blocking thread.
pub type SqliteConn = SyncConnectionWrapper<diesel::SqliteConnection, blocking::Blocking>;

/// Where the rows are, and how long to wait for a connection to them.
#[derive(Debug, Clone)]
pub struct DbOptions {
    /// `sqlite:PATH` or `postgres://…`.
    pub url: String,
    /// Connections to PostgreSQL, or readers of SQLite beside its one writer.
    pub pool_size: usize,
    /// How long a request waits for a free connection, or for PostgreSQL to accept one, before it fails.
    pub wait: Duration,
}

/// A database. Cloning shares its pools.
#[derive(Clone)]
pub struct Db {
    pools: Pools,
    options: Arc<DbOptions>,
    runtime: Arc<Runtime>,
}

#[derive(Clone)]
enum Pools {
    Postgres(Pool<AsyncPgConnection>),
    Sqlite { writers: Writers, readers: Pool<SqliteConn> },
}

/// The connections' runtime; shut down without waiting, as its owner may itself be asynchronous.
struct Runtime(Option<tokio::runtime::Runtime>);

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// One connection, of either kind. Queries go through `on_conn!`.
#[expect(clippy::large_enum_variant, reason = "one stands on a stack for a request; a box would cost more")]
pub enum Conn {
    /// To PostgreSQL.
    Postgres(Object<AsyncPgConnection>),
    /// To SQLite.
    Sqlite(Object<SqliteConn>),
}

/// Expands a query once for each kind of connection: `on_conn!(conn, c => users::table.first(c).await)`.
/// Where a query has to name its back end: `on_conn!(conn, c: B => users::table.into_boxed::<B>()…)`.
macro_rules! on_conn {
    ($conn:expr, $c:ident => $body:expr) => {
        match $conn {
            $crate::storage::Conn::Postgres(object) => {
                let $c = &mut **object;
                $body
            }
            $crate::storage::Conn::Sqlite(object) => {
                let $c = &mut **object;
                $body
            }
        }
    };
    ($conn:expr, $c:ident: $backend:ident => $body:expr) => {
        match $conn {
            $crate::storage::Conn::Postgres(object) => {
                type $backend = diesel::pg::Pg;
                let $c = &mut **object;
                $body
            }
            $crate::storage::Conn::Sqlite(object) => {
                type $backend = diesel::sqlite::Sqlite;
                let $c = &mut **object;
                $body
            }
        }
    };
}
pub(crate) use on_conn;

/// As [`on_conn!`], for a `$query` whose rows must stand still until the transaction ends. PostgreSQL locks
/// them (`FOR NO KEY UPDATE`, which lets others refer to them still); SQLite has one writer anyway.
macro_rules! on_conn_locking {
    ($conn:expr, $query:expr, |$q:ident, $c:ident| $body:expr) => {
        match $conn {
            $crate::storage::Conn::Postgres(object) => {
                let $c = &mut **object;
                let $q = $query.for_no_key_update();
                $body
            }
            $crate::storage::Conn::Sqlite(object) => {
                let $c = &mut **object;
                let $q = $query;
                $body
            }
        }
    };
}
pub(crate) use on_conn_locking;

/// As [`on_conn_locking!`], for work that several processes share: rows that another holds are passed over
/// (`SKIP LOCKED`) instead of waited for.
macro_rules! on_conn_skipping_locked {
    ($conn:expr, $query:expr, |$q:ident, $c:ident| $body:expr) => {
        match $conn {
            $crate::storage::Conn::Postgres(object) => {
                let $c = &mut **object;
                let $q = $query.for_no_key_update().skip_locked();
                $body
            }
            $crate::storage::Conn::Sqlite(object) => {
                let $c = &mut **object;
                let $q = $query;
                $body
            }
        }
    };
}
pub(crate) use on_conn_skipping_locked;

/// Inserts all `$rows` and gives what each returns (`$returning`), in their order. PostgreSQL gets a thousand in one
/// statement; on SQLite, where a statement costs little and the way to it more, all of them go in one trip to its
/// thread. Each of the rows has one value for every column of the statement, given or NULL.
macro_rules! insert_rows {
    ($conn:expr, $table:expr, $rows:expr, $returning:expr) => {{
        let rows = $rows;
        match $conn {
            $crate::storage::Conn::Postgres(object) => {
                let mut returned = Vec::with_capacity(rows.len());
                // A statement for one row, the common case, is prepared once; for many it is prepared each time.
                if let [row] = rows.as_slice() {
                    let insert = diesel::insert_into($table).values(row).returning($returning);
                    returned.push(diesel_async::RunQueryDsl::get_result(insert, &mut **object).await?);
                } else {
                    for rows in rows.chunks(1_000) {
                        let insert = diesel::insert_into($table).values(rows).returning($returning);
                        let object = &mut **object;
                        returned.append(&mut diesel_async::RunQueryDsl::get_results(insert, object).await?);
                    }
                }
                returned
            }
            $crate::storage::Conn::Sqlite(object) => {
                let insert = move |c: &mut diesel::SqliteConnection| {
                    let one = |row| {
                        let insert = diesel::insert_into($table).values(row).returning($returning);
                        diesel::RunQueryDsl::get_result(insert, c)
                    };
                    rows.iter().map(one).collect::<diesel::QueryResult<Vec<_>>>()
                };
                object.spawn_blocking(insert).await?
            }
        }
    }};
}
pub(crate) use insert_rows;

/// As [`insert_rows!`], leaving out the rows that are there already, by any unique key: gives what each new one returns,
/// in their order. Use it where repeats are common, or harmless; a row that is left out is not seen.
macro_rules! insert_new_rows {
    ($conn:expr, $table:expr, $rows:expr, $returning:expr) => {{
        let rows = $rows;
        match $conn {
            $crate::storage::Conn::Postgres(object) => {
                let mut returned = Vec::with_capacity(rows.len());
                for rows in rows.chunks(1_000) {
                    let insert = diesel::insert_into($table).values(rows).on_conflict_do_nothing();
                    let insert = insert.returning($returning);
                    let object = &mut **object;
                    returned.append(&mut diesel_async::RunQueryDsl::get_results(insert, object).await?);
                }
                returned
            }
            $crate::storage::Conn::Sqlite(object) => {
                let insert = move |c: &mut diesel::SqliteConnection| {
                    let one = |row| {
                        let insert = diesel::insert_into($table).values(row).on_conflict_do_nothing();
                        let insert = insert.returning($returning);
                        diesel::OptionalExtension::optional(diesel::RunQueryDsl::get_result(insert, c))
                    };
                    rows.iter()
                        .map(one)
                        .filter_map(std::result::Result::transpose)
                        .collect::<diesel::QueryResult<Vec<_>>>()
                };
                object.spawn_blocking(insert).await?
            }
        }
    }};
}
pub(crate) use insert_new_rows;

/// Carries out one `$statement` that inserts all of `$rows`, for what [`insert_rows!`] does not say, such as an upsert:
/// `execute_rows!(conn, rows, |rows| diesel::insert_into(t::table).values(rows).on_conflict(…)…)`. There is one row at
/// least. On SQLite diesel writes one statement of many rows only for its own connection.
macro_rules! execute_rows {
    ($conn:expr, $rows:expr, |$r:ident| $statement:expr) => {{
        let rows = $rows;
        match $conn {
            // As above: a statement for one row is prepared once.
            $crate::storage::Conn::Postgres(object) => {
                if let [$r] = rows.as_slice() {
                    diesel_async::RunQueryDsl::execute($statement, &mut **object).await?
                } else {
                    let $r = &rows;
                    diesel_async::RunQueryDsl::execute($statement, &mut **object).await?
                }
            }
            $crate::storage::Conn::Sqlite(object) => {
                let execute = move |c: &mut diesel::SqliteConnection| {
                    let $r = &rows;
                    diesel::RunQueryDsl::execute($statement, c)
                };
                object.spawn_blocking(execute).await?
            }
        }
    }};
}
pub(crate) use execute_rows;

impl Db {
    /// Opens the pools. No connection is made yet; the folder of a SQLite file is created.
    pub fn open(options: DbOptions) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("bellwire-db")
            .enable_all()
            .build()
            .map_err(|e| {
                Error::new(Code::Internal, "The database threads could not be started.").because(e)
            })?;
        let handle = runtime.handle().clone();
        // Owned at once: an early return must not drop a bare runtime within another.
        let runtime = Arc::new(Runtime(Some(runtime)));
        let pools = match options.url.strip_prefix("sqlite:") {
            Some(path) => {
                let pool = |size, durability| sqlite::pool(path, (size, durability), &options, &handle);
                let alone = (pool(1, Durability::Full)?, pool(1, Durability::Process)?);
                let writers = Writers::new(alone, handle.clone(), sqlite::patience(&options));
                Pools::Sqlite { writers, readers: pool(options.pool_size, Durability::Full)? }
            }
            None if options.url.starts_with("postgres://") || options.url.starts_with("postgresql://") => {
                Pools::Postgres(postgres::pool(&options, &handle)?)
            }
            None => {
                return Err(Error::new(
                    Code::Invalid,
                    "The database url must be sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME.",
                ));
            }
        };
        Ok(Self { pools, options: Arc::new(options), runtime })
    }

    /// Whether this is SQLite: one process serves it, so what another process's death left behind is ours.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.pools, Pools::Sqlite { .. })
    }

    fn runtime_handle(&self) -> Result<tokio::runtime::Handle> {
        let runtime = self.runtime.0.as_ref();
        runtime
            .map(|r| r.handle().clone())
            .ok_or_else(|| Error::new(Code::Internal, "The database threads have ended."))
    }

    /// The path of the SQLite file, or `None` on PostgreSQL.
    pub fn sqlite_path(&self) -> Option<&str> {
        self.options.url.strip_prefix("sqlite:")
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<Conn> {
        match &self.pools {
            Pools::Postgres(pool) => Ok(Conn::Postgres(pool.get().await?)),
            Pools::Sqlite { readers, .. } => Ok(Conn::Sqlite(readers.get().await?)),
        }
    }

    /// Runs `work` in a transaction: commits when it returns `Ok`, rolls back otherwise, and also when the
    /// future is dropped half way (a client that went away). SQLite's is `IMMEDIATE`, so it never fails late
    /// for want of the write lock; there those who write at the same time share a commit (`writers`).
    pub async fn transaction<T>(&self, work: impl AsyncFnOnce(&mut Conn) -> Result<T>) -> Result<T> {
        match &self.pools {
            Pools::Postgres(pool) => finish(begin_postgres(pool).await?, work).await,
            Pools::Sqlite { writers, .. } => writers.transaction(work).await,
        }
    }

    /// The same for what may be forgotten when the machine dies (not when this process does), such as a lease: on
    /// SQLite the commit does not wait for the disk, and whatever is committed after it in [`Db::transaction`] takes
    /// it along. On PostgreSQL it waits: there the server alone may die, and what it forgot would be done twice.
    pub async fn transaction_relaxed<T>(&self, work: impl AsyncFnOnce(&mut Conn) -> Result<T>) -> Result<T> {
        match &self.pools {
            Pools::Postgres(pool) => finish(begin_postgres(pool).await?, work).await,
            Pools::Sqlite { writers, .. } => writers.transaction_relaxed(work).await,
        }
    }

    /// Asks the database for one row: whether it is reachable, within the wait of the options.
    pub async fn ping(&self) -> Result<()> {
        use diesel_async::RunQueryDsl;
        let answer = async {
            let mut conn = self.read().await?;
            on_conn!(&mut conn, c => diesel::sql_query("SELECT 1").execute(c).await)?;
            Ok(())
        };
        tokio::time::timeout(self.options.wait, answer)
            .await
            .map_err(|_| Error::new(Code::Unavailable, "The database does not answer."))?
    }
}

async fn begin_postgres(pool: &Pool<AsyncPgConnection>) -> Result<Conn> {
    let mut object = pool.get().await?;
    AnsiTransactionManager::begin_transaction(&mut *object).await?;
    Ok(Conn::Postgres(object))
}

async fn begin_immediate(mut object: Object<SqliteConn>) -> Result<Conn> {
    use diesel::connection::AnsiTransactionManager;
    object.spawn_blocking(|c| AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE")).await?;
    Ok(Conn::Sqlite(object))
}

async fn finish<T>(mut conn: Conn, work: impl AsyncFnOnce(&mut Conn) -> Result<T>) -> Result<T> {
    match work(&mut conn).await {
        Ok(value) => {
            on_conn!(&mut conn, c => commit(c).await)?;
            Ok(value)
        }
        Err(error) => {
            // A connection that cannot roll back is broken, and the pool will see that.
            let _ = on_conn!(&mut conn, c => rollback(c).await);
            Err(error)
        }
    }
}

async fn commit<C: AsyncConnection>(conn: &mut C) -> diesel::QueryResult<()> {
    C::TransactionManager::commit_transaction(conn).await
}

async fn rollback<C: AsyncConnection>(conn: &mut C) -> diesel::QueryResult<()> {
    C::TransactionManager::rollback_transaction(conn).await
}
