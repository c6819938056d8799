//! The two databases hold one schema, and behave alike behind `Db`.

use crate::support::TestDb;
use bellwire::domain::{ChannelName, Code, Error, EventId, EventName, TenantId, Timestamp};
use bellwire::storage::outbox::{self, NewEvent};
use bellwire::storage::schema::tenants;
use bellwire::storage::{Conn, migrate};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::BTreeSet;
use std::time::Duration;

on_both_databases!(
    migrations_run_once_whoever_asks,
    a_failed_transaction_leaves_nothing,
    a_relaxed_transaction_waits_for_its_turn_and_is_seen_at_once,
    a_dropped_transaction_leaves_nothing,
    writers_at_the_same_time_each_get_what_is_theirs,
    a_writer_dropped_among_others_takes_none_of_them_along,
    a_relaxed_transaction_that_is_dropped_blocks_nobody,
    a_statement_dropped_half_way_hurts_nobody,
    a_row_that_refers_to_nothing_is_a_conflict,
    events_are_read_back_in_the_order_of_their_ids,
);

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-03-01T08:00:00.123456Z").unwrap()
}

async fn insert_tenant(conn: &mut Conn, name: &str) -> Result<TenantId, Error> {
    let values = (tenants::name.eq(name), tenants::created_at.eq(now()), tenants::updated_at.eq(now()));
    Ok(on_conn!(conn, c =>
        diesel::insert_into(tenants::table).values(values).returning(tenants::id).get_result(c).await)?)
}

async fn count_tenants(db: &TestDb) -> i64 {
    let mut conn = db.read().await.unwrap();
    on_conn!(&mut conn, c => tenants::table.count().get_result(c).await).unwrap()
}

async fn migrations_run_once_whoever_asks(db: TestDb) {
    let other = db.open_another();
    let (ours, theirs) = tokio::join!(migrate::run(&db), migrate::run(&other));
    assert!(ours.unwrap().is_empty());
    assert!(theirs.unwrap().is_empty());
}

async fn a_failed_transaction_leaves_nothing(db: TestDb) {
    let refused = db
        .transaction(async |conn| {
            insert_tenant(conn, "Shop").await?;
            Err::<(), _>(Error::new(Code::Conflict, "no"))
        })
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Conflict);
    assert_eq!(count_tenants(&db).await, 0);
    db.transaction(async |conn| insert_tenant(conn, "Shop").await).await.unwrap();
    assert_eq!(count_tenants(&db).await, 1);
}

async fn a_relaxed_transaction_waits_for_its_turn_and_is_seen_at_once(db: TestDb) {
    let refused = db
        .transaction_relaxed(async |conn| {
            insert_tenant(conn, "Shop").await?;
            Err::<(), _>(Error::new(Code::Conflict, "no"))
        })
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Conflict);
    let both = (0..20).map(async |n| {
        db.transaction(async |conn| insert_tenant(conn, &format!("Full {n}")).await).await.unwrap();
        db.transaction_relaxed(async |conn| insert_tenant(conn, &format!("Relaxed {n}")).await)
            .await
            .unwrap();
    });
    futures_util::future::join_all(both).await;
    assert_eq!(count_tenants(&db).await, 40);
    let other = db.open_another();
    let mut conn = other.read().await.unwrap();
    let seen: i64 = on_conn!(&mut conn, c => tenants::table.count().get_result(c).await).unwrap();
    assert_eq!(seen, 40);
}

async fn a_dropped_transaction_leaves_nothing(db: TestDb) {
    let never = db.transaction(async |conn| {
        insert_tenant(conn, "Shop").await?;
        futures_util::future::pending::<Result<(), Error>>().await
    });
    assert!(tokio::time::timeout(Duration::from_millis(300), never).await.is_err());
    // The connection it used is fit for the next.
    db.transaction(async |conn| insert_tenant(conn, "Other").await).await.unwrap();
    assert_eq!(count_tenants(&db).await, 1);
}

