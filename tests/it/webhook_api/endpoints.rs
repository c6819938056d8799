//! Endpoints are made, shown, changed, held back and deleted.

use super::{Desk, WEBHOOKS};
use crate::support::TestDb;
use crate::support::rest::Rest;
use bellwire::config::Config;
use bellwire::domain::EndpointId;
use bellwire::storage::schema::{idempotency_keys, webhooks};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    an_endpoint_is_made_shown_changed_and_deleted,
    a_secret_is_shown_once_also_to_who_repeats_the_request,
    a_secret_is_replaced_and_the_new_one_shown_once,
    endpoints_are_filtered_and_sorted,
    what_is_secret_is_set_and_taken_away_and_never_shown,
    credentials_do_not_follow_an_endpoint_to_another_host,
    an_endpoint_is_paused_and_resumed,
    a_breaker_is_shown_and_reset,
    a_tenant_has_so_many_endpoints_and_no_more,
    an_event_goes_to_all_endpoints_that_want_it,
    a_breaker_cannot_be_reset_in_a_loop,
    making_it_active_again_clears_why_it_was_not,
    a_deleted_endpoint_gets_nothing_more_and_its_credentials_are_gone,
);

async fn an_endpoint_is_made_shown_changed_and_deleted(db: TestDb) {
    let rest = Rest::open(db).await;
    let made = rest.post(WEBHOOKS, json!({"url": "https://ERP.example/hook", "events": ["order:*"]})).await;
    let path = format!("{WEBHOOKS}/{}", made.id());
    let secret = made.body["data"]["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"));
    let mut expected = json!({"data": {
        "id": made.id(), "tenant_id": rest.shop.tenant, "name": "erp.example", "url": "https://erp.example/hook",
        "events": ["order:*"], "is_active": true, "is_paused": false, "disabled_reason": null,
        "max_retries": 5, "retry_delay": 100, "timeout_ms": 5000, "concurrency": null, "rate_per_minute": null,
        "is_ordered": false, "breaker_threshold": null, "breaker_open_seconds": null, "strategy": "http_post",
        "pusher_key": null,
        "breaker": {"state": "closed", "failures": 0, "until": null, "deferred_until": null},
        "public_key": null, "headers": [], "auth": null, "is_encrypted": false, "last_triggered_at": null,
        "created_at": "2026-03-01T08:00:00.000000Z", "updated_at": "2026-03-01T08:00:00.000000Z",
    }});
    assert_eq!(rest.get(&path).await.body, expected);
    expected["data"]["secret"] = secret.into();
    assert_eq!(made.body, expected);
    let change = json!({"concurrency": 4, "rate_per_minute": 600, "is_ordered": true, "timeout_ms": 900,
        "breaker_threshold": 3, "breaker_open_seconds": 60, "max_retries": 2, "retry_delay": 50});
    let patched = rest.patch(&path, change.clone()).await;
    for (field, value) in change.as_object().unwrap() {
        assert_eq!(&patched.body["data"][field], value, "{field}");
    }
    let put = json!({"name": "ERP", "url": "http://other.example/", "events": ["*"], "concurrency": null});
    let put = rest.ask("PUT", &path).json(&put).send().await;
    assert_eq!((put.status, &put.body["data"]["events"]), (200, &json!(["*"])));
    assert_eq!(put.body["data"]["concurrency"], Value::Null);
    assert_eq!(put.body["data"]["rate_per_minute"], 600, "what is not given stays");
    assert_eq!(rest.get(&path).await.body, put.body);
    let deleted = rest.delete(&path).await;
    assert_eq!((deleted.status, deleted.bytes.len()), (204, 0));
    for gone in [rest.get(&path).await, rest.patch(&path, json!({})).await, rest.delete(&path).await] {
        assert_eq!((gone.status, gone.message()), (404, "No such webhook."));
    }
    assert!(rest.get(WEBHOOKS).await.column("id").is_empty());
}

