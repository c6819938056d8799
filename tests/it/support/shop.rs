//! `Shop`: a tenant with a user, an observer, and whatever a test asks to have on its shelves.

use super::TestDb;
use actix::{Actor, Context, Handler, Recipient};
use bellwire::auth::account::{self, NewTenant, NewUser};
use bellwire::auth::token;
use bellwire::catalog::Observer;
use bellwire::catalog::observer::Unit;
use bellwire::catalog::order::{self, NewOrder, OrderResource};
use bellwire::catalog::product::{self, NewProduct, ProductResource};
use bellwire::domain::{
    Clock, Committed, EndpointId, EventId, Fields, Result, SocketId, TenantId, Timestamp, UserId,
};
use bellwire::storage::schema::{webhook_deliveries, webhooks};
use bellwire::storage::{Conn, Db, outbox};
use bellwire::telemetry::Metrics;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// Keeps every nudge that it is sent.
#[derive(Default)]
pub(crate) struct Probe(Arc<Mutex<Vec<Arc<Committed>>>>);

impl Actor for Probe {
    type Context = Context<Self>;
}

impl Handler<Committed> for Probe {
    type Result = ();

    fn handle(&mut self, committed: Committed, _: &mut Self::Context) {
        self.0.lock().unwrap().push(Arc::new(committed));
    }
}

/// One tenant's side of things. Others may share its database.
pub(crate) struct Shop {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
    pub(crate) observer: Observer,
    pub(crate) metrics: Arc<Metrics>,
    nudges: Arc<Mutex<Vec<Arc<Committed>>>>,
}

pub(crate) fn opening_time() -> Timestamp {
    Timestamp::parse_rfc3339("2026-03-01T08:00:00.5Z").unwrap()
}

