//! Every POST of the API honours `Idempotency-Key`: a table of them, and that none is missing from it.

use crate::notifications::add_crowd;
use crate::support::rest::{Reply, Rest};
use crate::support::{TestDb, until};
use bellwire::storage::schema::personal_access_tokens as tokens;
use bellwire::storage::{Conn, Db};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

on_both_databases!(
    every_post_acts_once_a_key_and_is_answered_alike,
    a_secret_is_shown_once_and_kept_nowhere_for_a_repeat,
    a_recovery_that_broke_off_is_finished_by_its_repeat,
);

const WEBHOOKS: &str = "/api/v1/webhooks";
const NOTIFICATIONS: &str = "/api/v1/notifications";

/// A POST that succeeds.
struct Post {
    path: String,
    /// Null: none is needed.
    body: Value,
    /// Another that is as good.
    other: Value,
    status: u16,
}

fn post(path: impl Into<String>, body: Value, other: Value, status: u16) -> Post {
    Post { path: path.into(), body, other, status }
}

async fn send(rest: &Rest, path: &str, key: &str, body: &Value) -> Reply {
    let ask = rest.ask("POST", path).header("idempotency-key", key);
    if body.is_null() { ask.send().await } else { ask.json(body).send().await }
}

fn is_replayed(reply: &Reply) -> bool {
    reply.header("idempotency-replayed") == Some("true")
}

async fn run(db: &Db, statement: &str) {
    let work =
        async |conn: &mut Conn| Ok(on_conn!(conn, c => diesel::sql_query(statement).execute(c).await)?);
    db.transaction(work).await.unwrap();
}

/// All POSTs below `/api/v1`, and what they need.
async fn all(rest: &Rest) -> Vec<Post> {
    [catalog(rest).await, webhooks(rest).await, sending(rest).await, inbox(rest).await, templates(rest).await]
        .into_iter()
        .flatten()
        .collect()
}

async fn catalog(rest: &Rest) -> Vec<Post> {
    let product = rest.shop.product(100).await.product.id;
    let order = |quantity: u32| json!({"items": [{"product_id": product, "quantity": quantity}]});
    let item = |sku: &str| json!({"name": "Tea", "sku": sku, "price": 950});
    vec![
        post("/api/v1/products", item("T-1"), item("T-2"), 201),
        post("/api/v1/categories", json!({"name": "Tea"}), json!({"name": "Coffee"}), 201),
        post("/api/v1/orders", order(1), order(2), 201),
    ]
}

async fn webhooks(rest: &Rest) -> Vec<Post> {
    let hook = |name: &str| json!({"name": name, "url": "https://erp.example/hook", "events": ["product:*"]});
    let id = rest.post(WEBHOOKS, hook("One")).await.id();
    rest.shop.product(1).await;
    run(&rest.db, "UPDATE webhook_deliveries SET status = 'failed'").await;
    rest.shop.product(1).await;
    let deliveries = rest.get(&format!("{WEBHOOKS}/{id}/deliveries")).await;
    let delivery = deliveries.column("id")[0].clone();
    let at = |verb: &str| format!("{WEBHOOKS}/{id}/{verb}");
    let (something, since) =
        (json!({"x": 1}), |day: u8| json!({"since": format!("2026-02-0{day}T00:00:00Z")}));
    vec![
        post(WEBHOOKS, hook("Two"), hook("Three"), 201),
        post(at("pause"), Value::Null, something.clone(), 200),
        post(at("resume"), Value::Null, something.clone(), 200),
        post(at("reset"), Value::Null, something.clone(), 200),
        post(at("rotate-secret"), json!({}), json!({"overlap_seconds": 5}), 200),
        post(at("test"), Value::Null, something.clone(), 202),
        post(at("recover"), since(1), since(2), 200),
        post(at("replay"), since(1), since(2), 200),
        post(at(&format!("deliveries/{delivery}/resend")), Value::Null, something, 202),
    ]
}

