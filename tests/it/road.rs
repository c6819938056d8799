//! The main road: a change over REST reaches a WebSocket and a signed webhook, and nobody else's.

use crate::support::TestDb;
use crate::support::hub::{Somebody, TestHub};
use crate::support::receiver::{Answer, Receiver};
use crate::support::socket::data_of;
use bellwire::config::Webhooks;
use bellwire::domain::{ChannelName, Clock, EventId, EventName};
use bellwire::storage::{Conn, outbox};
use bellwire::webhooks::Vault;
use bellwire::webhooks::endpoint::{self, EndpointDraft, NewEndpoint};
use serde_json::{Value, json};

on_both_databases!(
    a_change_reaches_the_tenants_socket_and_a_signed_webhook,
    one_tenants_events_never_reach_another,
    two_writers_at_once_are_heard_in_the_order_of_their_events,
);

async fn a_change_reaches_the_tenants_socket_and_a_signed_webhook(db: TestDb) {
    let hub = TestHub::start_on(db, |_| {}).await;
    let ana = hub.somebody("Ana").await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let secret = hub.webhook(&ana, &receiver.url(), &["product:*", "stock:updated"]).await;
    let (mut socket, mut causing) = (hub.connect_as(&ana).await, hub.connect_as(&ana).await);
    let channel = format!("private-tenant.{}", ana.tenant);
    socket.join(&channel).await;
    causing.join(&channel).await;

    let product = hub.create_product(&ana, "ABC-1").await;
    let created = socket.next().await;
    assert_eq!((&created["event"], &created["channel"]), (&json!("product:created"), &json!(channel)));
    assert_eq!(data_of(&created), product);
    causing.expect("product:created").await;
    check_signed(&receiver.next().await, &secret, "product:created", &product);

    let path = format!("/api/v1/products/{}", product["id"]);
    let headers = [("x-socket-id", causing.id.as_str())];
    let updated = hub.rest(&ana, "PATCH", &path, &headers, json!({"price": 999, "stock": 4})).await;
    assert_eq!(socket.expect("product:updated").await, updated["data"]);
    assert_eq!(socket.expect("stock:updated").await, json!({"productId": product["id"], "newStock": 4}));
    causing.expect_nothing().await;
    // Webhooks may come in any order.
    let mut events = [receiver.next().await, receiver.next().await]
        .map(|r| serde_json::from_slice::<Value>(&r.body).unwrap()["event"].as_str().unwrap().to_owned());
    events.sort();
    assert_eq!(events, ["product:updated", "stock:updated"]);
    hub.stop().await;
}

fn check_signed(received: &crate::support::receiver::Received, secret: &str, event: &str, data: &Value) {
    let body: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(body, json!({"event": event, "data": data}));
    received.assert_signed_with(secret);
}

async fn one_tenants_events_never_reach_another(db: TestDb) {
    let hub = TestHub::start_on(db, |_| {}).await;
    let (ana, ben) = (hub.somebody("Ana").await, hub.somebody("Ben").await);
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    hub.webhook(&ben, &receiver.url(), &["*"]).await;
    let mut socket = hub.connect_as(&ben).await;
    socket.join(&format!("private-tenant.{}", ben.tenant)).await;
    for n in 0..20 {
        hub.create_product(&ana, &format!("A-{n}")).await;
    }
    let own = hub.create_product(&ben, "B-1").await;
    // Everything before it would have come before it.
    assert_eq!(socket.expect("product:created").await, own);
    let body: Value = serde_json::from_slice(&receiver.next().await.body).unwrap();
    assert_eq!(body["data"], own);
    assert!(receiver.already().is_none());
    hub.stop().await;
}

