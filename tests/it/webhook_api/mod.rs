//! `/api/v1/webhooks` as the owner of an endpoint meets it, over both databases.

mod counting;
mod deliveries;
mod endpoints;
mod recovery;
mod stats;
mod strategies;
mod walls;

use crate::support::TestDb;
use crate::support::rest::{Reply, Rest};
use bellwire::config::Config;
use bellwire::domain::{EndpointId, EventId, Timestamp};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

const WEBHOOKS: &str = "/api/v1/webhooks";

/// An owner at work, and rows made behind the API's back.
struct Desk {
    rest: Rest,
}

impl Desk {
    async fn open(db: TestDb) -> Self {
        let mut config = Config::default();
        config.webhooks.redis_streams = true;
        Self { rest: Rest::open_with(db, config).await }
    }

    /// An endpoint for these events.
    async fn endpoint(&self, events: &[&str]) -> i64 {
        self.endpoint_of(json!({"url": "https://erp.example/hook", "events": events})).await
    }

    async fn endpoint_of(&self, body: Value) -> i64 {
        self.rest.post(WEBHOOKS, body).await.id()
    }

    async fn get(&self, path: &str) -> Reply {
        self.rest.get(&format!("{WEBHOOKS}/{path}")).await
    }

    /// Posts to a path that needs no body, or `null`.
    async fn post(&self, path: &str, body: Value) -> Reply {
        let path = format!("{WEBHOOKS}/{path}");
        if body.is_null() {
            self.rest.ask("POST", &path).send().await
        } else {
            self.rest.post(&path, body).await
        }
    }

    /// A product is made: `product:created`, and what follows from it.
    async fn event(&self) -> EventId {
        self.rest.shop.product(1).await;
        self.rest.shop.last_event().await
    }

    /// One statement on the rows.
    async fn run(&self, statement: &str) {
        let work = async |conn: &mut bellwire::storage::Conn| {
            on_conn!(conn, c => diesel::sql_query(statement).execute(c).await).unwrap();
            Ok(())
        };
        self.rest.db.transaction(work).await.unwrap();
    }

    /// An instant so many seconds from now, as a literal.
    fn at(&self, seconds: i64) -> String {
        let micros = self.now().micros() + seconds * 1_000_000;
        format!("'{}'", Timestamp::from_micros(micros).unwrap().utc().format("%Y-%m-%d %H:%M:%S%.6f"))
    }

    fn now(&self) -> Timestamp {
        self.rest.shop.clock.now()
    }

    /// The sender was told to look at this endpoint, once, since the last question.
    async fn assert_rung(&self, id: i64) {
        crate::support::until("the bell is heard", async || {
            let rung = self.rest.rung();
            assert!(rung.iter().all(|rung| *rung == EndpointId(id)), "{rung:?}");
            !rung.is_empty()
        })
        .await;
    }
}

/// Events by the thousand, each with a pending delivery to this endpoint.
async fn fill(desk: &Desk, endpoint: i64, rows: i64) {
    let (tenant, at) = (desk.rest.shop.tenant, desk.at(0));
    let sqlite = desk.rest.db.is_sqlite();
    let i = if sqlite { "i" } else { "i::text" };
    let at = if sqlite { at } else { format!("{at}::timestamp") };
    let before = desk.rest.shop.last_event().await;
    desk.run(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO events (message_id, tenant_id, name, channel, data, created_at)
         SELECT 'filled_' || {i}, {tenant}, 'product:updated', 'private-tenant.1', '{{}}', {at} FROM n"
    ))
    .await;
    desk.run(&format!(
        "INSERT INTO webhook_deliveries (webhook_id, event_id, status, due_at, created_at, updated_at)
         SELECT {endpoint}, id, 'pending', {at}, {at}, {at} FROM events WHERE id > {before}"
    ))
    .await;
}
