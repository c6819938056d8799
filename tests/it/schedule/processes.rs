//! Real processes: a server that is punctual, the verb that does the same from cron, and both of them killed.

use super::world::{SCHEDULED, count, quick, schedule_many, user_of};
use crate::support::hub::TestHub;
use crate::support::server::{CONFIG, Server, bound_to_us};
use crate::support::{Program, Shop, TestDb, until_within};
use bellwire::domain::{Clock, Timestamp};
use serde_json::json;
use std::process::Stdio;
use std::time::Duration;

on_both_databases!(
    what_is_due_is_on_the_socket_within_a_second,
    the_verb_delivers_what_is_due_and_ends,
    processes_that_are_killed_lose_nothing_and_double_nothing,
);

async fn what_is_due_is_on_the_socket_within_a_second(db: TestDb) {
    let hub = TestHub::start_on(db, quick).await;
    let ana = hub.somebody("Ana").await;
    let mut socket = hub.connect_as(&ana).await;
    socket.join(&format!("private-notification.{}", ana.user)).await;
    for round in 0..5 {
        let at = Clock::System.now().plus(Duration::from_millis(400));
        let body = json!({"type": "reminder", "title": format!("{round}"), "body": "b",
            "scheduled_at": at.to_string(), "priority": "critical"});
        let made = hub.rest(&ana, "POST", SCHEDULED, &[], body).await;
        assert_eq!(made["data"]["status"], "pending");
        let heard = socket.expect("notification:created").await;
        assert_eq!((&heard["title"], &heard["type"]), (&json!(format!("{round}")), &json!("reminder")));
        let stamp = Timestamp::parse_rfc3339(heard["timestamp"].as_str().unwrap()).unwrap();
        assert!(stamp >= at && stamp.since(at) < Duration::from_secs(1), "{stamp} for {at}");
    }
    hub.stop().await;
}

async fn a_shop_with_a_herd(db: &TestDb, rows: usize) -> Shop {
    let shop = Shop::open(db).await;
    let mut users = vec![shop.user];
    for _ in 0..9 {
        users.push(user_of(db, shop.tenant).await);
    }
    // The shop's clock stands in the past, so they are due.
    schedule_many(db, shop.tenant, &users, rows, shop.clock.now()).await;
    shop
}

async fn the_verb_delivers_what_is_due_and_ends(db: TestDb) {
    a_shop_with_a_herd(&db, 1_200).await;
    let program = Program::on(db.url());
    let done = program.json(&["notifications", "process-scheduled", "--once"]).await;
    let none = json!({"delivered": 0, "deferred": 0, "unwanted": 0, "failed": 0});
    let counts = count(&db, "delivered").await;
    // At night they wait for the morning.
    let deferred = done["deferred"].as_i64().unwrap();
    assert_eq!(done["delivered"].as_i64().unwrap() + deferred, 1_200);
    assert_eq!(counts, [1_200 - deferred; 4]);
    assert_eq!(program.json(&["notifications", "process-scheduled", "--once"]).await, none);
}

/// A server and the verb share the rows, and are killed again and again; the last ones finish.
async fn processes_that_are_killed_lose_nothing_and_double_nothing(db: TestDb) {
    const ROWS: usize = 6_000;
    let shop = a_shop_with_a_herd(&db, ROWS).await;
    wake_all(&db).await;
    let program = Program::on(db.url()).with_config(CONFIG);
    let total = i64::try_from(ROWS).unwrap();
    for round in 0..6_u64 {
        let server = Server::start(&program);
        let mut verb = bound_to_us(&program.command(&["notifications", "process-scheduled"]));
        let mut verb = verb.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let before = count(&db, "delivered").await[0];
        // Some way into the work, another one each time.
        let some = before + 150 * i64::try_from(round).unwrap();
        until_within(Duration::from_secs(30), "they work", async || {
            let done = count(&db, "delivered").await[0];
            done > some || done == total
        })
        .await;
        server.kill();
        verb.kill().unwrap();
        verb.wait().unwrap();
        let [delivered, inboxes, history, told] = count(&db, "delivered").await;
        assert_eq!([inboxes, history, told], [delivered; 3], "all of a batch or nothing of it");
    }
    let last = Server::start(&program);
    // What was in hand is free again within seconds.
    until_within(Duration::from_secs(30), "all are delivered", async || {
        count(&db, "delivered").await[0] == total
    })
    .await;
    assert_eq!(count(&db, "delivered").await, [total; 4]);
    drop((last, shop));
}

/// So that the hour of the day at which this runs does not matter.
async fn wake_all(db: &TestDb) {
    use bellwire::storage::schema::scheduled_notifications as s;
    use diesel::prelude::*;
    use diesel_async::RunQueryDsl;
    let critical = async |conn: &mut bellwire::storage::Conn| {
        Ok(on_conn!(conn, c => diesel::update(s::table).set(s::priority.eq("critical")).execute(c).await)?)
    };
    db.transaction(critical).await.unwrap();
}
