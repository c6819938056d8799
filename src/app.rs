//! The composition root: builds every part from the configuration, hands each what it needs, runs, and drains.
//! The only file that knows who stands behind each `Recipient`.

mod notifications;

use crate::auth::{Tokens, channel_policy, channel_signature, user_signature};
use crate::catalog::Observer;
use crate::config::{self, Config};
use crate::domain::{ChannelName, Clock, Code, Error, Probe, Result, SocketId};
use crate::http::routes::health::Started;
use crate::http::{self, State, server};
use crate::notifications::notifier::Notifier;
use crate::notifications::templates;
use crate::realtime::connect_limit::ConnectLimit;
use crate::realtime::direct_path::WorkerShard;
use crate::realtime::frame::{Ending, ToSession};
use crate::realtime::link::{Deadlines, TICKS_PER_SECOND};
use crate::realtime::registry::{ConcludeAll, NoteAll, Parts};
use crate::realtime::sentinel::SentinelActor;
use crate::realtime::session::{Doorkeeper, Principal};
use crate::realtime::{ChannelTable, Hub, PublishLimit, RegistryActor, SessionTable, Users};
use crate::storage::{Db, DbOptions, migrate, outbox, positions, retention};
use crate::telemetry::Metrics;
use crate::telemetry::watchdog::{self, Watchdog};
use crate::webhooks::{Doorbell, Endpoints, PusherHooks, SweepActor, Vault};
use actix::prelude::*;
use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::{App as WebApp, web};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use notifications::Workers;

/// Descriptors kept for everything that is no client: databases, webhooks, files.
const SPARE_DESCRIPTORS: u64 = 500;

/// A process that is ready to serve.
pub struct App {
    address: SocketAddr,
    server: Server,
    hub: Arc<Hub>,
    endpoints: Endpoints,
    hooks: Option<PusherHooks>,
    patience: Duration,
    watchdog: Option<Watchdog>,
    /// Threads of the actors.
    arbiters: Vec<Arbiter>,
}

impl App {
    /// Builds the parts bottom-up, migrates the database, and binds. Call it inside an actix system.
    pub async fn build(config: Config) -> Result<Self> {
        Self::build_with(config, http::configure).await
    }

    /// The same with other routes than the house's own.
    pub async fn build_with(config: Config, routes: fn(&mut web::ServiceConfig)) -> Result<Self> {
        insist_on_an_app(&config)?;
        raise_file_limit();
        let config = Arc::new(config);
        let clock = Clock::System;
        let db = open_ready(&config.database, &clock).await?;
        let metrics = new_metrics()?;
        let tokens = Tokens::new(db.clone(), clock.clone(), &config.auth);
        let apps: Vec<Arc<config::App>> = config.apps.iter().cloned().map(Arc::new).collect();
        let table = SessionTable::default();
        let (arbiter, sender) = (Arbiter::new(), Arbiter::new());
        let endpoints = Endpoints::start(
            db.clone(),
            clock.clone(),
            &config.webhooks,
            (*metrics).clone(),
            vec![sender.handle()],
        )
        .await?;
        let hooks = PusherHooks::start(&config.apps, &config.webhooks, &metrics, &sender.handle())?;
        forget_positions(&config, &db, &clock).await?;
        let occupancy = ChannelTable::new(&apps);
        let registry =
            start_registry(&config, &occupancy, &db, &metrics, &endpoints, hooks.as_ref(), &arbiter).await?;
        let users = start_users(&config, &apps, &metrics);
        let sentinel = start_sentinel(&config, (&table, &users), &tokens, &metrics, &arbiter);
        sender.spawn_fn(retain(&config, &db, &clock));
        let sweep = start_sweep(&config, &db, &clock, &registry, &sender);
        let hub = Arc::new(Hub {
            occupancy,
            publishing: PublishLimit::new(&apps),
            apps,
            limits: config.limits.clone(),
            channels: config.channels.clone(),
            compression: config.server.compression,
            capacity: capacity(&config),
            table,
            users,
            connects: ConnectLimit::new(config.limits.connections_per_ip_per_minute),
            doorkeeper: Arc::new(AuthRoom),
            metrics: metrics.clone(),
            registry: registry.clone(),
        });
        let workers = Workers::start(&config, (&db, &clock), (&registry, &metrics), &sender).await?;
        let told = (&registry, &endpoints, workers.notifier());
        let state = state(&config, (db, clock, tokens), told, &metrics)?;
        let mut watched = vec![
            ("registry", registry.recipient()),
            ("sentinel", sentinel.recipient()),
            ("webhook ledger", endpoints.probe()),
            ("webhook sweep", sweep.recipient()),
        ];
        watched.extend(hooks.as_ref().map(|hooks| ("Pusher webhooks", hooks.probe())));
        watched.extend(workers.probes());
        let watchdog = watch(&config, watched)?;
        let patience = Duration::from_secs(config.server.shutdown_timeout_seconds);
        let (server, address) = bind(state, hub.clone(), routes)?;
        let arbiters = vec![arbiter, sender];
        Ok(Self { address, server, hub, endpoints, hooks, patience, watchdog, arbiters })
    }

