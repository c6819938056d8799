//! What lists and counts ask of the database, held against the planners of both: each statement as it is, with its
//! numbers, in tables of several tenants and users that have been analysed.

use crate::support::plan::plan;
use crate::support::{Shop, TestDb};
use bellwire::auth::account::{self, NewUser};
use bellwire::domain::{NotificationId, UserId};
use bellwire::notifications::history::{self, HistoryFilter};
use bellwire::notifications::inbox::{self, InboxFilter};
use bellwire::storage::{Conn, Db};
use diesel::connection::{Instrumentation, InstrumentationEvent};
use diesel_async::{AsyncConnection, RunQueryDsl};
use std::sync::{Arc, Mutex};

on_both_databases!(an_inbox_is_read_from_its_indexes, a_history_is_read_from_its_indexes);

/// What one connection is asked.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<String>>>);

impl Instrumentation for Listener {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            self.0.lock().unwrap().push(query.to_string());
        }
    }
}

/// The statements that `work` asks of a database, with what they are given written into them.
async fn statements(db: &TestDb, work: impl AsyncFnOnce(&mut Conn)) -> Vec<String> {
    let (other, listener) = (db.open_another(), Listener::default());
    let mut conn = other.read().await.unwrap();
    on_conn!(&mut conn, c => c.set_instrumentation(listener.clone()));
    work(&mut conn).await;
    let all = std::mem::take(&mut *listener.0.lock().unwrap());
    all.iter().map(|text| filled_in(text)).collect()
}

/// `SELECT … $1 -- binds: [UserId(7)]` as `SELECT … 7`: numbers as they are, times as one time.
fn filled_in(text: &str) -> String {
    let Some((sql, binds)) = text.split_once(" -- binds: ") else { return text.to_owned() };
    let binds = binds.trim().trim_start_matches('[').trim_end_matches(']');
    let values: Vec<String> = binds.split(", ").map(literal).collect();
    let mut filled = sql.to_owned();
    // The last first: $1 begins $10, too.
    for (number, value) in values.iter().enumerate().rev() {
        filled = filled.replace(&format!("${}", number + 1), value);
    }
    for value in values {
        filled = filled.replacen('?', &value, 1);
    }
    filled.replace('`', "\"")
}

fn literal(bind: &str) -> String {
    let digits: String = bind.chars().filter(|c| c.is_ascii_digit() || *c == '-').collect();
    match digits.parse::<i64>() {
        Ok(number) if !bind.contains(':') && !bind.contains("Timestamp") => number.to_string(),
        _ => "'2026-03-01 12:00:00'".to_owned(),
    }
}

/// The first statement of `work` uses this index and no sorting.
async fn uses(db: &TestDb, index: &str, work: impl AsyncFnOnce(&mut Conn)) {
    let asked = statements(db, work).await;
    let plan = plan(db, &asked[0]).await;
    let index = format!("{index} ");
    assert!(format!("{plan} ").contains(&index), "{}\n{plan}", asked[0]);
    assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{}\n{plan}", asked[0]);
}

async fn execute(db: &Db, sql: String) {
    let run = async |conn: &mut Conn| Ok(on_conn!(conn, c => diesel::sql_query(sql).execute(c).await)?);
    db.transaction(run).await.unwrap();
}

async fn another_user(shop: &Shop) -> UserId {
    let new = NewUser::parse(shop.tenant, "Ben", &format!("ben{}@shop.example", shop.tenant)).unwrap();
    let now = shop.clock.now();
    shop.db.transaction(async |conn| account::create_user(conn, &new, now).await).await.unwrap().id
}

/// Two tenants with two users each. One user of each has most of what there is; the other's is all old.
async fn fill(db: &TestDb) -> [(Shop, UserId); 2] {
    let (one, two) = (Shop::open(db).await, Shop::open(db).await);
    let shops = [one, two];
    let mut filled = Vec::new();
    for shop in shops {
        let other = another_user(&shop).await;
        for (user, count) in [(other, 2_000), (shop.user, 12_000)] {
            fill_for(&shop, user, count).await;
        }
        filled.push((shop, other));
    }
    for table in ["in_app_notifications", "notification_log"] {
        // As autovacuum leaves it.
        let verb = if db.is_sqlite() { "ANALYZE" } else { "VACUUM ANALYZE" };
        let tidy = diesel::sql_query(format!("{verb} {table}"));
        on_conn!(&mut db.read().await.unwrap(), c => tidy.execute(c).await).unwrap();
    }
    filled.try_into().ok().unwrap()
}

