//! Digests: what is gathered is sent once, at its time.

use super::desk::{Desk, empty, gathered, message};
use crate::support::TestDb;
use bellwire::domain::UserId;
use bellwire::notifications::Channel;
use bellwire::notifications::digest_work::DigestWork;
use bellwire::notifications::dispatch::{Action, Content, Extras, Message, Notice};
use bellwire::notifications::templates;
use bellwire::notifications::worker::Turn;
use bellwire::storage::Db;
use bellwire::storage::schema::in_app_notifications as i;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

on_both_databases!(
    what_was_gathered_is_one_notification_at_its_time,
    several_processes_send_each_digest_once_while_others_gather,
    a_digest_that_nobody_wants_any_more_is_not_sent,
    what_belongs_to_what_was_gathered_goes_with_it_and_what_has_expired_does_not,
);

async fn open(db: &TestDb) -> Desk {
    let desk = Desk::open(db).await;
    templates::seed(db, desk.shop.clock.now()).await.unwrap();
    desk
}

fn titled(desk: &Desk, user: UserId, title: &str, channel: Channel) -> Notice {
    let content = Content::Words { title: title.to_owned(), body: "Body".to_owned() };
    desk.notice(user, Message { content, channels: Some(BTreeSet::from([channel])), ..message() })
}

fn process(desk: &Desk, db: &Db) -> DigestWork {
    DigestWork { db: db.clone(), clock: desk.shop.clock.clone(), herald: None }
}

/// Until nothing is due.
async fn send(work: &DigestWork) {
    while work.send_some().await.unwrap() == Turn::Again {}
}

async fn inbox(desk: &Desk, user: UserId) -> Vec<(String, String)> {
    let query = i::table.filter(i::user_id.eq(user)).order(i::id).select((i::title, i::message));
    on_conn!(&mut desk.shop.db.read().await.unwrap(), c => query.load(c).await).unwrap()
}

async fn what_was_gathered_is_one_notification_at_its_time(db: TestDb) {
    let desk = open(&db).await;
    let user = desk.shop.user;
    desk.prefer(Some(user), json!({"digest": "daily"})).await;
    for title in ["One", "Two"] {
        desk.dispatch(&[titled(&desk, user, title, Channel::InApp)]).await;
        desk.dispatch(&[titled(&desk, user, title, Channel::Email)]).await;
    }
    let work = process(&desk, &db);
    let waiting: Vec<_> = desk.history().await.into_iter().map(|row| (row.status, row.reason)).collect();
    assert_eq!(
        waiting,
        vec![("pending".to_owned(), Some("digest".to_owned())); 4],
        "what waits is in the history"
    );
    desk.shop.clock.advance(Duration::from_secs(3_599));
    send(&work).await;
    assert!(inbox(&desk, user).await.is_empty(), "it is not nine yet");
    desk.shop.clock.advance(Duration::from_secs(1));
    send(&work).await;
    let (title, body) = inbox(&desk, user).await.remove(0);
    assert_eq!((title.as_str(), body.trim()), ("Your daily digest: 2 notifications", "One\nTwo"));
    let history = desk.history().await;
    assert!(history.iter().all(|row| row.reason.as_deref() == Some("digest")));
    let told: Vec<_> = history
        .iter()
        .map(|row| (row.channel, row.status.as_str(), row.subject.as_deref().unwrap_or_default()))
        .collect();
    let digest = "Your daily digest: 2 notifications";
    let expected = [
        (Channel::Email, "sent", "One"),
        (Channel::Email, "sent", "Two"),
        (Channel::Email, "pending", digest),
        (Channel::InApp, "delivered", "One"),
        (Channel::InApp, "delivered", "Two"),
        (Channel::InApp, "delivered", digest),
    ];
    assert_eq!(told, expected);
    assert!(gathered(&desk).await.is_empty());
    desk.dispatch(&[titled(&desk, user, "Three", Channel::InApp)]).await;
    send(&work).await;
    assert_eq!(inbox(&desk, user).await.len(), 1, "it is in tomorrow's");
    desk.shop.clock.advance(Duration::from_hours(24));
    send(&work).await;
    assert_eq!(inbox(&desk, user).await[1].0, "Your daily digest: 1 notification");
}