async fn sending(rest: &Rest) -> Vec<Post> {
    let user = rest.shop.user;
    let note = |title: &str| json!({"type": "promo", "title": title, "body": "Look here.", "user_id": user});
    let later = |title: &str| json!({"type": "promo", "title": title, "body": "Look here.", "scheduled_at": "2026-04-01T08:00:00Z"});
    let scheduled = rest.post(&format!("{NOTIFICATIONS}/scheduled"), later("Lost")).await.id();
    run(&rest.db, "UPDATE scheduled_notifications SET status = 'failed'").await;
    add_crowd(&rest.shop, 1_500, "guest").await;
    let to_all = json!({"type": "promo", "title": "New", "body": "Look here.", "tenant": true});
    let fan_out = rest.post(&format!("{NOTIFICATIONS}/send"), to_all).await;
    let fan_out = fan_out.body["data"]["fan_out"]["id"].clone();
    run(&rest.db, "UPDATE notification_fan_outs SET status = 'failed'").await;
    let (something, at) = (json!({"x": 1}), |verb: &str| format!("{NOTIFICATIONS}/{verb}"));
    let event = |name: &str| json!({"event": name});
    vec![
        post(format!("/api/v1/broadcast/users/{user}"), event("cart:saved"), event("cart:lost"), 201),
        post(at("send"), note("New"), note("Old"), 201),
        post(at(&format!("sends/{fan_out}/retry")), Value::Null, something.clone(), 200),
        post(at("scheduled"), later("New"), later("Old"), 201),
        post(at("scheduled/preview"), later("New"), later("Old"), 200),
        post(at(&format!("scheduled/{scheduled}/retry")), Value::Null, something, 200),
        post(at("preferences/test"), json!({}), json!({"channels": ["in_app"]}), 201),
        post(at("subscriptions"), event("product:created"), event("product:updated"), 201),
    ]
}

async fn inbox(rest: &Rest) -> Vec<Post> {
    let note = json!({"type": "promo", "title": "New", "body": "Look here.", "user_id": rest.shop.user});
    assert_eq!(rest.post(&format!("{NOTIFICATIONS}/send"), note).await.status, 201);
    let inbox = format!("{NOTIFICATIONS}/in-app");
    let id = rest.get(&inbox).await.column("id")[0].clone();
    let verbs = ["mark-read", "mark-unread", "archive", "unarchive"];
    let of_one = verbs.map(|verb| format!("{inbox}/{id}/{verb}"));
    let marking = of_one.into_iter().chain([format!("{inbox}/mark-all-read")]);
    marking.map(|path| post(path, Value::Null, json!({"x": 1}), 200)).collect()
}

async fn templates(rest: &Rest) -> Vec<Post> {
    let base = format!("{NOTIFICATIONS}/templates");
    let words = |code: &str| json!({"code": code, "name": "Hello", "title": "Hello", "body_text": "There."});
    let unsaved = |title: &str| json!({"title": title, "body_text": "There."});
    let id = rest.post(&base, words("hello")).await.id();
    let preview = format!("{base}/{id}/preview");
    vec![
        post(&base, words("welcome"), words("bye"), 201),
        post(format!("{base}/preview"), unsaved("Hello"), unsaved("Bye"), 200),
        post(preview, json!({"variables": {}}), json!({"variables": {"x": 1}}), 200),
    ]
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = BigInt)]
    data_version: i64,
}

/// Tells whether anything was written to a SQLite file. A PostgreSQL server writes by itself, too, and says nothing.
struct Watch(Option<Conn>);

impl Watch {
    async fn on(db: &TestDb) -> Self {
        Self(if db.is_sqlite() { Some(db.read().await.unwrap()) } else { None })
    }

    /// Another whenever something was committed.
    async fn version(&mut self) -> Option<i64> {
        let Conn::Sqlite(conn) = self.0.as_mut()? else { return None };
        let query = diesel::sql_query("PRAGMA data_version");
        let version: Version = query.get_result(&mut **conn).await.unwrap();
        Some(version.data_version)
    }
}

/// The first request of a token notes that it was used, while nobody waits.
async fn use_of_the_token_is_noted(rest: &Rest) {
    until("the token's use is noted", async || {
        let used = tokens::table.filter(tokens::last_used_at.is_not_null()).count();
        let mut conn = rest.db.read().await.unwrap();
        on_conn!(&mut conn, c => used.get_result::<i64>(c).await).unwrap() > 0
    })
    .await;
}

