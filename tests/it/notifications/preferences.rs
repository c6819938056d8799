//! `/api/v1/notifications/preferences` and `/subscriptions`: what users choose, and managers for them.

use super::desk::add_user;
use crate::support::TestDb;
use crate::support::rest::Rest;
use serde_json::{Value, json};

on_both_databases!(
    choices_are_shown_changed_and_taken_back,
    what_was_chosen_decides_what_is_sent,
    a_tenants_defaults_hold_where_a_user_says_nothing,
    wrong_choices_are_named_and_change_nothing,
    a_test_goes_where_preferences_let_it,
    a_user_says_which_events_they_are_told_of,
);

const PREFERENCES: &str = "/api/v1/notifications/preferences";
const SUBSCRIPTIONS: &str = "/api/v1/notifications/subscriptions";

async fn choices_are_shown_changed_and_taken_back(db: TestDb) {
    let rest = Rest::open(db).await;
    let shown = rest.get(PREFERENCES).await.body["data"].clone();
    assert_eq!(
        (&shown["timezone"], &shown["effective_timezone"], &shown["preferences"]),
        (&Value::Null, &json!("UTC"), &json!([]))
    );
    let hours = json!({"start": "21:00:00", "end": "07:30:00"});
    let body = json!({
        "timezone": "Asia/Manila", "locale": "fil", "quiet_hours": {"start": "21:00", "end": "07:30"},
        "channels": {"email": {"enabled": false, "digest": "daily"}},
        "preferences": [{"type": "order:*", "channel": "in_app", "enabled": false}],
    });
    let changed = rest.patch(PREFERENCES, body).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let data = &changed.body["data"];
    assert_eq!(
        (&data["timezone"], &data["effective_timezone"], &data["effective_locale"]),
        (&json!("Asia/Manila"), &json!("Asia/Manila"), &json!("fil"))
    );
    assert_eq!(data["quiet_hours"], hours);
    let expected = json!([
        {"channel": null, "type": null, "enabled": null, "digest": null, "quiet_hours": hours},
        {"channel": "email", "type": null, "enabled": false, "digest": "daily", "quiet_hours": null},
        {"channel": "in_app", "type": "order:*", "enabled": false, "digest": null, "quiet_hours": null},
    ]);
    assert_eq!(data["preferences"], expected);
    assert_eq!(
        data["channels"][2],
        json!({
            "channel": "email", "enabled": false, "digest": "daily", "quiet_hours": hours,
        })
    );
    assert_eq!(rest.get(PREFERENCES).await.body, changed.body);
    let back = json!({
        "timezone": null, "quiet_hours": null, "channels": {"email": {"enabled": null}},
        "preferences": [{"type": "order:*", "channel": "in_app", "enabled": null}],
    });
    let back = rest.patch(PREFERENCES, back).await.body["data"].clone();
    let left =
        json!([{"channel": "email", "type": null, "enabled": null, "digest": "daily", "quiet_hours": null}]);
    assert_eq!(
        (&back["preferences"], &back["timezone"], &back["locale"]),
        (&left, &Value::Null, &json!("fil"))
    );
}

/// What became of a notification to the user: its status, and the channels with theirs.
async fn sent(rest: &Rest, more: Value) -> (String, Vec<String>) {
    let mut body = json!({"user_id": rest.shop.user, "type": "promo", "title": "New", "body": "Look here."});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let reply = rest.post("/api/v1/notifications/send", body).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let told = &reply.body["data"]["recipients"][0];
    let channel = |c: &Value| format!("{} {}", c["channel"].as_str().unwrap(), c["status"].as_str().unwrap());
    let channels = told["channels"].as_array().unwrap().iter().map(channel).collect();
    (told["status"].as_str().unwrap().to_owned(), channels)
}

async fn what_was_chosen_decides_what_is_sent(db: TestDb) {
    let rest = Rest::open(db).await;
    let on = |channels: &[&str]| ("sent".to_owned(), channels.iter().map(|c| (*c).to_owned()).collect());
    assert_eq!(sent(&rest, json!({})).await, on(&["in_app delivered"]));
    rest.patch(PREFERENCES, json!({"channels": {"email": {"enabled": true}, "in_app": {"enabled": false}}}))
        .await;
    assert_eq!(sent(&rest, json!({})).await, on(&["in_app skipped", "email pending"]));
    assert_eq!(
        sent(&rest, json!({"priority": "critical"})).await,
        on(&["in_app delivered", "email pending"])
    );
    assert_eq!(sent(&rest, json!({"channels": ["in_app"]})).await, ("skipped".to_owned(), Vec::new()));
    rest.patch(PREFERENCES, json!({"preferences": [{"type": "promo", "enabled": true, "digest": "hourly"}]}))
        .await;
    assert_eq!(sent(&rest, json!({"channels": ["in_app"]})).await, on(&["in_app digest"]));
}