async fn a_secret_is_shown_once_also_to_who_repeats_the_request(db: TestDb) {
    let rest = Rest::open(db).await;
    let body = json!({"url": "https://erp.example/", "events": ["*"]});
    let post = async || rest.ask("POST", WEBHOOKS).header("idempotency-key", "k").json(&body).send().await;
    let (first, again) = (post().await, post().await);
    assert_eq!(first.id(), again.id());
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let secret = first.body["data"]["secret"].as_str().unwrap();
    assert_eq!(again.body["data"]["secret"], Value::Null);
    let mut conn = rest.db.read().await.unwrap();
    let kept: String =
        on_conn!(&mut conn, c => idempotency_keys::table.select(idempotency_keys::body).first(c).await)
            .unwrap();
    assert!(!kept.contains(secret));
    for path in [WEBHOOKS.to_owned(), format!("{WEBHOOKS}/{}", first.id())] {
        let shown = rest.get(&path).await;
        assert!(!String::from_utf8_lossy(&shown.bytes).contains("secret"), "{path}");
    }
}

async fn a_secret_is_replaced_and_the_new_one_shown_once(db: TestDb) {
    let desk = Desk::open(db).await;
    let made = desk
        .rest
        .post(WEBHOOKS, json!({"url": "https://a.example/", "events": ["*"], "signature": "v1a"}))
        .await;
    let (id, old) = (made.id(), &made.body["data"]);
    assert!(old["public_key"].as_str().unwrap().starts_with("whpk_"));
    let path = format!("{id}/rotate-secret");
    let rotated = desk.post(&path, json!({"overlap_seconds": 60})).await;
    let new = &rotated.body["data"];
    assert_eq!(rotated.status, 200);
    for field in ["secret", "public_key"] {
        assert!(new[field].is_string() && new[field] != old[field], "{field}");
    }
    desk.assert_rung(id).await;
    assert_eq!(desk.post(&path, json!({})).await.status, 200);
    let wrong = desk.post(&path, json!({"overlap_seconds": 604_801, "secret": "x"})).await;
    assert_eq!(wrong.refusal(), (422, vec!["overlap_seconds", "secret"]));
}

async fn what_is_secret_is_set_and_taken_away_and_never_shown(db: TestDb) {
    let desk = Desk::open(db).await;
    let own = json!({"url": "https://a.example/", "events": ["*"], "signature": "v1a", "headers": {"X-Shop": "CANARY"},
        "auth": {"type": "api_key", "header": "X-Key", "value": "CANARY"},
        "encryption_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="});
    let id = desk.rest.post(WEBHOOKS, own).await.id();
    let path = format!("{WEBHOOKS}/{id}");
    let shown = desk.rest.get(&path).await;
    assert!(!shown.body.to_string().contains("CANARY") && !shown.body.to_string().contains("AAEC"));
    let data = &shown.body["data"];
    assert_eq!(data["headers"], json!(["x-shop"]));
    assert_eq!(data["auth"], json!({"type": "api_key", "header": "x-key"}));
    assert_eq!((&data["is_encrypted"], data["public_key"].is_string()), (&json!(true), true));

    let changed = desk
        .rest
        .patch(
            &path,
            json!({"auth": {"type": "basic", "username": "a", "password": "CANARY"},
        "encryption_key": null, "signature": "v1", "name": "Mine"}),
        )
        .await;
    let data = &changed.body["data"];
    assert_eq!(
        (changed.status, &data["auth"], &data["name"]),
        (200, &json!({"type": "basic"}), &json!("Mine"))
    );
    assert_eq!((&data["headers"], &data["is_encrypted"]), (&json!(["x-shop"]), &json!(false)));
    assert!(data["public_key"].is_null());

    let wrong = json!({"url": "http://a.example:22/", "events": ["*"]});
    assert_eq!(desk.rest.post(WEBHOOKS, wrong).await.refusal(), (422, vec!["url"]));
    let wrong = json!({"headers": {"Host": "x"}, "auth": {"type": "basic"}, "encryption_key": "x"});
    let fields = vec!["auth.password", "auth.username", "encryption_key", "headers"];
    assert_eq!(desk.rest.patch(&path, wrong).await.refusal(), (422, fields));
    assert_eq!(
        desk.rest.patch(&path, json!({"url": "https://a.example:25/"})).await.refusal(),
        (422, vec!["url"])
    );
}

