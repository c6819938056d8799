//! Notifications that leave the house: by e-mail, through a real SMTP server, and to webhook endpoints.

use super::desk::{Desk, Logged, empty, message};
use crate::support::hub::TestHub;
use crate::support::receiver::{Answer, Receiver};
use crate::support::smtp::SmtpSink;
use crate::support::{TestDb, until};
use bellwire::config::Smtp;
use bellwire::domain::{Clock, UserId};
use bellwire::notifications::carriers::email::Email;
use bellwire::notifications::carriers::webhook::Webhook;
use bellwire::notifications::carriers::work::CarrierWork;
use bellwire::notifications::dispatch::{Extras, Message};
use bellwire::notifications::worker::Turn;
use bellwire::notifications::{Channel, Priority};
use bellwire::storage::Db;
use bellwire::storage::schema::{notification_log as l, users, webhook_deliveries};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

on_both_databases!(
    an_email_arrives_with_its_words_and_a_name_of_its_own,
    what_the_server_says_decides_what_becomes_of_an_email,
    an_email_in_the_hand_of_a_process_that_died_goes_out_after_its_lease,
    several_processes_send_each_email_once,
    what_is_not_wanted_any_more_is_not_sent,
    without_a_server_an_email_fails_and_says_so,
    a_notification_goes_to_the_endpoints_that_ask_for_it_by_name,
    without_an_endpoint_a_webhook_fails_and_says_so,
    a_whole_server_sends_by_every_channel,
);

fn by(channel: Channel) -> Message {
    Message { channels: Some(BTreeSet::from([channel])), ..message() }
}

async fn rename(db: &Db, user: UserId, email: &str) {
    let row = users::table.filter(users::id.eq(user));
    let write = async |conn: &mut bellwire::storage::Conn| {
        Ok(on_conn!(conn, c => diesel::update(row).set(users::email.eq(email)).execute(c).await)?)
    };
    db.transaction(write).await.unwrap();
}

fn mailer(db: &Db, clock: &Clock, smtp: &Smtp) -> CarrierWork {
    let (db, clock) = (db.clone(), clock.clone());
    let carrier = Arc::new(Email { db: db.clone(), clock: clock.clone(), smtp: smtp.clone() });
    CarrierWork { db, clock, herald: None, carrier }
}

fn webhooks(desk: &Desk) -> CarrierWork {
    let (db, clock) = (desk.shop.db.clone(), desk.shop.clock.clone());
    let carrier = Arc::new(Webhook { db: db.clone(), clock: clock.clone() });
    CarrierWork { db, clock, herald: None, carrier }
}

/// Until nothing is due.
async fn carry(work: &CarrierWork) {
    while work.carry_some().await.unwrap() == Turn::Again {}
}

fn outcome(row: &Logged) -> (&str, Option<&str>) {
    (row.status.as_str(), row.reason.as_deref())
}

async fn external_ids(desk: &Desk) -> Vec<Option<String>> {
    let query = l::table.order(l::id).select(l::external_id);
    on_conn!(&mut desk.shop.db.read().await.unwrap(), c => query.load(c).await).unwrap()
}

async fn an_email_arrives_with_its_words_and_a_name_of_its_own(db: TestDb) {
    let (desk, sink) = (Desk::open(&db).await, SmtpSink::start());
    rename(&db, desk.shop.user, "ana@home.example").await;
    let action = json!({"action": {"url": "https://shop.example/orders/7", "label": "Your order"}});
    let extras: Extras = serde_json::from_value(action).unwrap();
    desk.dispatch(&[desk.notice(desk.shop.user, Message { extras, ..by(Channel::Email) })]).await;
    carry(&mailer(&db, &desk.shop.clock, &sink.settings())).await;
    until("the e-mail is there", async || sink.taken().len() == 1).await;
    let taken = sink.taken().remove(0);
    let ids = external_ids(&desk).await;
    let expected = json!({
        "envelope_from": "shop@corner.example", "to": ["ana@home.example"],
        "from": "Corner Shop <shop@corner.example>", "subject": "Shipped", "message_id": ids[0], "html": null,
        "text": taken["text"], "encrypted": false, "login": null,
    });
    assert_eq!(taken, expected);
    let text = taken["text"].as_str().unwrap().replace("\r\n", "\n");
    assert_eq!(text.trim_end(), "It is on its way.\n\nYour order: https://shop.example/orders/7");
    assert_eq!(outcome(&desk.history().await[0]), ("sent", None));
}

