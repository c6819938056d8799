//! `plan`: how a database would carry out a statement.

use bellwire::storage::{Conn, Db};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

#[derive(QueryableByName)]
struct SqlitePlan {
    #[diesel(sql_type = diesel::sql_types::Text)]
    detail: String,
}

#[derive(QueryableByName)]
struct PostgresPlan {
    #[diesel(sql_type = diesel::sql_types::Text, column_name = "QUERY PLAN")]
    line: String,
}

/// The steps, a line each.
pub(crate) async fn plan(db: &Db, sql: &str) -> String {
    let lines: Vec<String> = match &mut db.read().await.unwrap() {
        Conn::Sqlite(c) => {
            let explain = diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}"));
            let rows: Vec<SqlitePlan> = explain.load(&mut **c).await.unwrap();
            rows.into_iter().map(|row| row.detail).collect()
        }
        Conn::Postgres(c) => {
            let explain = diesel::sql_query(format!("EXPLAIN {sql}"));
            let rows: Vec<PostgresPlan> = explain.load(&mut **c).await.unwrap();
            rows.into_iter().map(|row| row.line).collect()
        }
    };
    lines.join("\n")
}
