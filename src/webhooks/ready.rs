//! `Ready`: what of an endpoint's row its requests are made of, opened and checked.

use super::access_token::AccessToken;
use super::authorization::Authorization;
use super::client::{Client, Post};
use super::custom_headers::CustomHeaders;
use super::endpoint::Endpoint;
use super::jwe::{self, EncryptionKey};
use super::outcome::Report;
use super::secrets::Secrets;
use super::signing::Signer;
use super::vault::Vault;
use crate::domain::{Clock, Secret, Timestamp};
use awc::http::Uri;
use bytes::Bytes;
use std::time::{Duration, Instant};

/// See the module.
pub(super) struct Ready {
    url: Uri,
    signer: Signer,
    headers: CustomHeaders,
    auth: Option<Authorization>,
    token: Option<AccessToken>,
    encryption_key: Option<EncryptionKey>,
}

/// What the endpoint keeps secret. When it does not open, the operator is told here, the owner in the log of attempts.
pub(super) fn opened(endpoint: &Endpoint, vault: &Vault) -> Option<Secrets> {
    let untold =
        |why| tracing::error!(webhook.id = %endpoint.id, %why, "the secrets of a webhook do not open");
    endpoint.secrets(vault).map_err(untold).ok()
}

impl Ready {
    /// `None` when the row does not hold what a request needs, or it does not open.
    pub(super) fn of(endpoint: &Endpoint, vault: &Vault) -> Option<Self> {
        let secrets = opened(endpoint, vault)?;
        let token = match &secrets.auth {
            Some(Authorization::OAuth2(credentials)) => Some(AccessToken::new(credentials.clone())?),
            _ => None,
        };
        Some(Self {
            url: endpoint.url.parse().ok()?,
            headers: secrets.headers.clone(),
            auth: secrets.auth.clone(),
            encryption_key: secrets.encryption_key.clone(),
            token,
            signer: secrets.signer().ok()?,
        })
    }

    /// An attempt at the message `id`, made at `now`; what is signed is what is sent.
    pub(super) fn post(&self, id: &str, body: Bytes, now: Timestamp, timeout: Duration) -> Option<Post> {
        let body = match &self.encryption_key {
            Some(key) => key.encrypt(&body).ok()?,
            None => body,
        };
        let mut headers = self.signer.sign(id, now, &body).headers(id);
        if self.encryption_key.is_some() {
            headers.push(("content-type", jwe::CONTENT_TYPE.to_owned()));
        }
        Some(self.request(headers, body, timeout))
    }

    /// Any request to it, with what its owner wants in the head.
    pub(super) fn request(
        &self,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
        timeout: Duration,
    ) -> Post {
        let own_headers = self.headers.pairs().chain(self.auth.as_ref().and_then(Authorization::header));
        Post { url: self.url.clone(), body, headers, own_headers: own_headers.collect(), timeout }
    }

    /// What signs.
    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }

    /// What encrypts, if anything does.
    pub(super) fn encryption_key(&self) -> Option<&EncryptionKey> {
        self.encryption_key.as_ref()
    }

    /// Sends it. Where a token is needed, getting it belongs to the attempt and to its time; a receiver that does
    /// not take it (401) is asked once more with a new one.
    pub(super) async fn send(&self, client: &Client, post: Post, clock: &Clock) -> Report {
        let Some(token) = &self.token else { return client.send(post).await };
        let (begun, limit) = (Instant::now(), post.timeout);
        let mut last: Option<(Secret, Report)> = None;
        loop {
            let left = limit.saturating_sub(begun.elapsed());
            let value =
                match token.get(client, last.as_ref().map(|(refused, _)| refused), clock.now(), left).await {
                    Ok(value) => value,
                    Err(report) => return Report { duration: begun.elapsed(), ..report },
                };
            // A provider that gives the same token again has nothing better.
            if let Some((_, report)) = last.take_if(|(refused, _)| *refused == value) {
                return Report { duration: begun.elapsed(), ..report };
            }
            let mut post = Post { timeout: limit.saturating_sub(begun.elapsed()), ..post.clone() };
            post.own_headers.push(("authorization".to_owned(), value.clone()));
            let report = client.send(post).await;
            if report.status != Some(401) || last.is_some() {
                return Report { duration: begun.elapsed(), ..report };
            }
            last = Some((value, report));
        }
    }
}
