//! `bellwire webhook` as scripts use it: the same verbs as REST, without a server.

use crate::support::{Program, Shop, TestDb};
use serde_json::{Value, json};

on_both_databases!(
    an_endpoint_is_made_shown_changed_and_deleted_by_verbs,
    an_endpoint_is_sent_to_in_another_way_by_verbs,
    an_endpoint_is_held_back_and_let_go,
    deliveries_are_listed_and_sent_again,
    what_failed_is_recovered_and_what_is_past_is_replayed,
);

/// A program, its first tenant and an endpoint for everything.
async fn with_endpoint(db: &TestDb) -> (Program, Shop) {
    let shop = Shop::open(db).await;
    let program = Program::on(db.url()).with_env("BELLWIRE__WEBHOOKS__REDIS_STREAMS", "true");
    let tenant = shop.tenant.to_string();
    let create = ["webhook", "create", "--tenant", &tenant, "--url", "https://a.example/h", "--events", "*"];
    assert_eq!(program.json(&create).await["id"], 1);
    (program, shop)
}

/// `webhook VERB 1 --tenant 1`, and more.
async fn one(program: &Program, verb: &str, more: &[&str]) -> Value {
    program.json(&[&["webhook", verb, "1", "--tenant", "1"], more].concat()).await
}

async fn run(shop: &Shop, statement: &str) {
    use diesel_async::RunQueryDsl;
    let work = async |conn: &mut bellwire::storage::Conn| {
        on_conn!(conn, c => diesel::sql_query(statement).execute(c).await).unwrap();
        Ok(())
    };
    shop.db.transaction(work).await.unwrap();
}

async fn an_endpoint_is_made_shown_changed_and_deleted_by_verbs(db: TestDb) {
    let (program, _shop) = with_endpoint(&db).await;
    let shown = one(&program, "show", &[]).await;
    assert_eq!((&shown["name"], &shown["breaker"]["state"]), (&json!("a.example"), &json!("closed")));
    assert_eq!(shown.get("secret"), None, "a secret is shown once");
    let change =
        ["--name", "ERP", "--events", "order:*,product:*", "--concurrency", "4", "--ordered", "true"];
    let changed = one(&program, "update", &change).await;
    assert_eq!(changed["events"], json!(["order:*", "product:*"]));
    assert_eq!((&changed["concurrency"], &changed["is_ordered"]), (&json!(4), &json!(true)));
    assert_eq!(one(&program, "update", &["--concurrency", "default"]).await["concurrency"], Value::Null);
    let wrong = program.run(&["webhook", "update", "1", "--tenant", "1", "--timeout-ms", "1"]).await;
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("timeout_ms"), "{wrong:?}");
    let human = program.run(&["webhook", "show", "1", "--tenant", "1"]).await.stdout;
    assert!(human.contains("ERP") && !human.contains("whsec"), "{human}");
    assert_eq!(program.run(&["webhook", "show", "1", "--tenant", "2"]).await.code, 1);
    assert_eq!(one(&program, "delete", &[]).await, json!({"id": 1, "deleted": true}));
    assert_eq!(program.run(&["webhook", "show", "1", "--tenant", "1"]).await.code, 1);
    assert_eq!(program.json(&["webhook", "list", "--tenant", "1"]).await, json!({"data": []}));
}

