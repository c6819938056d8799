//! `/api/v1/notifications/scheduled`, over both databases.

use super::world::{SCHEDULED, World, inbox, user_of};
use crate::support::{Shop, TestDb};
use bellwire::storage::Conn;
use bellwire::storage::schema::users;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    one_is_scheduled_shown_and_listed,
    many_are_scheduled_together_or_not_at_all,
    what_is_wrong_is_named,
    quiet_hours_say_when_it_is_due_and_a_preview_writes_nothing,
    one_that_waits_is_moved_and_called_off,
    what_is_being_sent_cannot_be_called_off,
    who_may_not_send_schedules_for_oneself_alone,
    another_tenants_is_not_there,
    a_request_that_is_repeated_schedules_once,
    a_template_is_kept_in_the_version_that_it_had,
    what_a_template_needs_is_named_for_each,
    what_recurs_comes_by_the_recipients_clock_and_goes_on,
    what_was_missed_while_nobody_was_there_comes_once,
    a_series_that_is_called_off_has_ended,
    what_failed_is_tried_again_by_hand,
    lists_are_filtered,
);

async fn one_is_scheduled_shown_and_listed(db: TestDb) {
    let world = World::open(db).await;
    let more = json!({"action": {"url": "/orders/7", "label": "Open"}, "data": {"n": 1}, "icon": "bell",
        "channels": ["in_app"], "expires_in": 60});
    let made = world.schedule(3_600, more).await;
    let (id, user) = (made.id(), world.rest.shop.user);
    let expected = json!({
        "id": id, "tenant_id": world.rest.shop.tenant, "user_id": user, "type": "reminder", "title": "Look",
        "body": "It is time.", "template": null, "priority": "normal", "channels": ["in_app"],
        "action": {"url": "/orders/7", "label": "Open"}, "icon": "bell", "data": {"n": 1}, "expires_at": null,
        "expires_in": 60, "scheduled_at": "2026-03-01T09:00:00.500000Z", "due_at": "2026-03-01T09:00:00.500000Z",
        "reason": "as_asked", "recurrence": null, "series_id": null, "status": "pending", "is_being_sent": false,
        "attempts": 0, "next_attempt_at": null, "last_error": null, "delivered_at": null,
        "created_at": "2026-03-01T08:00:00.500000Z", "updated_at": "2026-03-01T08:00:00.500000Z",
    });
    assert_eq!(made.body["data"], expected);
    assert_eq!(world.show(id).await, expected);
    assert_eq!(world.rest.get(SCHEDULED).await.body["data"], json!([expected]));
    world.pass(Duration::from_hours(1));
    assert_eq!(world.run().await.delivered, 1);
    let sent = world.show(id).await;
    assert_eq!(
        (&sent["status"], &sent["delivered_at"]),
        (&json!("delivered"), &json!("2026-03-01T09:00:00.500000Z"))
    );
    assert_eq!(inbox(&world.rest.db, user).await, ["Look"]);
}

async fn many_are_scheduled_together_or_not_at_all(db: TestDb) {
    let world = World::open(db).await;
    let one =
        |n: u64| json!({"type": "t", "title": format!("{n}"), "body": "b", "scheduled_at": world.at(60 + n)});
    let all: Vec<Value> = (0..1_000).map(one).collect();
    let made = world.rest.post(SCHEDULED, json!({"notifications": all})).await;
    assert_eq!((made.status, made.body["data"].as_array().unwrap().len()), (201, 1_000));
    assert_eq!(made.body["data"][999]["title"], "999", "in their order");
    let mut some: Vec<Value> = all[..10].to_vec();
    some[3]["scheduled_at"] = json!("2026-03-01T07:58:00Z");
    some[5]["user_id"] = json!(987_654);
    some[7] = json!(7);
    let refused = world.rest.post(SCHEDULED, json!({"notifications": some})).await;
    assert_eq!(refused.refusal(), (422, vec!["notifications.3.scheduled_at", "notifications.7"]));
    some[3] = all[3].clone();
    some[7] = all[7].clone();
    let refused = world.rest.post(SCHEDULED, json!({"notifications": some})).await;
    assert_eq!(refused.refusal(), (422, vec!["notifications.5.user_id"]));
    let many: Vec<Value> = (0..1_001).map(one).collect();
    for wrong in [json!({"notifications": []}), json!({"notifications": many}), json!({"notifications": 1})] {
        assert_eq!(world.rest.post(SCHEDULED, wrong).await.refusal(), (422, vec!["notifications"]));
    }
    let beside = json!({"notifications": all[..1], "type": "t"});
    assert_eq!(world.rest.post(SCHEDULED, beside).await.refusal(), (422, vec!["type"]));
    assert_eq!(super::world::count(&world.rest.db, "pending").await[0], 1_000);
}