async fn writers_at_the_same_time_each_get_what_is_theirs(db: TestDb) {
    let write = async |number: usize| {
        let name = format!("Shop {number}");
        let work = async |conn: &mut Conn| {
            let id = insert_tenant(conn, &name).await?;
            if number.is_multiple_of(3) { Err(Error::new(Code::Conflict, name.as_str())) } else { Ok(id) }
        };
        match number % 10 {
            7 => db.transaction_relaxed(work).await,
            _ => db.transaction(work).await,
        }
    };
    for _ in 0..3 {
        let before = count_tenants(&db).await;
        let answers = futures_util::future::join_all((0..150).map(write)).await;
        for (number, answer) in answers.iter().enumerate() {
            assert_eq!(answer.is_ok(), !number.is_multiple_of(3), "{number}: {answer:?}");
            assert!(answer.as_ref().is_ok() || answer.as_ref().unwrap_err().code() == Code::Conflict);
        }
        let ids: BTreeSet<TenantId> = answers.into_iter().filter_map(Result::ok).collect();
        assert_eq!(ids.len(), 100, "each has its own row");
        assert_eq!(count_tenants(&db).await - before, 100);
    }
}

async fn a_writer_dropped_among_others_takes_none_of_them_along(db: TestDb) {
    let staying = async |number: usize| {
        for turn in 0..10 {
            db.transaction(async |conn| insert_tenant(conn, &format!("Stays {number}.{turn}")).await)
                .await
                .unwrap();
        }
    };
    // Some in the middle of their work, some while they wait for their turn, or for their commit.
    let going = async |number: usize| {
        for turn in 0..20 {
            let work = db.transaction(async |conn| insert_tenant(conn, "Goes").await);
            let patience = Duration::from_micros(u64::try_from(number * 150 + turn * 370).unwrap());
            drop(tokio::time::timeout(patience, work).await);
        }
    };
    let (stay, go) = ((0..12).map(staying), (0..12).map(going));
    futures_util::future::join(futures_util::future::join_all(stay), futures_util::future::join_all(go))
        .await;
    let mut conn = db.read().await.unwrap();
    let stays = tenants::table.filter(tenants::name.like("Stays %"));
    let stays: i64 = on_conn!(&mut conn, c => stays.count().get_result(c).await).unwrap();
    assert_eq!(stays, 120);
    // Nothing is left open that would keep another process from writing.
    let next = db.open_another();
    let next = next.transaction(async |conn| insert_tenant(conn, "Other").await);
    tokio::time::timeout(Duration::from_secs(4), next).await.expect("at once").unwrap();
}

/// As when a client goes away while the database works for it.
async fn a_relaxed_transaction_that_is_dropped_blocks_nobody(db: TestDb) {
    let never = db.transaction_relaxed(async |conn| {
        insert_tenant(conn, "Shop").await?;
        futures_util::future::pending::<Result<(), Error>>().await
    });
    assert!(tokio::time::timeout(Duration::from_millis(200), never).await.is_err());
    let next = db.transaction(async |conn| insert_tenant(conn, "Shop").await);
    tokio::time::timeout(Duration::from_secs(4), next).await.expect("at once").unwrap();
    assert_eq!(count_tenants(&db).await, 1);
}

async fn a_statement_dropped_half_way_hurts_nobody(db: TestDb) {
    let slow = if db.is_sqlite() {
        "INSERT INTO tenants (name, created_at, updated_at)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
         SELECT 'Shop', '2026-03-01 08:00:00.000000', '2026-03-01 08:00:00.000000' FROM n"
    } else {
        "SELECT pg_sleep(1)"
    };
    for _ in 0..3 {
        let work = db.transaction(async |conn| {
            on_conn!(conn, c => diesel::sql_query(slow).execute(c).await)?;
            Ok(())
        });
        assert!(tokio::time::timeout(Duration::from_millis(20), work).await.is_err());
    }
    db.transaction(async |conn| insert_tenant(conn, "Other").await).await.unwrap();
    assert_eq!(count_tenants(&db).await, 1);
}

