//! `"deliver": "best"`: what goes out when its recipient most probably reads it.

use super::world::{SCHEDULED, World, inbox, user_of};
use crate::support::rest::Reply;
use crate::support::{Shop, TestDb};
use bellwire::domain::{TenantId, UserId};
use bellwire::notifications::best_time::kept_weight;
use bellwire::notifications::fan_out;
use bellwire::notifications::send_limits::SendLimits;
use bellwire::notifications::worker::Turn;
use bellwire::storage::Conn;
use bellwire::storage::schema::{
    notification_engagement as e, notification_engagement_totals as t, scheduled_notifications as s, users,
};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    who_reads_at_seven_in_the_evening_is_told_at_seven,
    of_a_newcomer_too_little_is_known_and_the_asked_time_stands,
    each_of_many_gets_their_own_time,
    what_others_of_the_tenant_do_helps_and_what_another_tenants_do_does_not,
    the_hour_is_kept_when_clocks_are_moved,
    it_goes_before_it_expires_and_what_is_critical_at_once,
    one_that_is_moved_is_chosen_anew,
    a_choice_stands_unless_its_recipient_wants_to_be_left_alone_by_then,
    what_is_asked_wrongly_is_named,
    what_is_sent_to_several_goes_to_each_at_their_best_time,
    what_is_sent_to_everybody_goes_to_each_at_their_best_time,
);

const SEND: &str = "/api/v1/notifications/send";
const HOUR: Duration = Duration::from_hours(1);
/// Seven in the evening of the first day, in UTC; it is eight in the morning.
const AT_SEVEN: &str = "2026-03-01T19:00:00.000000Z";

async fn lives_in(world: &World, user: UserId, zone: &str) {
    let move_there = async |conn: &mut Conn| {
        let row = users::table.filter(users::id.eq(user));
        Ok(on_conn!(conn, c => diesel::update(row).set(users::timezone.eq(zone)).execute(c).await)?)
    };
    world.rest.db.transaction(move_there).await.unwrap();
}

/// So much was sent to a user by now at these hours, and read: hour, sent, read.
async fn known(world: &World, (tenant, user): (TenantId, UserId), hours: &[(i32, f64, f64)]) {
    let weight = kept_weight(world.now());
    let write = async |conn: &mut Conn| {
        for (hour, sent, read) in hours {
            let (sent, read) = (sent * weight, read * weight);
            let own = (e::tenant_id.eq(tenant), e::user_id.eq(user), e::hour.eq(*hour));
            let own = (own, e::sent.eq(sent), e::read.eq(read), e::waited.eq(0.0), e::late.eq(0.0));
            on_conn!(conn, c => diesel::insert_into(e::table).values(own).execute(c).await)?;
            let all = (t::tenant_id.eq(tenant), t::hour.eq(*hour), t::part.eq(0));
            let all = (all, t::sent.eq(sent), t::read.eq(read));
            on_conn!(conn, c => diesel::insert_into(t::table).values(all).execute(c).await)?;
        }
        Ok(())
    };
    world.rest.db.transaction(write).await.unwrap();
}

/// So many more users of the tenant.
async fn crowd(world: &World, count: usize) {
    let (tenant, now) = (world.rest.shop.tenant, world.now());
    let add = async |conn: &mut Conn| {
        for number in 0..count {
            let email = format!("guest{number}@shop.example");
            let values = (users::tenant_id.eq(tenant), users::name.eq("One of many"), users::email.eq(email));
            let values = (values, users::created_at.eq(now), users::updated_at.eq(now));
            on_conn!(conn, c => diesel::insert_into(users::table).values(values).execute(c).await)?;
        }
        Ok(())
    };
    world.rest.db.transaction(add).await.unwrap();
}