async fn what_is_wrong_is_named(db: TestDb) {
    let world = World::open(db).await;
    let wrong = json!({"type": "a b", "title": "", "priority": "urgent", "channels": [], "expires_in": 0,
        "recurrence": "61 * * * *", "scheduled_at": "tomorrow", "colour": "red"});
    let expected = [
        "body",
        "channels",
        "colour",
        "expires_in",
        "priority",
        "recurrence",
        "scheduled_at",
        "title",
        "type",
    ];
    assert_eq!(world.rest.post(SCHEDULED, wrong).await.refusal(), (422, expected.to_vec()));
    let skewed = json!({"scheduled_at": "2026-03-01T07:59:30Z"});
    assert_eq!(world.schedule(0, skewed).await.body["data"]["due_at"], "2026-03-01T08:00:00.500000Z");
    for (at, say) in [("2026-03-01T07:59:00Z", "in the future"), ("2027-03-03T00:00:00Z", "366 days")] {
        let refused = world.schedule(0, json!({"scheduled_at": at})).await;
        assert_eq!(refused.refusal(), (422, vec!["scheduled_at"]));
        assert!(refused.message().contains(say), "{}", refused.message());
    }
    let early = world.schedule(60, json!({"expires_at": world.at(30)})).await;
    assert_eq!(early.refusal(), (422, vec!["expires_at"]));
    let both = json!({"template": "test_in_app"});
    assert_eq!(world.schedule(60, both).await.refusal(), (422, vec!["body", "title"]));
    let stray = json!({"variables": {}});
    assert_eq!(world.schedule(60, stray).await.refusal(), (422, vec!["variables"]));
}

async fn quiet_hours_say_when_it_is_due_and_a_preview_writes_nothing(db: TestDb) {
    let world = World::open(db).await;
    let user = world.rest.shop.user;
    let manila = async |conn: &mut Conn| {
        let row = users::table.filter(users::id.eq(user));
        Ok(on_conn!(conn, c => diesel::update(row).set(users::timezone.eq("Asia/Manila")).execute(c).await)?)
    };
    world.rest.db.transaction(manila).await.unwrap();
    let night = json!({"type": "t", "title": "Hi", "body": "b", "scheduled_at": "2026-03-01T15:00:00Z"});
    let preview = world.rest.post(&format!("{SCHEDULED}/preview"), night.clone()).await;
    let expected = json!({
        "user_id": user, "scheduled_at": "2026-03-01T15:00:00.000000Z", "due_at": "2026-03-02T00:00:00.000000Z",
        "reason": "quiet_hours", "timezone": "Asia/Manila", "local_time": "2026-03-02T08:00:00", "title": "Hi", "body": "b",
    });
    assert_eq!(preview.body, json!({"data": expected}));
    assert!(world.rest.get(SCHEDULED).await.column("id").is_empty());
    let made = world.rest.post(SCHEDULED, night.clone()).await;
    assert_eq!(
        (&made.body["data"]["due_at"], &made.body["data"]["reason"]),
        (&expected["due_at"], &expected["reason"])
    );
    let mut critical = night.clone();
    critical["priority"] = json!("critical");
    let made = world.rest.post(&format!("{SCHEDULED}/preview"), critical).await;
    assert_eq!(
        (&made.body["data"]["due_at"], &made.body["data"]["reason"]),
        (&expected["scheduled_at"], &json!("critical"))
    );
    world.prefer(user, None, Some((0, 0))).await;
    let awake = world.rest.post(&format!("{SCHEDULED}/preview"), night).await;
    assert_eq!(awake.body["data"]["reason"], "as_asked");
}

