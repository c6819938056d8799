//! `/api/v1/notifications/in-app`: the inbox, as its owner and their tabs see it.

use super::desk::{add_user, message};
use crate::support::rest::{Reply, Rest};
use crate::support::{Shop, TestDb};
use bellwire::domain::EventId;
use bellwire::notifications::decision::Trigger;
use bellwire::notifications::dispatch::{self, Notice, Terms};
use bellwire::storage::{Conn, outbox};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

on_both_databases!(
    an_inbox_is_read_by_cursor_and_filtered,
    every_change_is_told_with_what_is_unread_after_it,
    an_inbox_is_its_owners_alone,
    what_has_expired_is_gone,
    a_tab_that_takes_each_event_as_it_comes_counts_right,
    a_long_inbox_is_read_in_parts_between_which_others_write_and_tabs_count_right,
    a_change_that_is_asked_for_twice_with_one_key_is_made_once,
    a_list_that_leaves_most_out_goes_on_where_it_ended,
);

const INBOX: &str = "/api/v1/notifications/in-app";

async fn send(rest: &Rest, more: Value) -> i64 {
    let mut body = json!({"user_id": rest.shop.user, "type": "promo", "title": "New", "body": "Look here."});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rest.post("/api/v1/notifications/send", body).await.id()
}

async fn act(rest: &Rest, id: i64, verb: &str) -> Reply {
    rest.post(&format!("{INBOX}/{id}/{verb}"), Value::Null).await
}

