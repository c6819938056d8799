//! What an endpoint's owner wants beside the signature: headers of their own, the three ways of proving who calls,
//! and encrypted bodies; none of it readable in the database.

use super::world::{SECRET, World};
use crate::support::TestDb;
use crate::support::receiver::{Answer, Receiver};
use bellwire::domain::Fields;
use bellwire::webhooks::endpoint::Endpoint;
use bellwire::webhooks::secret_changes::SecretChanges;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    own_headers_and_an_api_key_come_with_each_delivery,
    a_basic_password_comes_with_each_delivery,
    a_token_is_got_once_and_kept_until_shortly_before_its_end,
    a_token_that_is_refused_is_replaced_once_within_the_attempt,
    a_provider_that_gives_the_refused_token_again_is_not_believed_twice,
    without_a_token_nothing_is_posted_and_the_attempt_has_failed,
    an_encrypted_body_is_signed_as_it_is_sent,
);

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

impl World {
    /// An endpoint with this beside its URL.
    async fn endpoint_that(&self, url: &str, wants: &Value) -> Endpoint {
        let mut fields = Fields::of(wants.clone()).unwrap();
        let changes = SecretChanges::read(&mut fields);
        fields.finish().unwrap();
        let apply = |secrets: &mut _| changes.clone().apply(secrets).unwrap();
        self.endpoint_with(url, |new| apply(&mut new.secrets)).await
    }
}

fn token(name: &str, expires_in: Option<u32>) -> Answer {
    let mut body = json!({"access_token": name, "token_type": "bearer"});
    if let Some(seconds) = expires_in {
        body["expires_in"] = json!(seconds);
    }
    Answer::Body(200, body.to_string().into_bytes())
}

fn oauth2(tokens: &Receiver) -> Value {
    json!({"auth": {"type": "oauth2", "token_url": tokens.url(), "client_id": "shop 7",
        "client_secret": "p:w&d", "scope": "hooks write"}})
}

async fn own_headers_and_an_api_key_come_with_each_delivery(db: TestDb) {
    let world = World::today(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let wants = json!({"headers": {"X-Shop": "seven", "X-Api-Key": "below"},
        "auth": {"type": "api_key", "header": "X-Api-Key", "value": "CANARY"}});
    let endpoint = world.endpoint_that(&receiver.url(), &wants).await;
    world.publish(&endpoint, "{}").await;
    let request = receiver.next().await;
    assert_eq!((request.header("x-shop"), request.header("x-api-key")), ("seven", "CANARY"));
    assert_eq!(request.header("content-type"), "application/json");
    request.assert_signed_with(SECRET);
    if let Some(path) = world.db.sqlite_path() {
        for file in [path.to_owned(), format!("{path}-wal")] {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!bytes.windows(6).any(|w| w == b"CANARY"), "{file}");
        }
    }
}