async fn one_that_waits_is_moved_and_called_off(db: TestDb) {
    let world = World::open(db).await;
    let id = world.schedule(60, json!({})).await.id();
    let path = format!("{SCHEDULED}/{id}");
    let moved = world.rest.patch(&path, json!({"scheduled_at": "2026-03-01T23:00:00Z"})).await;
    assert_eq!(
        (&moved.body["data"]["due_at"], &moved.body["data"]["reason"]),
        (&json!("2026-03-02T08:00:00.000000Z"), &json!("quiet_hours"))
    );
    world.pass(Duration::from_mins(1));
    assert_eq!(world.run().await.delivered, 0, "not at its old time");
    let raised = world.rest.patch(&path, json!({"priority": "critical"})).await;
    assert_eq!(raised.body["data"]["due_at"], "2026-03-01T23:00:00.000000Z");
    let wrong = world
        .rest
        .patch(&path, json!({"scheduled_at": "2026-03-01T00:00:00Z", "priority": 1, "title": "x"}))
        .await;
    assert_eq!(wrong.refusal(), (422, vec!["priority", "scheduled_at", "title"]));
    assert_eq!(world.rest.delete(&path).await.status, 204);
    assert_eq!(world.status(id).await, "cancelled");
    world.pass(Duration::from_hours(24));
    assert_eq!(world.run().await.delivered, 0);
    for refused in [
        world.rest.delete(&path).await,
        world.rest.patch(&path, json!({})).await,
        world.rest.ask("POST", &format!("{path}/retry")).send().await,
    ] {
        assert_eq!(refused.status, 409);
        assert!(refused.message().contains("It is cancelled"), "{}", refused.message());
    }
}

async fn what_is_being_sent_cannot_be_called_off(db: TestDb) {
    let world = World::open(db).await;
    let id = world.schedule(0, json!({})).await.id();
    let path = format!("{SCHEDULED}/{id}");
    let claim = world.scheduler.claim().await.unwrap().unwrap();
    assert_eq!(world.show(id).await["is_being_sent"], true);
    for refused in [world.rest.delete(&path).await, world.rest.patch(&path, json!({"priority": "low"})).await]
    {
        assert_eq!((refused.status, refused.header("retry-after")), (409, Some("11")));
        assert!(refused.message().contains("is being sent just now"), "{}", refused.message());
    }
    assert_eq!(world.scheduler.deliver(claim).await.unwrap().delivered, 1);
    assert!(world.rest.delete(&path).await.message().contains("It is delivered already"));
    let lost = world.schedule(0, json!({})).await.id();
    drop(world.scheduler.claim().await.unwrap().unwrap());
    world.pass(Duration::from_secs(11));
    assert_eq!(
        world.rest.delete(&format!("{SCHEDULED}/{lost}")).await.status,
        204,
        "nobody has it in hand any more"
    );
    assert_eq!(world.run().await.delivered, 0);
}

async fn who_may_not_send_schedules_for_oneself_alone(db: TestDb) {
    let world = World::open(db).await;
    let other = world.user().await;
    let theirs = world.schedule(60, json!({"user_id": other})).await.id();
    let own = world.rest.shop.token(&["notifications:read", "notifications:write"]).await;
    let body = json!({"type": "t", "title": "a", "body": "b", "scheduled_at": world.at(60)});
    let made = world.rest.ask("POST", SCHEDULED).token(&own).json(&body).send().await;
    assert_eq!(made.body["data"]["user_id"], json!(world.rest.shop.user));
    let mut for_other = body.clone();
    for_other["user_id"] = json!(other);
    let refused = world.rest.ask("POST", SCHEDULED).token(&own).json(&for_other).send().await;
    assert_eq!(
        (refused.status, refused.message()),
        (403, "This token lacks the ability notifications:send.")
    );
    let listed = world.rest.ask("GET", SCHEDULED).token(&own).send().await;
    assert_eq!(listed.column("id"), [&json!(made.id())]);
    for method in ["GET", "DELETE"] {
        let path = format!("{SCHEDULED}/{theirs}");
        assert_eq!(world.rest.ask(method, &path).token(&own).send().await.status, 404, "{method}");
    }
    let reader = world.rest.shop.token(&["notifications:read"]).await;
    assert_eq!(world.rest.ask("POST", SCHEDULED).token(&reader).json(&body).send().await.status, 403);
}

