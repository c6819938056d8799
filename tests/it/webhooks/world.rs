//! `World`: a sender with a database, a clock and a registry, as `app` would wire it.

use crate::support::TestDb;
use actix::prelude::*;
use bellwire::config;
use bellwire::domain::{
    ChannelName, Clock, Committed, EndpointId, EventName, Fields, Leased, Secret, TenantId, Timestamp,
    ToEndpoint, WakeEndpoints,
};
use bellwire::storage::outbox::{self, NewEvent};
use bellwire::storage::schema::{tenants, webhook_deliveries, webhook_delivery_logs, webhooks};
use bellwire::storage::{Conn, Db};
use bellwire::telemetry::Metrics;
use bellwire::webhooks::client::Outbound;
use bellwire::webhooks::endpoint::{self, Endpoint, EndpointDraft, NewEndpoint};
use bellwire::webhooks::secrets::Sealed;
use bellwire::webhooks::{Endpoints, SweepActor, Vault};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

/// How long a test waits for rows to become what they have to.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

pub(super) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The registry's part for endpoints: it keeps their recipients and makes a new actor when one has ended.
struct Registry<F> {
    factory: F,
    endpoints: HashMap<EndpointId, Recipient<ToEndpoint>>,
}

impl<F: Fn(EndpointId) -> Recipient<ToEndpoint> + Unpin + 'static> Actor for Registry<F> {
    type Context = Context<Self>;
}

impl<F: Fn(EndpointId) -> Recipient<ToEndpoint> + Unpin + 'static> Handler<WakeEndpoints> for Registry<F> {
    type Result = ();

    fn handle(&mut self, WakeEndpoints(ids): WakeEndpoints, _: &mut Self::Context) {
        for id in ids {
            match self.endpoints.get(&id).filter(|r| r.connected()) {
                Some(recipient) => drop(recipient.try_send(ToEndpoint::Look)),
                None => drop(self.endpoints.insert(id, (self.factory)(id))),
            }
        }
    }
}

impl<F: Fn(EndpointId) -> Recipient<ToEndpoint> + Unpin + 'static> Handler<HandOver> for Registry<F> {
    type Result = ();

    fn handle(&mut self, HandOver(leased): HandOver, _: &mut Self::Context) {
        for one in leased {
            let _ = self.endpoints[&one.endpoint].try_send(ToEndpoint::Send(vec![one]));
        }
    }
}

/// What was leased in a commit.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct HandOver(pub(super) Vec<Leased>);

/// One process' sender.
pub(super) struct Sender {
    pub(super) db: Db,
    pub(super) endpoints: Endpoints,
    pub(super) metrics: Metrics,
    pub(super) registry: Recipient<WakeEndpoints>,
    pub(super) hand_over: Recipient<HandOver>,
}

impl Sender {
    pub(super) async fn start(db: Db, clock: Clock, config: &config::Webhooks) -> Self {
        Self::start_on(Arbiter::current(), db, clock, config).await
    }

    /// Which dials in a way of its own.
    async fn dialling(db: Db, clock: Clock, config: &config::Webhooks, outbound: Outbound) -> Self {
        let (metrics, arbiters) = (Metrics::new().unwrap(), vec![Arbiter::current()]);
        let started =
            Endpoints::start_with(db.clone(), clock, config, metrics.clone(), arbiters, outbound).await;
        Self::of(db, metrics, started.unwrap())
    }

    fn of(db: Db, metrics: Metrics, endpoints: Endpoints) -> Self {
        let registry = Registry { factory: endpoints.factory(), endpoints: HashMap::new() }.start();
        let (hand_over, registry) = (registry.clone().recipient(), registry.recipient());
        Self { db, endpoints, metrics, registry, hand_over }
    }

    /// With the sender's actors on a thread that a test can end.
    pub(super) async fn start_on(
        arbiter: ArbiterHandle,
        db: Db,
        clock: Clock,
        config: &config::Webhooks,
    ) -> Self {
        let metrics = Metrics::new().unwrap();
        let started = Endpoints::start(db.clone(), clock, config, metrics.clone(), vec![arbiter]).await;
        Self::of(db, metrics, started.unwrap())
    }

    /// Tells the registry of endpoints, as a commit would.
    pub(super) fn wake(&self, ids: &[EndpointId]) {
        self.registry.do_send(WakeEndpoints(ids.to_vec()));
    }

    pub(super) fn attempts(&self, outcome: &str) -> u64 {
        self.metrics.webhook_attempts.with_label_values(&[outcome]).get()
    }
}

pub(super) struct World {
    pub(super) db: TestDb,
    pub(super) clock: Clock,
    pub(super) config: config::Webhooks,
    pub(super) tenant: TenantId,
    pub(super) sender: Sender,
}