async fn what_the_server_says_decides_what_becomes_of_an_email(db: TestDb) {
    let (desk, sink) = (Desk::open(&db).await, SmtpSink::start());
    let mut notices = Vec::new();
    for name in ["bounce", "refuse", "busy2", "busy", "drop", "plain"] {
        let user = desk.user(empty()).await;
        rename(&db, user, &format!("{name}@home.example")).await;
        notices.push(desk.notice(user, by(Channel::Email)));
    }
    desk.dispatch(&notices).await;
    let work = mailer(&db, &desk.shop.clock, &sink.settings());
    carry(&work).await;
    let outcomes = async || desk.history().await.iter().map(|row| row.status.clone()).collect::<Vec<_>>();
    assert_eq!(outcomes().await, ["bounced", "failed", "pending", "pending", "pending", "sent"]);
    let waits = [27, 33, 54, 66, 108, 132];
    for [soonest, latest] in [[waits[0], waits[1]], [waits[2], waits[3]], [waits[4], waits[5]]] {
        desk.shop.clock.advance(Duration::from_secs(soonest - 1));
        let before = sink.taken().len();
        carry(&work).await;
        assert_eq!(sink.taken().len(), before, "it is too early");
        desk.shop.clock.advance(Duration::from_secs(latest - soonest + 1));
        carry(&work).await;
    }
    assert_eq!(outcomes().await, ["bounced", "failed", "sent", "failed", "failed", "sent"]);
    let history = desk.history().await;
    assert_eq!(outcome(&history[1]), ("failed", Some("refused")));
    assert_eq!(outcome(&history[3]), ("failed", Some("exhausted")));
    let query = l::table.order(l::id).select((l::attempts, l::error_message));
    let told: Vec<(i32, Option<String>)> =
        on_conn!(&mut db.read().await.unwrap(), c => query.load(c).await).unwrap();
    assert_eq!(told.iter().map(|(attempts, _)| *attempts).collect::<Vec<_>>(), [1, 1, 3, 4, 4, 1]);
    assert!(told[0].1.as_ref().unwrap().contains("No such user here"), "{told:?}");
    assert!(told[3].1.as_ref().unwrap().contains("Try again later"), "{told:?}");
    assert_eq!(told[2].1, None, "what went well in the end has no error");
}

async fn an_email_in_the_hand_of_a_process_that_died_goes_out_after_its_lease(db: TestDb) {
    let (desk, sink) = (Desk::open(&db).await, SmtpSink::start());
    rename(&db, desk.shop.user, "ana@home.example").await;
    desk.dispatch(&[desk.notice(desk.shop.user, by(Channel::Email))]).await;
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let dying = mailer(&db, &desk.shop.clock, &Smtp { port, timeout_seconds: 20, ..sink.settings() });
    assert!(tokio::time::timeout(Duration::from_millis(500), dying.carry_some()).await.is_err());
    let work = mailer(&db, &desk.shop.clock, &sink.settings());
    carry(&work).await;
    assert!(sink.taken().is_empty(), "another has it in hand");
    desk.shop.clock.advance(Duration::from_secs(121));
    carry(&work).await;
    until("the e-mail is there", async || sink.taken().len() == 1).await;
    assert_eq!(outcome(&desk.history().await[0]), ("sent", None));
}

async fn several_processes_send_each_email_once(db: TestDb) {
    let (desk, sink) = (Desk::open(&db).await, SmtpSink::start());
    let mut notices = Vec::new();
    for number in 0..40 {
        let user = desk.user(empty()).await;
        rename(&db, user, &format!("user{number}@home.example")).await;
        notices.push(desk.notice(user, by(Channel::Email)));
    }
    desk.dispatch(&notices).await;
    let processes: Vec<CarrierWork> =
        (0..3).map(|_| mailer(&db, &desk.shop.clock, &sink.settings())).collect();
    futures_util::future::join_all(processes.iter().map(carry)).await;
    until("all e-mails are there", async || sink.taken().len() == 40).await;
    let names: BTreeSet<String> = sink.taken().iter().map(|mail| mail["message_id"].to_string()).collect();
    assert_eq!(names.len(), 40);
    assert!(desk.history().await.iter().all(|row| row.status == "sent"));
}

async fn what_is_not_wanted_any_more_is_not_sent(db: TestDb) {
    let (desk, sink) = (Desk::open(&db).await, SmtpSink::start());
    let (ana, ben) = (desk.shop.user, desk.user(empty()).await);
    rename(&db, ben, "ben@home.example").await;
    for user in [ana, ben] {
        desk.prefer(Some(user), json!({"channel": "email", "from": 8 * 60, "until": 9 * 60})).await;
    }
    let expires_at = Some(desk.shop.clock.now().plus(Duration::from_mins(30)));
    let brief = Extras { expires_at, ..Extras::default() };
    let brief = Message { extras: brief, ..by(Channel::Email) };
    let urgent = Message { priority: Priority::Critical, ..by(Channel::Email) };
    let notices = [
        desk.notice(ana, by(Channel::Email)),
        desk.notice(ben, by(Channel::Email)),
        desk.notice(ben, brief),
        desk.notice(ben, urgent),
    ];
    desk.dispatch(&notices).await;
    let work = mailer(&db, &desk.shop.clock, &sink.settings());
    carry(&work).await;
    until("what is critical is there", async || sink.taken().len() == 1).await;
    desk.prefer(Some(ana), json!({"enabled": false, "channel": "email", "type": "order:*"})).await;
    desk.shop.clock.advance(Duration::from_hours(1));
    carry(&work).await;
    until("what waited is there", async || sink.taken().len() == 2).await;
    let history = desk.history().await;
    let outcomes: Vec<_> = history.iter().map(outcome).collect();
    assert_eq!(
        outcomes,
        [
            ("failed", Some("turned_off")),
            ("sent", Some("quiet_hours")),
            ("failed", Some("expired")),
            ("sent", Some("critical")),
        ]
    );
}