async fn a_row_that_refers_to_nothing_is_a_conflict(db: TestDb) {
    use bellwire::storage::schema::users;
    let refused = db
        .transaction(async |conn| {
            let values = (
                users::tenant_id.eq(TenantId(77)),
                users::name.eq("Ann"),
                users::email.eq("ann@shop.example"),
                users::created_at.eq(now()),
                users::updated_at.eq(now()),
            );
            Ok(on_conn!(conn, c => diesel::insert_into(users::table).values(values).execute(c).await)?)
        })
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Conflict);
}

async fn events_are_read_back_in_the_order_of_their_ids(db: TestDb) {
    let tenant = db.transaction(async |conn| insert_tenant(conn, "Shop").await).await.unwrap();
    let event = |name: &str| NewEvent {
        tenant_id: tenant,
        name: EventName::new(name),
        channel: ChannelName::parse(&format!("private-tenant.{tenant}")).unwrap(),
        data: r#"{"id":1}"#.to_owned(),
        except: Some("123.456".parse().unwrap()),
    };
    let new = vec![event("product:updated"), event("stock:updated")];
    let written = db.transaction(async |conn| outbox::write(conn, new, now()).await).await.unwrap();
    let mut conn = db.read().await.unwrap();
    let read = outbox::read_after(&mut conn, EventId(0), 10).await.unwrap();
    assert_eq!(read, written.events.to_vec());
    assert_eq!(outbox::last_id(&mut conn).await.unwrap(), read.last().unwrap().id);
    let rest = outbox::read_tenant_after(&mut conn, tenant, read[0].id, 10).await.unwrap();
    assert_eq!(rest, read[1..]);
}

/// Table, column and whether it may be null; the types' names differ between the databases.
type Columns = BTreeSet<(String, String, bool)>;

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = diesel::sql_types::Text)]
    of_table: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    nullable: i64,
}

async fn columns(db: &TestDb) -> Columns {
    let query = if db.is_sqlite() {
        "SELECT m.name AS of_table, c.name AS name, 1 - c.\"notnull\" AS nullable
         FROM sqlite_master m JOIN pragma_table_info(m.name) c
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE '__diesel%'"
    } else {
        "SELECT table_name::text AS of_table, column_name::text AS name, (is_nullable = 'YES')::int::bigint AS nullable
         FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_diesel%'"
    };
    let mut conn = db.read().await.unwrap();
    let rows: Vec<Column> = on_conn!(&mut conn, c => diesel::sql_query(query).load(c).await).unwrap();
    rows.into_iter().map(|c| (c.of_table, c.name, c.nullable == 1)).collect()
}

/// What `table!` in `src/storage/schema.rs` says, read as text: `name (key) {` and `column -> Type,`.
fn declared() -> Columns {
    let mut columns = Columns::new();
    let mut table = "";
    let text = include_str!("../../src/storage/schema.rs");
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("joinable!")) {
        if let Some((name, _)) = line.strip_suffix(") {").and_then(|line| line.split_once(" (")) {
            table = name;
        } else if let Some((name, kind)) = line.split_once(" -> ") {
            columns.insert((table.to_owned(), name.to_owned(), kind.starts_with("Nullable<")));
        }
    }
    columns
}

#[actix_rt::test]
async fn the_two_databases_have_the_tables_and_columns_of_the_schema() {
    let sqlite = columns(&TestDb::sqlite().await).await;
    let postgres = columns(&TestDb::postgres().await).await;
    assert_eq!(sqlite, postgres);
    assert_eq!(sqlite, declared());
    assert!(sqlite.len() > 80, "{} columns", sqlite.len());
}

#[actix_rt::test]
async fn a_database_that_comes_back_is_used_again() {
    let mut db = TestDb::postgres().await;
    db.ping().await.unwrap();
    db.server().unwrap().stop();
    assert_eq!(db.ping().await.unwrap_err().code(), Code::Unavailable);
    let write = db.transaction(async |conn| insert_tenant(conn, "Shop").await).await;
    assert_eq!(write.unwrap_err().code(), Code::Unavailable);
    db.server().unwrap().start_again();
    db.ping().await.unwrap();
    db.transaction(async |conn| insert_tenant(conn, "Shop").await).await.unwrap();
    assert_eq!(count_tenants(&db).await, 1);
}
