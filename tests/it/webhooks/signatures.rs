//! Real deliveries, verified by `standardwebhooks` from `PyPI` and, for `v1a`, by Python's `cryptography`: with both
//! generations of secrets while they overlap.

use super::world::World;
use crate::support::TestDb;
use crate::support::receiver::{Answer, Received, Receiver};
use bellwire::storage::Conn;
use bellwire::webhooks::endpoint::Endpoint;
use bellwire::webhooks::rotation::rotate;
use bellwire::webhooks::secrets::{Shown, SigningSecrets};
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

on_both_databases!(
    both_secrets_and_both_public_keys_verify_while_they_overlap,
    an_endpoint_without_a_key_pair_is_signed_with_v1_alone,
    another_tenant_cannot_rotate,
);

const DAY: Duration = Duration::from_hours(24);

async fn python_verifies(received: &Received, shown: &[&Shown]) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    assert!(python.exists(), "tests/run installs the Python packages into target/python");
    let asked = json!({
        "headers": received.headers,
        "body": String::from_utf8(received.body.clone()).unwrap(),
        "secrets": shown.iter().map(|s| s.secret.expose()).collect::<Vec<_>>(),
        "public_keys": shown.iter().filter_map(|s| s.public_key.clone()).collect::<Vec<_>>(),
    });
    let run = move || {
        let mut process = Command::new(python)
            .arg("verify_webhook.py")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients"))
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        process.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
        process.wait_with_output().unwrap()
    };
    let output = actix_rt::task::spawn_blocking(run).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl World {
    async fn rotate(&self, endpoint: &Endpoint, overlap: Duration) -> Shown {
        let (vault, of, now) = (self.vault(), (endpoint.tenant_id, endpoint.id), self.clock.now());
        let work = async |conn: &mut Conn| rotate(conn, &vault, of, overlap, now).await;
        self.db.transaction(work).await.unwrap()
    }
}

async fn both_secrets_and_both_public_keys_verify_while_they_overlap(db: TestDb) {
    let world = World::today(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let secrets = SigningSecrets::generate(true).unwrap();
    let first = secrets.shown();
    let endpoint = world.endpoint_with(&receiver.url(), |new| new.secrets.current = secrets.clone()).await;
    world.publish(&endpoint, r#"{"name":"Größe"}"#).await;
    python_verifies(&receiver.next().await, &[&first]).await;

    let second = world.rotate(&endpoint, DAY).await;
    assert!(second.secret != first.secret && second.public_key != first.public_key);
    world.publish(&endpoint, "{}").await;
    let during = receiver.next().await;
    python_verifies(&during, &[&first, &second]).await;
    during.assert_signed_with(second.secret.expose());

    let third = world.rotate(&endpoint, Duration::ZERO).await;
    world.publish(&endpoint, "{}").await;
    let signatures = receiver.next().await;
    python_verifies(&signatures, &[&first, &third]).await;
    assert_eq!(signatures.header("webhook-signature").split(' ').count(), 4, "the second ended at once");

    world.clock.advance(DAY);
    world.publish(&endpoint, "{}").await;
    assert_eq!(
        receiver.next().await.header("webhook-signature").split(' ').count(),
        2,
        "the first has ended"
    );
}

async fn an_endpoint_without_a_key_pair_is_signed_with_v1_alone(db: TestDb) {
    let world = World::today(db).await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    let shown = world.rotate(&endpoint, Duration::ZERO).await;
    assert_eq!(shown.public_key, None);
    world.publish(&endpoint, "{}").await;
    let came = receiver.next().await;
    assert!(!came.header("webhook-signature").contains("v1a,"));
    python_verifies(&came, &[&shown]).await;
}

async fn another_tenant_cannot_rotate(db: TestDb) {
    let world = World::today(db).await;
    let endpoint = world.endpoint("http://127.0.0.1:9/").await;
    let stranger = super::world::create_tenant(&world.db).await;
    let vault = world.vault();
    let work =
        async |conn: &mut Conn| rotate(conn, &vault, (stranger, endpoint.id), DAY, world.clock.now()).await;
    assert_eq!(world.db.transaction(work).await.unwrap_err().code().status(), 404);
}