/// A world whose user reads what comes at seven in the evening, and little of what comes in the morning.
async fn evening(db: TestDb) -> World {
    let world = World::open(db).await;
    let owner = (world.rest.shop.tenant, world.rest.shop.user);
    known(&world, owner, &[(9, 30.0, 3.0), (12, 30.0, 6.0), (19, 30.0, 27.0)]).await;
    world
}

fn told(data: &Value) -> (&str, &str) {
    (data["due_at"].as_str().unwrap(), data["reason"].as_str().unwrap())
}

async fn best(world: &World, more: Value) -> Reply {
    let mut body = json!({"deliver": "best"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.schedule(0, body).await
}

async fn who_reads_at_seven_in_the_evening_is_told_at_seven(db: TestDb) {
    let world = World::open(db).await;
    lives_in(&world, world.rest.shop.user, "Asia/Manila").await;
    for _ in 0..18 {
        // It is four in the afternoon there.
        let body = json!({"user_id": world.rest.shop.user, "type": "promo", "title": "New", "body": "Look."});
        let id = world.rest.post(SEND, body).await.id();
        world.pass(3 * HOUR + HOUR / 6);
        let path = format!("/api/v1/notifications/in-app/{id}/mark-read");
        assert_eq!(world.rest.post(&path, Value::Null).await.status, 200);
        world.pass(20 * HOUR + 5 * (HOUR / 6));
    }
    let body = json!({"type": "t", "title": "At seven", "body": "b", "scheduled_at": world.at(60), "deliver": "best"});
    let preview = world.rest.post(&format!("{SCHEDULED}/preview"), body.clone()).await;
    assert_eq!(preview.body["data"]["local_time"], "2026-03-19T19:00:00");
    let made = world.rest.post(SCHEDULED, body).await;
    let id = made.id();
    let made = &made.body["data"];
    assert_eq!(told(made), ("2026-03-19T11:00:00.000000Z", "best_time"));
    assert_eq!((&made["deliver"], &made["window_hours"]), (&json!("best"), &json!(24)));
    assert!(made["confidence"].as_f64().unwrap() > 0.9, "{made}");
    assert!(
        made["read_rate"].as_f64().unwrap() > 0.3 && made["sample_size"].as_f64().unwrap() > 10.0,
        "{made}"
    );
    for field in ["due_at", "reason", "deliver", "window_hours", "confidence", "read_rate", "sample_size"] {
        assert_eq!(preview.body["data"][field], made[field], "{field}");
    }
    assert_eq!(&world.show(id).await, made);
    world.pass(Duration::from_secs(3 * 3_600 - 1));
    assert_eq!(world.run().await.delivered, 0);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.run().await.delivered, 1);
    let sent = world.show(id).await;
    assert_eq!((told(&sent).1, &sent["status"]), ("best_time", &json!("delivered")));
    assert_eq!(inbox(&world.rest.db, world.rest.shop.user).await.last().unwrap(), "At seven");
}

async fn of_a_newcomer_too_little_is_known_and_the_asked_time_stands(db: TestDb) {
    let world = evening(db).await;
    let newcomer = world.user().await;
    let made = best(&world, json!({"user_id": newcomer, "scheduled_at": "2026-03-01T10:20:00Z"})).await;
    let made = &made.body["data"];
    assert_eq!(told(made), ("2026-03-01T10:20:00.000000Z", "insufficient_data"));
    assert_eq!(
        (&made["confidence"], &made["read_rate"], &made["sample_size"]),
        (&Value::Null, &Value::Null, &json!(0.0))
    );
    let night = best(&world, json!({"user_id": newcomer, "scheduled_at": "2026-03-01T23:00:00Z"})).await;
    assert_eq!(told(&night.body["data"]), ("2026-03-02T08:00:00.000000Z", "insufficient_data"));
    let asked = world.schedule(60, json!({"user_id": newcomer, "deliver": "asked"})).await;
    assert_eq!(asked.body["data"]["reason"], "as_asked");
    assert!(asked.body["data"].get("confidence").is_none());
}

async fn each_of_many_gets_their_own_time(db: TestDb) {
    let world = evening(db).await;
    let (early, newcomer) = (world.user().await, world.user().await);
    known(&world, (world.rest.shop.tenant, early), &[(8, 40.0, 4.0), (10, 40.0, 38.0)]).await;
    let one = |user: UserId, more: &Value| {
        let mut one =
            json!({"user_id": user, "type": "t", "title": "a", "body": "b", "scheduled_at": world.at(60)});
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        one
    };
    let (best, ana) = (json!({"deliver": "best"}), world.rest.shop.user);
    let all = [
        one(ana, &best),
        one(early, &best),
        one(newcomer, &best),
        one(ana, &json!({})),
        one(ana, &json!({"deliver": "best", "window_hours": 6})),
    ];
    let made = world.rest.post(SCHEDULED, json!({"notifications": all})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let told: Vec<_> = made.body["data"].as_array().unwrap().iter().map(told).collect();
    let (asked, ten) = ("2026-03-01T08:01:00.500000Z", "2026-03-01T10:00:00.000000Z");
    assert_eq!(
        told,
        [
            (AT_SEVEN, "best_time"),
            (ten, "best_time"),
            (asked, "insufficient_data"),
            (asked, "as_asked"),
            (ten, "best_time"),
        ]
    );
}

async fn what_others_of_the_tenant_do_helps_and_what_another_tenants_do_does_not(db: TestDb) {
    let world = World::open(db).await;
    let (tenant, other) = (world.rest.shop.tenant, Shop::open(&world.rest.db).await);
    let eager = user_of(&world.rest.db, other.tenant).await;
    known(&world, (other.tenant, eager), &[(13, 900.0, 890.0)]).await;
    // Little is known of her, and that she reads nothing.
    known(&world, (tenant, world.rest.shop.user), &[(9, 12.0, 0.0)]).await;
    let made = best(&world, json!({})).await;
    let (due, reason) = told(&made.body["data"]);
    assert_eq!(reason, "best_time");
    assert!(!due.contains("T13:00"), "as another tenant's users would have it");
    let eager = world.user().await;
    known(&world, (tenant, eager), &[(16, 900.0, 890.0), (10, 900.0, 90.0)]).await;
    let made = best(&world, json!({})).await;
    assert_eq!(told(&made.body["data"]), ("2026-03-01T16:00:00.000000Z", "best_time"));
}

async fn the_hour_is_kept_when_clocks_are_moved(db: TestDb) {
    let world = World::open(db).await;
    let ana = world.rest.shop.user;
    lives_in(&world, ana, "America/New_York").await;
    known(&world, (world.rest.shop.tenant, ana), &[(9, 40.0, 36.0), (15, 40.0, 4.0)]).await;
    for (asked, nine) in [
        ("2026-03-06T20:00:00Z", "2026-03-07T14:00:00.000000Z"),
        ("2026-03-07T20:00:00Z", "2026-03-08T13:00:00.000000Z"),
    ] {
        let made = best(&world, json!({"scheduled_at": asked})).await;
        assert_eq!(told(&made.body["data"]), (nine, "best_time"));
    }
    let faded = best(&world, json!({"scheduled_at": "2026-11-01T15:00:00Z"})).await;
    assert_eq!(told(&faded.body["data"]).1, "insufficient_data");
}

async fn it_goes_before_it_expires_and_what_is_critical_at_once(db: TestDb) {
    let world = evening(db).await;
    let asked = json!({"scheduled_at": "2026-03-01T09:20:00Z"});
    let expires = json!({"scheduled_at": "2026-03-01T09:20:00Z", "expires_at": "2026-03-01T19:00:00Z"});
    let made = best(&world, expires).await;
    let (due, reason) = told(&made.body["data"]);
    assert_eq!(reason, "best_time");
    assert!(due < AT_SEVEN, "{due}");
    let made = best(&world, asked).await;
    assert_eq!(told(&made.body["data"]).0, AT_SEVEN);
    let critical = json!({"scheduled_at": "2026-03-01T09:20:00Z", "priority": "critical"});
    let made = best(&world, critical).await;
    assert_eq!(told(&made.body["data"]), ("2026-03-01T09:20:00.000000Z", "as_asked"));
    assert_eq!(made.body["data"]["confidence"], Value::Null);
}

async fn one_that_is_moved_is_chosen_anew(db: TestDb) {
    let world = evening(db).await;
    let id = best(&world, json!({"window_hours": 30})).await.id();
    let path = format!("{SCHEDULED}/{id}");
    let moved = async |change: Value| {
        let reply = world.rest.patch(&path, change).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.body["data"], world.show(id).await);
        reply.body["data"].clone()
    };
    let next_day = moved(json!({"scheduled_at": "2026-03-01T20:00:00Z"})).await;
    assert_eq!(told(&next_day), ("2026-03-02T19:00:00.000000Z", "best_time"));
    assert_eq!(next_day["window_hours"], 30);
    let asked = moved(json!({"deliver": "asked"})).await;
    assert_eq!(told(&asked), ("2026-03-01T20:00:00.000000Z", "as_asked"));
    assert!(asked.get("confidence").is_none());
    let again = moved(json!({"scheduled_at": "2026-03-01T09:00:00Z", "deliver": "best"})).await;
    assert_eq!((told(&again), &again["window_hours"]), ((AT_SEVEN, "best_time"), &json!(24)));
    assert_eq!(world.rest.delete(&path).await.status, 204);
    assert_eq!(world.status(id).await, "cancelled");
}

async fn a_choice_stands_unless_its_recipient_wants_to_be_left_alone_by_then(db: TestDb) {
    let world = evening(db).await;
    let ana = world.rest.shop.user;
    let id = best(&world, json!({})).await.id();
    // Her habits are others by then; what was chosen was chosen.
    known(&world, (world.rest.shop.tenant, ana), &[(20, 900.0, 900.0)]).await;
    let before = best(&world, json!({"scheduled_at": "2026-03-01T12:00:00Z"})).await;
    assert_eq!(told(&before.body["data"]).0, "2026-03-01T20:00:00.000000Z");
    world.pass(11 * HOUR);
    assert_eq!(world.run().await.delivered, 1);
    assert_eq!(world.status(id).await, "delivered");
    world.prefer(ana, None, Some((18 * 60, 21 * 60))).await;
    world.pass(HOUR);
    assert_eq!(world.run().await.deferred, 1);
    let put_off = world.show(before.id()).await;
    assert_eq!(told(&put_off), ("2026-03-01T21:00:00.000000Z", "quiet_hours"));
}

async fn what_is_asked_wrongly_is_named(db: TestDb) {
    let world = World::open(db).await;
    let series = world.schedule(60, json!({"recurrence": "0 9 * * *"})).await.id();
    for (wrong, field) in [
        (json!({"deliver": "soon"}), "deliver"),
        (json!({"deliver": "best", "recurrence": "0 9 * * *"}), "deliver"),
        (json!({"window_hours": 3}), "window_hours"),
        (json!({"deliver": "best", "window_hours": 169}), "window_hours"),
    ] {
        assert_eq!(world.schedule(60, wrong.clone()).await.refusal(), (422, vec![field]), "{wrong}");
    }
    let path = format!("{SCHEDULED}/{series}");
    assert_eq!(world.rest.patch(&path, json!({"deliver": "best"})).await.refusal(), (422, vec!["deliver"]));
    let large = json!({"user_id": world.rest.shop.user, "type": "t", "template": "test_in_app",
        "variables": {"user_name": "x".repeat(30_000)}, "deliver": "best"});
    assert_eq!(world.rest.post(SEND, large).await.refusal(), (422, vec!["deliver"]));
}

async fn what_is_sent_to_several_goes_to_each_at_their_best_time(db: TestDb) {
    let world = evening(db).await;
    let (ana, newcomer) = (world.rest.shop.user, world.user().await);
    let send = async |recipients: Value| {
        let mut body = json!({"type": "promo", "title": "New", "body": "Look.", "deliver": "best"});
        body.as_object_mut().unwrap().extend(recipients.as_object().unwrap().clone());
        world
            .rest
            .ask("POST", SEND)
            .header("idempotency-key", &recipients.to_string())
            .json(&body)
            .send()
            .await
    };
    let first = send(json!({"user_ids": [ana, newcomer, 999_999]})).await;
    let again = send(json!({"user_ids": [ana, newcomer, 999_999]})).await;
    assert_eq!((first.status, again.status, &first.body), (202, 202, &again.body));
    let data = &first.body["data"];
    assert_eq!(
        (&data["status"], &data["scheduled"], &data["sent"], &data["failed"]),
        (&json!("scheduled"), &json!(2), &json!(0), &json!(1))
    );
    let anas = &data["recipients"][0];
    assert_eq!((&anas["status"], told(&anas["scheduled"])), (&json!("scheduled"), (AT_SEVEN, "best_time")));
    assert!(anas["scheduled"]["confidence"].as_f64().unwrap() > 0.9);
    let shown = world.rest.get(anas["scheduled"]["links"]["self"].as_str().unwrap()).await;
    assert_eq!(told(&shown.body["data"]), (AT_SEVEN, "best_time"));
    let newcomers = &data["recipients"][1]["scheduled"];
    assert_eq!(told(newcomers), ("2026-03-01T08:00:00.500000Z", "insufficient_data"));
    assert_eq!(data["recipients"][2]["reason"], "recipient_gone");
    assert_eq!(world.run().await.delivered, 1);
    assert_eq!(inbox(&world.rest.db, newcomer).await, ["New"]);
    assert!(inbox(&world.rest.db, ana).await.is_empty());
    world.pass(11 * HOUR);
    assert_eq!(world.run().await.delivered, 1, "once, though it was asked for twice");
    assert_eq!(inbox(&world.rest.db, ana).await, ["New"]);
    assert_eq!(send(json!({"user_id": 999_999})).await.refusal(), (422, vec!["user_id"]));
    let one = send(json!({"user_id": ana})).await;
    assert_eq!((one.status, &one.body["data"]["scheduled"]), (202, &json!(1)));
}

async fn what_is_sent_to_everybody_goes_to_each_at_their_best_time(db: TestDb) {
    let world = evening(db).await;
    let tenant = world.rest.shop.tenant;
    crowd(&world, 1_000).await;
    let body = json!({"type": "promo", "title": "New", "body": "Look.", "deliver": "best", "tenant": true});
    let begun = world.rest.post(SEND, body).await;
    assert_eq!((begun.status, &begun.body["data"]["status"]), (202, &json!("sending")));
    let (db, limits) = (&world.rest.db, SendLimits::new(0, 0));
    while fan_out::turn(db, &limits, world.now()).await.unwrap().0 == Turn::Again {}
    let id = begun.body["data"]["fan_out"]["id"].as_i64().unwrap();
    let done = world.rest.get(&format!("/api/v1/notifications/sends/{id}")).await;
    assert_eq!(
        (&done.body["data"]["status"], &done.body["data"]["sent"]),
        (&json!("delivered"), &json!(1_001))
    );
    let query = s::table.filter(s::tenant_id.eq(tenant)).group_by(s::reason).order(s::reason);
    let query = query.select((s::reason, diesel::dsl::count_star()));
    let rows: Vec<(String, i64)> = on_conn!(&mut db.read().await.unwrap(), c => query.load(c).await).unwrap();
    assert_eq!(rows, [("best_time".to_owned(), 1), ("insufficient_data".to_owned(), 1_000)]);
    assert_eq!(world.run().await.delivered, 1_000);
}
