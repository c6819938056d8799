//! `Caller`: a user with a token, made by the command line, who asks a real server process over REST.

use super::Program;
use awc::Client;
use awc::http::Method;
use serde_json::Value;
use std::time::Duration;

/// A tenant's user; a clone is the same user.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: String,
    pub(crate) token: String,
    client: Client,
}

/// Status and parsed body (null when there is none), or why there was no answer.
pub(crate) type Answered = Result<(u16, Value), String>;

impl Caller {
    /// Makes a tenant, a user and a token that may do everything.
    pub(crate) async fn made_by(program: &Program) -> Self {
        let email = format!("ann-{:016x}@shop.example", rand::random::<u64>());
        let id = |made: Value| made["id"].to_string();
        let tenant = id(program.json(&["tenant", "create", "--name", "Shop"]).await);
        let user = ["user", "create", "--tenant", &tenant, "--name", "Ann", "--email", &email];
        let user = id(program.json(&user).await);
        let token = program.json(&["token", "create", "--user", &user, "--name", "test"]).await;
        let token = token["token"].as_str().unwrap().to_owned();
        let client = Client::builder().timeout(Duration::from_secs(20)).finish();
        Self { tenant, token, client }
    }

    /// A user of a hub in this process.
    pub(crate) fn with_token(tenant: &str, token: &str) -> Self {
        let client = Client::builder().timeout(Duration::from_secs(20)).finish();
        Self { tenant: tenant.to_owned(), token: token.to_owned(), client }
    }

    /// Subscribes a URL to events; the secret.
    pub(crate) async fn subscribe(&self, program: &Program, url: &str, events: &str) -> String {
        let args = ["webhook", "create", "--tenant", &self.tenant, "--url", url, "--events", events];
        program.json(&args).await["secret"].as_str().unwrap().to_owned()
    }

    /// Sends one request; a null body is none.
    pub(crate) async fn send(&self, method: Method, url: &str, body: &Value) -> Answered {
        let request = self.client.request(method, url).bearer_auth(&self.token);
        let sent = if body.is_null() { request.send().await } else { request.send_json(body).await };
        let mut answer = sent.map_err(|e| e.to_string())?;
        let text = answer.body().limit(10_000_000).await.map_err(|e| e.to_string())?;
        Ok((answer.status().as_u16(), serde_json::from_slice(&text).unwrap_or_default()))
    }

    pub(crate) async fn get(&self, url: &str) -> Answered {
        self.send(Method::GET, url, &Value::Null).await
    }

    pub(crate) async fn post(&self, url: &str, body: &Value) -> Answered {
        self.send(Method::POST, url, body).await
    }

    pub(crate) async fn patch(&self, url: &str, body: &Value) -> Answered {
        self.send(Method::PATCH, url, body).await
    }
}
