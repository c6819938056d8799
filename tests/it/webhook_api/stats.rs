//! The figures of an endpoint, over an hour, a day and thirty days.

use super::Desk;
use crate::support::TestDb;
use serde_json::{Value, json};

on_both_databases!(
    a_report_adds_up_what_was_counted,
    what_waits_and_the_breaker_are_in_the_report,
    an_endpoint_that_was_never_called_has_no_rates,
);

/// A row of counters: period, age in seconds, outcome, retry, bucket, attempts, exhausted, milliseconds.
type Counted = (&'static str, i64, &'static str, bool, i32, i64, i64, i64);

async fn counted(desk: &Desk, endpoint: i64, rows: &[Counted]) {
    for (period, age, outcome, is_retry, le_ms, attempts, exhausted, duration) in rows {
        let at = desk.at(-age);
        desk.run(&format!(
            "INSERT INTO webhook_stats VALUES
             ({endpoint}, '{period}', {at}, '{outcome}', {is_retry}, {le_ms}, {attempts}, {exhausted}, {duration})"
        ))
        .await;
    }
}

async fn a_report_adds_up_what_was_counted(db: TestDb) {
    let desk = Desk::open(db).await;
    let (id, other) = (desk.endpoint(&["*"]).await, desk.endpoint(&["*"]).await);
    let hour = 3_600;
    counted(
        &desk,
        id,
        &[
            ("minute", 0, "ok", false, 10, 90, 0, 500),
            ("minute", 1_800, "http", true, 250, 10, 2, 1_500),
            ("minute", 2 * hour, "ok", false, 10, 1_000, 0, 0),
            ("hour", 0, "ok", false, 10, 90, 0, 500),
            ("hour", 20 * hour, "ok", false, 10, 110, 0, 100),
            ("hour", 25 * hour, "timeout", true, 5_000, 100, 1, 400_000),
            ("hour", 31 * 24 * hour, "ok", false, 10, 1_000, 0, 0),
        ],
    )
    .await;
    counted(&desk, other, &[("minute", 0, "tls", false, 10, 7, 7, 7)]).await;
    let stats = async |period: &str| desk.get(&format!("{id}/stats{period}")).await.body["data"].clone();
    let expected = json!({
        "period": "hour", "since": "2026-03-01T07:01:00.000000Z", "attempts": 100, "success_rate": 0.9,
        "average_response_ms": 20.0, "p95_response_ms": 175.0, "retries": 10, "exhausted": 2,
        "outcomes": {"ok": 90, "http": 10}, "pending": 0, "oldest_due_at": null,
        "breaker": {"state": "closed", "failures": 0, "until": null, "deferred_until": null},
    });
    assert_eq!(stats("?period=hour").await, expected);
    let day = stats("").await;
    assert_eq!(
        (&day["period"], &day["attempts"], &day["average_response_ms"]),
        (&json!("day"), &json!(200), &json!(3.0))
    );
    let month = stats("?period=month").await;
    assert_eq!((&month["attempts"], &month["exhausted"]), (&json!(300), &json!(1)));
    assert_eq!(month["outcomes"], json!({"ok": 200, "timeout": 100}));
    let wrong = desk.get(&format!("{id}/stats?period=year")).await;
    assert_eq!(wrong.refusal(), (422, vec!["period"]));
}

async fn what_waits_and_the_breaker_are_in_the_report(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    for _ in 0..3 {
        desk.event().await;
        desk.rest.shop.clock.advance(std::time::Duration::from_mins(1));
    }
    desk.run("UPDATE webhook_deliveries SET status = 'delivered' WHERE id = 1").await;
    let now = desk.at(0);
    desk.run(&format!(
        "INSERT INTO webhook_breakers (webhook_id, state, failures, until, updated_at)
         VALUES ({id}, 'half_open', 5, {now}, {now})"
    ))
    .await;
    let stats = desk.get(&format!("{id}/stats")).await.body["data"].clone();
    assert_eq!(
        (&stats["pending"], &stats["oldest_due_at"]),
        (&json!(2), &json!("2026-03-01T08:01:00.500000Z"))
    );
    assert_eq!(stats["breaker"]["state"], "half_open");
}

async fn an_endpoint_that_was_never_called_has_no_rates(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    let stats = desk.get(&format!("{id}/stats?period=month")).await.body["data"].clone();
    for rate in ["success_rate", "average_response_ms", "p95_response_ms", "oldest_due_at"] {
        assert_eq!(stats[rate], Value::Null, "{rate}");
    }
    assert_eq!((&stats["attempts"], &stats["outcomes"]), (&json!(0), &json!({})));
}