    /// Where it listens; with port 0 in the configuration, the port that was free.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves, then drains: no new connections, paced goodbyes, requests and
    /// deliveries in flight finished, all within `server.shutdown_timeout_seconds`.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let handle = self.server.handle();
        let serving = actix_web::rt::spawn(self.server);
        shutdown.await;
        let deadline = Instant::now() + self.patience;
        tracing::info!(connections = self.hub.table.len(), "draining");
        self.hub.table.close();
        conclude_channels(&self.hub, self.patience).await;
        say_goodbye(&self.hub, self.patience).await;
        note_positions(&self.hub, deadline).await;
        stop_server(&handle, deadline).await;
        let left = deadline.saturating_duration_since(Instant::now());
        drain_webhooks(&self.endpoints, self.hooks.as_ref(), left).await;
        drop(self.watchdog);
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        serving
            .await
            .map_err(|e| Error::new(Code::Internal, "The server's task failed.").because(e))?
            .map_err(|e| Error::new(Code::Internal, "The server failed.").because(e))
    }
}

fn new_metrics() -> Result<Arc<Metrics>> {
    let clash = |e: prometheus::Error| Error::new(Code::Internal, "The metrics clash.").because(e);
    Ok(Arc::new(Metrics::new().map_err(clash)?))
}

/// Prunes at its times, for as long as the thread that it is started on lives.
fn retain(config: &Config, db: &Db, clock: &Clock) -> impl FnOnce() + Send + 'static {
    let (db, clock, config) = (db.clone(), clock.clone(), config.retention.clone());
    move || {
        actix_web::rt::spawn(async move {
            if let Err(error) = retention::keep(db, clock, config).await {
                tracing::error!(%error, "rows that had their time are not deleted");
            }
        });
    }
}

/// What every request needs.
fn state(
    config: &Arc<Config>,
    (db, clock, tokens): (Db, Clock, Tokens),
    (registry, endpoints, notifier): (&Addr<RegistryActor>, &Endpoints, Notifier),
    metrics: &Arc<Metrics>,
) -> Result<State> {
    let nudge = registry.clone().recipient();
    let observer =
        Observer::new(db.clone(), clock.clone(), nudge, metrics.clone()).with_standby(endpoints.standby());
    let doorbell = Doorbell::new(registry.clone().recipient(), metrics.clone());
    let vault = Vault::of(&config.webhooks, &db)?;
    Ok(State {
        db,
        clock,
        tokens,
        observer,
        vault,
        doorbell,
        cooldown: Arc::default(),
        notifier,
        config: config.clone(),
        metrics: metrics.clone(),
    })
}

/// Both kinds of webhooks at once, each within `limit`.
async fn drain_webhooks(endpoints: &Endpoints, hooks: Option<&PusherHooks>, limit: Duration) {
    let hooks = async {
        match hooks {
            Some(hooks) => hooks.drain(limit).await,
            None => 0,
        }
    };
    let (cut_off, unsent) = tokio::join!(endpoints.drain(limit), hooks);
    if cut_off > 0 {
        tracing::warn!(
            cut_off,
            "webhook attempts were in flight at the end of the drain; they will be sent again"
        );
    }
    if unsent > 0 {
        tracing::warn!(unsent, "Pusher webhook events were not taken before the end and are lost");
    }
}