async fn unread(rest: &Rest) -> i64 {
    let reply = rest.get(&format!("{INBOX}/unread-count")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body["data"]["unread_count"].as_i64().unwrap()
}

async fn an_inbox_is_read_by_cursor_and_filtered(db: TestDb) {
    let rest = Rest::open(db).await;
    let action = json!({"url": "/orders/7", "label": "Look"});
    let one = send(&rest, json!({"title": "One", "action": action, "icon": "truck", "data": {"a": 1}})).await;
    let two = send(&rest, json!({"title": "Two", "type": "order:paid"})).await;
    let three = send(&rest, json!({"title": "Three", "priority": "high"})).await;
    let shown = rest.get(&format!("{INBOX}/{one}")).await;
    let expected = json!({"data": {
        "id": one, "type": "promo", "title": "One", "body": "Look here.", "message": "Look here.",
        "action": action, "icon": "truck", "priority": "normal", "data": {"a": 1},
        "is_read": false, "read_at": null, "is_archived": false, "archived_at": null, "expires_at": null,
        "created_at": "2026-03-01T08:00:00.500000Z", "links": {"self": format!("{INBOX}/{one}")},
    }});
    assert_eq!(shown.body, expected);
    let first = rest.get(&format!("{INBOX}?per_page=2")).await;
    assert_eq!(first.column("title"), ["Three", "Two"]);
    let next = first.body["meta"]["next_cursor"].as_str().unwrap();
    let last = rest.get(&format!("{INBOX}?per_page=2&cursor={next}")).await;
    assert_eq!(
        (last.column("title"), &last.body["meta"]["next_cursor"]),
        (vec![&json!("One")], &Value::Null)
    );
    act(&rest, two, "mark-read").await;
    act(&rest, three, "archive").await;
    for (filter, expected) in [
        ("", vec!["Two", "One"]),
        ("filter[unread]=true", vec!["One"]),
        ("filter[unread]=false", vec!["Two"]),
        ("filter[archived]=true", vec!["Three"]),
        ("filter[archived]=true&filter[unread]=false", vec![]),
        ("filter[type]=order:paid", vec!["Two"]),
        ("filter[priority]=normal&filter[unread]=true", vec!["One"]),
    ] {
        assert_eq!(rest.get(&format!("{INBOX}?{filter}")).await.column("title"), expected, "{filter}");
    }
    let refused = rest.get(&format!("{INBOX}?filter[unread]=maybe&page=2")).await;
    assert_eq!(refused.refusal(), (422, vec!["filter[unread]", "page"]));
}

async fn every_change_is_told_with_what_is_unread_after_it(db: TestDb) {
    let rest = Rest::open(db).await;
    let (one, two, three) =
        (send(&rest, json!({})).await, send(&rest, json!({})).await, send(&rest, json!({})).await);
    let before = rest.shop.last_event().await;
    let read = act(&rest, one, "mark-read").await;
    assert_eq!(
        (read.status, &read.body["data"]["is_read"], &read.body["data"]["unread_count"]),
        (200, &json!(true), &json!(2))
    );
    assert_eq!(act(&rest, one, "mark-read").await.body, read.body, "the second time it is no change");
    act(&rest, one, "mark-unread").await;
    act(&rest, two, "archive").await;
    act(&rest, two, "unarchive").await;
    assert_eq!(rest.delete(&format!("{INBOX}/{three}")).await.status, 204);
    assert_eq!(rest.delete(&format!("{INBOX}/{three}")).await.status, 404);
    let all = rest.post(&format!("{INBOX}/mark-all-read"), Value::Null).await;
    assert_eq!(all.body["data"], json!({"updated": 2, "unread_count": 0}));
    rest.post(&format!("{INBOX}/mark-all-read"), Value::Null).await;
    let told: Vec<_> = rest.shop.events_after(before).await;
    let counts: Vec<_> =
        told.iter().map(|(name, data)| (name.as_str(), data["unread_count"].as_i64().unwrap())).collect();
    assert_eq!(
        counts,
        [
            ("notification:updated", 2),
            ("notification:updated", 3),
            ("notification:updated", 2),
            ("notification:updated", 3),
            ("notification:deleted", 2),
            ("notification:read_all", 0),
        ]
    );
    assert_eq!((&told[0].1["id"], &told[0].1["is_read"]), (&json!(one), &json!(true)));
    assert_eq!((unread(&rest).await, rest.get(INBOX).await.column("id").len()), (0, 2));
    let history = rest.get("/api/v1/notifications/history").await;
    let read: Vec<bool> = history.column("read_at").iter().map(|at| !at.is_null()).collect();
    assert_eq!(read, [false, true, true], "what was deleted unread was not read");
}

async fn an_inbox_is_its_owners_alone(db: TestDb) {
    let rest = Rest::open(db).await;
    let id = send(&rest, json!({})).await;
    let ben = add_user(&rest.shop, json!({})).await;
    let bens = rest.shop.token_of(ben, &["*"]).await;
    let strangers = Shop::open(&rest.db).await.token(&["*"]).await;
    for token in [bens, strangers] {
        let ask = async |method: &str, path: &str| {
            rest.ask(method, &format!("{INBOX}{path}")).token(&token).json(&Value::Null).send().await
        };
        assert!(ask("GET", "").await.column("id").is_empty());
        assert_eq!(ask("GET", "/unread-count").await.body, json!({"data": {"unread_count": 0}}));
        for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/mark-read"), ("POST", "/archive")] {
            assert_eq!(ask(method, &format!("/{id}{path}")).await.status, 404, "{method} {path}");
        }
        assert_eq!(ask("POST", "/mark-all-read").await.body["data"]["updated"], 0);
    }
    assert_eq!(unread(&rest).await, 1);
    let reader = rest.shop.token(&["notifications:read"]).await;
    let path = format!("{INBOX}/{id}/mark-read");
    assert_eq!(rest.ask("POST", &path).token(&reader).send().await.status, 403);
}

async fn what_has_expired_is_gone(db: TestDb) {
    let rest = Rest::open(db).await;
    let id = send(&rest, json!({"expires_at": "2026-03-01T09:00:00Z"})).await;
    send(&rest, json!({"title": "It stays"})).await;
    assert_eq!(unread(&rest).await, 2);
    rest.shop.clock.advance(Duration::from_hours(1));
    assert_eq!(unread(&rest).await, 1);
    assert_eq!(rest.get(INBOX).await.column("title"), ["It stays"]);
    assert_eq!(rest.get(&format!("{INBOX}/{id}")).await.status, 404);
    assert_eq!(act(&rest, id, "mark-read").await.status, 404);
    assert_eq!(rest.delete(&format!("{INBOX}/{id}")).await.status, 404);
    let all = rest.post(&format!("{INBOX}/mark-all-read"), Value::Null).await;
    assert_eq!(all.body["data"], json!({"updated": 1, "unread_count": 0}), "what is gone is not read");
}

