//! Channels: what each of them makes of one and the same notification.

use super::desk::{Desk, message};
use crate::support::TestDb;
use bellwire::config::Notifications;
use bellwire::domain::{NotificationId, TemplateId};
use bellwire::notifications::Channel;
use bellwire::notifications::channel_driver::Envelope;
use bellwire::notifications::dispatch::{Content, Message, Wordings};
use bellwire::notifications::recipients;
use bellwire::notifications::template::{Template, TemplateSource, Variables};
use bellwire::notifications::templates::Pinned;
use bellwire::storage::schema::notification_log as l;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

on_both_databases!(
    each_channel_has_an_address_and_words_of_its_own,
    what_is_for_the_inbox_is_there_at_once_and_the_rest_waits_for_its_carrier,
);

fn template() -> Template {
    let source = TemplateSource {
        subject: Some("Your order is on its way".to_owned()),
        title: "Shipped".to_owned(),
        body_text: "It comes soon.".to_owned(),
        body_html: Some("<p>It comes soon.</p>".to_owned()),
    };
    Template::compile(&source).unwrap()
}

async fn each_channel_has_an_address_and_words_of_its_own(db: TestDb) {
    let desk = Desk::open(&db).await;
    let users = BTreeSet::from([desk.shop.user]);
    let known = recipients::read(&mut db.read().await.unwrap(), &users).await.unwrap();
    let (ana, words) = (&known[&desk.shop.user], template().render(&Variables::new()).unwrap());
    let title = Envelope { address: None, subject: "Shipped".to_owned(), body_html: None };
    let letter = Envelope {
        address: Some(ana.email.clone()),
        subject: "Your order is on its way".to_owned(),
        body_html: Some("<p>It comes soon.</p>".to_owned()),
    };
    for (channel, envelope, digest) in [
        (Channel::InApp, &title, "digest_in_app"),
        (Channel::Webhook, &title, "digest_in_app"),
        (Channel::Email, &letter, "digest_email"),
    ] {
        assert_eq!(channel.driver().envelope(ana, &words), *envelope, "{channel}");
        assert_eq!(channel.driver().digest_template(), digest, "{channel}");
    }
}

/// Channel, status, address, subject, text, HTML.
type Written = (Channel, String, Option<String>, Option<String>, String, Option<String>);

async fn what_is_for_the_inbox_is_there_at_once_and_the_rest_waits_for_its_carrier(db: TestDb) {
    let desk = Desk::open(&db).await;
    let user = desk.shop.user;
    let version = Pinned { template: TemplateId(1), version: 1 };
    let wordings = Arc::new(Wordings::pinned(version, Arc::new(HashMap::from([(version, template())]))));
    let mut told = 0;
    for channel in Channel::ALL {
        let content = Content::Template { wordings: wordings.clone(), variables: Variables::new() };
        let message = Message { content, channels: Some(BTreeSet::from([*channel])), ..message() };
        told += desk.dispatch(&[desk.notice(user, message)]).await.1.events.len();
    }
    assert_eq!((desk.inbox(user).await, told), (vec!["Shipped".to_owned()], 1));
    let mut conn = db.read().await.unwrap();
    let query = l::table
        .order(l::id)
        .select(((l::channel, l::status, l::recipient, l::subject, l::body, l::body_html), l::in_app_id));
    let written: Vec<(Written, Option<NotificationId>)> =
        on_conn!(&mut conn, c => query.load(c).await).unwrap();
    let known = recipients::read(&mut conn, &BTreeSet::from([user])).await.unwrap();
    for (channel, (row, in_app)) in Channel::ALL.iter().zip(&written) {
        let carrier = channel.driver().carrier((&db, &desk.shop.clock), &Notifications::default());
        assert!(carrier.as_ref().is_none_or(|carrier| carrier.channel() == *channel));
        assert_eq!(carrier.is_none(), in_app.is_some(), "{channel}: who has no carrier is in the inbox");
        let status = if carrier.is_some() { "pending" } else { "delivered" };
        let words = template().render(&Variables::new()).unwrap();
        let Envelope { address, subject, body_html } = channel.driver().envelope(&known[&user], &words);
        let expected = (*channel, status.to_owned(), address, Some(subject), words.body_text, body_html);
        assert_eq!(*row, expected);
    }
    let waits: Vec<bool> = written.iter().map(|(_, in_app)| in_app.is_none()).collect();
    assert_eq!(waits, [false, true, true]);
}
