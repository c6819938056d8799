//! Locks that the databases take differently.

use super::Conn;
use crate::domain::Result;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

#[diesel::declare_sql_function]
extern "SQL" {
    /// Returns nothing that could be read.
    fn pg_advisory_xact_lock(key: BigInt) -> Text;
}

/// An arbitrary number that names the lock within the database.
const EVENT_ORDER: i64 = 7_236_842;

/// The same of the lock that whoever writes the system's templates holds.
const SYSTEM_TEMPLATES: i64 = 7_236_843;

/// Held from here to the end of the transaction by whoever is about to insert events, so that ids are given
/// out in commit order and a reader that has seen id N has seen everything below N. SQLite has one writer and
/// needs nothing; on PostgreSQL it is an advisory lock, taken last, and costs the others one commit's wait.
pub(super) async fn event_order(conn: &mut Conn) -> Result<()> {
    hold(conn, EVENT_ORDER).await
}

/// Held from here to the end of the transaction by whoever writes the system's templates: several processes may
/// start at once.
pub async fn system_templates(conn: &mut Conn) -> Result<()> {
    hold(conn, SYSTEM_TEMPLATES).await
}

async fn hold(conn: &mut Conn, lock: i64) -> Result<()> {
    match conn {
        Conn::Postgres(object) => hold_on(object, lock).await,
        Conn::Sqlite(_) => Ok(()),
    }
}

/// [`event_order`] for who has another statement on its way to PostgreSQL meanwhile.
pub(super) async fn event_order_on(conn: &AsyncPgConnection) -> Result<()> {
    hold_on(conn, EVENT_ORDER).await
}

async fn hold_on(mut conn: &AsyncPgConnection, lock: i64) -> Result<()> {
    diesel::select(pg_advisory_xact_lock(lock)).execute(&mut conn).await?;
    Ok(())
}
