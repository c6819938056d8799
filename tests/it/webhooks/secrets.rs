//! Secrets at rest: sealed in the database, opened to sign, and nothing lost when a key is not there.

use super::world::{SECRET, Sender, World};
use crate::support::receiver::{Answer, Receiver};
use crate::support::server::CONFIG;
use crate::support::{Caller, Program, Server, TestDb, until};
use bellwire::config::{SecretKeys, Webhooks};
use bellwire::domain::EndpointId;
use bellwire::storage::{Conn, Db};
use bellwire::webhooks::sealing::{Sealing, seal_all};
use bellwire::webhooks::vault::{Unopened, Vault, new_key};
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use serde_json::json;

on_both_databases!(
    a_secret_stands_in_the_row_sealed,
    a_secret_from_before_the_vault_signs_and_is_sealed_when_the_server_starts,
    keys_are_changed_without_a_delivery_failing,
    without_its_key_a_delivery_waits_and_goes_out_when_the_key_is_back,
    a_sealed_secret_that_was_moved_to_another_tenant_does_not_sign,
    more_endpoints_than_a_batch_are_all_sealed,
);

#[derive(diesel::QueryableByName)]
struct Stored {
    #[diesel(sql_type = Text)]
    secret: String,
}

async fn stored(db: &Db) -> Vec<String> {
    let query = diesel::sql_query("SELECT secret FROM webhooks ORDER BY id");
    let mut conn = db.read().await.unwrap();
    let rows: Vec<Stored> = on_conn!(&mut conn, c => query.load(c).await).unwrap();
    rows.into_iter().map(|row| row.secret).collect()
}

async fn execute(db: &Db, statement: &str) {
    let run = async |conn: &mut Conn| {
        let query = diesel::sql_query(statement);
        Ok(on_conn!(conn, c => query.execute(c).await)?)
    };
    db.transaction(run).await.unwrap();
}

fn some_key() -> String {
    new_key().unwrap().text().expose().to_owned()
}

fn keys(texts: &[&str]) -> SecretKeys {
    SecretKeys::parse(texts.iter().copied()).unwrap()
}

/// Another process on the world's database, with these keys.
async fn sender_with(world: &World, keys: SecretKeys) -> Sender {
    let config = Webhooks { secret_keys: keys, ..world.config.clone() };
    Sender::start(world.db.open_another(), world.clock.clone(), &config).await
}

