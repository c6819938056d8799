//! `POST /api/v1/notifications/send`, as back ends meet it.

use super::desk::{add_crowd, add_user};
use crate::support::rest::Rest;
use crate::support::{Shop, TestDb};
use bellwire::config::{Config, Notifications};
use bellwire::domain::EventId;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    a_notification_to_one_user_is_answered_with_what_became_of_it,
    several_a_role_or_everybody_are_told,
    what_is_asked_wrongly_is_refused_and_nothing_is_sent,
    a_repeated_request_sends_once,
    who_sends_or_gets_too_many_is_held_back,
    nobody_is_held_back_by_what_another_tenant_asks_for,
    a_nul_in_a_variable_or_a_template_reaches_no_database,
    words_come_from_a_template_in_the_language_of_each_recipient,
    a_broadcast_is_refused_to_strangers_and_in_reserved_names,
    words_that_come_to_too_much_are_refused_to_their_reader_and_to_nobody_else,
    an_own_template_needs_its_own_variables_and_those_of_what_its_readers_get_beside_it,
    it_is_said_when_nobody_was_sent_anything,
    only_what_was_sent_counts_against_the_limits,
);

const SEND: &str = "/api/v1/notifications/send";

fn promo(recipients: &Value) -> Value {
    let mut body = json!({"type": "promo", "title": "New", "body": "Look here."});
    body.as_object_mut().unwrap().extend(recipients.as_object().unwrap().clone());
    body
}

async fn a_notification_to_one_user_is_answered_with_what_became_of_it(db: TestDb) {
    let rest = Rest::open(db).await;
    let user = rest.shop.user;
    let body = promo(&json!({"user_id": user, "channels": ["in_app", "email"], "priority": "high"}));
    let sent = rest.post(SEND, body).await;
    let id = sent.id();
    let expected = json!({"data": {
        "id": id, "status": "sent", "sent": 1, "skipped": 0, "failed": 0, "fan_out": null,
        "recipients": [{
            "user_id": user, "status": "sent", "id": id, "reason": null, "error": null,
            "channels": [
                {"channel": "in_app", "status": "delivered", "due_at": null, "reason": null},
                {"channel": "email", "status": "pending", "due_at": "2026-03-01T08:00:00.500000Z", "reason": null},
            ],
        }],
    }});
    assert_eq!(sent.body, expected);
    let events = rest.shop.events_after(EventId(0)).await;
    assert_eq!(
        (events.len(), events[0].0.as_str(), &events[0].1["id"]),
        (1, "notification:created", &json!(id))
    );
    assert_eq!(events[0].1["priority"], "high");
}

async fn several_a_role_or_everybody_are_told(db: TestDb) {
    let rest = Rest::open(db).await;
    let stranger = Shop::open(&rest.db).await;
    let manager = add_user(&rest.shop, json!({"role": "manager"})).await;
    let counts = async |recipients| {
        let sent = rest.post(SEND, promo(&recipients)).await;
        assert_eq!(sent.status, 201, "{sent:?}");
        let data = sent.body["data"].clone();
        [&data["sent"], &data["skipped"], &data["failed"]].map(|count| count.as_i64().unwrap())
    };
    assert_eq!(counts(json!({"role": "manager"})).await, [1, 0, 0]);
    assert_eq!(counts(json!({"role": "nobody"})).await, [0, 0, 0]);
    assert_eq!(counts(json!({"tenant": true})).await, [2, 0, 0], "not another tenant's");
    assert_eq!(counts(json!({"user_ids": [manager, stranger.user, 999_999]})).await, [1, 0, 2]);
    add_crowd(&rest.shop, 998, "guest").await;
    assert_eq!(counts(json!({"tenant": true})).await, [1_000, 0, 0]);
    add_crowd(&rest.shop, 1, "waiter").await;
    let many = rest.post(SEND, promo(&json!({"tenant": true}))).await;
    assert_eq!((many.status, &many.body["data"]["status"]), (202, &json!("sending")));
    let fan_out = &many.body["data"]["fan_out"];
    let asked = rest.get(&format!("/api/v1/notifications/sends/{}", fan_out["id"])).await;
    assert_eq!((&asked.body["data"], &asked.body["data"]["status"]), (fan_out, &json!("pending")));
}