async fn several_processes_send_each_digest_once_while_others_gather(db: TestDb) {
    let desk = open(&db).await;
    desk.prefer(None, json!({"digest": "hourly"})).await;
    let mut users = Vec::new();
    for _ in 0..10 {
        users.push(desk.user(empty()).await);
    }
    for user in &users {
        desk.dispatch(&[titled(&desk, *user, "First", Channel::InApp)]).await;
    }
    desk.shop.clock.advance(Duration::from_hours(1));
    let gathering = async {
        for number in 0..20 {
            let batch: Vec<Notice> =
                users.iter().map(|user| titled(&desk, *user, &number.to_string(), Channel::InApp)).collect();
            desk.dispatch(&batch).await;
        }
    };
    let processes: Vec<DigestWork> = (0..3).map(|_| process(&desk, &db)).collect();
    futures_util::future::join(gathering, futures_util::future::join_all(processes.iter().map(send))).await;
    for _ in 0..3 {
        desk.shop.clock.advance(Duration::from_hours(1));
        futures_util::future::join_all(processes.iter().map(send)).await;
    }
    assert!(gathered(&desk).await.is_empty());
    for user in users {
        let items: usize = inbox(&desk, user).await.iter().map(|(_, body)| body.trim().lines().count()).sum();
        assert_eq!(items, 21, "each once, in whichever digest");
    }
}

async fn a_digest_that_nobody_wants_any_more_is_not_sent(db: TestDb) {
    let desk = open(&db).await;
    let user = desk.shop.user;
    desk.prefer(Some(user), json!({"digest": "hourly"})).await;
    desk.dispatch(&[titled(&desk, user, "One", Channel::InApp)]).await;
    desk.prefer(Some(user), json!({"channel": "in_app", "enabled": false})).await;
    desk.shop.clock.advance(Duration::from_hours(1));
    send(&process(&desk, &db)).await;
    assert!(inbox(&desk, user).await.is_empty());
    assert!(gathered(&desk).await.is_empty());
    let left = &desk.history().await[0];
    assert_eq!((left.status.as_str(), left.reason.as_deref()), ("failed", Some("turned_off")));
}

async fn what_belongs_to_what_was_gathered_goes_with_it_and_what_has_expired_does_not(db: TestDb) {
    let desk = open(&db).await;
    let user = desk.shop.user;
    desk.prefer(Some(user), json!({"digest": "hourly"})).await;
    let (now, work) = (desk.shop.clock.now(), process(&desk, &db));
    let expires = |minutes| Some(now.plus(Duration::from_mins(minutes)));
    let gather = async |title: &str, expires_at| {
        let action = Action { url: "/orders/7".to_owned(), label: None };
        let data = json!({"order": 7}).as_object().cloned();
        let extras = Extras { action: Some(action), icon: None, data, expires_at };
        let content = Content::Words { title: title.to_owned(), body: "Body".to_owned() };
        let channels = Some(BTreeSet::from([Channel::InApp]));
        desk.dispatch(&[desk.notice(user, Message { content, channels, extras, ..message() })]).await;
    };
    gather("Stays", expires(90)).await;
    gather("Goes", expires(30)).await;
    desk.shop.clock.advance(Duration::from_hours(1));
    send(&work).await;
    let shown: Vec<(String, Option<String>)> = {
        let query = i::table.select((i::title, i::data));
        on_conn!(&mut db.read().await.unwrap(), c => query.load(c).await).unwrap()
    };
    let [(title, Some(data))] = shown.as_slice() else { panic!("{shown:?}") };
    assert_eq!(title, "Your hourly digest: 1 notification");
    let expected = json!({"count": 1, "items": [{
        "type": "order:shipped", "title": "Stays", "action": {"url": "/orders/7", "label": null}, "icon": null,
        "data": {"order": 7},
    }]});
    assert_eq!(serde_json::from_str::<serde_json::Value>(data).unwrap(), expected);
    let told = desk.history().await;
    let told: Vec<_> = told.iter().map(|row| (row.status.as_str(), row.reason.as_deref())).collect();
    assert_eq!(
        told,
        [("delivered", Some("digest")), ("failed", Some("expired")), ("delivered", Some("digest"))]
    );
    gather("All of it goes", expires(70)).await;
    desk.shop.clock.advance(Duration::from_hours(1));
    send(&work).await;
    assert_eq!(inbox(&desk, user).await.len(), 1, "a digest is never empty");
    assert!(gathered(&desk).await.is_empty());
}
