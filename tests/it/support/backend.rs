//! `Backend`: a back end that calls the Pusher HTTP API; it signs by itself, apart from the code under test.

use super::hub::{APP_ID, APP_KEY, APP_SECRET, TestHub};
use awc::Client;
use awc::http::Method;
use bellwire::domain::{Clock, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use std::net::SocketAddr;

/// A back end with the credentials of an app.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) secret: String,
    address: SocketAddr,
    client: Client,
}

/// Status and body of an answer.
pub(crate) type Answered = (u16, String);

impl Backend {
    /// Of the app that tests connect to.
    pub(crate) fn of(hub: &TestHub) -> Self {
        Self::named(hub, APP_ID, APP_KEY, APP_SECRET)
    }

    /// Of an app with these credentials.
    pub(crate) fn named(hub: &TestHub, id: &str, key: &str, secret: &str) -> Self {
        let [id, key, secret] = [id, key, secret].map(str::to_owned);
        Self { id, key, secret, address: hub.address, client: Client::default() }
    }

    /// The same with other credentials.
    pub(crate) fn with(&self, id: &str, key: &str, secret: &str) -> Self {
        let [id, key, secret] = [id, key, secret].map(str::to_owned);
        Self { id, key, secret, ..self.clone() }
    }

    /// Posts a body to a path under `/apps/{id}`.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answered {
        self.call("POST", path, &[], body).await
    }

    /// Gets a path under `/apps/{id}`.
    pub(crate) async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Answered {
        self.call("GET", path, parameters, "").await
    }

    /// Any call under `/apps/{id}`, signed now.
    pub(crate) async fn call(&self, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Answered {
        let path = format!("/apps/{}{path}", self.id);
        let query = self.sign(method, &path, more, body, Clock::System.now());
        self.send(method, &format!("{path}?{query}"), body).await
    }

    /// Sends what stands here, signed or not.
    pub(crate) async fn send(&self, method: &str, path_and_query: &str, body: &str) -> Answered {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("http://{}{path_and_query}", self.address);
        let mut answer = self.client.request(method, url).send_body(body.to_owned()).await.unwrap();
        let text = answer.body().limit(10_000_000).await.unwrap();
        (answer.status().as_u16(), String::from_utf8(text.to_vec()).unwrap())
    }

    /// The query of a signed request, escaped.
    pub(crate) fn sign(
        &self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &str,
        at: Timestamp,
    ) -> String {
        let (at, md5) = (at.unix_seconds().to_string(), hex::encode(Md5::digest(body)));
        let mut pairs = vec![("auth_key", &*self.key), ("auth_timestamp", &*at), ("auth_version", "1.0")];
        if !body.is_empty() {
            pairs.push(("body_md5", &md5));
        }
        pairs.extend(more);
        let signature = self.signature(method, path, &pairs);
        pairs.push(("auth_signature", &signature));
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    fn signature(&self, method: &str, path: &str, pairs: &[(&str, &str)]) -> String {
        let mut sorted: Vec<(String, &str)> = pairs.iter().map(|(k, v)| (k.to_lowercase(), *v)).collect();
        sorted.sort_by(|one, other| one.0.cmp(&other.0));
        let query: Vec<String> = sorted.iter().map(|(key, value)| format!("{key}={value}")).collect();
        self.hmac(&format!("{method}\n{path}\n{}", query.join("&")))
    }

    /// Hex HMAC-SHA256 with the app's secret.
    pub(crate) fn hmac(&self, text: &str) -> String {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}