async fn what_is_asked_wrongly_is_refused_and_nothing_is_sent(db: TestDb) {
    let rest = Rest::open(db).await;
    let stranger = Shop::open(&rest.db).await;
    let user = rest.shop.user;
    for (body, fields) in [
        (json!({}), vec!["body", "title", "type", "user_id"]),
        (promo(&json!({"user_id": user, "tenant": true})), vec!["user_id"]),
        (promo(&json!({"user_id": stranger.user})), vec!["user_id"]),
        (promo(&json!({"user_id": user, "expires_at": "2026-03-01T08:00:00Z"})), vec!["expires_at"]),
        (promo(&json!({"user_id": user, "channels": []})), vec!["channels"]),
    ] {
        assert_eq!(rest.post(SEND, body.clone()).await.refusal(), (422, fields), "{body}");
    }
    let reader = rest.shop.token(&["notifications:read", "notifications:write"]).await;
    let refused = rest.ask("POST", SEND).token(&reader).json(&promo(&json!({"user_id": user}))).send().await;
    assert_eq!(
        (refused.status, refused.message()),
        (403, "This token lacks the ability notifications:send.")
    );
    assert!(rest.shop.events_after(EventId(0)).await.is_empty());
}

async fn a_repeated_request_sends_once(db: TestDb) {
    let rest = Rest::open(db).await;
    let body = promo(&json!({"user_id": rest.shop.user}));
    let send = async || rest.ask("POST", SEND).header("idempotency-key", "k").json(&body).send().await;
    let (first, again) = (send().await, send().await);
    assert_eq!((first.status, again.status, &first.bytes), (201, 201, &again.bytes));
    assert_eq!(rest.shop.events_after(EventId(0)).await.len(), 1);
}

async fn who_sends_or_gets_too_many_is_held_back(db: TestDb) {
    let notifications =
        Notifications { tenant_per_minute: 4, user_per_minute: 2, ..Notifications::default() };
    let rest = Rest::open_with(db, Config { notifications, ..Config::default() }).await;
    let (user, ben) = (rest.shop.user, add_user(&rest.shop, json!({})).await);
    let to = async |recipients| rest.post(SEND, promo(&recipients)).await;
    for _ in 0..2 {
        assert_eq!(to(json!({"user_id": user})).await.status, 201);
    }
    let over = to(json!({"user_id": user})).await;
    assert_eq!((over.status, over.header("retry-after")), (429, Some("31")));
    let critical = to(json!({"user_id": user, "priority": "critical"})).await;
    assert_eq!(critical.status, 201, "what is critical passes");
    let both = to(json!({"user_ids": [user, ben]})).await;
    assert_eq!((&both.body["data"]["sent"], &both.body["data"]["failed"]), (&json!(1), &json!(1)));
    assert_eq!(both.body["data"]["recipients"][0]["reason"], "rate_limited");
    let told = rest.get("/api/v1/notifications/history?filter[status]=failed").await;
    assert_eq!(
        (told.column("reason"), told.column("user_id")),
        (vec![&json!("rate_limited")], vec![&json!(user)])
    );
    let tenant = to(json!({"user_id": ben})).await;
    assert_eq!(tenant.status, 429, "{tenant:?}");
    rest.shop.clock.advance(Duration::from_secs(31));
    assert_eq!(to(json!({"user_id": user})).await.status, 201);
}

async fn nobody_is_held_back_by_what_another_tenant_asks_for(db: TestDb) {
    let notifications =
        Notifications { tenant_per_minute: 0, user_per_minute: 1, ..Notifications::default() };
    let rest = Rest::open_with(db, Config { notifications, ..Config::default() }).await;
    let stranger = Shop::open(&rest.db).await;
    let to = promo(&json!({"user_id": stranger.user}));
    for _ in 0..3 {
        assert_eq!(rest.post(SEND, to.clone()).await.refusal(), (422, vec!["user_id"]));
    }
    let own = stranger.token(&["notifications:send"]).await;
    assert_eq!(rest.ask("POST", SEND).token(&own).json(&to).send().await.status, 201);
}

async fn a_nul_in_a_variable_or_a_template_reaches_no_database(db: TestDb) {
    let rest = Rest::open(db).await;
    let template = json!({
        "code": "nul", "name": "Nul", "type": "in_app", "title": "Hello",
        "body_text": "{{ name }}{{ \"\\x00\" }}!",
    });
    let made = rest.post("/api/v1/notifications/templates", template).await;
    assert_eq!(made.status, 201, "{made:?}");
    let body = json!({
        "user_id": rest.shop.user, "type": "hello", "template": "nul", "variables": {"name": "a\u{0}b"},
    });
    let sent = rest.post(SEND, body).await;
    assert_eq!(sent.status, 201, "{sent:?}");
    let events = rest.shop.events_after(EventId(0)).await;
    assert_eq!(events[0].1["body"], "a\u{FFFD}b\u{FFFD}!");
}

