//! `Idempotency-Key`: a POST sent twice with one key acts once and is answered twice alike. Every POST of the API goes
//! through here.
//!
//! What is one transaction keeps its answer in it ([`once`]). Only success is kept: a refused request changed nothing,
//! and may be tried again with its key. Of requests that race, one commits; the others fail, in whichever rule of the
//! database they meet first, and then find its answer.
//!
//! What is several, or none, keeps its answer when it is done ([`once_done`]). Should it break off before, the same
//! request with the same key does what is left, and says how much that was.

use super::State;
use super::extract::{Cause, Sent};
use super::respond;
use crate::auth::Identity;
use crate::catalog::observer::Unit;
use crate::domain::{Error, Result, Timestamp};
use crate::storage::Conn;
use crate::storage::idempotency::{self, Answer};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use serde::Serialize;
use sha2::{Digest, Sha256};

const HEADER: &str = "Idempotency-Key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const MAX_LENGTH: usize = 255;

/// What a POST is answered with.
pub struct Reply {
    status: StatusCode,
    body: String,
    /// In place of the body, for a repeat.
    kept: Option<String>,
}

impl Reply {
    /// 200, of what was changed or found out.
    pub fn ok(value: &impl Serialize) -> Result<Self> {
        Self::with(StatusCode::OK, value)
    }

    /// 201, of what was made.
    pub fn created(value: &impl Serialize) -> Result<Self> {
        Self::with(StatusCode::CREATED, value)
    }

    /// 202, of what will be done soon.
    pub fn accepted(value: &impl Serialize) -> Result<Self> {
        Self::with(StatusCode::ACCEPTED, value)
    }

    fn with(status: StatusCode, value: &impl Serialize) -> Result<Self> {
        Ok(Self { status, body: respond::data_text(value)?, kept: None })
    }

    /// Where a part of the answer is shown once: a repeat is answered with `value`, which is without that. What is kept
    /// for it is kept for a day, and is no place for a secret.
    pub fn keeping(self, value: &impl Serialize) -> Result<Self> {
        Ok(Self { kept: Some(respond::data_text(value)?), ..self })
    }

    fn kept(&self) -> &str {
        self.kept.as_deref().unwrap_or(&self.body)
    }

    fn show(self) -> HttpResponse {
        respond::json(self.status, self.body)
    }
}

/// Runs `work` through the observer, once a key: its answer is kept in the transaction of what it does.
pub async fn once(
    state: &State,
    identity: &Identity,
    cause: Cause,
    sent: &Sent,
    work: impl AsyncFnOnce(&mut Conn, &mut Unit) -> Result<Reply>,
) -> Result<HttpResponse> {
    let Some(key) = Key::of(sent)? else {
        return Ok(state.observer.commit(identity.tenant_id, cause.0, work).await?.show());
    };
    if let Some(answer) = key.find(state, identity).await? {
        return Ok(replay(answer));
    }
    let done = state.observer.commit(identity.tenant_id, cause.0, async |conn, unit| {
        let reply = work(conn, unit).await?;
        key.keep(conn, identity, &reply, unit.now()).await?;
        Ok(reply)
    });
    match done.await {
        Ok(reply) => Ok(reply.show()),
        Err(error) => key.find(state, identity).await?.map(replay).ok_or(error),
    }
}

/// Runs `work` that is not one transaction, once a key: its answer is kept when it is done. A repeat that comes before
/// that works beside it, so it has to be such that the two together do no more than one of them.
pub async fn once_done(
    state: &State,
    identity: &Identity,
    sent: &Sent,
    work: impl AsyncFnOnce() -> Result<Reply>,
) -> Result<HttpResponse> {
    let Some(key) = Key::of(sent)? else { return Ok(work().await?.show()) };
    if let Some(answer) = key.find(state, identity).await? {
        return Ok(replay(answer));
    }
    let reply = work().await?;
    let keep = async |conn: &mut Conn| key.keep(conn, identity, &reply, state.clock.now()).await;
    match state.db.transaction(keep).await {
        Ok(()) => Ok(reply.show()),
        Err(error) => key.find(state, identity).await?.map(replay).ok_or(error),
    }
}

/// The answer that the request's key has already: for work that does some of it before it comes to its last transaction.
pub async fn answered(state: &State, identity: &Identity, sent: &Sent) -> Result<Option<HttpResponse>> {
    let Some(key) = Key::of(sent)? else { return Ok(None) };
    Ok(key.find(state, identity).await?.map(replay))
}

/// Whether an answer is an earlier one again: this request did nothing then.
pub fn is_replay(answer: &HttpResponse) -> bool {
    answer.headers().contains_key(&REPLAYED)
}

fn replay(answer: Answer) -> HttpResponse {
    let status = u16::try_from(answer.status).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let mut response = respond::json(status.unwrap_or(StatusCode::OK), answer.body);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// A request's key, and what the request asked.
struct Key {
    text: String,
    fingerprint: String,
}

impl Key {
    fn of(sent: &Sent) -> Result<Option<Self>> {
        let Some(value) = sent.request.headers().get(HEADER) else { return Ok(None) };
        let text = value.to_str().ok().map(str::trim).filter(|t| !t.is_empty() && t.len() <= MAX_LENGTH);
        let text = text.ok_or_else(|| {
            Error::field(HEADER, format!("{HEADER} must be 1 to {MAX_LENGTH} visible ASCII characters."))
        })?;
        Ok(Some(Self { text: text.to_owned(), fingerprint: fingerprint(sent) }))
    }

    /// The answer that this key has, if it was given to the same request.
    async fn find(&self, state: &State, identity: &Identity) -> Result<Option<Answer>> {
        let mut conn = state.db.read().await?;
        let answer = idempotency::find(&mut conn, identity.user_id, &self.text).await?;
        match answer {
            Some(answer) if answer.fingerprint != self.fingerprint => Err(Error::field(
                HEADER,
                format!("This {HEADER} was used for another request; use a new one."),
            )),
            other => Ok(other),
        }
    }

    async fn keep(&self, conn: &mut Conn, identity: &Identity, reply: &Reply, now: Timestamp) -> Result<()> {
        let status = i32::from(reply.status.as_u16());
        let answer = Answer { fingerprint: self.fingerprint.clone(), status, body: reply.kept().to_owned() };
        let owner = (identity.tenant_id, identity.user_id);
        idempotency::keep(conn, owner, &self.text, &answer, now).await
    }
}

/// SHA-256 of method, path and body.
fn fingerprint(sent: &Sent) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{} {}\n", sent.request.method(), sent.request.path()));
    hash.update(&sent.bytes);
    hex::encode(hash.finalize())
}
