//! `/api/v1/notifications/templates`, and which words a recipient gets, over both databases.

use crate::support::rest::{Reply, Rest};
use crate::support::{TestDb, opening_time};
use bellwire::domain::Locale;
use bellwire::domain::TenantId;
use bellwire::notifications::template::Variables;
use bellwire::notifications::template::catalogue::system_templates;
use bellwire::notifications::templates::{Pinned, Shelf, compiled, seed};
use bellwire::storage::schema::{notification_template_versions as v, notification_templates as t};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const TEMPLATES: &str = "/api/v1/notifications/templates";

on_both_databases!(
    a_template_is_made_shown_changed_and_deleted,
    other_words_are_a_new_version_and_the_old_ones_stay,
    the_systems_templates_are_there_for_all_and_nobody_changes_them,
    a_code_is_one_template_in_each_language,
    another_tenants_template_is_not_there,
    what_is_wrong_with_a_template_is_said_of_its_field,
    a_preview_names_what_is_missing,
    words_that_are_not_kept_are_previewed,
    templates_are_filtered_and_sorted,
    a_post_that_is_repeated_makes_one_template,
    a_token_needs_the_ability,
    a_recipient_gets_the_tenants_own_words_in_the_nearest_language,
    what_was_pinned_is_rendered_whatever_became_of_the_template,
    the_systems_templates_are_written_once_whoever_starts,
    words_of_the_system_that_changed_are_a_new_version,
);

fn hello() -> Value {
    json!({"code": "hello", "name": "Hello", "title": "Hello {{ name }}", "body_text": "You have {{ count | default(0) }}."})
}

async fn make(rest: &Rest, change: Value) -> i64 {
    let mut body = hello();
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    rest.post(TEMPLATES, body).await.id()
}

async fn system_id(rest: &Rest, code: &str) -> i64 {
    let found = rest.get(&format!("{TEMPLATES}?filter[code]={code}&filter[is_system]=true")).await;
    found.column("id")[0].as_i64().unwrap()
}

async fn a_template_is_made_shown_changed_and_deleted(db: TestDb) {
    let rest = Rest::open(db).await;
    let made = rest.post(TEMPLATES, hello()).await;
    let path = format!("{TEMPLATES}/{}", made.id());
    let expected = json!({"data": {
        "id": made.id(), "tenant_id": rest.shop.tenant, "code": "hello", "locale": "en", "name": "Hello",
        "type": "in_app", "is_active": true, "is_system": false, "version": 1,
        "title": "Hello {{ name }}", "body_text": "You have {{ count | default(0) }}.",
        "variables": [{"name": "count", "required": false}, {"name": "name", "required": true}],
        "created_at": "2026-03-01T08:00:00.500000Z", "updated_at": "2026-03-01T08:00:00.500000Z",
    }});
    assert_eq!(made.body, expected);
    assert_eq!(rest.get(&path).await.body, expected);
    let renamed = rest.patch(&path, json!({"name": "Hi", "is_active": false})).await;
    assert_eq!(
        (&renamed.body["data"]["name"], &renamed.body["data"]["is_active"]),
        (&json!("Hi"), &json!(false))
    );
    assert_eq!(renamed.body["data"]["version"], 1, "a name is no words");
    let fixed = rest.patch(&path, json!({"code": "bye", "locale": "de", "type": "email"})).await;
    assert_eq!(fixed.refusal(), (422, vec!["code", "locale", "type"]));
    assert_eq!(rest.delete(&path).await.status, 204);
    for gone in [rest.get(&path).await, rest.patch(&path, json!({})).await, rest.delete(&path).await] {
        assert_eq!((gone.status, gone.message()), (404, "No such template."));
    }
    make(&rest, json!({})).await;
}

async fn other_words_are_a_new_version_and_the_old_ones_stay(db: TestDb) {
    let rest = Rest::open(db).await;
    let path = format!("{TEMPLATES}/{}", make(&rest, json!({})).await);
    let changed = rest.patch(&path, json!({"title": "Hi {{ who }}", "body_html": "<b>{{ who }}</b>"})).await;
    let data = &changed.body["data"];
    assert_eq!((&data["version"], &data["title"]), (&json!(2), &json!("Hi {{ who }}")));
    assert_eq!(data["variables"][1], json!({"name": "who", "required": true}));
    let same = rest.patch(&path, json!({"title": "Hi {{ who }}"})).await;
    assert_eq!(same.body["data"]["version"], 2);
    assert_eq!(rest.patch(&path, json!({"body_html": null})).await.body["data"]["version"], 3);
    let first = rest.get(&format!("{path}/versions?per_page=2")).await;
    assert_eq!(first.column("version"), [3, 2]);
    let cursor = first.body["meta"]["next_cursor"].as_str().unwrap();
    let rest_of_them = rest.get(&format!("{path}/versions?cursor={cursor}")).await;
    assert_eq!(rest_of_them.column("title"), ["Hello {{ name }}"]);
    assert_eq!(rest_of_them.body["meta"]["next_cursor"], Value::Null);
    let old = rest.get(&format!("{path}/versions/1")).await;
    assert_eq!(old.body["data"]["title"], "Hello {{ name }}");
    assert_eq!(rest.get(&format!("{path}/versions/4")).await.message(), "No such version of this template.");
}