async fn a_broadcast_is_refused_to_strangers_and_in_reserved_names(db: TestDb) {
    let rest = Rest::open(db).await;
    let stranger = Shop::open(&rest.db).await;
    let broadcast = async |user, body| rest.post(&format!("/api/v1/broadcast/users/{user}"), body).await;
    let foreign = broadcast(stranger.user, json!({"event": "cart:saved"})).await;
    assert_eq!((foreign.status, foreign.message()), (404, "No such user."));
    for event in ["notification:created", "webhook:disabled", "pusher:error", "client-x", ""] {
        let refused = broadcast(rest.shop.user, json!({"event": event})).await;
        assert_eq!(refused.refusal(), (422, vec!["event"]), "{event}");
    }
    let large = broadcast(rest.shop.user, json!({"event": "x", "data": "x".repeat(10_240)})).await;
    assert_eq!(large.refusal(), (422, vec!["data"]));
    let everything = rest.shop.webhook(json!(["*", "cart:*"])).await;
    assert_eq!(broadcast(rest.shop.user, json!({"event": "cart:saved", "data": 7})).await.status, 201);
    assert!(rest.shop.deliveries(everything).await.is_empty(), "it is for one user");
    assert_eq!(rest.shop.events_after(EventId(0)).await, [("cart:saved".to_owned(), json!(7))]);
}

async fn words_come_from_a_template_in_the_language_of_each_recipient(db: TestDb) {
    let rest = Rest::open(db).await;
    let make = async |locale: &str, title: &str| {
        let body = json!({
            "code": "hello", "name": "Hello", "type": "in_app", "locale": locale, "title": title,
            "body_text": "{{ shop }}",
        });
        let made = rest.post("/api/v1/notifications/templates", body).await;
        assert_eq!(made.status, 201, "{made:?}");
    };
    make("en", "Hello {{ name }}").await;
    make("pt-BR", "Oi {{ name }}").await;
    let bia = add_user(&rest.shop, json!({"locale": "pt-BR"})).await;
    let both = json!([rest.shop.user, bia]);
    let ask = async |variables: Value| {
        let body = json!({"user_ids": both, "type": "hello", "template": "hello", "variables": variables});
        rest.post(SEND, body).await
    };
    assert_eq!(ask(json!({"name": "you", "shop": "Sari-sari"})).await.status, 201);
    let events = rest.shop.events_after(EventId(0)).await;
    let titles: Vec<_> = events.iter().map(|(_, data)| data["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Hello you", "Oi you"]);
    assert_eq!(events[0].1["body"], "Sari-sari");
    assert_eq!(ask(json!({"shop": "x"})).await.refusal(), (422, vec!["variables.name"]));
    let absent = json!({"tenant": true, "type": "hello", "template": "none"});
    assert_eq!(rest.post(SEND, absent).await.refusal(), (422, vec!["template"]));
    let both = promo(&json!({"user_id": bia, "template": "hello"}));
    assert_eq!(rest.post(SEND, both).await.refusal(), (422, vec!["body", "title"]));
}

async fn words_that_come_to_too_much_are_refused_to_their_reader_and_to_nobody_else(db: TestDb) {
    let rest = Rest::open(db).await;
    for (locale, body) in [("en", "{{ text }}"), ("de", "{{ text }}{{ text }}")] {
        let template =
            json!({"code": "long", "name": "Long", "locale": locale, "title": "t", "body_text": body});
        assert_eq!(rest.post("/api/v1/notifications/templates", template).await.status, 201);
    }
    let eva = add_user(&rest.shop, json!({"locale": "de"})).await;
    let send = async |recipients: Value| {
        let variables = json!({"text": "ä".repeat(6_000)});
        let mut body = json!({"type": "long", "template": "long", "variables": variables});
        body.as_object_mut().unwrap().extend(recipients.as_object().unwrap().clone());
        rest.post(SEND, body).await
    };
    let both = send(json!({"user_ids": [rest.shop.user, eva]})).await.body["data"].clone();
    assert_eq!((&both["sent"], &both["failed"]), (&json!(1), &json!(1)));
    let too_long = "The body_text field: it comes to more than 10000 characters.";
    assert_eq!(
        (&both["recipients"][1]["reason"], &both["recipients"][1]["error"]),
        (&json!("template_error"), &json!(too_long))
    );
    let alone = send(json!({"user_id": eva})).await;
    assert_eq!((alone.refusal(), alone.message()), ((422, vec!["template"]), too_long));
}

