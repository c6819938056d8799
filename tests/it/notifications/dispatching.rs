//! The one way by which notifications come into being.

mod habits;

use super::desk::{Desk, Logged, empty, gathered, message};
use crate::support::{Shop, TestDb, opening_time};
use bellwire::domain::{EventId, ScheduledId, UserId};
use bellwire::notifications::decision::Trigger;
use bellwire::notifications::dispatch::{
    Content, Extras, FailureReason, Fate, Message, Notice, Outcome, Sent,
};
use bellwire::notifications::{Channel, Priority};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

on_both_databases!(
    a_notice_is_in_the_inbox_the_history_and_the_users_channel,
    a_bad_notice_does_not_spoil_its_batch,
    a_scheduled_notice_comes_once_however_often_it_is_dispatched,
    each_channel_goes_as_its_recipient_wishes,
    what_was_scheduled_for_a_quiet_hour_is_left_to_the_schedule,
    what_is_gathered_is_in_one_digest_also_when_many_put_it_there,
    a_webhook_that_takes_everything_gets_no_ones_notifications,
    ten_thousand_are_written_in_batches_of_a_thousand,
);

fn sent(outcome: &Outcome) -> &Sent {
    match outcome {
        Outcome::Sent(sent) => sent,
        other => panic!("{other:?}"),
    }
}

fn reason(outcome: &Outcome) -> FailureReason {
    match outcome {
        Outcome::Failed(failure) => failure.reason,
        other => panic!("{other:?}"),
    }
}

async fn a_notice_is_in_the_inbox_the_history_and_the_users_channel(db: TestDb) {
    let desk = Desk::open(&db).await;
    let user = desk.shop.user;
    let extras: Extras = serde_json::from_value(json!({
        "action": {"url": "/orders/7", "label": "Look"}, "icon": "truck", "data": {"order_id": 7},
    }))
    .unwrap();
    let notice = desk.notice(user, Message { extras, ..message() });
    let (outcomes, committed) = desk.dispatch(&[notice]).await;
    let id = sent(&outcomes[0]).in_app.unwrap();
    let [event] = &*committed.events else { panic!("{committed:?}") };
    assert_eq!(
        (event.name.as_str(), event.channel.as_str()),
        ("notification:created", format!("private-notification.{user}").as_str())
    );
    let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
    let expected = json!({
        "id": id, "type": "order:shipped", "title": "Shipped", "body": "It is on its way.",
        "timestamp": opening_time(), "priority": "normal", "action": {"url": "/orders/7", "label": "Look"},
        "icon": "truck", "data": {"order_id": 7}, "expires_at": null,
    });
    assert_eq!(data, expected);
    assert_eq!(desk.inbox(user).await, ["Shipped"]);
    let logged = Logged {
        user,
        channel: Channel::InApp,
        status: "delivered".to_owned(),
        reason: None,
        subject: Some("Shipped".to_owned()),
    };
    assert_eq!(desk.history().await, [logged]);
}

async fn a_bad_notice_does_not_spoil_its_batch(db: TestDb) {
    let (desk, stranger) = (Desk::open(&db).await, Shop::open(&db).await);
    let user = desk.shop.user;
    let expired = Extras { expires_at: Some(opening_time()), ..Extras::default() };
    let expired = Message { extras: expired, ..message() };
    let notices = [
        desk.notice(UserId(999_999), message()),
        desk.notice(stranger.user, message()),
        desk.notice(user, expired),
        desk.notice(user, message()),
    ];
    let (outcomes, _) = desk.dispatch(&notices).await;
    assert_eq!(reason(&outcomes[0]), FailureReason::RecipientGone);
    assert_eq!(reason(&outcomes[1]), FailureReason::RecipientGone, "another tenant's user is not there");
    assert_eq!(reason(&outcomes[2]), FailureReason::Expired);
    assert!(sent(&outcomes[3]).in_app.is_some());
    assert_eq!(desk.inbox(user).await.len(), 1);
    assert!(desk.inbox(stranger.user).await.is_empty());
    let told: Vec<_> = desk.history().await.into_iter().map(|row| (row.status, row.reason)).collect();
    let expected = [("failed".to_owned(), Some("expired".to_owned())), ("delivered".to_owned(), None)];
    assert_eq!(told, expected);
}

async fn a_scheduled_notice_comes_once_however_often_it_is_dispatched(db: TestDb) {
    let desk = Desk::open(&db).await;
    let ben = desk.user(empty()).await;
    let scheduled = |recipient, id, channels| {
        let message = Message { channels, ..message() };
        let notice = desk.notice(recipient, message);
        Notice { trigger: Trigger::Scheduled, scheduled: Some(ScheduledId(id)), ..notice }
    };
    let both = || Some(BTreeSet::from([Channel::InApp, Channel::Email]));
    desk.shop.clock.advance(Duration::from_hours(4));
    let batch = || [scheduled(desk.shop.user, 1, both()), scheduled(ben, 2, None)];
    let (first, _) = desk.dispatch(&batch()).await;
    assert!(first.iter().all(|outcome| !sent(outcome).repeated));
    let mut again = batch().to_vec();
    again.push(scheduled(ben, 3, Some(BTreeSet::from([Channel::Email]))));
    let (second, committed) = desk.dispatch(&again).await;
    let repeated: Vec<bool> = second.iter().map(|outcome| sent(outcome).repeated).collect();
    assert_eq!(repeated, [true, true, false]);
    assert!(committed.events.is_empty());
    desk.dispatch(&again).await;
    assert_eq!((desk.inbox(desk.shop.user).await.len(), desk.inbox(ben).await.len()), (1, 1));
    assert_eq!(desk.history().await.len(), 4, "in the inbox twice, by e-mail twice");
}

