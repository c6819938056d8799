//! Notifications to more users than one transaction takes.

use super::desk::{add_crowd, add_user};
use crate::support::rest::Rest;
use crate::support::{Shop, TestDb, until};
use bellwire::domain::{Fields, Timestamp};
use bellwire::notifications::dispatch::Terms;
use bellwire::notifications::fan_out::{self, FanOut, FanOutStatus};
use bellwire::notifications::send::{self, SendRequest};
use bellwire::notifications::send_limits::SendLimits;
use bellwire::notifications::worker::Turn;
use bellwire::storage::schema::{
    in_app_notifications as i, notification_fan_outs as f, scheduled_notifications as s,
};
use bellwire::storage::{Conn, Db};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    everybody_has_it_once_also_when_several_send_and_some_are_cut_off,
    a_tenant_that_may_send_no_more_goes_on_later,
    two_that_go_to_many_take_turns,
    everybody_gets_the_words_that_there_were_when_it_was_asked_for,
    what_goes_to_each_at_their_best_time_has_the_words_that_there_were_too,
    what_cannot_succeed_fails_at_once_is_found_and_tried_again_by_hand,
);

async fn begin(shop: &Shop, recipients: Value) -> FanOut {
    let mut body = json!({"type": "promo", "title": "New", "body": "Look here."});
    body.as_object_mut().unwrap().extend(recipients.as_object().unwrap().clone());
    let now = shop.clock.now();
    let request = SendRequest::parse(Fields::of(body).unwrap(), now).unwrap();
    let work = async |conn: &mut Conn| {
        let terms = Terms { limits: None, except: None, now };
        send::send(conn, shop.tenant, &request, terms).await
    };
    shop.db.transaction(work).await.unwrap().0.fan_out.unwrap()
}

fn unlimited() -> SendLimits {
    SendLimits::new(0, 0)
}

/// Takes turns until there is nothing to do now.
async fn work(db: &Db, limits: &SendLimits, now: Timestamp) -> Turn {
    loop {
        let turn = fan_out::turn(db, limits, now).await.unwrap().0;
        if turn != Turn::Again {
            return turn;
        }
    }
}

async fn inboxes(db: &Db) -> Vec<(i64, i64)> {
    let query =
        i::table.group_by(i::user_id).select((i::user_id, diesel::dsl::count_star())).order(i::user_id);
    on_conn!(&mut db.read().await.unwrap(), c => query.load(c).await).unwrap()
}

async fn stands(shop: &Shop, fan_out: &FanOut) -> FanOut {
    fan_out::find(&mut shop.db.read().await.unwrap(), shop.tenant, fan_out.id).await.unwrap()
}

async fn everybody_has_it_once_also_when_several_send_and_some_are_cut_off(db: TestDb) {
    let shop = Shop::open(&db).await;
    add_crowd(&shop, 3_500, "guest").await;
    add_user(&shop, json!({"role": "manager"})).await;
    let (fan_out, now) = (begin(&shop, json!({"role": "guest"})).await, shop.clock.now());
    for millis in [1, 5, 20] {
        // As a process that dies in the middle of it.
        let limits = unlimited();
        let _ = tokio::time::timeout(Duration::from_millis(millis), work(&db, &limits, now)).await;
    }
    // Of SQLite there is one process.
    let other = || if db.is_sqlite() { (*db).clone() } else { db.open_another() };
    let others: Vec<Db> = (0..3).map(|_| other()).collect();
    until("everybody has it", async || {
        futures_util::future::join_all(others.iter().map(async |db| work(db, &unlimited(), now).await)).await;
        stands(&shop, &fan_out).await.status != FanOutStatus::Pending
    })
    .await;
    let inboxes = inboxes(&db).await;
    assert_eq!(inboxes.len(), 3_500);
    assert!(inboxes.iter().all(|(_, count)| *count == 1));
    let done = stands(&shop, &fan_out).await;
    assert_eq!((done.status, done.sent, done.skipped, done.failed), (FanOutStatus::Delivered, 3_500, 0, 0));
}

async fn a_tenant_that_may_send_no_more_goes_on_later(db: TestDb) {
    let shop = Shop::open(&db).await;
    add_crowd(&shop, 1_999, "guest").await;
    let (fan_out, limits) = (begin(&shop, json!({"tenant": true})).await, SendLimits::new(600, 0));
    let now = shop.clock.now();
    let Turn::Sleep(Some(until)) = work(&db, &limits, now).await else { panic!("it has more to do") };
    assert_eq!(stands(&shop, &fan_out).await.sent, 1_000);
    assert!((40..=41).contains(&until.since(now).as_secs()), "{until}");
    assert_eq!(work(&db, &limits, until).await, Turn::Sleep(None));
    assert_eq!(stands(&shop, &fan_out).await.sent, 2_000);
}

async fn two_that_go_to_many_take_turns(db: TestDb) {
    let (large, small) = (Shop::open(&db).await, Shop::open(&db).await);
    add_crowd(&large, 3_000, "guest").await;
    add_crowd(&small, 1_500, "guest").await;
    let (of_large, of_small) =
        (begin(&large, json!({"tenant": true})).await, begin(&small, json!({"tenant": true})).await);
    for number in 1..=4 {
        let now = large.clock.now().plus(Duration::from_millis(number));
        fan_out::turn(&db, &unlimited(), now).await.unwrap();
    }
    assert_eq!(stands(&small, &of_small).await.status, FanOutStatus::Delivered);
    assert_eq!(stands(&large, &of_large).await.sent, 2_000);
}

