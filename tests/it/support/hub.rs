//! `TestHub`: the whole server in this process, on a free port, on a database of its own, drained at the end.

use super::TestDb;
use super::socket::Socket;
use bellwire::app::App;
use bellwire::auth::{account, token};
use bellwire::config::{self, Config};
use bellwire::domain::{Secret, TenantId, Timestamp, TokenId, UserId};
use std::net::SocketAddr;
use tokio::sync::oneshot;

pub(crate) const APP_ID: &str = "app-id";
pub(crate) const APP_KEY: &str = "app-key";
pub(crate) const APP_SECRET: &str = "app-secret";

/// A running server.
pub(crate) struct TestHub {
    pub(crate) address: SocketAddr,
    pub(crate) db: TestDb,
    stop: Option<oneshot::Sender<()>>,
    running: actix_rt::task::JoinHandle<()>,
}

/// A user of a tenant, with a bearer token.
#[derive(Debug, Clone)]
pub(crate) struct Somebody {
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
    pub(crate) token: String,
    pub(crate) token_id: TokenId,
}

/// The app that tests connect to.
pub(crate) fn test_app() -> config::App {
    config::App::new(APP_ID, APP_KEY, Secret::new(APP_SECRET))
}

impl TestHub {
    /// On SQLite, with one app and no limit on connects.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same, with other settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(TestDb::sqlite().await, change).await
    }

    /// On this database.
    pub(crate) async fn start_on(db: TestDb, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_serving(db, bellwire::http::configure, change).await
    }

    /// On this database, with these routes.
    pub(crate) async fn start_serving(
        db: TestDb,
        routes: fn(&mut actix_web::web::ServiceConfig),
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::default();
        "127.0.0.1:0".clone_into(&mut config.server.bind);
        config.server.workers = 2;
        // A third of it is what clients that answer no goodbye may cost a test.
        config.server.shutdown_timeout_seconds = 2;
        db.url().clone_into(&mut config.database.url);
        config.webhooks.secret_keys = db.secret_keys();
        config.limits.connections_per_ip_per_minute = 0;
        config.webhooks.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
        config.apps = vec![test_app()];
        change(&mut config);
        let app = App::build_with(config, routes).await.unwrap();
        let address = app.addr();
        let (stop, stopped) = oneshot::channel();
        let running = actix_rt::spawn(async move {
            app.run_until(async move { drop(stopped.await) }).await.unwrap();
        });
        Self { address, db, stop: Some(stop), running }
    }

    /// Drains the server, as SIGTERM would, and waits for its end.
    pub(crate) async fn stop(mut self) -> TestDb {
        self.begin_drain();
        self.running.await.unwrap();
        self.db
    }

    /// Begins a drain and goes on.
    pub(crate) fn begin_drain(&mut self) {
        drop(self.stop.take());
    }

    /// A tenant with one user who has a token with these abilities.
    pub(crate) async fn somebody(&self, name: &str) -> Somebody {
        let now = bellwire::domain::Clock::System.now();
        let email = format!("{}@example.com", name.to_lowercase());
        let (tenant, user) = self
            .db
            .transaction(async |conn| {
                let tenant = account::NewTenant::parse(&format!("{name}'s shop"))?;
                let tenant = account::create_tenant(conn, &tenant, now).await?.id;
                let user = account::NewUser::parse(tenant, name, &email)?;
                Ok((tenant, account::create_user(conn, &user, now).await?.id))
            })
            .await
            .unwrap();
        self.token_for(tenant, user, None).await
    }

    /// Another token for a user.
    pub(crate) async fn token_for(
        &self,
        tenant: TenantId,
        user: UserId,
        expires_at: Option<Timestamp>,
    ) -> Somebody {
        let now = bellwire::domain::Clock::System.now();
        let issued = self
            .db
            .transaction(async |conn| {
                token::issue(conn, user, "test", &["*".to_owned()], expires_at, now).await
            })
            .await
            .unwrap();
        Somebody { tenant, user, token: issued.plaintext.expose().to_owned(), token_id: issued.id }
    }

    /// A URL of this server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A connected, established WebSocket.
    pub(crate) async fn connect(&self) -> Socket {
        Socket::connect(self.address, APP_KEY, "").await
    }

    /// The same with a token in the query.
    pub(crate) async fn connect_as(&self, somebody: &Somebody) -> Socket {
        let token = somebody.token.replace('|', "%7C");
        Socket::connect(self.address, APP_KEY, &format!("&token={token}")).await
    }

    /// Publishes through the Pusher HTTP API and insists that it was taken.
    pub(crate) async fn publish(&self, channel: &str, name: &str, data: &str) {
        let body = serde_json::json!({ "name": name, "channels": [channel], "data": data }).to_string();
        let (status, answer) = self.trigger(&body).await;
        assert_eq!((status, answer.as_str()), (200, "{}"));
    }

    /// The JSON of a path that must answer 200.
    pub(crate) async fn get(&self, path: &str) -> serde_json::Value {
        let mut response = awc::Client::default().get(self.url(path)).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{path}");
        response.json().await.unwrap()
    }

    /// Waits until `/metrics` has this line.
    pub(crate) async fn wait_for_metric(&self, line: &str) {
        let look = async || self.metrics().await.lines().any(|l| l == line);
        super::until(&format!("/metrics has {line}"), look).await;
    }

    /// What `/metrics` says.
    pub(crate) async fn metrics(&self) -> String {
        let mut response = awc::Client::default().get(self.url("/metrics")).send().await.unwrap();
        String::from_utf8(response.body().await.unwrap().to_vec()).unwrap()
    }

    /// Posts a signed body to the events of the app.
    pub(crate) async fn trigger(&self, body: &str) -> (u16, String) {
        super::Backend::of(self).post("/events", body).await
    }
}