/// Makes names and emails that no other call makes.
fn unique() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Shop {
    /// A new tenant and user in `db`, at `opening_time`.
    pub(crate) async fn open(db: &TestDb) -> Self {
        let nudges = Arc::<Mutex<Vec<Arc<Committed>>>>::default();
        let probe = Probe(nudges.clone()).start().recipient();
        let mut shop = Self::telling(db, probe).await;
        shop.nudges = nudges;
        shop
    }

    /// The same, whose observer nudges somebody else.
    pub(crate) async fn telling(db: &Db, nudge: Recipient<Committed>) -> Self {
        let (tenant, user) = db.transaction(async |conn| tenant_and_user(conn).await).await.unwrap();
        let clock = Clock::fixed(opening_time());
        let metrics = Arc::new(Metrics::new().unwrap());
        let observer = Observer::new(db.clone(), clock.clone(), nudge, metrics.clone());
        Self { db: db.clone(), clock, tenant, user, observer, metrics, nudges: Arc::default() }
    }

    /// Runs a change through the observer.
    pub(crate) async fn change<T>(
        &self,
        work: impl AsyncFnOnce(&mut Conn, &mut Unit) -> Result<T>,
    ) -> Result<T> {
        self.observer.commit(self.tenant, None, work).await
    }

    /// The same, caused by a connection.
    pub(crate) async fn change_by<T>(
        &self,
        socket: SocketId,
        work: impl AsyncFnOnce(&mut Conn, &mut Unit) -> Result<T>,
    ) -> Result<T> {
        self.observer.commit(self.tenant, Some(socket), work).await
    }

    /// A product at 100 with this stock.
    pub(crate) async fn product(&self, stock: i64) -> ProductResource {
        self.product_of(json!({"stock": stock})).await
    }

    /// A product with these fields beside name, sku and price.
    pub(crate) async fn product_of(&self, fields: Value) -> ProductResource {
        let mut body = json!({"name": "Tea", "sku": format!("T-{}", unique()), "price": 100});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let new = NewProduct::parse(Fields::of(body).unwrap()).unwrap();
        self.change(async |conn, unit| product::create(conn, unit, &new).await).await.unwrap()
    }

    pub(crate) async fn order(&self, body: Value) -> Result<OrderResource> {
        let new = NewOrder::parse(Fields::of(body)?)?;
        self.change(async |conn, unit| order::create(conn, unit, self.user, &new).await).await
    }

    /// A token of the user with these abilities.
    pub(crate) async fn token(&self, abilities: &[&str]) -> String {
        self.token_of(self.user, abilities).await
    }

    /// The same of another user.
    pub(crate) async fn token_of(&self, user: UserId, abilities: &[&str]) -> String {
        let abilities: Vec<String> = abilities.iter().map(|a| (*a).to_owned()).collect();
        let issue = async |conn: &mut Conn| {
            token::issue(conn, user, "test", &abilities, None, self.clock.now()).await
        };
        self.db.transaction(issue).await.unwrap().plaintext.expose().to_owned()
    }

    /// A webhook endpoint with these filters; nobody listens there.
    pub(crate) async fn webhook(&self, filters: Value) -> EndpointId {
        let now = self.clock.now();
        let values = (
            webhooks::tenant_id.eq(self.tenant),
            webhooks::name.eq("test"),
            webhooks::url.eq("http://127.0.0.1:9/"),
            webhooks::secret.eq("whsec_dGVzdA=="),
            webhooks::events.eq(filters),
            webhooks::created_at.eq(now),
            webhooks::updated_at.eq(now),
        );
        let insert = async |conn: &mut Conn| {
            Ok(on_conn!(conn, c => diesel::insert_into(webhooks::table)
                .values(values).returning(webhooks::id).get_result(c).await)?)
        };
        self.db.transaction(insert).await.unwrap()
    }

    /// The tenant's events after `id`, by name and data.
    pub(crate) async fn events_after(&self, id: EventId) -> Vec<(String, Value)> {
        let mut conn = self.db.read().await.unwrap();
        let events = outbox::read_tenant_after(&mut conn, self.tenant, id, 10_000).await.unwrap();
        let told = |e: &bellwire::domain::Event| {
            (e.name.as_str().to_owned(), serde_json::from_str(&e.data).unwrap())
        };
        events.iter().map(told).collect()
    }

    /// The id of the latest event of any tenant.
    pub(crate) async fn last_event(&self) -> EventId {
        let mut conn = self.db.read().await.unwrap();
        outbox::last_id(&mut conn).await.unwrap()
    }

    /// The names of the events that `work` leaves.
    pub(crate) async fn names_of_events<T>(&self, work: impl Future<Output = T>) -> Vec<String> {
        let before = self.last_event().await;
        work.await;
        self.events_after(before).await.into_iter().map(|(name, _)| name).collect()
    }

    /// The names of the events that have a delivery to `endpoint`, oldest first.
    pub(crate) async fn deliveries(&self, endpoint: EndpointId) -> Vec<String> {
        use bellwire::storage::schema::events;
        let mut conn = self.db.read().await.unwrap();
        let query = webhook_deliveries::table
            .inner_join(events::table)
            .filter(webhook_deliveries::webhook_id.eq(endpoint))
            .order(webhook_deliveries::event_id)
            .select(events::name);
        on_conn!(&mut conn, c => query.load(c).await).unwrap()
    }

    /// The nudges sent so far.
    pub(crate) fn nudges(&self) -> Vec<Arc<Committed>> {
        self.nudges.lock().unwrap().clone()
    }
}

async fn tenant_and_user(conn: &mut Conn) -> Result<(TenantId, UserId)> {
    let number = unique();
    let shop = NewTenant::parse(&format!("Shop {number}"))?;
    let tenant = account::create_tenant(conn, &shop, opening_time()).await?;
    let ana = NewUser::parse(tenant.id, "Ana", &format!("ana{number}@shop.example"))?;
    let user = account::create_user(conn, &ana, opening_time()).await?;
    Ok((tenant.id, user.id))
}