/// Plays all events of the user as a tab would, and holds each count that it is told against its own.
fn play(events: &[(String, Value)]) -> usize {
    let mut unread = BTreeSet::new();
    for (name, data) in events {
        let id = data["id"].as_i64();
        match name.as_str() {
            "notification:updated" if data["is_read"] == true || data["is_archived"] == true => {
                unread.remove(&id);
            }
            "notification:created" | "notification:updated" => drop(unread.insert(id)),
            "notification:deleted" => drop(unread.remove(&id)),
            "notification:read_all" => unread.clear(),
            "notification:read_some" => {
                let read = data["ids"].as_array().unwrap();
                assert_eq!(data["updated"], read.len());
                assert!(read.iter().all(|id| unread.remove(&id.as_i64())), "each was unread: {data}");
            }
            other => panic!("{other}"),
        }
        if let Some(count) = data["unread_count"].as_u64() {
            assert_eq!(u64::try_from(unread.len()).unwrap(), count, "{name} {data}");
        }
    }
    unread.len()
}

/// So many unread ones of the user, with their events.
async fn send_many(rest: &Rest, count: usize) {
    let shop = &rest.shop;
    for begun in (0..count).step_by(dispatch::MOST) {
        let message = Arc::new(message());
        let notice = |_| Notice {
            tenant: shop.tenant,
            recipient: shop.user,
            message: message.clone(),
            trigger: Trigger::Immediate,
            scheduled: None,
        };
        let notices: Vec<Notice> = (begun..count.min(begun + dispatch::MOST)).map(notice).collect();
        let now = shop.clock.now();
        let work = async |conn: &mut Conn| {
            let terms = Terms { limits: None, except: None, now };
            let dispatched = dispatch::dispatch(conn, &notices, terms).await?;
            outbox::write(conn, dispatched.events, now).await
        };
        shop.db.transaction(work).await.unwrap();
    }
}

async fn unlimited(db: TestDb) -> Rest {
    let notifications = bellwire::config::Notifications { user_per_minute: 0, ..Default::default() };
    Rest::open_with(db, bellwire::config::Config { notifications, ..Default::default() }).await
}

async fn a_long_inbox_is_read_in_parts_between_which_others_write_and_tabs_count_right(db: TestDb) {
    let rest = unlimited(db).await;
    send_many(&rest, 3_400).await;
    let others = async {
        for turn in 0..12 {
            let (a, b) = (send(&rest, json!({})).await, send(&rest, json!({})).await);
            let verb = if turn % 2 == 0 { "mark-read" } else { "archive" };
            assert_eq!(act(&rest, a, verb).await.status, 200);
            assert_eq!(act(&rest, b, "mark-read").await.status, 200);
            assert_eq!(act(&rest, b, "mark-unread").await.status, 200);
        }
    };
    let read_all = async || rest.post(&format!("{INBOX}/mark-all-read"), Value::Null).await;
    let (all, ()) = futures_util::future::join(read_all(), others).await;
    assert_eq!((all.status, &all.body["data"]["unread_count"]), (200, &json!(0)));
    assert!(all.body["data"]["updated"].as_i64().unwrap() >= 3_400, "{all:?}");
    let events = rest.shop.events_after(EventId(0)).await;
    assert_eq!(play(&events), usize::try_from(unread(&rest).await).unwrap());
    let parts: Vec<_> = events.iter().filter(|(name, _)| name == "notification:read_some").collect();
    assert_eq!(parts.len(), 3);
    assert!(parts.iter().all(|(_, data)| data["updated"] == 1_000));
    assert_eq!(read_all().await.body["data"]["updated"], play(&events));
}

