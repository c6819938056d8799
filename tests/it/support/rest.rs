//! `Rest`: the REST routes on a real server and port, and a client that speaks to them for one shop.

use super::{Shop, TestDb};
use actix::{Actor, Context, Handler};
use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use awc::http::Method;
use awc::http::header::HeaderMap;
use bellwire::auth::Tokens;
use bellwire::config::Config;
use bellwire::domain::{EndpointId, WakeEndpoints};
use bellwire::http::{self, State, middleware};
use bellwire::notifications::notifier::Notifier;
use bellwire::notifications::send_limits::SendLimits;
use bellwire::webhooks::{Doorbell, Vault};
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// A server on a free port, a shop, and a token that may do everything.
pub(crate) struct Rest {
    pub(crate) shop: Shop,
    pub(crate) token: String,
    pub(crate) db: TestDb,
    rung: Arc<Mutex<Vec<EndpointId>>>,
    address: String,
    client: awc::Client,
    server: ServerHandle,
}

/// Keeps every ring at the door of the sender of webhooks.
struct Ear(Arc<Mutex<Vec<EndpointId>>>);

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Handler<WakeEndpoints> for Ear {
    type Result = ();

    fn handle(&mut self, WakeEndpoints(ids): WakeEndpoints, _: &mut Self::Context) {
        self.0.lock().unwrap().extend(ids);
    }
}

/// A request being written.
pub(crate) struct Ask<'a> {
    rest: &'a Rest,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back. A body that is not JSON reads as null.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) bytes: web::Bytes,
}

impl Rest {
    pub(crate) async fn open(db: TestDb) -> Self {
        Self::open_with(db, Config::default()).await
    }

    pub(crate) async fn open_with(db: TestDb, mut config: Config) -> Self {
        config.webhooks.secret_keys = db.secret_keys();
        let shop = Shop::open(&db).await;
        let rung = Arc::<Mutex<Vec<EndpointId>>>::default();
        let ear = Ear(rung.clone()).start().recipient();
        let state = State {
            db: shop.db.clone(),
            clock: shop.clock.clone(),
            tokens: Tokens::new(shop.db.clone(), shop.clock.clone(), &config.auth),
            observer: shop.observer.clone(),
            vault: Vault::of(&config.webhooks, &db).unwrap(),
            doorbell: Doorbell::new(ear, shop.metrics.clone()),
            cooldown: Arc::default(),
            notifier: Notifier::new(Arc::new(SendLimits::of(&config.notifications)), Vec::new()),
            config: Arc::new(config),
            metrics: shop.metrics.clone(),
        };
        let app = move || {
            App::new()
                .app_data(web::Data::new(state.clone()))
                .wrap(from_fn(http::cors::share))
                .wrap(from_fn(middleware::observe))
                .configure(http::configure)
        };
        let server = HttpServer::new(app).workers(2).disable_signals().bind("127.0.0.1:0").unwrap();
        let address = server.addrs()[0].to_string();
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        let token = shop.token(&["*"]).await;
        Self { shop, token, db, rung, address, client: awc::Client::default(), server: handle }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The endpoints that the sender was told to look at since the last call.
    pub(crate) fn rung(&self) -> Vec<EndpointId> {
        std::mem::take(&mut self.rung.lock().unwrap())
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        let headers = vec![("authorization".to_owned(), format!("Bearer {}", self.token))];
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Ask { rest: self, method, path: path.to_owned(), headers, body: Vec::new() }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.ask("POST", path).json(&body).send().await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.ask("PATCH", path).json(&body).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.ask("DELETE", path).send().await
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        // The order to stop is given here; the test does not wait for it to be carried out.
        drop(self.server.stop(false));
    }
}

impl Ask<'_> {
    /// Instead of the token that may do everything.
    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.text("application/json", &body.to_string())
    }

    pub(crate) fn text(mut self, content_type: &str, body: &str) -> Self {
        self.body = body.as_bytes().to_vec();
        self.header("content-type", content_type)
    }

    pub(crate) async fn send(self) -> Reply {
        let url = format!("http://{}{}", self.rest.address, self.path);
        let mut request = self.rest.client.request(self.method, url);
        for (name, value) in self.headers {
            request = request.insert_header((name, value));
        }
        let mut response = request.send_body(self.body).await.unwrap();
        let bytes = response.body().limit(10_000_000).await.unwrap();
        Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
            bytes,
        }
    }
}

impl Reply {
    /// The status and the names of the wrong fields.
    pub(crate) fn refusal(&self) -> (u16, Vec<&str>) {
        let errors = self.body["errors"].as_object().unwrap();
        (self.status, errors.keys().map(String::as_str).collect())
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `data.id`, for the next path.
    pub(crate) fn id(&self) -> i64 {
        assert_eq!(self.status, 201, "{self:?}");
        self.body["data"]["id"].as_i64().unwrap()
    }

    /// One field of every row of a list.
    pub(crate) fn column(&self, field: &str) -> Vec<&Value> {
        assert_eq!(self.status, 200, "{self:?}");
        self.body["data"].as_array().unwrap().iter().map(|row| &row[field]).collect()
    }
}