async fn a_secret_stands_in_the_row_sealed(db: TestDb) {
    let world = World::today(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let [stored] = stored(&world.db).await.try_into().unwrap();
    assert!(stored.starts_with(&world.vault().current_prefix().unwrap()), "{stored}");
    assert!(!stored.contains(SECRET) && !format!("{endpoint:?}").contains("MfKQ"));
    world.publish(&endpoint, "{}").await;
    receiver.next().await.assert_signed_with(SECRET);
}

async fn a_secret_from_before_the_vault_signs_and_is_sealed_when_the_server_starts(db: TestDb) {
    let world = World::today(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    execute(&world.db, &format!("UPDATE webhooks SET secret = '{SECRET}'")).await;
    world.publish(&endpoint, "{}").await;
    receiver.next().await.assert_signed_with(SECRET);

    let next = world.another_sender().await;
    assert!(stored(&world.db).await[0].starts_with("sealed:"));
    world.commit("{}").await;
    next.wake(&[endpoint.id]);
    receiver.next().await.assert_signed_with(SECRET);
    let again = seal_all(&world.db, &world.vault()).await.unwrap();
    assert_eq!(again, Sealing::default(), "what is sealed stays as it is");
}

async fn keys_are_changed_without_a_delivery_failing(db: TestDb) {
    let world = World::today(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let (old, new) = (some_key(), some_key());
    let _first = sender_with(&world, keys(&[&old])).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let mut prefixes = Vec::new();
    for now in [&[old.as_str()][..], &[&old, &new], &[&new, &old], &[&new]] {
        let mut known = now.to_vec();
        let first = some_file_or_test_key(&world);
        known.extend(first.as_deref());
        let sender = sender_with(&world, keys(&known)).await;
        world.commit("{}").await;
        sender.wake(&[endpoint.id]);
        receiver.next().await.assert_signed_with(SECRET);
        prefixes.push(stored(&world.db).await[0].split(':').nth(1).unwrap().to_owned());
    }
    let (old, new) = (old.split(':').next().unwrap(), new.split(':').next().unwrap());
    assert_eq!(prefixes, [old, old, new, new]);
}

/// On PostgreSQL what the endpoint was first sealed with; on SQLite that is found in the file.
fn some_file_or_test_key(world: &World) -> Option<String> {
    world.config.secret_keys.as_slice().first().map(|key| key.text().expose().to_owned())
}

async fn without_its_key_a_delivery_waits_and_goes_out_when_the_key_is_back(db: TestDb) {
    let world = World::today(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let key = some_key();
    let endpoint = world.endpoint(&receiver.url()).await;
    let sealed_elsewhere = Vault::new(keys(&[&key]).as_slice()).unwrap();
    let opened = endpoint.secrets(&world.vault()).unwrap();
    let sealed = opened.seal(&sealed_elsewhere, world.tenant).unwrap();
    world.put(endpoint.id, &sealed).await;

    let found = seal_all(&world.db, &world.vault()).await.unwrap();
    let id = key.split(':').next().unwrap().to_owned();
    assert_eq!(found.unopened, [(endpoint.id, Unopened::NoKey(id.clone()))]);
    world.publish(&endpoint, "{}").await;
    let row = world.row_after(1).await;
    assert_eq!(row.status, "pending");
    let log = world.log().await;
    let error = log[0].error.as_deref().unwrap();
    assert_eq!(log[0].outcome, "unsendable");
    assert!(error.contains("key") && !error.contains(&id), "{error}");
    assert!(receiver.already().is_none());

    world.clock.advance(row.due_at.since(world.clock.now()));
    let sender = sender_with(&world, keys(&[&key])).await;
    sender.wake(&[endpoint.id]);
    receiver.next().await.assert_signed_with(SECRET);
    assert_eq!(world.row_after(2).await.status, "delivered");
}

async fn a_sealed_secret_that_was_moved_to_another_tenant_does_not_sign(db: TestDb) {
    let world = World::today(db).await;
    let receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let stranger = super::world::create_tenant(&world.db).await;
    execute(&world.db, &format!("UPDATE webhooks SET tenant_id = {stranger}")).await;
    let found = seal_all(&world.db, &world.vault()).await.unwrap();
    assert_eq!(found.unopened, [(endpoint.id, Unopened::Broken)]);
}

async fn more_endpoints_than_a_batch_are_all_sealed(db: TestDb) {
    let world = World::today(db).await;
    world.endpoint("http://127.0.0.1:9/").await;
    let copies = "INSERT INTO webhooks (tenant_id, name, url, secret, events, created_at, updated_at) \
        SELECT tenant_id, name, url, 'whsec_plain', events, created_at, updated_at FROM webhooks";
    for _ in 0..9 {
        execute(&world.db, copies).await;
    }
    let done = seal_all(&world.db, &world.vault()).await.unwrap();
    assert_eq!(done, Sealing { sealed: 511, ..Sealing::default() });
    assert!(stored(&world.db).await.iter().all(|secret| secret.starts_with("sealed:")));
    let last = EndpointId(512);
    let mut conn = world.db.read().await.unwrap();
    let found = bellwire::webhooks::endpoint::find(&mut conn, world.tenant, last).await.unwrap();
    assert_eq!(found.secrets(&world.vault()).unwrap().current.secret.expose(), "whsec_plain");
}

#[actix_rt::test]
async fn no_file_of_a_sqlite_database_holds_a_secret() {
    let world = World::today(TestDb::sqlite().await).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    world.publish(&endpoint, "{}").await;
    receiver.next().await;
    world.row_after(1).await;
    let path = world.db.sqlite_path().unwrap();
    let folder = std::path::Path::new(path).parent().unwrap();
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds("whsec_") && !holds(&SECRET["whsec_".len()..]), "{:?}", file.file_name());
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names[..2], ["test.db", "test.db-shm"]);
    assert!(names.contains(&"test.db.key".to_owned()), "{names:?}");
}

#[actix_rt::test]
async fn without_keys_no_endpoint_is_made_on_postgresql() {
    let world = World::today(TestDb::postgres().await).await;
    let vault = Vault::of(&Webhooks::default(), &world.db).unwrap();
    let new = world.draft("http://127.0.0.1:9/");
    let create = async |conn: &mut Conn| {
        bellwire::webhooks::endpoint::create(conn, &vault, new.clone(), world.clock.now()).await
    };
    let error = world.db.transaction(create).await.unwrap_err();
    assert_eq!(error.code().status(), 503);
    assert!(error.message().contains("BELLWIRE__WEBHOOKS__SECRET_KEYS"), "{error}");
    assert_eq!(stored(&world.db).await.len(), 0);
}

#[actix_rt::test]
async fn a_lost_key_is_told_when_the_server_starts_and_can_be_given_back() {
    let program = Program::new().with_config(CONFIG);
    let caller = Caller::made_by(&program).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let secret = caller.subscribe(&program, &receiver.url(), "*").await;
    let file = program.folder().join("data/bellwire.db.key");
    let key = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();

    let server = Server::start(&program);
    let product = |sku: &str| json!({"name": "Rice", "sku": sku, "price": 1});
    caller.post(&server.url("/api/v1/products"), &product("A")).await.unwrap();
    let told = async || server.log().contains("their secrets do not open; put the key back");
    until("the log says that a key is missing", told).await;
    assert!(!server.log().contains(&secret) && !server.log().contains(&key));
    let attempted = async || server.log().contains("the secrets of a webhook do not open");
    until("an attempt is made in vain", attempted).await;
    assert_eq!((server.terminate().await.code(), receiver.connections()), (Some(0), 0));

    let program = program.with_env("BELLWIRE__WEBHOOKS__SECRET_KEYS", &key);
    let server = Server::start(&program);
    assert!(!server.log().contains("do not open"));
    caller.post(&server.url("/api/v1/products"), &product("B")).await.unwrap();
    receiver.next().await.assert_signed_with(&secret);
}