async fn a_change_that_is_asked_for_twice_with_one_key_is_made_once(db: TestDb) {
    let rest = Rest::open(db).await;
    let (one, _) = (send(&rest, json!({})).await, send(&rest, json!({})).await);
    let ask =
        async |path: String, key: &str| rest.ask("POST", &path).header("idempotency-key", key).send().await;
    for (verb, back) in [("mark-read", "mark-unread"), ("archive", "unarchive")] {
        let first = ask(format!("{INBOX}/{one}/{verb}"), verb).await;
        act(&rest, one, back).await;
        let again = ask(format!("{INBOX}/{one}/{verb}"), verb).await;
        assert_eq!((first.status, again.header("idempotency-replayed")), (200, Some("true")), "{verb}");
        assert_eq!((first.bytes, unread(&rest).await), (again.bytes, 2), "{verb}");
    }
    let first = ask(format!("{INBOX}/mark-all-read"), "all").await;
    assert_eq!(first.body["data"], json!({"updated": 2, "unread_count": 0}));
    send(&rest, json!({})).await;
    let again = ask(format!("{INBOX}/mark-all-read"), "all").await;
    assert_eq!((first.bytes, unread(&rest).await), (again.bytes, 1));
    let other = ask(format!("{INBOX}/{one}/mark-read"), "all").await;
    assert_eq!(other.refusal(), (422, vec!["Idempotency-Key"]));
}

async fn a_list_that_leaves_most_out_goes_on_where_it_ended(db: TestDb) {
    let rest = unlimited(db).await;
    let first = send(&rest, json!({"priority": "high"})).await;
    send_many(&rest, 1_200).await;
    let last = send(&rest, json!({"priority": "high"})).await;
    for filter in ["filter[priority]=high", "filter[priority]=high&filter[unread]=true"] {
        let page = rest.get(&format!("{INBOX}?per_page=1&{filter}")).await;
        assert_eq!(page.column("id"), [&json!(last)], "{filter}");
        let next = page.body["meta"]["next_cursor"].as_str().unwrap();
        let page = rest.get(&format!("{INBOX}?per_page=1&{filter}&cursor={next}")).await;
        assert_eq!(page.column("id"), [&json!(first)], "{filter}");
    }
    act(&rest, first, "archive").await;
    assert_eq!(rest.get(&format!("{INBOX}?filter[archived]=true")).await.column("id"), [&json!(first)]);
    assert_eq!(rest.get(&format!("{INBOX}?per_page=3")).await.column("id")[0], &json!(last));
}

async fn a_tab_that_takes_each_event_as_it_comes_counts_right(db: TestDb) {
    let rest = unlimited(db).await;
    let writer = async |number: usize| {
        for turn in 0..6 {
            let (a, b) = (send(&rest, json!({})).await, send(&rest, json!({})).await);
            assert_eq!(act(&rest, a, "mark-read").await.status, 200);
            match (number + turn) % 4 {
                0 => assert_eq!(rest.post(&format!("{INBOX}/mark-all-read"), Value::Null).await.status, 200),
                1 => assert_eq!(rest.delete(&format!("{INBOX}/{b}")).await.status, 204),
                2 => assert_eq!(act(&rest, a, "mark-unread").await.status, 200),
                _ => assert_eq!(act(&rest, b, "mark-read").await.status, 200),
            }
        }
    };
    join_all((0..8).map(writer)).await;
    let events = rest.shop.events_after(EventId(0)).await;
    assert_eq!(play(&events), usize::try_from(unread(&rest).await).unwrap());
    let told = |kind: &str| events.iter().filter(|(name, _)| name == kind).count();
    // How many were changed one by one and how many all at once is a matter of who was first.
    assert_eq!((told("notification:created"), told("notification:deleted")), (96, 12));
    assert!(told("notification:updated") > 0 && told("notification:read_all") > 0);
}