fn bind(state: State, hub: Arc<Hub>, routes: fn(&mut web::ServiceConfig)) -> Result<(Server, SocketAddr)> {
    let config = &state.config.server;
    let settings = server::Settings {
        address: config.bind.clone(),
        workers: workers(&state.config),
        handshake: Duration::from_secs(config.handshake_timeout_seconds),
        shutdown_seconds: (config.shutdown_timeout_seconds / 3).max(1),
        metrics: state.metrics.clone(),
    };
    let started = Started(Instant::now());
    server::bind(&settings, move || {
        WebApp::new()
            .app_data(web::Data::new(state.clone()))
            .app_data(web::Data::from(hub.clone()))
            .app_data(web::Data::new(started))
            .app_data(WorkerShard::start())
            .wrap(from_fn(http::cors::share))
            .wrap(from_fn(http::middleware::observe))
            .configure(routes)
    })
}

fn insist_on_an_app(config: &Config) -> Result<()> {
    if !config.apps.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Code::Invalid,
        "There is no app in the configuration, so no client could connect. Run `bellwire app create` and put \
         the [[apps]] block that it prints into config.toml.",
    ))
}

fn open_database(database: &config::Database) -> Result<Db> {
    Db::open(DbOptions {
        url: database.url.clone(),
        pool_size: database.pool_size,
        wait: Duration::from_millis(database.wait_ms),
    })
}

/// The database with the present schema and the system's templates.
async fn open_ready(database: &config::Database, clock: &Clock) -> Result<Db> {
    let db = open_database(database)?;
    migrate::run(&db).await?;
    templates::seed(&db, clock.now()).await?;
    Ok(db)
}

/// Those who were noted before the last stop and can no longer be back.
async fn forget_positions(config: &Config, db: &Db, clock: &Clock) -> Result<()> {
    let age = Duration::from_secs(config.channels.history_seconds);
    positions::forget(db, clock.now().minus(age)).await.map(drop)
}

async fn start_registry(
    config: &Config,
    occupancy: &ChannelTable,
    db: &Db,
    metrics: &Arc<Metrics>,
    endpoints: &Endpoints,
    hooks: Option<&PusherHooks>,
    arbiter: &Arbiter,
) -> Result<Addr<RegistryActor>> {
    let parts = Parts {
        apps: occupancy.apps().cloned().collect(),
        occupancy: occupancy.clone(),
        clock: Clock::System,
        channels: config.channels.clone(),
        db: db.clone(),
        cursor: outbox::last_id(&mut db.read().await?).await?,
        presence_members: config.limits.presence_members,
        arbiters: vec![arbiter.handle()],
        endpoints: Box::new(endpoints.factory()),
        notices: hooks.map(|hooks| Arc::new(hooks.recipient())),
        metrics: metrics.clone(),
    };
    let registry = Supervisor::start_in_arbiter(&arbiter.handle(), |_| RegistryActor::new(parts));
    endpoints.tell(registry.clone().recipient());
    Ok(registry)
}

fn start_sweep(
    config: &Config,
    db: &Db,
    clock: &Clock,
    registry: &Addr<RegistryActor>,
    arbiter: &Arbiter,
) -> Addr<SweepActor> {
    let (db, clock, registry) = (db.clone(), clock.clone(), registry.clone().recipient());
    let config = config.webhooks.clone();
    SweepActor::start_in_arbiter(&arbiter.handle(), move |_| SweepActor::new(db, clock, &config, registry))
}

/// Who is signed in: nobody yet.
fn start_users(config: &Config, apps: &[Arc<config::App>], metrics: &Arc<Metrics>) -> Users {
    let grace = Duration::from_millis(config.channels.presence_grace_ms);
    Users::new(apps, grace, metrics.clone())
}

fn start_sentinel(
    config: &Config,
    (table, users): (&SessionTable, &Users),
    tokens: &Tokens,
    metrics: &Arc<Metrics>,
    arbiter: &Arbiter,
) -> Addr<SentinelActor> {
    let ticks = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).saturating_mul(TICKS_PER_SECOND);
    let limits = &config.limits;
    let deadlines = Deadlines {
        // A tick early, so that thousands of goodbyes at once are out in time.
        auth: ticks(limits.auth_timeout_seconds).saturating_sub(1),
        unsubscribed: ticks(limits.unsubscribed_timeout_seconds),
        activity: ticks(limits.activity_timeout_seconds),
        pong: ticks(limits.pong_timeout_seconds),
        stall: ticks(limits.stall_seconds),
        message: ticks(limits.message_timeout_seconds),
        goodbye: 2 * TICKS_PER_SECOND,
    };
    let recheck = Duration::from_secs(config.auth.recheck_seconds.max(1));
    let tokens = tokens.clone();
    let still_valid: crate::realtime::sentinel::TokenCheck = Box::new(move |ids| {
        let tokens = tokens.clone();
        Box::pin(async move { tokens.still_valid(&ids).await })
    });
    let (table, users, metrics) = (table.clone(), users.clone(), metrics.clone());
    SentinelActor::start_in_arbiter(&arbiter.handle(), move |_| {
        SentinelActor::new(table, users, deadlines, recheck, still_valid, metrics)
    })
}