async fn the_systems_templates_are_there_for_all_and_nobody_changes_them(db: TestDb) {
    let rest = Rest::open(db).await;
    let all = rest.get(&format!("{TEMPLATES}?filter[is_system]=true&per_page=100&sort=code")).await;
    let codes: Vec<&str> = all.column("code").into_iter().filter_map(Value::as_str).collect();
    assert_eq!(codes, system_templates().unwrap().iter().map(|one| one.code).collect::<Vec<_>>());
    let path = format!("{TEMPLATES}/{}", system_id(&rest, "order_created_in_app").await);
    let shown = rest.get(&path).await;
    assert_eq!(
        (&shown.body["data"]["tenant_id"], &shown.body["data"]["is_system"]),
        (&Value::Null, &json!(true))
    );
    let customer = json!({"name": "customer_name", "required": false, "about": "Who ordered", "example": "Carla Santos"});
    assert!(shown.body["data"]["variables"].as_array().unwrap().contains(&customer));
    for refused in [rest.patch(&path, json!({"title": "Mine"})).await, rest.delete(&path).await] {
        assert_eq!(refused.status, 403);
        assert!(refused.message().contains("Create one of your own with the code \"order_created_in_app\""));
    }
    assert_eq!(rest.get(&path).await.body, shown.body);
    let with_examples = rest.post(&format!("{path}/preview"), json!({})).await;
    assert_eq!(with_examples.body["data"]["title"], "New order ORD-1001");
    assert_eq!(rest.post(&format!("{path}/preview"), json!({"variables": {}})).await.status, 422);
}

async fn a_code_is_one_template_in_each_language(db: TestDb) {
    let rest = Rest::open(db).await;
    make(&rest, json!({})).await;
    let again = rest.post(TEMPLATES, hello()).await;
    assert_eq!(again.refusal(), (422, vec!["code"]));
    assert!(again.message().contains("\"hello\" in en already"), "{}", again.message());
    let german = make(&rest, json!({"locale": "DE_at"})).await;
    assert_eq!(rest.get(&format!("{TEMPLATES}/{german}")).await.body["data"]["locale"], "de-AT");
    make(&rest, json!({"code": "order_created_in_app"})).await;
}

async fn another_tenants_template_is_not_there(db: TestDb) {
    let rest = Rest::open(db).await;
    let path = format!("{TEMPLATES}/{}", make(&rest, json!({})).await);
    let other = crate::support::Shop::open(&rest.db).await.token(&["*"]).await;
    for (method, path, body) in [
        ("GET", path.clone(), Value::Null),
        ("PATCH", path.clone(), json!({"title": "x"})),
        ("DELETE", path.clone(), Value::Null),
        ("GET", format!("{path}/versions"), Value::Null),
        ("GET", format!("{path}/versions/1"), Value::Null),
        ("POST", format!("{path}/preview"), json!({})),
    ] {
        let reply: Reply = rest.ask(method, &path).token(&other).json(&body).send().await;
        assert_eq!((reply.status, reply.message()), (404, "No such template."), "{method} {path}");
    }
    let listed = rest.ask("GET", &format!("{TEMPLATES}?filter[is_system]=false")).token(&other).send().await;
    assert!(listed.column("id").is_empty());
}

async fn what_is_wrong_with_a_template_is_said_of_its_field(db: TestDb) {
    let rest = Rest::open(db).await;
    let broken =
        rest.post(TEMPLATES, json!({"code": "x", "name": "X", "title": "t", "body_text": "a\n{{ b"})).await;
    assert_eq!(broken.refusal(), (422, vec!["body_text"]));
    assert!(broken.message().contains("line 2"), "{}", broken.message());
    let none = rest.post(TEMPLATES, json!({"code": "x y", "type": "email", "titel": "t"})).await;
    assert_eq!(none.refusal(), (422, vec!["body_text", "code", "name", "subject", "titel", "title"]));
    let path = format!("{TEMPLATES}/{}", make(&rest, json!({})).await);
    let changed = rest.patch(&path, json!({"title": "{% include 'x' %}"})).await;
    assert_eq!(changed.refusal(), (422, vec!["title"]));
    assert_eq!(rest.get(&path).await.body["data"]["version"], 1);
}