async fn another_tenants_is_not_there(db: TestDb) {
    let world = World::open(db).await;
    let id = world.schedule(60, json!({})).await.id();
    let stranger = Shop::open(&world.rest.db).await;
    let token = stranger.token(&["*"]).await;
    let path = format!("{SCHEDULED}/{id}");
    for (method, path) in
        [("GET", path.clone()), ("PATCH", path.clone()), ("DELETE", path.clone()), ("POST", path + "/retry")]
    {
        let reply = world.rest.ask(method, &path).token(&token).json(&json!({})).send().await;
        assert_eq!((reply.status, reply.message()), (404, "No such scheduled notification."), "{method}");
    }
    let theirs = user_of(&world.rest.db, stranger.tenant).await;
    let refused = world.schedule(60, json!({"user_id": theirs})).await;
    assert_eq!(refused.refusal(), (422, vec!["user_id"]));
}

async fn a_request_that_is_repeated_schedules_once(db: TestDb) {
    let world = World::open(db).await;
    let body = json!({"type": "t", "title": "a", "body": "b", "scheduled_at": world.at(60)});
    let post =
        async || world.rest.ask("POST", SCHEDULED).header("idempotency-key", "k").json(&body).send().await;
    let (first, again) = (post().await, post().await);
    assert_eq!((first.id(), again.header("idempotency-replayed")), (again.id(), Some("true")));
    assert_eq!(world.rest.get(SCHEDULED).await.column("id").len(), 1);
}

async fn template(world: &World, title: &str) -> String {
    let body = json!({"code": "hello", "name": "Hello", "title": title, "body_text": "-"});
    let made = world.rest.post("/api/v1/notifications/templates", body).await;
    format!("/api/v1/notifications/templates/{}", made.id())
}

async fn a_template_is_kept_in_the_version_that_it_had(db: TestDb) {
    let world = World::open(db).await;
    let path = template(&world, "Hello {{ name }}").await;
    let words =
        json!({"type": "t", "template": "hello", "variables": {"name": "Ana"}, "scheduled_at": world.at(60)});
    let made = world.rest.post(SCHEDULED, words.clone()).await;
    let view = &made.body["data"]["template"];
    assert_eq!(
        (&view["code"], &view["locale"], &view["version"], &view["variables"]),
        (&json!("hello"), &json!("en"), &json!(1), &json!({"name": "Ana"}))
    );
    assert_eq!(made.body["data"]["title"], Value::Null);
    let preview = world.rest.post(&format!("{SCHEDULED}/preview"), words).await;
    assert_eq!(preview.body["data"]["title"], "Hello Ana");
    assert_eq!(world.rest.patch(&path, json!({"title": "Bye {{ who }}"})).await.status, 200);
    assert_eq!(world.rest.delete(&path).await.status, 204);
    world.pass(Duration::from_mins(1));
    assert_eq!(world.run().await.delivered, 1);
    assert_eq!(inbox(&world.rest.db, world.rest.shop.user).await, ["Hello Ana"]);
}

async fn what_a_template_needs_is_named_for_each(db: TestDb) {
    let world = World::open(db).await;
    template(&world, "{{ a }} {{ b }}").await;
    let one = |code: &str, variables: Value| json!({"type": "t", "template": code, "variables": variables, "scheduled_at": world.at(60)});
    let all =
        [one("hello", json!({"a": 1})), one("hello", json!({"a": 1, "b": 2})), one("nothing", json!({}))];
    let refused = world.rest.post(SCHEDULED, json!({"notifications": all})).await;
    assert_eq!(refused.refusal(), (422, vec!["notifications.0.variables.b", "notifications.2.template"]));
}

async fn what_recurs_comes_by_the_recipients_clock_and_goes_on(db: TestDb) {
    let world = World::open(db).await;
    let body = json!({"type": "t", "title": "Daily", "body": "b", "recurrence": "0 9 * * *"});
    let preview = world.rest.post(&format!("{SCHEDULED}/preview"), body.clone()).await;
    assert_eq!(preview.body["data"]["occurrences"][1], "2026-03-02T09:00:00.000000Z");
    let made = world.rest.post(SCHEDULED, body).await;
    let first = &made.body["data"];
    assert_eq!(
        (&first["scheduled_at"], &first["series_id"]),
        (&json!("2026-03-01T09:00:00.000000Z"), &first["id"])
    );
    world.pass(Duration::from_hours(1));
    assert_eq!(world.run().await.delivered, 1);
    let listed = world.rest.get(&format!("{SCHEDULED}?filter[series_id]={}", made.id())).await;
    assert_eq!(listed.column("status"), ["pending", "delivered"]);
    assert_eq!(listed.column("scheduled_at")[0], "2026-03-02T09:00:00.000000Z");
    world.pass(Duration::from_hours(24));
    assert_eq!((world.run().await.delivered, world.run().await.delivered), (1, 0));
    assert_eq!(inbox(&world.rest.db, world.rest.shop.user).await, ["Daily", "Daily"]);
}