/// What a test wants to know of a row of `webhook_deliveries`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub(super) struct Row {
    pub(super) status: String,
    pub(super) attempts: i32,
    pub(super) due_at: Timestamp,
    pub(super) lease_owner: Option<String>,
}

/// What a test wants to know of a row of `webhook_delivery_logs`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub(super) struct Log {
    pub(super) attempt: i32,
    pub(super) outcome: String,
    pub(super) status: Option<i32>,
    pub(super) body: Option<String>,
    pub(super) error: Option<String>,
    pub(super) delivered_at: Option<Timestamp>,
}

impl World {
    /// A sender that may reach loopback, with a clock that stands.
    pub(super) async fn new(db: TestDb) -> Self {
        Self::with(db, Clock::fixed(start()), loopback()).await
    }

    /// The same at the present time, for receivers that compare a signature's time with their own.
    pub(super) async fn today(db: TestDb) -> Self {
        Self::with(db, Clock::fixed(Clock::System.now()), loopback()).await
    }

    pub(super) async fn with(db: TestDb, clock: Clock, mut config: config::Webhooks) -> Self {
        config.secret_keys = db.secret_keys();
        let tenant = create_tenant(&db).await;
        let sender = Sender::start(db.open_another(), clock.clone(), &config).await;
        Self { db, clock, config, tenant, sender }
    }

    /// With a sender that dials in a way of its own.
    pub(super) async fn dialling(
        db: TestDb,
        clock: Clock,
        mut config: config::Webhooks,
        outbound: Outbound,
    ) -> Self {
        config.secret_keys = db.secret_keys();
        let tenant = create_tenant(&db).await;
        let sender = Sender::dialling(db.open_another(), clock.clone(), &config, outbound).await;
        Self { db, clock, config, tenant, sender }
    }

    /// Another process' sender on the same database.
    pub(super) async fn another_sender(&self) -> Sender {
        Sender::start(self.db.open_another(), self.clock.clone(), &self.config).await
    }

    /// A sweep, for tests in which nobody is told of what is due.
    pub(super) fn sweep(&self) -> Addr<SweepActor> {
        SweepActor::new(self.db.clone(), self.clock.clone(), &self.config, self.sender.registry.clone())
            .start()
    }

    /// An endpoint for every event, with a second to answer.
    pub(super) async fn endpoint(&self, url: &str) -> Endpoint {
        self.endpoint_with(url, |_| ()).await
    }

    pub(super) async fn endpoint_with(&self, url: &str, change: impl Fn(&mut NewEndpoint)) -> Endpoint {
        let mut new = self.draft(url);
        change(&mut new);
        self.make(new).await
    }

    /// The endpoint that a request with this body makes; where it does not say so, for every event, and with a second
    /// to answer.
    pub(super) async fn endpoint_as(&self, said: Value) -> Endpoint {
        let mut body = json!({"events": ["*"], "secret": SECRET, "timeout_ms": 1_000});
        body.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        let new = NewEndpoint::read(self.tenant, Fields::of(body).unwrap()).unwrap();
        new.permit(&self.config).unwrap();
        self.make(new).await
    }

    /// The same for another tenant.
    pub(super) async fn endpoint_of(&self, tenant: TenantId, url: &str) -> Endpoint {
        self.make(Self::draft_of(tenant, url, "*")).await
    }

    /// The same for events that pass this filter.
    pub(super) async fn endpoint_for(&self, url: &str, filter: &str) -> Endpoint {
        self.make(Self::draft_of(self.tenant, url, filter)).await
    }

    /// What `endpoint` makes.
    pub(super) fn draft(&self, url: &str) -> NewEndpoint {
        Self::draft_of(self.tenant, url, "*")
    }

    fn draft_of(tenant_id: TenantId, url: &str, filter: &str) -> NewEndpoint {
        let mut new = NewEndpoint::parse(EndpointDraft {
            tenant_id,
            name: None,
            url: url.to_owned(),
            events: vec![filter.to_owned()],
            secret: Some(Secret::new(SECRET)),
        })
        .unwrap();
        new.timeout = Duration::from_secs(1);
        new
    }

    async fn make(&self, new: NewEndpoint) -> Endpoint {
        let now = self.clock.now();
        let vault = self.vault();
        let create = async |conn: &mut Conn| endpoint::create(conn, &vault, new.clone(), now).await;
        self.db.transaction(create).await.unwrap().0
    }

    /// Puts these secrets into the endpoint's row.
    pub(super) async fn put(&self, endpoint: EndpointId, sealed: &Sealed) {
        let row = webhooks::table.filter(webhooks::id.eq(endpoint));
        let update = async |conn: &mut Conn| {
            Ok(on_conn!(conn, c => diesel::update(row).set(sealed).execute(c).await)?)
        };
        self.db.transaction(update).await.unwrap();
    }

    /// The vault of its own sender.
    pub(super) fn vault(&self) -> Vault {
        Vault::of(&self.config, &self.db).unwrap()
    }