async fn a_preview_names_what_is_missing(db: TestDb) {
    let rest = Rest::open(db).await;
    let words = json!({"title": "{{ user.name }}", "body_text": "{{ order.id }} {{ order.total }}", "body_html": "<i>{{ user.name }}</i>"});
    let path = format!("{TEMPLATES}/{}/preview", make(&rest, words).await);
    let missing = rest.post(&path, json!({"variables": {"order": {"id": 7}}})).await;
    assert_eq!(missing.refusal(), (422, vec!["variables.order.total", "variables.user.name"]));
    let variables = json!({"order": {"id": 7, "total": 3}, "user": {"name": "<Ana>"}});
    let shown = rest.post(&path, json!({"variables": variables})).await;
    let expected =
        json!({"subject": null, "title": "<Ana>", "body_text": "7 3", "body_html": "<i>&lt;Ana&gt;</i>"});
    assert_eq!(shown.body, json!({"data": expected}));
    assert_eq!(
        rest.post(&path, json!({"variables": [], "version": 0})).await.refusal().1,
        ["variables", "version"]
    );
    assert_eq!(rest.post(&path, json!({"version": 9})).await.status, 404);
}

async fn words_that_are_not_kept_are_previewed(db: TestDb) {
    let rest = Rest::open(db).await;
    let path = format!("{TEMPLATES}/preview");
    let unsaved = json!({"title": "Hi {{ name }}", "body_text": "!", "variables": {"name": "Ana"}});
    assert_eq!(rest.post(&path, unsaved).await.body["data"]["title"], "Hi Ana");
    let broken = rest.post(&path, json!({"title": "{{ name }}", "body_text": "{{"})).await;
    assert_eq!(broken.refusal(), (422, vec!["body_text"]));
    assert_eq!(
        rest.post(&path, json!({"title": "{{ name }}", "body_text": "!"})).await.refusal().1,
        ["variables.name"]
    );
    assert!(rest.get(&format!("{TEMPLATES}?filter[is_system]=false")).await.column("id").is_empty());
}

