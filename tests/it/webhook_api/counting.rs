//! What a sender does is counted as it is written down, and the counters are what the report shows.

use super::WEBHOOKS;
use crate::support::hub::TestHub;
use crate::support::receiver::{Answer, Receiver};
use crate::support::{Caller, TestDb, until};
use bellwire::storage::schema::webhook_stats as s;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

on_both_databases!(every_attempt_is_counted_by_the_minute_and_by_the_hour);

async fn every_attempt_is_counted_by_the_minute_and_by_the_hour(db: TestDb) {
    let hub = TestHub::start_on(db, |_| ()).await;
    let ann = hub.somebody("Ann").await;
    let caller = Caller::with_token(&ann.tenant.to_string(), &ann.token);
    let receiver = Receiver::start(Answer::Status(500)).await;
    let body =
        json!({"url": receiver.url(), "events": ["order:*"], "max_retries": 0, "breaker_threshold": 1_000});
    let made = caller.post(&hub.url(WEBHOOKS), &body).await.unwrap().1;
    let path = hub.url(&format!("{WEBHOOKS}/{}", made["data"]["id"]));
    let stats = async |period: &str| {
        caller.get(&format!("{path}/stats?period={period}")).await.unwrap().1["data"].clone()
    };
    let send = async |times: usize| {
        for _ in 0..times {
            assert_eq!(caller.post(&format!("{path}/test"), &Value::Null).await.unwrap().0, 202);
        }
    };
    send(3).await;
    until("the failures are counted", async || stats("hour").await["attempts"] == 3).await;
    receiver.answer(Answer::Status(200));
    send(1).await;
    until("the success is counted", async || stats("hour").await["attempts"] == 4).await;
    for period in ["hour", "day", "month"] {
        let report = stats(period).await;
        assert_eq!(report["outcomes"], json!({"http": 3, "ok": 1}), "{period}");
        assert_eq!((&report["exhausted"], &report["retries"]), (&json!(3), &json!(0)));
        assert_eq!((&report["success_rate"], &report["pending"]), (&json!(0.25), &json!(0)));
        assert!(report["p95_response_ms"].as_f64().unwrap() > 0.0, "{report}");
    }
    let rows = s::table.select((s::period, s::attempts));
    let mut conn = hub.db.read().await.unwrap();
    let rows: Vec<(String, i64)> = on_conn!(&mut conn, c => rows.load(c).await).unwrap();
    for period in ["minute", "hour"] {
        assert_eq!(rows.iter().filter(|(of, _)| of == period).map(|(_, n)| n).sum::<i64>(), 4);
    }
    drop(conn);
    hub.stop().await;
}