async fn a_tenants_defaults_hold_where_a_user_says_nothing(db: TestDb) {
    let rest = Rest::open(db).await;
    let path = format!("{PREFERENCES}/tenant");
    let body = json!({"timezone": "Europe/London", "channels": {"email": {"enabled": true}}});
    let changed = rest.patch(&path, body).await;
    assert_eq!((changed.status, &changed.body["data"]["timezone"]), (200, &json!("Europe/London")));
    assert_eq!(rest.get(&path).await.body, changed.body);
    let own = rest.get(PREFERENCES).await.body["data"].clone();
    assert_eq!(
        (&own["effective_timezone"], &own["tenant"][0]["channel"]),
        (&json!("Europe/London"), &json!("email"))
    );
    assert_eq!(sent(&rest, json!({})).await.1, ["in_app delivered", "email pending"]);
    rest.patch(PREFERENCES, json!({"channels": {"email": {"enabled": false}}})).await;
    assert_eq!(sent(&rest, json!({})).await.1, ["in_app delivered"]);
    let user = rest.shop.token(&["notifications:read", "notifications:write"]).await;
    let refused = rest.ask("PATCH", &path).token(&user).json(&json!({"enabled": false})).send().await;
    assert_eq!(refused.status, 403);
}

async fn wrong_choices_are_named_and_change_nothing(db: TestDb) {
    let rest = Rest::open(db).await;
    let before = rest.get(PREFERENCES).await.body;
    for (body, fields) in [
        (json!({"timezone": "Mars/Olympus"}), vec!["timezone"]),
        (json!({"timezone": "UTC", "locale": "x"}), vec!["locale"]),
        (json!({"channels": {"sms": {"enabled": true}}}), vec!["channels.sms"]),
        (json!({"quiet_hours": "all day"}), vec!["quiet_hours"]),
        (json!({"critical": false}), vec!["critical"]),
    ] {
        assert_eq!(rest.patch(PREFERENCES, body.clone()).await.refusal(), (422, fields), "{body}");
    }
    assert_eq!(rest.get(PREFERENCES).await.body, before);
}

async fn a_test_goes_where_preferences_let_it(db: TestDb) {
    let rest = Rest::open(db).await;
    bellwire::notifications::templates::seed(&rest.db, rest.shop.clock.now()).await.unwrap();
    let test = async |body: Value| rest.post(&format!("{PREFERENCES}/test"), body).await;
    let told = test(json!({})).await;
    assert_eq!(
        (told.status, &told.body["data"]["recipients"][0]["channels"][0]["status"]),
        (201, &json!("delivered"))
    );
    let inbox = rest.get("/api/v1/notifications/in-app").await;
    assert_eq!(
        (inbox.column("type"), inbox.column("title")),
        (vec![&json!("test")], vec![&json!("This is a test")])
    );
    rest.patch(PREFERENCES, json!({"enabled": false})).await;
    let skipped = test(json!({"channels": ["in_app", "email"]})).await;
    assert_eq!(skipped.body["data"]["skipped"], 1);
}

async fn a_user_says_which_events_they_are_told_of(db: TestDb) {
    let rest = Rest::open(db).await;
    let made = rest.post(SUBSCRIPTIONS, json!({"event": "order:created"})).await;
    let id = made.id();
    assert_eq!(
        (&made.body["data"]["channels"], &made.body["data"]["is_active"]),
        (&json!(["in_app"]), &json!(true))
    );
    let again =
        rest.post(SUBSCRIPTIONS, json!({"event": "order:created", "channels": ["email", "in_app"]})).await;
    assert_eq!((again.id(), &again.body["data"]["channels"]), (id, &json!(["in_app", "email"])));
    rest.post(SUBSCRIPTIONS, json!({"event": "stock:*"})).await.id();
    assert_eq!(rest.get(SUBSCRIPTIONS).await.column("event"), ["stock:*", "order:created"]);
    for (body, fields) in [
        (json!({}), vec!["event"]),
        (json!({"event": "a b"}), vec!["event"]),
        (json!({"event": "x", "channels": ["sms"]}), vec!["channels.0"]),
        (json!({"event": "x", "is_active": null}), vec!["is_active"]),
    ] {
        assert_eq!(rest.post(SUBSCRIPTIONS, body.clone()).await.refusal(), (422, fields), "{body}");
    }
    let ben = add_user(&rest.shop, json!({})).await;
    let bens = rest.shop.token_of(ben, &["*"]).await;
    assert!(rest.ask("GET", SUBSCRIPTIONS).token(&bens).send().await.column("id").is_empty());
    let path = format!("{SUBSCRIPTIONS}/{id}");
    assert_eq!(rest.ask("DELETE", &path).token(&bens).send().await.status, 404);
    assert_eq!((rest.delete(&path).await.status, rest.delete(&path).await.status), (204, 404));
}