async fn fill_for(shop: &Shop, user: UserId, count: i32) {
    let numbers =
        format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
    // PostgreSQL does not take text for a time without being told.
    let time =
        |text: &str| if shop.db.is_sqlite() { format!("'{text}'") } else { format!("'{text}'::timestamp") };
    let (tenant, at, later) = (shop.tenant, time("2026-03-01 08:00:00"), time("2027-03-01 08:00:00"));
    // Nearly all unread: the index of what is unread is hardly smaller than the other.
    let inbox = format!(
        "{numbers} INSERT INTO in_app_notifications (tenant_id, user_id, notification_type, title, message, priority, \
             read_at, archived_at, expires_at, created_at) \
         SELECT {tenant}, {user}, 'promo', 'New', 'Look here.', 'normal', CASE WHEN i % 50 = 0 THEN {at} END, \
             CASE WHEN i % 90 = 0 THEN {at} END, CASE WHEN i % 7 = 0 THEN {later} END, {at} FROM n"
    );
    execute(&shop.db, inbox).await;
    let history = format!(
        "{numbers} INSERT INTO notification_log (tenant_id, user_id, notification_type, channel, body, priority, status, \
             in_app_id, next_attempt_at, created_at, updated_at) \
         SELECT {tenant}, {user}, 'promo', 'in_app', 'Look here.', 'normal', 'delivered', i, {at}, {at}, {at} FROM n"
    );
    execute(&shop.db, history).await;
}

async fn an_inbox_is_read_from_its_indexes(db: TestDb) {
    let shops = fill(&db).await;
    for (shop, other) in &shops {
        let now = shop.clock.now();
        for owner in [(shop.tenant, shop.user), (shop.tenant, *other)] {
            for (query, index) in [
                ("", "in_app_notifications_user_index"),
                ("per_page=100&cursor=9000", "in_app_notifications_user_index"),
                ("filter[type]=promo", "in_app_notifications_user_index"),
                ("filter[unread]=true", "in_app_notifications_unread_index"),
                ("filter[unread]=true&cursor=9000", "in_app_notifications_unread_index"),
                ("filter[unread]=true&filter[type]=promo", "in_app_notifications_unread_index"),
                ("filter[archived]=true", "in_app_notifications_archived_index"),
            ] {
                let (filter, cursor) = InboxFilter::parse(query).unwrap();
                uses(&db, index, async |conn| {
                    inbox::list(conn, owner, &filter, cursor, now).await.unwrap();
                })
                .await;
            }
            uses(&db, "in_app_notifications_unread_index", async |conn| {
                inbox::unread_count(conn, owner, now).await.unwrap();
            })
            .await;
            uses(&db, "in_app_notifications_unread_index", async |conn| {
                inbox::is_long(conn, owner, now).await.unwrap();
            })
            .await;
        }
    }
}

async fn a_history_is_read_from_its_indexes(db: TestDb) {
    let shops = fill(&db).await;
    for (shop, other) in &shops {
        for (user, query, index) in [
            (None, "", "notification_log_tenant_index"),
            (None, "cursor=9000&filter[type]=promo", "notification_log_tenant_index"),
            (Some(shop.user), "", "notification_log_user_index"),
            (Some(*other), "filter[status]=failed", "notification_log_user_index"),
            (Some(*other), "filter[from]=2026-03-01T07:00:00Z", "notification_log_user_index"),
            (None, "filter[to]=2026-03-01T07:00:00Z", "notification_log_created_at_index"),
            (Some(*other), "filter[notification_id]=77", "notification_log_in_app_index"),
        ] {
            let (filter, cursor) = HistoryFilter::parse(query).unwrap();
            let filter = user.map_or(filter.clone(), |user| filter.of(user));
            uses(&db, index, async |conn| {
                history::list(conn, shop.tenant, &filter, cursor).await.unwrap();
            })
            .await;
        }
    }
    let (shop, _) = &shops[0];
    let id = NotificationId(77);
    let one = statements(&db, async |conn| {
        drop(inbox::find(conn, (shop.tenant, shop.user), id, shop.clock.now()).await);
    });
    let plan = plan(&db, &one.await[0]).await;
    assert!(plan.contains("in_app_notifications_pkey") || plan.contains("INTEGER PRIMARY KEY"), "{plan}");
}