async fn an_endpoint_is_sent_to_in_another_way_by_verbs(db: TestDb) {
    let (program, _shop) = with_endpoint(&db).await;
    let batch = one(&program, "update", &["--strategy", "pusher_batch"]).await;
    assert_eq!((&batch["strategy"], &batch["pusher_key"]), (&json!("pusher_batch"), &json!("webhook-1")));
    let alone = program.run(&["webhook", "update", "1", "--tenant", "1", "--strategy", "redis_stream"]).await;
    assert_eq!(alone.code, 1);
    assert!(alone.stderr.contains("redis_stream") && alone.stderr.contains("rediss://"), "{alone:?}");
    let url = "redis://Cache.example/2?stream=shop";
    let stream = one(&program, "update", &["--strategy", "redis_stream", "--url", url]).await;
    assert_eq!(stream["url"], "redis://cache.example:6379/2?stream=shop&maxlen=100000");
    assert_eq!((&stream["strategy"], &stream["pusher_key"]), (&json!("redis_stream"), &Value::Null));

    let secrets = program.folder().join("secrets.json");
    let file = secrets.to_str().unwrap();
    let create = [
        "webhook",
        "create",
        "--tenant",
        "1",
        "--url",
        url,
        "--events",
        "*",
        "--strategy",
        "redis_stream",
        "--secrets",
        file,
    ];
    std::fs::write(&secrets, r#"{"headers": {"X-Shop": "7"}}"#).unwrap();
    let refused = program.run(&create).await;
    assert!(refused.code == 1 && refused.stderr.contains("headers"), "{refused:?}");
    std::fs::write(&secrets, r#"{"auth": {"type": "basic", "username": "default", "password": "p"}}"#)
        .unwrap();
    let made = program.json(&create).await;
    let id = made["id"].to_string();
    let shown = program.json(&["webhook", "show", &id, "--tenant", "1"]).await;
    assert_eq!(shown["strategy"], "redis_stream");
    let pigeon = ["webhook", "update", "1", "--tenant", "1", "--strategy", "carrier_pigeon"];
    assert_eq!(program.run(&pigeon).await.code, 2);
}

async fn an_endpoint_is_held_back_and_let_go(db: TestDb) {
    let (program, shop) = with_endpoint(&db).await;
    for (verb, field, value) in [
        ("disable", "is_active", false),
        ("enable", "is_active", true),
        ("pause", "is_paused", true),
        ("resume", "is_paused", false),
    ] {
        assert_eq!(one(&program, verb, &[]).await, json!({"id": 1, field: value}));
        assert_eq!(one(&program, "show", &[]).await[field], value);
    }
    let breaker = "INSERT INTO webhook_breakers (webhook_id, state, failures, until, updated_at)
         VALUES (1, 'open', 5, '2026-03-01 09:00:00.000000', '2026-03-01 08:00:00.000000')";
    run(&shop, breaker).await;
    assert_eq!(one(&program, "stats", &[]).await["breaker"]["state"], "open");
    assert_eq!(one(&program, "reset", &[]).await["breaker"]["state"], "closed");
    let month = one(&program, "stats", &["--period", "month"]).await;
    assert_eq!((&month["attempts"], &month["breaker"]["state"]), (&json!(0), &json!("closed")));
}

async fn deliveries_are_listed_and_sent_again(db: TestDb) {
    let (program, shop) = with_endpoint(&db).await;
    let sent = one(&program, "test", &[]).await;
    assert_eq!((&sent["event"], &sent["status"]), (&json!("webhook:test"), &json!("pending")));
    shop.product(1).await;
    run(&shop, "UPDATE webhook_deliveries SET status = 'failed', attempts = 6 WHERE id = 1").await;
    let part = one(&program, "deliveries", &["--limit", "1"]).await;
    assert_eq!((&part["data"][0]["id"], &part["next"]), (&json!(2), &json!(2)));
    let rest = one(&program, "deliveries", &["--limit", "1", "--cursor", "2"]).await;
    assert_eq!((&rest["data"][0]["id"], &rest["next"]), (&json!(1), &Value::Null));
    assert_eq!(one(&program, "deliveries", &["--status", "pending"]).await["data"][0]["id"], 2);
    assert_eq!(one(&program, "deliveries", &["--event", "order:*"]).await["data"], json!([]));
    let failed = program.json(&["webhook", "failed", "--tenant", "1"]).await;
    assert_eq!(failed["data"][0]["id"], 1);
    assert_eq!(one(&program, "resend", &["1"]).await["status"], "pending");
    assert_eq!(program.json(&["webhook", "failed", "--tenant", "1"]).await["data"], json!([]));
    assert_eq!(program.run(&["webhook", "resend", "1", "9", "--tenant", "1"]).await.code, 1);
}

async fn what_failed_is_recovered_and_what_is_past_is_replayed(db: TestDb) {
    let (program, shop) = with_endpoint(&db).await;
    for _ in 0..3 {
        shop.product(1).await;
    }
    run(&shop, "UPDATE webhook_deliveries SET status = 'failed' WHERE id < 3").await;
    let all = ["--since", "2020-01-01T00:00:00Z"];
    assert_eq!(one(&program, "recover", &all).await, json!({"recovered": 2}));
    assert_eq!(one(&program, "recover", &all).await, json!({"recovered": 0}));
    let said = program.run(&["webhook", "recover", "1", "--tenant", "1", "--since", "1d"]).await;
    assert_eq!(said.stdout, "0 failed deliveries to webhook 1 are on their way again.\n", "{said:?}");
    let new = ["webhook", "create", "--tenant", "1", "--url", "https://b.example/", "--events", "product:*"];
    program.json(&new).await;
    let replay = ["webhook", "replay", "2", "--tenant", "1", "--since", "2020-01-01T00:00:00Z"];
    assert_eq!(program.json(&replay).await, json!({"replayed": 3}));
    assert_eq!(program.run(&["webhook", "replay", "2", "--tenant", "1", "--since", "soon"]).await.code, 2);
}