async fn two_writers_at_once_are_heard_in_the_order_of_their_events(db: TestDb) {
    let hub = TestHub::start_on(db, |_| {}).await;
    let ana = hub.somebody("Ana").await;
    let mut socket = hub.connect_as(&ana).await;
    socket.join(&format!("private-tenant.{}", ana.tenant)).await;
    let product = hub.create_product(&ana, "ABC-1").await;
    socket.expect("product:created").await;
    let path = format!("/api/v1/products/{}", product["id"]);
    let writers = (0..4).map(|w| {
        let (hub, ana, path) = (&hub, &ana, &path);
        async move {
            for n in 0..25 {
                hub.rest(ana, "PATCH", path, &[], json!({"price": 1 + w * 100 + n})).await;
            }
        }
    });
    futures_util::future::join_all(writers).await;
    let mut conn = hub.db.read().await.unwrap();
    let rows = outbox::read_after(&mut conn, EventId(0), 1_000).await.unwrap();
    let expected: Vec<Value> = rows.iter().skip(1).map(|e| serde_json::from_str(&e.data).unwrap()).collect();
    assert_eq!(expected.len(), 100);
    for data in expected {
        assert_eq!(socket.expect("product:updated").await, data);
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_write_by_another_process_is_heard_without_a_nudge() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    hub.webhook(&ana, &receiver.url(), &["*"]).await;
    let mut socket = hub.connect_as(&ana).await;
    socket.join(&format!("private-tenant.{}", ana.tenant)).await;
    // As a process does that dies between its commit and its nudge.
    let event = outbox::NewEvent {
        tenant_id: ana.tenant,
        name: EventName::new("product:created"),
        channel: ChannelName::tenant(ana.tenant),
        data: r#"{"id":1}"#.to_owned(),
        except: None,
    };
    let now = Clock::System.now();
    let write = async |conn: &mut _| outbox::write(conn, vec![event], now).await;
    hub.db.open_another().transaction(write).await.unwrap();
    assert_eq!(socket.expect("product:created").await, json!({"id": 1}));
    assert_eq!(receiver.next().await.body, br#"{"event":"product:created","data":{"id":1}}"#);
    hub.stop().await;
}

#[actix_rt::test]
async fn a_drain_finishes_the_delivery_that_is_in_flight() {
    let mut hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let mut receiver = Receiver::start(Answer::Slow(200, std::time::Duration::from_millis(500))).await;
    hub.webhook(&ana, &receiver.url(), &["*"]).await;
    hub.create_product(&ana, "ABC-1").await;
    receiver.next().await;
    hub.begin_drain();
    let db = hub.stop().await;
    let pending: i64 = {
        use bellwire::storage::schema::webhook_deliveries::dsl;
        use diesel::prelude::*;
        use diesel_async::RunQueryDsl;
        let query = dsl::webhook_deliveries.filter(dsl::status.ne("delivered")).count();
        let mut conn = db.read().await.unwrap();
        on_conn!(&mut conn, c => query.get_result(c).await).unwrap()
    };
    assert_eq!(pending, 0);
}

impl TestHub {
    /// Makes a webhook of somebody's tenant; returns its secret.
    pub(crate) async fn webhook(&self, owner: &Somebody, url: &str, events: &[&str]) -> String {
        let events: Vec<String> = events.iter().map(|e| (*e).to_owned()).collect();
        let draft =
            EndpointDraft { tenant_id: owner.tenant, name: None, url: url.to_owned(), events, secret: None };
        let new = NewEndpoint::parse(draft).unwrap();
        let now = Clock::System.now();
        let config = Webhooks { secret_keys: self.db.secret_keys(), ..Webhooks::default() };
        let vault = Vault::of(&config, &self.db).unwrap();
        let create = async |conn: &mut Conn| endpoint::create(conn, &vault, new, now).await;
        self.db.transaction(create).await.unwrap().1.secret.expose().to_owned()
    }

    /// Makes a product over REST.
    pub(crate) async fn create_product(&self, owner: &Somebody, sku: &str) -> Value {
        let body = json!({"name": "Rice", "sku": sku, "price": 100, "stock": 5});
        self.rest(owner, "POST", "/api/v1/products", &[], body).await["data"].clone()
    }

    /// A REST request that must succeed.
    pub(crate) async fn rest(
        &self,
        who: &Somebody,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Value {
        let client = awc::Client::default();
        let mut request = client.request(method.parse().unwrap(), self.url(path)).bearer_auth(&who.token);
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        let mut response = request.send_json(&body).await.unwrap();
        let body: Value = response.json().await.unwrap();
        assert!(response.status().is_success(), "{} {body}", response.status());
        body
    }
}