fn watch(config: &Config, watched: Vec<(&'static str, Recipient<Probe>)>) -> Result<Option<Watchdog>> {
    let patience = Duration::from_secs(config.server.watchdog_seconds);
    let started = (!patience.is_zero()).then(|| watchdog::start(watched, patience)).transpose();
    started.map_err(|e| Error::new(Code::Internal, "The watchdog's thread could not be started.").because(e))
}

fn workers(config: &Config) -> usize {
    match config.server.workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        n => n,
    }
}

/// Takes the descriptors that the system would give us: shells start programs with few of them.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Refused, we live with what there is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The WebSockets that this process can hold: what the operator says, within the file limit.
fn capacity(config: &Config) -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from(files.saturating_sub(SPARE_DESCRIPTORS)).unwrap_or(usize::MAX);
    match config.limits.connections {
        0 => most,
        n => n.min(most),
    }
}

/// Has back ends told who had gone before the end began, as nobody would be left to tell it when the grace is over.
/// Whom we send away ourselves is not told: they are back when the next process is up.
async fn conclude_channels(hub: &Hub, patience: Duration) {
    let told = tokio::time::timeout(patience / 3, hub.registry.send(ConcludeAll)).await;
    if !matches!(told, Ok(Ok(()))) {
        tracing::warn!("back ends may not be told of all who have left");
    }
}

/// Closes the sessions with 4200, in batches spread over a third of the time there is: stock clients come back
/// at once and all together, and whoever takes them over must not meet them in one instant.
async fn say_goodbye(hub: &Hub, patience: Duration) {
    let (links, now) = (hub.table.snapshot(), hub.table.clock().ticks());
    let rounds = u32::try_from(links.len().div_ceil(500)).unwrap_or(u32::MAX).clamp(1, 50);
    let pause = (patience / 3 / rounds).min(Duration::from_millis(100));
    for batch in links.chunks(links.len().div_ceil(rounds as usize).max(1)) {
        for link in batch {
            link.ending(now);
            let _ = link.send(ToSession::End(Ending::DRAINING));
        }
        tokio::time::sleep(pause).await;
    }
    let patient_until = Instant::now() + patience / 3;
    while !hub.table.is_empty() && Instant::now() < patient_until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    hub.table.snapshot().iter().for_each(|link| link.cut());
}

/// Notes where the clients stood, for when they are back after the restart.
async fn note_positions(hub: &Hub, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    let noted = tokio::time::timeout(left, hub.registry.send(NoteAll)).await;
    if !matches!(noted, Ok(Ok(()))) {
        tracing::warn!("the positions of clients were not noted; what they missed may come twice");
    }
}

/// Lets requests in flight finish, and no longer than the deadline.
async fn stop_server(handle: &ServerHandle, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    if tokio::time::timeout(left, handle.stop(true)).await.is_err() {
        tracing::warn!("requests were still in flight at the end of the drain");
    }
}

/// The auth room's answers to what sessions ask.
struct AuthRoom;

impl Doorkeeper for AuthRoom {
    fn lets_in(&self, principal: &Principal, channel: &ChannelName) -> bool {
        channel_policy::may_join(principal.user, principal.tenant, channel)
    }

    fn signature_holds(
        &self,
        app: &config::App,
        auth: &str,
        socket: SocketId,
        channel: &ChannelName,
        channel_data: Option<&str>,
    ) -> bool {
        channel_signature::verify(app, auth, socket, channel, channel_data)
    }

    fn user_signature_holds(&self, app: &config::App, auth: &str, socket: SocketId, user_data: &str) -> bool {
        user_signature::verify(app, auth, socket, user_data)
    }
}