async fn an_own_template_needs_its_own_variables_and_those_of_what_its_readers_get_beside_it(db: TestDb) {
    let rest = Rest::open(db).await;
    let make = async |locale: &str| {
        let body = json!({
            "code": "order_created_in_app", "name": "Mine", "locale": locale, "title": "Hi {{ name }}", "body_text": "!",
        });
        rest.post("/api/v1/notifications/templates", body).await.id()
    };
    let filipino = make("fil").await;
    let eva = add_user(&rest.shop, json!({"locale": "fil"})).await;
    let send = async |recipients: Value| {
        let mut body = json!({"type": "x", "template": "order_created_in_app", "variables": {"name": "you"}});
        body.as_object_mut().unwrap().extend(recipients.as_object().unwrap().clone());
        rest.post(SEND, body).await
    };
    assert_eq!(send(json!({"user_id": eva})).await.status, 201);
    let english = send(json!({"user_ids": [eva, rest.shop.user]})).await;
    assert!(english.refusal().1.contains(&"variables.order_number"), "{english:?}");
    make("en").await;
    assert_eq!(send(json!({"user_ids": [eva, rest.shop.user]})).await.status, 201);
    add_crowd(&rest.shop, 1_000, "guest").await;
    let everybody = json!({"tenant": true});
    assert_eq!(send(everybody.clone()).await.status, 202);
    let path = format!("/api/v1/notifications/templates/{filipino}");
    assert_eq!(rest.patch(&path, json!({"title": "{{ pangalan }}"})).await.status, 200);
    assert_eq!(send(everybody).await.refusal(), (422, vec!["variables.pangalan"]));
}

async fn it_is_said_when_nobody_was_sent_anything(db: TestDb) {
    let rest = Rest::open(db).await;
    let status = async |recipients: Value| {
        let sent = rest.post(SEND, promo(&recipients)).await;
        assert_eq!(sent.status, 201, "{sent:?}");
        sent.body["data"]["status"].as_str().unwrap().to_owned()
    };
    let user = rest.shop.user;
    assert_eq!(status(json!({"user_id": user})).await, "sent");
    assert_eq!(status(json!({"role": "nobody"})).await, "skipped");
    assert_eq!(status(json!({"user_ids": [999_998, 999_999]})).await, "failed");
    rest.patch("/api/v1/notifications/preferences", json!({"enabled": false})).await;
    assert_eq!(status(json!({"user_id": user})).await, "skipped");
    assert_eq!(status(json!({"user_ids": [user, 999_999]})).await, "failed");
    let ben = add_user(&rest.shop, json!({})).await;
    assert_eq!(status(json!({"user_ids": [user, ben, 999_999]})).await, "sent");
}

async fn only_what_was_sent_counts_against_the_limits(db: TestDb) {
    let notifications =
        Notifications { tenant_per_minute: 3, user_per_minute: 0, ..Notifications::default() };
    let rest = Rest::open_with(db, Config { notifications, ..Config::default() }).await;
    let user = rest.shop.user;
    let post = async |path: &str, key: &str, body: Value| {
        rest.ask("POST", path).header("idempotency-key", key).json(&body).send().await
    };
    for number in 0..5 {
        let refused = post(SEND, &format!("refused-{number}"), promo(&json!({"user_id": 999_999}))).await;
        assert_eq!(refused.status, 422, "what was rolled back was not sent");
        let nobody =
            post(SEND, &format!("nobody-{number}"), promo(&json!({"user_ids": [999_998, 999_999]}))).await;
        assert_eq!(nobody.status, 201, "nor was it sent to who is not there");
    }
    let broadcast = format!("/api/v1/broadcast/users/{user}");
    for _ in 0..5 {
        assert_eq!(
            post(&broadcast, "once", json!({"event": "cart:saved"})).await.status,
            201,
            "a repeat is free"
        );
        let foreign = post("/api/v1/broadcast/users/999999", "foreign", json!({"event": "cart:saved"})).await;
        assert_eq!(foreign.status, 404);
    }
    for (number, expected) in [201, 201, 429].into_iter().enumerate() {
        let sent = post(SEND, &format!("last-{number}"), promo(&json!({"user_id": user}))).await;
        assert_eq!(sent.status, expected);
    }
}