async fn credentials_do_not_follow_an_endpoint_to_another_host(db: TestDb) {
    let desk = Desk::open(db).await;
    let own = json!({"url": "https://a.example/", "events": ["*"], "headers": {"X-Shop": "s"},
        "auth": {"type": "api_key", "header": "X-Key", "value": "k"}});
    let path = format!("{WEBHOOKS}/{}", desk.rest.post(WEBHOOKS, own).await.id());
    let elsewhere = "https://b.example/";
    for body in [json!({"url": elsewhere}), json!({"url": elsewhere, "auth": null})] {
        assert_eq!(desk.rest.patch(&path, body).await.refusal(), (422, vec!["url"]));
    }
    assert_eq!(desk.rest.patch(&path, json!({"url": "https://a.example/other"})).await.status, 200);
    let named = json!({"url": elsewhere, "auth": null, "headers": {"X-Shop": "s"}});
    assert_eq!(desk.rest.patch(&path, named).await.status, 200);
    assert_eq!(desk.rest.patch(&path, json!({"url": elsewhere})).await.status, 200, "it is the same");
}

async fn endpoints_are_filtered_and_sorted(db: TestDb) {
    let rest = Rest::open(db).await;
    for (name, host, active) in [("Till", "a", true), ("ERP", "b", false), ("erp 2", "c", true)] {
        let body = json!({"name": name, "url": format!("https://{host}.example/"), "events": ["*"], "is_active": active});
        rest.post(WEBHOOKS, body).await.id();
    }
    for (query, expected) in [
        ("sort=-url", ["erp 2", "ERP", "Till"].as_slice()),
        ("filter[name]=ERP", &["ERP", "erp 2"]),
        ("filter[url]=a.example", &["Till"]),
        ("filter[is_active]=true&sort=url", &["Till", "erp 2"]),
        ("filter[is_paused]=true", &[]),
        ("per_page=1&page=2", &["ERP"]),
    ] {
        assert_eq!(rest.get(&format!("{WEBHOOKS}?{query}")).await.column("name"), *expected, "{query}");
    }
    assert_eq!(rest.get(&format!("{WEBHOOKS}?per_page=2")).await.body["meta"]["total"], 3);
    let wrong = rest.get(&format!("{WEBHOOKS}?sort=secret&filter[secret]=x")).await;
    assert_eq!(wrong.refusal(), (422, vec!["filter[secret]", "sort"]));
}

async fn an_endpoint_is_paused_and_resumed(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    for (verb, is_paused) in [("pause", true), ("pause", true), ("resume", false)] {
        let answer = desk.post(&format!("{id}/{verb}"), Value::Null).await;
        assert_eq!((answer.status, &answer.body["data"]["is_paused"]), (200, &json!(is_paused)));
        assert_eq!(desk.get(&id.to_string()).await.body, answer.body);
        desk.assert_rung(id).await;
    }
}

async fn a_breaker_is_shown_and_reset(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    let (now, later) = (desk.at(0), desk.at(3_600));
    let row = format!(
        "INSERT INTO webhook_breakers (webhook_id, state, failures, until, deferred_until, updated_at)
         VALUES ({id}, 'open', 5, {later}, {now}, {now})"
    );
    desk.run(&row).await;
    let open = json!({"state": "open", "failures": 5, "until": "2026-03-01T09:00:00.500000Z",
        "deferred_until": "2026-03-01T08:00:00.500000Z"});
    assert_eq!(desk.get(&id.to_string()).await.body["data"]["breaker"], open);
    assert_eq!(desk.rest.get(WEBHOOKS).await.body["data"][0]["breaker"], open);
    for _ in 0..2 {
        let reset = desk.post(&format!("{id}/reset"), Value::Null).await;
        let closed = json!({"state": "closed", "failures": 0, "until": null, "deferred_until": null});
        assert_eq!((reset.status, &reset.body["data"]["breaker"]), (200, &closed));
        desk.assert_rung(id).await;
    }
}

async fn a_tenant_has_so_many_endpoints_and_no_more(db: TestDb) {
    let mut config = Config::default();
    config.webhooks.endpoints_per_tenant = 2;
    let desk = Desk { rest: Rest::open_with(db, config).await };
    let first = desk.endpoint(&["*"]).await;
    desk.endpoint(&["*"]).await;
    let body = json!({"url": "https://erp.example/hook", "events": ["*"]});
    let refused = desk.rest.post(WEBHOOKS, body.clone()).await;
    assert_eq!(refused.status, 409);
    let told = refused.body["message"].as_str().unwrap();
    assert!(told.contains("may have 2") && told.contains("webhooks.endpoints_per_tenant"), "{told}");
    desk.rest.delete(&format!("{WEBHOOKS}/{first}")).await;
    assert_eq!(desk.rest.post(WEBHOOKS, body).await.status, 201);
}