async fn every_post_acts_once_a_key_and_is_answered_alike(db: TestDb) {
    let rest = Rest::open(db).await;
    let posts = all(&rest).await;
    use_of_the_token_is_noted(&rest).await;
    let mut watch = Watch::on(&rest.db).await;
    for (n, Post { path, body, other, status }) in posts.into_iter().enumerate() {
        let key = format!("key-{n}");
        let before = watch.version().await;
        let first = send(&rest, &path, &key, &body).await;
        assert_eq!((first.status, is_replayed(&first)), (status, false), "{path}: {first:?}");
        let written = watch.version().await;
        assert!(before.is_none() || written != before, "{path}: its answer is kept");

        let again = send(&rest, &path, &key, &body).await;
        assert_eq!((again.status, is_replayed(&again)), (status, true), "{path}: {again:?}");
        assert_eq!(watch.version().await, written, "{path}: the second time it does nothing");
        let shown_once = first.body["data"]["secret"].as_str().is_some();
        let mut expected = first.body.clone();
        if shown_once {
            expected["data"]["secret"] = Value::Null;
        }
        assert_eq!(again.body, expected, "{path}");
        assert_eq!(again.bytes == first.bytes, !shown_once, "{path}");

        let mismatch = send(&rest, &path, &key, &other).await;
        assert_eq!(mismatch.refusal(), (422, vec!["Idempotency-Key"]), "{path}");
        assert_eq!(watch.version().await, written, "{path}: a refusal changes nothing");
    }
}

#[actix_rt::test]
async fn no_post_of_the_api_is_missing_from_the_table() {
    let rest = Rest::open(TestDb::sqlite().await).await;
    let routes = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/routes");
    // Signing for a subscription, and the Pusher HTTP API, are other addresses with rules of their own.
    let count = posts_in(&routes, &["broadcasting.rs", "pusher_api"]);
    assert_eq!(all(&rest).await.len(), count);
}

/// Routes that begin with `post()`, in the files of a folder.
fn posts_in(folder: &Path, except: &[&str]) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let own = entries.filter(|path| !except.iter().any(|name| path.ends_with(name)));
    own.map(|path| {
        if path.is_dir() {
            posts_in(&path, except)
        } else {
            fs::read_to_string(path).unwrap().matches("post().to(").count()
        }
    })
    .sum()
}

async fn a_secret_is_shown_once_and_kept_nowhere_for_a_repeat(db: TestDb) {
    let rest = Rest::open(db).await;
    let signed = json!({"url": "https://erp.example/hook", "events": ["*"]});
    let made = send(&rest, WEBHOOKS, "made", &signed).await;
    let rotate = format!("{WEBHOOKS}/{}/rotate-secret", made.id());
    let rotated = send(&rest, &rotate, "rotated", &json!({})).await;
    let kept = bellwire::storage::schema::idempotency_keys::table;
    let bodies = kept.select(bellwire::storage::schema::idempotency_keys::body);
    let bodies: Vec<String> =
        on_conn!(&mut rest.db.read().await.unwrap(), c => bodies.load(c).await).unwrap();
    assert_eq!(bodies.len(), 2);
    for reply in [made, rotated] {
        let secret = reply.body["data"]["secret"].as_str().unwrap();
        assert!(secret.starts_with("whsec_") && bodies.iter().all(|body| !body.contains(secret)));
    }
}

async fn a_recovery_that_broke_off_is_finished_by_its_repeat(db: TestDb) {
    let rest = Rest::open(db).await;
    let hook = json!({"url": "https://erp.example/hook", "events": ["product:*"]});
    let id = rest.post(WEBHOOKS, hook).await.id();
    for _ in 0..3 {
        rest.shop.product(1).await;
    }
    // As it stands when the first of them was sent again before the process ended: no answer was kept.
    run(
        &rest.db,
        "UPDATE webhook_deliveries SET status = 'failed' WHERE id > (SELECT min(id) FROM webhook_deliveries)",
    )
    .await;
    let (recover, since) = (format!("{WEBHOOKS}/{id}/recover"), json!({"since": "2026-02-01T00:00:00Z"}));
    let finished = send(&rest, &recover, "k", &since).await;
    assert_eq!((finished.status, &finished.body["data"]["recovered"]), (200, &json!(2)));
    run(&rest.db, "UPDATE webhook_deliveries SET status = 'failed'").await;
    let again = send(&rest, &recover, "k", &since).await;
    assert_eq!((is_replayed(&again), again.bytes), (true, finished.bytes));
    let failed = rest.get(&format!("{WEBHOOKS}/failed")).await;
    assert_eq!(failed.column("id").len(), 3, "it is answered, and does nothing again");
}
