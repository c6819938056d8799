//! `AccessToken`: the OAuth 2 token that an endpoint's deliveries carry: got with the client's credentials, kept until
//! shortly before it ends, asked for by one attempt at a time while the others wait for it.

use super::authorization::{ClientCredentials, basic_value};
use super::client::{Client, Post};
use super::custom_headers::parse_value;
use super::outcome::{Outcome, Report};
use crate::domain::{Secret, Timestamp};
use awc::http::Uri;
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::Mutex;
use url::form_urlencoded::{Serializer, byte_serialize};

/// How long before its end a token is given up, so that it does not end on its way.
const MARGIN: Duration = Duration::from_secs(30);

/// How long a token is kept whose end was not told, and the longest that any is.
const UNTOLD: Duration = Duration::from_mins(5);
const LONGEST: Duration = Duration::from_hours(24);

/// See the module.
pub(super) struct AccessToken {
    url: Uri,
    credentials: ClientCredentials,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    value: Secret,
    until: Timestamp,
}

/// What a token endpoint answers (RFC 6749, 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: Secret,
    token_type: String,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<f64>,
}

/// A number, or, as some providers write it, one in a string; anything else is as good as untold.
fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let told = serde_json::Value::deserialize(deserializer)?;
    Ok(told.as_f64().or_else(|| told.as_str()?.parse().ok()))
}

impl AccessToken {
    /// `None` when its URL is none that a request can be made to.
    pub(super) fn new(credentials: ClientCredentials) -> Option<Self> {
        let url = credentials.token_url.as_str().parse().ok()?;
        Some(Self { url, credentials, kept: Mutex::new(None) })
    }

    /// The value of the `authorization` header; `refused` is one that the receiver did not take. Without a token
    /// the attempt is over, and this is its report.
    pub(super) async fn get(
        &self,
        client: &Client,
        refused: Option<&Secret>,
        now: Timestamp,
        limit: Duration,
    ) -> Result<Secret, Report> {
        let asking = async {
            let mut kept = self.kept.lock().await;
            if let Some(token) = kept.as_ref()
                && token.until > now
                && refused != Some(&token.value)
            {
                return Ok(token.value.clone());
            }
            *kept = None;
            let new = self.ask(client, now, limit).await?;
            Ok(kept.insert(new).value.clone())
        };
        let late = |_| Err(failed("The token endpoint did not answer in time."));
        tokio::time::timeout(limit, asking).await.unwrap_or_else(late)
    }

    async fn ask(&self, client: &Client, now: Timestamp, limit: Duration) -> Result<Kept, Report> {
        let (report, body) = client.fetch(self.post(limit)).await;
        if let Some(error) = report.error {
            return Err(failed(&format!("No access token could be got: {error}")));
        }
        let granted: Granted = serde_json::from_slice(&body).map_err(|_| not_a_token())?;
        let value = parse_value("authorization", granted.access_token.expose()).map_err(|_| not_a_token())?;
        if !granted.token_type.eq_ignore_ascii_case("bearer") {
            return Err(not_a_token());
        }
        let told = granted.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let life = told.unwrap_or(UNTOLD).min(LONGEST);
        let until = now.plus(life.saturating_sub(MARGIN.min(life / 2)));
        Ok(Kept { value: Secret::new(format!("Bearer {}", Secret::new(value).expose())), until })
    }

    /// Name and secret go into the head, form-encoded, as RFC 6749 has it (2.3.1).
    fn post(&self, timeout: Duration) -> Post {
        let encoded = |secret: &Secret| byte_serialize(secret.expose().as_bytes()).collect::<String>();
        let (id, secret) = (&self.credentials.client_id, &self.credentials.client_secret);
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if let Some(scope) = &self.credentials.scope {
            form.append_pair("scope", scope);
        }
        Post {
            url: self.url.clone(),
            body: form.finish().into(),
            headers: vec![
                ("content-type", "application/x-www-form-urlencoded".to_owned()),
                ("accept", "application/json".to_owned()),
            ],
            own_headers: vec![("authorization".to_owned(), basic_value(&encoded(id), &encoded(secret)))],
            timeout,
        }
    }
}

/// What the token endpoint said is not kept: it may repeat what it was asked with.
fn failed(message: &str) -> Report {
    Report::without_answer(Outcome::Token, message.to_owned(), Duration::ZERO)
}

fn not_a_token() -> Report {
    failed("The token endpoint's answer holds no bearer token.")
}