async fn each_channel_goes_as_its_recipient_wishes(db: TestDb) {
    let desk = Desk::open(&db).await;
    let user = desk.shop.user;
    desk.prefer(Some(user), json!({"channel": "email", "from": 8 * 60, "until": 9 * 60})).await;
    desk.prefer(Some(user), json!({"channel": "webhook", "enabled": false})).await;
    let all = || Some(Channel::ALL.iter().copied().collect());
    let asked = || Message { channels: all(), ..message() };
    let (outcomes, _) = desk.dispatch(&[desk.notice(user, asked())]).await;
    let fates = &sent(&outcomes[0]).channels;
    assert!(matches!(fates[0], (Channel::InApp, Fate::Delivered(_))), "{fates:?}");
    assert!(matches!(fates[1], (Channel::Webhook, Fate::Skipped(_))), "{fates:?}");
    assert!(
        matches!(&fates[2], (Channel::Email, Fate::Pending(at, _)) if at.to_string() == "2026-03-01T09:00:00.000000Z")
    );
    let critical = Message { priority: Priority::Critical, ..asked() };
    let (outcomes, _) = desk.dispatch(&[desk.notice(user, critical)]).await;
    let now = desk.shop.clock.now();
    for (channel, fate) in &sent(&outcomes[0]).channels {
        assert!(
            matches!(fate, Fate::Delivered(_)) || matches!(fate, Fate::Pending(at, _) if *at == now),
            "{channel}: {fate:?}"
        );
    }
    desk.prefer(Some(user), json!({"enabled": false})).await;
    let (outcomes, _) = desk.dispatch(&[desk.notice(user, message())]).await;
    assert!(matches!(outcomes[0], Outcome::Skipped(_)));
}

async fn what_was_scheduled_for_a_quiet_hour_is_left_to_the_schedule(db: TestDb) {
    let desk = Desk::open(&db).await;
    let manila = desk.user(json!({"timezone": "Asia/Manila"})).await;
    // 08:00 in London is 16:00 in Manila; at 15:00 it is 23:00 there.
    desk.shop.clock.advance(Duration::from_hours(7));
    let scheduled = |user, id| Notice {
        trigger: Trigger::Scheduled,
        scheduled: Some(ScheduledId(id)),
        ..desk.notice(user, message())
    };
    let (outcomes, committed) = desk.dispatch(&[scheduled(manila, 1), scheduled(desk.shop.user, 2)]).await;
    let Outcome::Deferred(time) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(time.due_at.to_string(), "2026-03-02T00:00:00.000000Z");
    assert_eq!((time.reason.as_str(), time.zone.name()), ("quiet_hours", "Asia/Manila"));
    assert_eq!(outcomes[1].as_str(), "sent");
    assert_eq!((committed.events.len(), desk.history().await.len()), (1, 1));
}

async fn what_is_gathered_is_in_one_digest_also_when_many_put_it_there(db: TestDb) {
    let desk = Desk::open(&db).await;
    let user = desk.shop.user;
    desk.prefer(Some(user), json!({"digest": "daily"})).await;
    let at_once = futures_util::future::join_all((0..8).map(async |number| {
        let content = Content::Words { title: format!("Number {number}"), body: String::new() };
        let message = Message { content, ..message() };
        desk.dispatch(&[desk.notice(user, message)]).await.0
    }));
    for outcomes in at_once.await {
        let fates = &sent(&outcomes[0]).channels;
        let nine = "2026-03-01T09:00:00.000000Z";
        assert!(matches!(&fates[0].1, Fate::Gathered(at) if at.to_string() == nine), "{fates:?}");
    }
    assert!(desk.inbox(user).await.is_empty());
    let gathered = gathered(&desk).await;
    let digests: BTreeSet<_> = gathered.iter().map(|(digest, ..)| *digest).collect();
    assert_eq!((gathered.len(), digests.len()), (8, 1));
}

async fn a_webhook_that_takes_everything_gets_no_ones_notifications(db: TestDb) {
    let desk = Desk::open(&db).await;
    let everything = desk.shop.webhook(json!(["*", "notification:*", "notification:created"])).await;
    desk.dispatch(&[desk.notice(desk.shop.user, message())]).await;
    assert_eq!(desk.shop.last_event().await, EventId(1));
    assert!(desk.shop.deliveries(everything).await.is_empty());
}

async fn ten_thousand_are_written_in_batches_of_a_thousand(db: TestDb) {
    let desk = Desk::open(&db).await;
    let mut users = Vec::new();
    for _ in 0..50 {
        users.push(desk.user(empty()).await);
    }
    let shared = Arc::new(message());
    let begun = Instant::now();
    for _ in 0..10 {
        let notice = |number: usize| Notice {
            message: shared.clone(),
            ..desk.notice(users[number % users.len()], message())
        };
        let batch: Vec<Notice> = (0..1_000).map(notice).collect();
        let (outcomes, committed) = desk.dispatch(&batch).await;
        assert!(outcomes.iter().all(|outcome| sent(outcome).in_app.is_some()));
        assert_eq!(committed.events.len(), 1_000);
    }
    println!("10,000 notifications in {:?}", begun.elapsed());
    assert_eq!(desk.inbox(users[0]).await.len(), 200);
}