async fn templates_are_filtered_and_sorted(db: TestDb) {
    let rest = Rest::open(db).await;
    make(&rest, json!({"code": "b", "name": "Second"})).await;
    make(&rest, json!({"code": "a", "name": "First", "is_active": false, "locale": "pt-BR"})).await;
    make(&rest, json!({"code": "c", "name": "Third", "type": "email", "subject": "s"})).await;
    let codes = async |query: &str| {
        let listed = rest.get(&format!("{TEMPLATES}?filter[is_system]=false&{query}")).await;
        listed.column("code").into_iter().map(|code| code.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes("sort=-code").await, ["c", "b", "a"]);
    assert_eq!(codes("filter[is_active]=true").await, ["b", "c"]);
    assert_eq!(codes("filter[locale]=pt_br").await, ["a"]);
    assert_eq!(codes("filter[type]=email").await, ["c"]);
    assert_eq!(codes("filter[name]=IRS").await, ["a"]);
    let wrong = rest.get(&format!("{TEMPLATES}?filter[type]=sms&filter[locale]=x&sort=version")).await;
    assert_eq!(wrong.refusal(), (422, vec!["filter[locale]", "filter[type]", "sort"]));
}

async fn a_post_that_is_repeated_makes_one_template(db: TestDb) {
    let rest = Rest::open(db).await;
    let post =
        async || rest.ask("POST", TEMPLATES).header("idempotency-key", "k").json(&hello()).send().await;
    let (first, again) = (post().await, post().await);
    assert_eq!((first.id(), again.header("idempotency-replayed")), (again.id(), Some("true")));
}

async fn a_token_needs_the_ability(db: TestDb) {
    let rest = Rest::open(db).await;
    let reader = rest.shop.token(&["templates:read"]).await;
    let refused = rest.ask("POST", TEMPLATES).token(&reader).json(&hello()).send().await;
    assert_eq!((refused.status, refused.message()), (403, "This token lacks the ability templates:write."));
    assert_eq!(rest.ask("GET", TEMPLATES).token(&reader).send().await.status, 200);
    let nobody = rest.shop.token(&[]).await;
    assert_eq!(rest.ask("GET", TEMPLATES).token(&nobody).send().await.status, 403);
    let preview = format!("{TEMPLATES}/preview");
    assert_eq!(rest.ask("POST", &preview).token(&nobody).json(&json!({})).send().await.status, 403);
}

async fn pick(db: &TestDb, tenant: TenantId, code: &str, locale: &str) -> Option<Pinned> {
    let mut conn = db.read().await.unwrap();
    let shelf =
        Shelf::fetch(&mut conn, tenant, &BTreeSet::from([code, "order_created_in_app"])).await.unwrap();
    shelf.pick(code, &Locale::chain(Some(&Locale::parse(locale).unwrap()), None))
}

async fn a_recipient_gets_the_tenants_own_words_in_the_nearest_language(db: TestDb) {
    let rest = Rest::open(db).await;
    let (code, tenant) = ("order_created_in_app", rest.shop.tenant);
    let picked = async |locale: &str| pick(&rest.db, tenant, code, locale).await.unwrap().template.0;
    let system = system_id(&rest, code).await;
    assert_eq!(picked("pt-BR").await, system);
    let english = make(&rest, json!({"code": code})).await;
    let portuguese = make(&rest, json!({"code": code, "locale": "pt"})).await;
    assert_eq!((picked("pt-BR").await, picked("de").await), (portuguese, english));
    rest.patch(&format!("{TEMPLATES}/{portuguese}"), json!({"is_active": false})).await;
    assert_eq!(picked("pt-BR").await, english);
    rest.delete(&format!("{TEMPLATES}/{english}")).await;
    assert_eq!(picked("pt-BR").await, system);
    let other = crate::support::Shop::open(&rest.db).await;
    make(&rest, json!({"code": code})).await;
    assert_eq!(pick(&rest.db, other.tenant, code, "en").await.unwrap().template.0, system);
    assert_eq!(pick(&rest.db, tenant, "nothing_such", "en").await, None);
}

async fn what_was_pinned_is_rendered_whatever_became_of_the_template(db: TestDb) {
    let rest = Rest::open(db).await;
    let path = format!("{TEMPLATES}/{}", make(&rest, json!({})).await);
    let old = pick(&rest.db, rest.shop.tenant, "hello", "en").await.unwrap();
    rest.patch(&path, json!({"title": "Bye {{ name }}"})).await;
    let new = pick(&rest.db, rest.shop.tenant, "hello", "en").await.unwrap();
    assert_eq!((new.template, old.version, new.version), (old.template, 1, 2));
    rest.delete(&path).await;
    let given: Variables = json!({"name": "Ana"}).as_object().unwrap().clone();
    let nowhere = Pinned { version: 9, ..old };
    let mut conn = rest.db.read().await.unwrap();
    let ready = compiled(&mut conn, &BTreeSet::from([old, new, nowhere])).await.unwrap();
    assert_eq!(ready[&old].render(&given).unwrap().title, "Hello Ana");
    assert_eq!(ready[&new].render(&given).unwrap().title, "Bye Ana");
    assert!(!ready.contains_key(&nowhere));
}

async fn count_of_versions(db: &TestDb) -> i64 {
    let mut conn = db.read().await.unwrap();
    on_conn!(&mut conn, c => v::table.count().get_result(c).await).unwrap()
}

async fn the_systems_templates_are_written_once_whoever_starts(db: TestDb) {
    let count = i64::try_from(system_templates().unwrap().len()).unwrap();
    assert_eq!(count_of_versions(&db).await, count);
    db.transaction(async |conn| {
        on_conn!(conn, c => diesel::delete(v::table).execute(c).await)?;
        Ok(on_conn!(conn, c => diesel::delete(t::table).execute(c).await)?)
    })
    .await
    .unwrap();
    let other = db.open_another();
    let (ours, theirs) = tokio::join!(seed(&db, opening_time()), seed(&other, opening_time()));
    assert_eq!(i64::try_from(ours.unwrap() + theirs.unwrap()).unwrap(), count);
    assert_eq!(count_of_versions(&db).await, count);
    assert_eq!(seed(&db, opening_time()).await.unwrap(), 0);
}

async fn words_of_the_system_that_changed_are_a_new_version(db: TestDb) {
    let rest = Rest::open(db).await;
    let id = system_id(&rest, "test_in_app").await;
    let older = async |conn: &mut bellwire::storage::Conn| {
        let row = v::table.filter(v::template_id.eq(id));
        Ok(on_conn!(conn, c => diesel::update(row).set(v::title.eq("Of an older program")).execute(c).await)?)
    };
    rest.db.transaction(older).await.unwrap();
    let now = opening_time();
    let (ours, theirs) = tokio::join!(seed(&rest.db, now), seed(&rest.shop.db, now));
    assert_eq!(ours.unwrap() + theirs.unwrap(), 1);
    let shown = rest.get(&format!("{TEMPLATES}/{id}")).await;
    assert_eq!(shown.body["data"]["version"], 2);
    assert_ne!(shown.body["data"]["title"], "Of an older program");
    let old = rest.get(&format!("{TEMPLATES}/{id}/versions/1")).await;
    assert_eq!(old.body["data"]["title"], "Of an older program");
}