    /// Commits an event with this data and tells nobody. Returns its message id.
    pub(super) async fn commit(&self, data: &str) -> String {
        commit(&self.db, self.tenant, &self.clock, data).await
    }

    /// Commits an event and tells the registry.
    pub(super) async fn publish(&self, endpoint: &Endpoint, data: &str) -> String {
        let message_id = self.commit(data).await;
        self.sender.wake(&[endpoint.id]);
        message_id
    }

    /// An event that is about to be written.
    pub(super) fn event(&self, data: &str) -> NewEvent {
        event(self.tenant, data)
    }

    /// Commits an event as a request does: what may be leased to an endpoint that stands by is. Tells nobody.
    pub(super) async fn commit_for_standby(&self, data: &str) -> Committed {
        let (new, now) = (self.event(data), self.clock.now());
        let standby = self.sender.endpoints.standby();
        let write =
            async |conn: &mut Conn| outbox::write_for_standby(conn, vec![new.clone()], &standby, now).await;
        self.db.transaction(write).await.unwrap()
    }

    /// The same once the endpoint has looked at its rows and has a lane free.
    pub(super) async fn commit_leased(&self, endpoint: &Endpoint, data: &str) -> Committed {
        let standby = self.sender.endpoints.standby();
        until(|| standby.take(endpoint.id, endpoint.revision).is_some()).await;
        let committed = self.commit_for_standby(data).await;
        assert_eq!((committed.leased.len(), committed.endpoints.len()), (1, 0));
        committed
    }

    /// The delivery rows, oldest first.
    pub(super) async fn rows(&self) -> Vec<Row> {
        use webhook_deliveries as d;
        let query = d::table.order(d::id).select((d::status, d::attempts, d::due_at, d::lease_owner));
        let mut conn = self.db.read().await.unwrap();
        on_conn!(&mut conn, c => query.load(c).await).unwrap()
    }

    /// The delivery rows once they are as they have to be.
    pub(super) async fn rows_when(&self, good: impl Fn(&[Row]) -> bool) -> Vec<Row> {
        let mut rows = Vec::new();
        let seen = async {
            loop {
                rows = self.rows().await;
                if good(&rows) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(LIMIT, seen).await.is_ok();
        assert!(in_time, "not in time: {rows:?}");
        rows
    }

    /// The one delivery's row, once so many attempts are written.
    pub(super) async fn row_after(&self, attempts: i32) -> Row {
        let rows = self.rows_when(|rows| rows.len() == 1 && rows[0].attempts == attempts).await;
        rows.into_iter().next().unwrap()
    }

    /// The log, oldest first.
    pub(super) async fn log(&self) -> Vec<Log> {
        use webhook_delivery_logs as l;
        let columns =
            (l::attempt_number, l::outcome, l::response_status, l::response_body, l::error, l::delivered_at);
        let query = l::table.order(l::id).select(columns);
        let mut conn = self.db.read().await.unwrap();
        on_conn!(&mut conn, c => query.load(c).await).unwrap()
    }
}

/// Waits for something that has to become true.
pub(super) async fn until(good: impl Fn() -> bool) {
    let seen = async {
        while !good() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, seen).await.expect("it becomes true in time");
}

/// The time at which clocks that stand begin.
pub(super) fn start() -> Timestamp {
    Timestamp::parse_rfc3339("2026-03-01T12:00:00Z").unwrap()
}

/// Loopback exempt; a sweep that a test can wait for.
pub(super) fn loopback() -> config::Webhooks {
    let allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    config::Webhooks { allowed_networks, redis_streams: true, sweep_ms: 20, ..config::Webhooks::default() }
}

pub(super) async fn create_tenant(db: &Db) -> TenantId {
    let values = (tenants::name.eq("Shop"), tenants::created_at.eq(start()), tenants::updated_at.eq(start()));
    let insert = async |conn: &mut bellwire::storage::Conn| {
        let statement = diesel::insert_into(tenants::table).values(values).returning(tenants::id);
        Ok(on_conn!(conn, c => statement.get_result::<i64>(c).await)?)
    };
    TenantId(db.transaction(insert).await.unwrap())
}

fn event(tenant: TenantId, data: &str) -> NewEvent {
    NewEvent {
        tenant_id: tenant,
        name: EventName::new("product:updated"),
        channel: ChannelName::parse(&format!("private-tenant.{tenant}")).unwrap(),
        data: data.to_owned(),
        except: None,
    }
}

pub(super) async fn commit(db: &Db, tenant: TenantId, clock: &Clock, data: &str) -> String {
    let (new, now) = (event(tenant, data), clock.now());
    let write = async |conn: &mut bellwire::storage::Conn| outbox::write(conn, vec![new.clone()], now).await;
    db.transaction(write).await.unwrap().events[0].message_id.to_string()
}