const TEMPLATES: &str = "/api/v1/notifications/templates";
const SENDS: &str = "/api/v1/notifications/sends";

/// Asks for words of a template of one's own for everybody, of whom there are more than a page.
async fn to_everybody(rest: &Rest, more: Value) -> (i64, Value) {
    let template = json!({"code": "news", "name": "News", "title": "Before", "body_text": "{{ text }}"});
    let template = rest.post(TEMPLATES, template).await.id();
    add_crowd(&rest.shop, 1_500, "guest").await;
    let mut body = json!({"tenant": true, "type": "news", "template": "news", "variables": {"text": "x"}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let sent = rest.post("/api/v1/notifications/send", body).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    (template, sent.body["data"]["fan_out"]["id"].clone())
}

async fn everybody_gets_the_words_that_there_were_when_it_was_asked_for(db: TestDb) {
    let rest = Rest::open(db).await;
    let (template, id) = to_everybody(&rest, json!({})).await;
    let now = rest.shop.clock.now();
    fan_out::turn(&rest.db, &unlimited(), now).await.unwrap();
    let path = format!("{TEMPLATES}/{template}");
    assert_eq!(rest.patch(&path, json!({"title": "After {{ more }}"})).await.status, 200);
    assert_eq!(rest.delete(&path).await.status, 204);
    work(&rest.db, &unlimited(), now).await;
    let stands = rest.get(&format!("{SENDS}/{id}")).await.body["data"].clone();
    assert_eq!((&stands["status"], &stands["sent"]), (&json!("delivered"), &json!(1_501)));
    let query = i::table.filter(i::title.eq("Before")).count();
    let count: i64 = on_conn!(&mut rest.db.read().await.unwrap(), c => query.get_result(c).await).unwrap();
    assert_eq!(count, 1_501);
}

async fn what_goes_to_each_at_their_best_time_has_the_words_that_there_were_too(db: TestDb) {
    let rest = Rest::open(db).await;
    let (template, id) = to_everybody(&rest, json!({"deliver": "best"})).await;
    let now = rest.shop.clock.now();
    fan_out::turn(&rest.db, &unlimited(), now).await.unwrap();
    let path = format!("{TEMPLATES}/{template}");
    assert_eq!(rest.patch(&path, json!({"title": "After {{ more }}"})).await.status, 200);
    assert_eq!(rest.delete(&path).await.status, 204);
    work(&rest.db, &unlimited(), now).await;
    let stands = rest.get(&format!("{SENDS}/{id}")).await.body["data"].clone();
    assert_eq!([&stands["sent"], &stands["failed"]], [&json!(1_501), &json!(0)]);
    let of_first_version =
        s::table.filter(s::notification_template_id.eq(template).and(s::template_version.eq(1)));
    let query = of_first_version.count();
    let count: i64 = on_conn!(&mut rest.db.read().await.unwrap(), c => query.get_result(c).await).unwrap();
    assert_eq!(count, 1_501);
}

async fn what_cannot_succeed_fails_at_once_is_found_and_tried_again_by_hand(db: TestDb) {
    let rest = Rest::open(db).await;
    let (_, id) = to_everybody(&rest, json!({})).await;
    let spoil = async |conn: &mut Conn, wordings: Option<&str>| -> bellwire::domain::Result<Option<String>> {
        let before: Option<String> = on_conn!(conn, c => f::table.select(f::wordings).first(c).await)?;
        on_conn!(conn, c => diesel::update(f::table).set(f::wordings.eq(wordings)).execute(c).await)?;
        Ok(before)
    };
    let wordings = rest.db.transaction(async |conn| spoil(conn, None).await).await.unwrap();
    work(&rest.db, &unlimited(), rest.shop.clock.now()).await;
    let listed = rest.get(&format!("{SENDS}?filter[status]=failed")).await;
    assert_eq!((listed.column("id"), listed.column("attempts")), (vec![&id], vec![&json!(1)]));
    assert_eq!(listed.column("last_error"), ["The template is not there any more."]);
    assert!(rest.get(&format!("{SENDS}?filter[status]=delivered")).await.column("id").is_empty());
    assert_eq!(rest.get(&format!("{SENDS}?filter[status]=x")).await.refusal(), (422, vec!["filter[status]"]));
    rest.db.transaction(async |conn| spoil(conn, wordings.as_deref()).await).await.unwrap();
    let retry = async |key: &str| {
        rest.ask("POST", &format!("{SENDS}/{id}/retry")).header("idempotency-key", key).send().await
    };
    let again = retry("k").await;
    assert_eq!((again.status, &again.body["data"]["status"]), (200, &json!("pending")), "{again:?}");
    work(&rest.db, &unlimited(), rest.shop.clock.now()).await;
    assert_eq!(rest.get(&format!("{SENDS}/{id}")).await.body["data"]["sent"], 1_501);
    let refused = retry("l").await;
    assert_eq!(
        (refused.status, refused.message()),
        (409, "It is delivered; only what failed can be tried again.")
    );
    assert_eq!(retry("k").await.bytes, again.bytes);
    let stranger = Shop::open(&rest.db).await.token(&["*"]).await;
    for (method, path) in [("GET", ""), ("POST", "/retry")] {
        let asked = rest.ask(method, &format!("{SENDS}/{id}{path}")).token(&stranger).send().await;
        assert_eq!(asked.status, 404);
    }
}