async fn what_was_missed_while_nobody_was_there_comes_once(db: TestDb) {
    let world = World::open(db).await;
    let body = json!({"type": "t", "title": "Hourly", "body": "b", "recurrence": "0 10-20 * * *", "priority": "critical"});
    let id = world.rest.post(SCHEDULED, body).await.id();
    world.pass(Duration::from_hours(3 * 24 + 7));
    assert_eq!(world.run().await.delivered, 1);
    let listed = world.rest.get(&format!("{SCHEDULED}?filter[series_id]={id}")).await;
    assert_eq!(listed.column("scheduled_at"), ["2026-03-04T16:00:00.000000Z", "2026-03-01T10:00:00.000000Z"]);
}

async fn a_series_that_is_called_off_has_ended(db: TestDb) {
    let world = World::open(db).await;
    let body = json!({"type": "t", "title": "x", "body": "b", "recurrence": "@hourly"});
    let id = world.rest.post(SCHEDULED, body).await.id();
    world.pass(Duration::from_hours(1));
    assert_eq!(world.run().await.delivered, 1);
    let listed = world.rest.get(&format!("{SCHEDULED}?filter[status]=pending")).await;
    let next = listed.column("id")[0].clone();
    assert_eq!(world.rest.delete(&format!("{SCHEDULED}/{next}")).await.status, 204);
    world.pass(Duration::from_hours(9));
    assert_eq!(world.run().await.delivered, 0);
    assert_eq!(world.rest.get(&format!("{SCHEDULED}?filter[series_id]={id}")).await.column("id").len(), 2);
}

async fn what_failed_is_tried_again_by_hand(db: TestDb) {
    let world = World::open(db).await;
    let id = world.schedule(60, json!({"expires_at": world.at(120)})).await.id();
    let path = format!("{SCHEDULED}/{id}/retry");
    let early = world.rest.ask("POST", &path).send().await;
    assert_eq!((early.status, early.message()), (409, "It is pending; only what failed can be tried again."));
    world.pass(Duration::from_secs(121));
    assert_eq!(world.run().await.failed, 1);
    let failed = world.show(id).await;
    assert_eq!(failed["status"], "failed");
    assert!(failed["last_error"].as_str().unwrap().starts_with("It expired at 2026-03-01T08:02:00"));
    let again = world.rest.ask("POST", &path).send().await;
    assert_eq!(
        (&again.body["data"]["status"], &again.body["data"]["last_error"]),
        (&json!("pending"), &Value::Null)
    );
    assert_eq!(world.run().await.failed, 1, "it has still expired");
}

async fn lists_are_filtered(db: TestDb) {
    let world = World::open(db).await;
    let other = world.user().await;
    let mut ids = Vec::new();
    for (user, kind, seconds) in
        [(world.rest.shop.user, "a", 0), (other, "b", 0), (other, "a", 60), (other, "b", 60)]
    {
        ids.push(json!(world.schedule(seconds, json!({"user_id": user, "type": kind})).await.id()));
    }
    world.run().await;
    let listed = async |query: &str| {
        let listed = world.rest.get(&format!("{SCHEDULED}?{query}")).await;
        listed.column("id").into_iter().cloned().collect::<Vec<Value>>()
    };
    let of = |wanted: &[usize]| wanted.iter().map(|n| ids[*n].clone()).collect::<Vec<Value>>();
    assert_eq!(listed("").await, of(&[3, 2, 1, 0]));
    assert_eq!(listed("filter[status]=delivered").await, of(&[1, 0]));
    assert_eq!(listed(&format!("filter[user_id]={other}&filter[status]=pending")).await, of(&[3, 2]));
    assert_eq!(listed("filter[type]=a").await, of(&[2, 0]));
    assert_eq!(listed("filter[priority]=low").await, of(&[]));
    let page = world.rest.get(&format!("{SCHEDULED}?per_page=3")).await;
    let cursor = page.body["meta"]["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(listed(&format!("per_page=3&cursor={cursor}")).await, of(&[0]));
    let wrong = world.rest.get(&format!("{SCHEDULED}?filter[status]=sent&sort=id")).await;
    assert_eq!(wrong.refusal(), (422, vec!["filter[status]", "sort"]));
}