async fn an_event_goes_to_all_endpoints_that_want_it(db: TestDb) {
    let desk = Desk::open(db).await;
    let wanting =
        [desk.endpoint(&["product:*"]).await, desk.endpoint(&["*"]).await, desk.endpoint(&["*"]).await];
    let other = desk.endpoint(&["order:*"]).await;
    desk.event().await;
    for id in wanting {
        assert_eq!(desk.rest.shop.deliveries(EndpointId(id)).await.len(), 1);
    }
    assert_eq!(desk.rest.shop.deliveries(EndpointId(other)).await.len(), 0);
}

async fn a_breaker_cannot_be_reset_in_a_loop(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    let reset = async || desk.post(&format!("{id}/reset"), Value::Null).await;
    for _ in 0..10 {
        assert_eq!(reset().await.status, 200);
    }
    let refused = reset().await;
    assert_eq!(
        (refused.status, refused.headers.get("retry-after").unwrap().as_bytes()),
        (429, b"7".as_slice())
    );
    assert_eq!(desk.post(&format!("{id}/test"), Value::Null).await.status, 429);
    desk.rest.shop.clock.advance(Duration::from_secs(6));
    assert_eq!(reset().await.status, 200);
}

async fn making_it_active_again_clears_why_it_was_not(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    let path = format!("{WEBHOOKS}/{id}");
    desk.run(&format!("UPDATE webhooks SET is_active = FALSE, disabled_reason = 'gone' WHERE id = {id}"))
        .await;
    let renamed = desk.rest.patch(&path, json!({"name": "ERP", "is_active": false})).await;
    assert_eq!(renamed.body["data"]["disabled_reason"], "gone");
    desk.assert_rung(id).await;
    let active = desk.rest.patch(&path, json!({"is_active": true})).await;
    assert_eq!(
        (&active.body["data"]["is_active"], &active.body["data"]["disabled_reason"]),
        (&json!(true), &Value::Null)
    );
    desk.assert_rung(id).await;
}

async fn a_deleted_endpoint_gets_nothing_more_and_its_credentials_are_gone(db: TestDb) {
    let desk = Desk::open(db).await;
    let id = desk.endpoint(&["*"]).await;
    desk.event().await;
    desk.run(&format!("UPDATE webhooks SET headers = 'x', auth = 'y', signing_key = 'z' WHERE id = {id}"))
        .await;
    let before = desk.rest.shop.deliveries(EndpointId(id)).await.len();
    assert_eq!(desk.rest.delete(&format!("{WEBHOOKS}/{id}")).await.status, 204);
    desk.assert_rung(id).await;
    desk.event().await;
    assert_eq!(desk.rest.shop.deliveries(EndpointId(id)).await.len(), before);
    let query = webhooks::table.filter(webhooks::id.eq(id)).select((
        webhooks::secret,
        webhooks::headers,
        webhooks::auth,
        webhooks::signing_key,
    ));
    let mut conn = desk.rest.db.read().await.unwrap();
    let left: (String, Option<String>, Option<String>, Option<String>) =
        on_conn!(&mut conn, c => query.first(c).await).unwrap();
    assert_eq!(left, ("deleted".to_owned(), None, None, None));
}

#[actix_rt::test]
async fn every_wrong_field_is_named() {
    let rest = Rest::open(TestDb::sqlite().await).await;
    let wrong = rest.post(WEBHOOKS, json!({"events": [], "colour": "red", "secret": "short"})).await;
    assert_eq!(wrong.refusal(), (422, vec!["colour", "events", "secret", "url"]));
    let wrong = rest.post(WEBHOOKS, json!({"url": "https://u:p@a.example/", "events": ["a b", 7]})).await;
    assert_eq!(wrong.refusal(), (422, vec!["events.0", "events.1", "url"]));
    let wrong = rest.post(WEBHOOKS, json!({"url": 7, "events": "*", "strategy": "carrier_pigeon"})).await;
    assert_eq!(wrong.refusal(), (422, vec!["events", "strategy", "url"]));
    assert_eq!(rest.ask("DELETE", WEBHOOKS).send().await.status, 405);
    assert_eq!(rest.get(&format!("{WEBHOOKS}/seven")).await.status, 404);
}
