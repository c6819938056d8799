//! `Idempotency-Key`: the answer to a POST, kept in the transaction of what it did, or of the last of it, so that a
//! repeat gets the same answer and does nothing again.

use super::schema::idempotency_keys;
use super::{Conn, on_conn};
use crate::domain::{Result, TenantId, Timestamp, UserId};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct Answer {
    /// Of the request that was answered.
    pub fingerprint: String,
    /// HTTP status.
    pub status: i32,
    /// The body, as sent.
    pub body: String,
}

/// The answer that this user's key already has, if any.
pub async fn find(conn: &mut Conn, user: UserId, key: &str) -> Result<Option<Answer>> {
    let query = idempotency_keys::table
        .filter(idempotency_keys::user_id.eq(user).and(idempotency_keys::key.eq(key)))
        .select((idempotency_keys::fingerprint, idempotency_keys::status, idempotency_keys::body));
    Ok(on_conn!(conn, c => query.first(c).await.optional())?)
}

/// Keeps an answer. When two requests with one key race, the second to commit fails here with
/// `Code::Conflict`, its change is rolled back, and [`find`] then has the first one's answer.
pub async fn keep(
    conn: &mut Conn,
    (tenant, user): (TenantId, UserId),
    key: &str,
    answer: &Answer,
    now: Timestamp,
) -> Result<()> {
    let values = (
        idempotency_keys::tenant_id.eq(tenant),
        idempotency_keys::user_id.eq(user),
        idempotency_keys::key.eq(key),
        idempotency_keys::fingerprint.eq(&answer.fingerprint),
        idempotency_keys::status.eq(answer.status),
        idempotency_keys::body.eq(&answer.body),
        idempotency_keys::created_at.eq(now),
    );
    on_conn!(conn, c => diesel::insert_into(idempotency_keys::table).values(values).execute(c).await)?;
    Ok(())
}