async fn a_basic_password_comes_with_each_delivery(db: TestDb) {
    let world = World::today(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let wants = json!({"auth": {"type": "basic", "username": "Aladdin", "password": "open sesame"}});
    let endpoint = world.endpoint_that(&receiver.url(), &wants).await;
    world.publish(&endpoint, "{}").await;
    assert_eq!(receiver.next().await.header("authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}

async fn a_token_is_got_once_and_kept_until_shortly_before_its_end(db: TestDb) {
    let world = World::today(db).await;
    let mut tokens = Receiver::start(token("first", Some(100))).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint_that(&receiver.url(), &oauth2(&tokens)).await;
    for n in 0..5 {
        world.commit(&n.to_string()).await;
    }
    world.sender.wake(&[endpoint.id]);
    for _ in 0..5 {
        assert_eq!(receiver.next().await.header("authorization"), "Bearer first");
    }
    let asked = tokens.next().await;
    assert_eq!(asked.body, b"grant_type=client_credentials&scope=hooks+write");
    assert_eq!(asked.header("content-type"), "application/x-www-form-urlencoded");
    // printf 'shop+7:p%%3Aw%%26d' | base64
    assert_eq!(asked.header("authorization"), "Basic c2hvcCs3OnAlM0F3JTI2ZA==");
    assert!(tokens.already().is_none(), "once for all five");

    tokens.answer(token("second", None));
    world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered")).await;
    world.clock.advance(Duration::from_secs(69));
    world.publish(&endpoint, "{}").await;
    assert_eq!(receiver.next().await.header("authorization"), "Bearer first");
    world.clock.advance(Duration::from_secs(2));
    world.publish(&endpoint, "{}").await;
    assert_eq!(receiver.next().await.header("authorization"), "Bearer second");
}

async fn a_token_that_is_refused_is_replaced_once_within_the_attempt(db: TestDb) {
    let world = World::today(db).await;
    let mut tokens = Receiver::start(token("one", Some(3_600))).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint_that(&receiver.url(), &oauth2(&tokens)).await;
    world.publish(&endpoint, "{}").await;
    world.row_after(1).await;
    tokens.next().await;
    receiver.next().await;
    tokens.answer(token("two", Some(3_600)));
    receiver.answer(Answer::Status(401));
    world.publish(&endpoint, "{}").await;
    let (first, second) = (receiver.next().await, receiver.next().await);
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!((first.header("authorization"), second.header("authorization")), ("Bearer one", "Bearer two"));
    tokens.next().await;
    world.rows_when(|rows| rows[1].attempts == 1).await;
    assert!(receiver.already().is_none() && tokens.already().is_none());
    let log = world.log().await;
    assert_eq!((log.len(), log[1].outcome.as_str(), log[1].status), (2, "http", Some(401)));
}

async fn a_provider_that_gives_the_refused_token_again_is_not_believed_twice(db: TestDb) {
    let world = World::today(db).await;
    let mut tokens = Receiver::start(token("same", Some(3_600))).await;
    let mut receiver = Receiver::start(Answer::Status(401)).await;
    let endpoint = world.endpoint_that(&receiver.url(), &oauth2(&tokens)).await;
    world.publish(&endpoint, "{}").await;
    tokens.next().await;
    tokens.next().await;
    receiver.next().await;
    world.row_after(1).await;
    assert!(receiver.already().is_none() && tokens.already().is_none());
}

async fn without_a_token_nothing_is_posted_and_the_attempt_has_failed(db: TestDb) {
    let world = World::today(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let tokens = Receiver::start(Answer::Body(400, b"CANARY".to_vec())).await;
    let private = json!({"auth": {"type": "oauth2", "token_url": "http://10.0.0.1/", "client_id": "a",
        "client_secret": "b"}});
    let no_json = Receiver::start(Answer::Body(200, b"CANARY".to_vec())).await;
    let wants = [oauth2(&tokens), private, oauth2(&no_json)];
    let told = ["status 400", "webhooks.allowed_networks", "no bearer token"];
    for (count, (wants, told)) in (1..).zip(wants.iter().zip(told)) {
        let endpoint = world.endpoint_that(&receiver.url(), wants).await;
        world.publish(&endpoint, "{}").await;
        world.rows_when(|rows| rows.iter().filter(|row| row.attempts == 1).count() >= count).await;
        let log = world.log().await;
        let last = log.iter().find(|one| one.error.as_ref().unwrap().contains(told)).unwrap();
        assert_eq!((last.outcome.as_str(), last.status, last.body.as_deref()), ("token", None, None));
        assert!(!last.error.as_ref().unwrap().contains("10.0"), "{last:?}");
    }
    assert!(receiver.already().is_none());
}

async fn an_encrypted_body_is_signed_as_it_is_sent(db: TestDb) {
    let world = World::today(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint_that(&receiver.url(), &json!({"encryption_key": KEY})).await;
    world.publish(&endpoint, r#"{"name":"CANARY"}"#).await;
    let request = receiver.next().await;
    assert_eq!(request.header("content-type"), "application/jose");
    request.assert_signed_with(SECRET);
    let body = String::from_utf8(request.body).unwrap();
    assert!(
        body.starts_with("eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..") && !body.contains("CANARY"),
        "{body}"
    );
}