async fn without_a_server_an_email_fails_and_says_so(db: TestDb) {
    let desk = Desk::open(&db).await;
    desk.dispatch(&[desk.notice(desk.shop.user, by(Channel::Email))]).await;
    carry(&mailer(&db, &desk.shop.clock, &Smtp::default())).await;
    assert_eq!(outcome(&desk.history().await[0]), ("failed", Some("not_set_up")));
}

async fn a_notification_goes_to_the_endpoints_that_ask_for_it_by_name(db: TestDb) {
    let desk = Desk::open(&db).await;
    let asking = desk.shop.webhook(json!(["notification:*"])).await;
    let everything = desk.shop.webhook(json!(["*"])).await;
    desk.dispatch(&[desk.notice(desk.shop.user, by(Channel::Webhook))]).await;
    let work = webhooks(&desk);
    carry(&work).await;
    assert_eq!(desk.shop.deliveries(asking).await, ["notification:sent"]);
    assert!(desk.shop.deliveries(everything).await.is_empty());
    let (_, data) = desk.shop.events_after(bellwire::domain::EventId(0)).await.remove(0);
    assert_eq!(
        (&data["user_id"], &data["title"], &data["body"]),
        (&json!(desk.shop.user), &json!("Shipped"), &json!("It is on its way."))
    );
    assert!(external_ids(&desk).await[0].as_ref().unwrap().starts_with("msg_"));
    carry(&work).await;
    assert_eq!(outcome(&desk.history().await[0]), ("sent", None), "its delivery goes on");
    for (state, expected) in [("pending", "sent"), ("failed", "failed")] {
        let write = async |conn: &mut bellwire::storage::Conn| {
            let all = diesel::update(webhook_deliveries::table).set(webhook_deliveries::status.eq(state));
            Ok(on_conn!(conn, c => all.execute(c).await)?)
        };
        db.transaction(write).await.unwrap();
        desk.shop.clock.advance(Duration::from_mins(2));
        carry(&work).await;
        assert_eq!(desk.history().await[0].status, expected);
    }
}

async fn without_an_endpoint_a_webhook_fails_and_says_so(db: TestDb) {
    let desk = Desk::open(&db).await;
    desk.shop.webhook(json!(["*"])).await;
    desk.dispatch(&[desk.notice(desk.shop.user, by(Channel::Webhook))]).await;
    carry(&webhooks(&desk)).await;
    assert_eq!(outcome(&desk.history().await[0]), ("failed", Some("no_endpoint")));
}

async fn a_whole_server_sends_by_every_channel(db: TestDb) {
    let sink = SmtpSink::start();
    let hub = TestHub::start_on(db, |config| config.notifications.smtp = sink.settings()).await;
    let ana = hub.somebody("Ana").await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let secret = hub.webhook(&ana, &receiver.url(), &["notification:sent"]).await;
    let mut tab = hub.connect_as(&ana).await;
    tab.join(&format!("private-notification.{}", ana.user)).await;
    let body = json!({
        "user_id": ana.user, "type": "promo", "title": "New", "body": "Look here.",
        "channels": ["in_app", "webhook", "email"],
    });
    hub.rest(&ana, "POST", "/api/v1/notifications/send", &[], body).await;
    assert_eq!(tab.expect("notification:created").await["title"], "New");
    let posted = receiver.next().await;
    posted.assert_signed_with(&secret);
    let sent: Value = serde_json::from_slice(&posted.body).unwrap();
    assert_eq!((&sent["event"], &sent["data"]["title"]), (&json!("notification:sent"), &json!("New")));
    until("the e-mail is there", async || sink.taken().len() == 1).await;
    assert_eq!(sink.taken()[0]["to"], json!(["ana@example.com"]));
    until("the history tells of all three", async || {
        let history = hub.rest(&ana, "GET", "/api/v1/notifications/history", &[], Value::Null).await;
        let mut ends: Vec<String> = history["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| format!("{} {}", row["channel"].as_str().unwrap(), row["status"].as_str().unwrap()))
            .collect();
        ends.sort();
        ends == ["email sent", "in_app delivered", "webhook delivered"]
    })
    .await;
    tab.expect_nothing().await;
    hub.stop().await;
}
