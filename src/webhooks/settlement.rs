//! `Settlement`: what attempts made of the rows of their deliveries, written in one statement, whatever became of each:
//! every failed one is due again at a time of its own, and those that succeeded must not wait for a statement for each.

use crate::domain::{DeliveryId, Result, Timestamp};
use crate::storage::{Conn, on_conn};
use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{self, Array, BigInt, Integer, Nullable, Text};
use diesel::sqlite::Sqlite;
use diesel_async::RunQueryDsl;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::zip;

/// The state that a row is put in after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Delivered,
    Failed,
    PendingUntil(Timestamp),
}

impl State {
    const fn column(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::PendingUntil(_) => "pending",
        }
    }

    const fn due_at(self) -> Option<Timestamp> {
        match self {
            Self::PendingUntil(due) => Some(due),
            _ => None,
        }
    }
}

/// A delivery, and how many attempts at it were recorded before the one that is settled.
pub(super) type Attempted = (DeliveryId, u32);

/// Counts attempts and gives their leases back. Returns those that the fence let through: the row is still leased to
/// `owner` and has had as many attempts. Of two attempts that are alike the first is taken.
pub(super) async fn settle(
    conn: &mut Conn,
    owner: &str,
    states: impl IntoIterator<Item = (Attempted, State)>,
    now: Timestamp,
) -> Result<BTreeSet<Attempted>> {
    let mut first: BTreeMap<Attempted, State> = BTreeMap::new();
    for (attempted, state) in states {
        first.entry(attempted).or_insert(state);
    }
    if first.is_empty() {
        return Ok(BTreeSet::new());
    }
    let settlement = Settlement { owner: owner.to_owned(), now, rows: Rows::of(&first) };
    let settled: Vec<(DeliveryId, i32)> = on_conn!(conn, c => settlement.get_results(c).await)?;
    Ok(settled.into_iter().map(|(id, attempts)| (id, attempts.unsigned_abs() - 1)).collect())
}

/// The statement.
#[derive(QueryId)]
struct Settlement {
    owner: String,
    now: Timestamp,
    rows: Rows,
}

impl Query for Settlement {
    type SqlType = (BigInt, Integer);
}

impl<DB: Backend> QueryFragment<DB> for Settlement
where
    Rows: QueryFragment<DB>,
    Timestamp: ToSql<sql_types::Timestamp, DB>,
    String: ToSql<Text, DB>,
    DB: sql_types::HasSqlType<sql_types::Timestamp>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> diesel::QueryResult<()> {
        out.push_sql(
            "UPDATE webhook_deliveries SET status = new_status, attempts = attempts + 1, \
             due_at = coalesce(new_due_at, due_at), lease_owner = NULL, lease_until = NULL, updated_at = ",
        );
        out.push_bind_param::<sql_types::Timestamp, _>(&self.now)?;
        out.push_sql(" FROM ");
        self.rows.walk_ast(out.reborrow())?;
        out.push_sql(
            " WHERE id = delivery_id AND attempts = had_attempts AND status = 'pending' AND lease_owner = ",
        );
        out.push_bind_param::<Text, _>(&self.owner)?;
        out.push_sql(" RETURNING id, attempts");
        Ok(())
    }
}

/// What becomes of each row, by column.
#[derive(QueryId)]
struct Rows {
    ids: Vec<DeliveryId>,
    attempts: Vec<i32>,
    statuses: Vec<&'static str>,
    dues: Vec<Option<Timestamp>>,
}

impl Rows {
    fn of(states: &BTreeMap<Attempted, State>) -> Self {
        // A number that is none is no row's: the attempt does not count.
        let number = |attempts: u32| i32::try_from(attempts).unwrap_or(-1);
        Self {
            ids: states.keys().map(|(id, _)| *id).collect(),
            attempts: states.keys().map(|(_, attempts)| number(*attempts)).collect(),
            statuses: states.values().map(|state| state.column()).collect(),
            dues: states.values().map(|state| state.due_at()).collect(),
        }
    }
}

/// An array a column: the statement is the same for any number of rows, and is prepared once.
impl QueryFragment<Pg> for Rows {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        out.push_sql("unnest(");
        out.push_bind_param::<Array<BigInt>, _>(&self.ids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Integer>, _>(&self.attempts)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.statuses)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<sql_types::Timestamp>>, _>(&self.dues)?;
        out.push_sql(") AS settled (delivery_id, had_attempts, new_status, new_due_at)");
        Ok(())
    }
}

/// There are no arrays. The limit is no more than the rows there are; it tells the planner, which takes it for a million
/// otherwise and reads the whole table to save itself that many look-ups (a Bloom filter, where `ANALYZE` was run).
impl QueryFragment<Sqlite> for Rows {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> diesel::QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql(
            "(SELECT column1 AS delivery_id, column2 AS had_attempts, column3 AS new_status, \
             column4 AS new_due_at FROM (VALUES ",
        );
        let (attempted, becomes) = (zip(&self.ids, &self.attempts), zip(&self.statuses, &self.dues));
        for (n, ((id, attempts), (status, due))) in zip(attempted, becomes).enumerate() {
            out.push_sql(if n == 0 { "(" } else { ", (" });
            out.push_bind_param::<BigInt, _>(id)?;
            out.push_sql(", ");
            out.push_bind_param::<Integer, _>(attempts)?;
            out.push_sql(", ");
            out.push_bind_param::<Text, _>(status)?;
            out.push_sql(", ");
            out.push_bind_param::<Nullable<sql_types::Timestamp>, _>(due)?;
            out.push_sql(")");
        }
        out.push_sql(&format!(") LIMIT {}) AS settled", self.ids.len()));
        Ok(())
    }
}
