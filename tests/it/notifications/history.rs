//! `/api/v1/notifications/history`: what became of notifications.

use super::desk::add_user;
use crate::support::rest::Rest;
use crate::support::{Shop, TestDb};
use bellwire::storage::Conn;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    the_history_is_read_by_cursor_and_filtered,
    a_user_sees_their_own_history_and_no_one_elses,
    what_became_of_one_notification_is_found_by_its_id,
    a_time_long_past_is_found_without_walking_there,
);

const HISTORY: &str = "/api/v1/notifications/history";

async fn send(rest: &Rest, recipients: Value) {
    let mut body = json!({"type": "promo", "title": "New", "body": "Look here."});
    body.as_object_mut().unwrap().extend(recipients.as_object().unwrap().clone());
    let sent = rest.post("/api/v1/notifications/send", body).await;
    assert_eq!(sent.status, 201, "{sent:?}");
}

async fn the_history_is_read_by_cursor_and_filtered(db: TestDb) {
    let rest = Rest::open(db).await;
    let user = rest.shop.user;
    send(&rest, json!({"user_id": user, "title": "One"})).await;
    rest.shop.clock.advance(Duration::from_hours(1));
    send(
        &rest,
        json!({"user_id": user, "title": "Two", "channels": ["in_app", "email"], "type": "order:paid"}),
    )
    .await;
    send(&rest, json!({"user_id": user, "title": "Three", "priority": "critical"})).await;
    let first = rest.get(&format!("{HISTORY}?per_page=3")).await;
    assert_eq!(first.column("subject"), ["Three", "Two", "Two"]);
    let next = first.body["meta"]["next_cursor"].as_str().unwrap();
    let rest_of_it = rest.get(&format!("{HISTORY}?per_page=3&cursor={next}")).await;
    assert_eq!(
        (rest_of_it.column("subject"), &rest_of_it.body["meta"]["next_cursor"]),
        (vec![&json!("One")], &Value::Null)
    );
    for (filter, expected) in [
        ("filter[channel]=email", vec!["Two"]),
        ("filter[type]=promo", vec!["Three", "One"]),
        ("filter[status]=delivered&filter[priority]=critical", vec!["Three"]),
        ("filter[status]=pending", vec!["Two"]),
        ("filter[from]=2026-03-01T09:00:00Z&filter[channel]=in_app", vec!["Three", "Two"]),
        ("filter[to]=2026-03-01T09:00:00Z", vec!["One"]),
        ("filter[user_id]=999999", vec![]),
    ] {
        assert_eq!(rest.get(&format!("{HISTORY}?{filter}")).await.column("subject"), expected, "{filter}");
    }
    let refused = rest.get(&format!("{HISTORY}?filter[channel]=sms&filter[colour]=red")).await;
    assert_eq!(refused.refusal(), (422, vec!["filter[channel]", "filter[colour]"]));
    let id = &first.body["data"][0]["id"];
    let one = rest.get(&format!("{HISTORY}/{id}")).await;
    assert_eq!((one.status, &one.body["data"]), (200, &first.body["data"][0]));
    assert_eq!(one.body["data"]["body"], "Look here.");
}

async fn a_user_sees_their_own_history_and_no_one_elses(db: TestDb) {
    let rest = Rest::open(db).await;
    let ben = add_user(&rest.shop, json!({})).await;
    send(&rest, json!({"user_ids": [rest.shop.user, ben]})).await;
    let all = rest.get(HISTORY).await;
    assert_eq!(all.column("user_id"), [&json!(ben), &json!(rest.shop.user)]);
    let reader = rest.shop.token(&["notifications:read"]).await;
    let ask = async |path: String| rest.ask("GET", &path).token(&reader).send().await;
    assert_eq!(ask(HISTORY.to_owned()).await.column("user_id"), [&json!(rest.shop.user)]);
    assert!(ask(format!("{HISTORY}?filter[user_id]={ben}")).await.column("id").is_empty());
    let [bens, own] = [0, 1].map(|number| all.body["data"][number]["id"].clone());
    assert_eq!(ask(format!("{HISTORY}/{own}")).await.status, 200);
    assert_eq!(ask(format!("{HISTORY}/{bens}")).await.status, 404);
    let stranger = Shop::open(&rest.db).await.token(&["*"]).await;
    let foreign = rest.ask("GET", &format!("{HISTORY}/{own}")).token(&stranger).send().await;
    assert_eq!(foreign.status, 404);
    let nobody = rest.shop.token(&["products:read"]).await;
    assert_eq!(rest.ask("GET", HISTORY).token(&nobody).send().await.status, 403);
}

async fn what_became_of_one_notification_is_found_by_its_id(db: TestDb) {
    let rest = Rest::open(db).await;
    let ben = add_user(&rest.shop, json!({})).await;
    for user in [rest.shop.user, ben] {
        send(&rest, json!({"user_id": user, "channels": ["in_app", "email"]})).await;
    }
    let inbox = rest.get("/api/v1/notifications/in-app").await;
    let filter = format!("{HISTORY}?filter[notification_id]={}", inbox.body["data"][0]["id"]);
    let found = rest.get(&filter).await;
    assert_eq!(found.column("channel"), ["email", "in_app"]);
    assert_eq!(found.column("user_id"), [&json!(rest.shop.user), &json!(rest.shop.user)]);
    assert_eq!(rest.get(&format!("{filter}&filter[channel]=email")).await.column("status"), ["pending"]);
    let bens = rest.shop.token_of(ben, &["notifications:read"]).await;
    assert!(rest.ask("GET", &filter).token(&bens).send().await.column("id").is_empty());
    let stranger = Shop::open(&rest.db).await.token(&["*"]).await;
    assert!(rest.ask("GET", &filter).token(&stranger).send().await.column("id").is_empty());
}

async fn a_time_long_past_is_found_without_walking_there(db: TestDb) {
    let rest = Rest::open(db).await;
    send(&rest, json!({"user_id": rest.shop.user, "title": "Old"})).await;
    rest.shop.clock.advance(Duration::from_hours(24));
    // More than one answer looks at.
    let fill = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10500) \
         INSERT INTO notification_log (tenant_id, user_id, notification_type, channel, body, priority, status, \
             next_attempt_at, created_at, updated_at) \
         SELECT {}, {}, 'promo', 'in_app', 'Look', 'normal', 'delivered', '{at}', '{at}', '{at}' FROM n",
        rest.shop.tenant,
        rest.shop.user,
        at = "2026-03-02 08:00:00.500000",
    );
    let fill = async |conn: &mut Conn| Ok(on_conn!(conn, c => diesel::sql_query(fill).execute(c).await)?);
    rest.db.transaction(fill).await.unwrap();
    let found = rest.get(&format!("{HISTORY}?filter[to]=2026-03-01T09:00:00Z")).await;
    assert_eq!(
        (found.column("subject"), &found.body["meta"]["next_cursor"]),
        (vec![&json!("Old")], &Value::Null)
    );
}
