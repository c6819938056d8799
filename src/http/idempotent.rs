//! `Idempotency-Key`: a POST sent twice with one key acts once and is answered twice alike.
//!
//! The answer is kept in the transaction of what it answers. Only success is kept: a refused request changed
//! nothing, and may be tried again with its key. Of requests that race, one commits; the others fail, in
//! whichever rule of the database they meet first, and then find its answer.

use super::State;
use super::extract::{Cause, Sent};
use super::respond;
use crate::auth::Identity;
use crate::catalog::observer::Unit;
use crate::domain::{Error, Result};
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

/// Runs `work` through the observer, once a key, and answers 201 with what it made.
pub async fn create<T: Serialize>(
    state: &State,
    identity: &Identity,
    cause: Cause,
    sent: &Sent,
    work: impl AsyncFnOnce(&mut Conn, &mut Unit) -> Result<T>,
) -> Result<HttpResponse> {
    create_once_shown(state, identity, cause, sent, work, |_| ()).await
}

/// The same with a status that depends on what was made.
pub async fn create_with_status<T: Serialize>(
    state: &State,
    identity: &Identity,
    cause: Cause,
    sent: &Sent,
    work: impl AsyncFnOnce(&mut Conn, &mut Unit) -> Result<T>,
    status: impl Fn(&T) -> StatusCode,
) -> Result<HttpResponse> {
    once(state, identity, cause, sent, work, (|_| (), status)).await
}

/// The same for what changes something that is there: it answers 200.
pub async fn act<T: Serialize>(
    state: &State,
    identity: &Identity,
    cause: Cause,
    sent: &Sent,
    work: impl AsyncFnOnce(&mut Conn, &mut Unit) -> Result<T>,
) -> Result<HttpResponse> {
    create_with_status(state, identity, cause, sent, work, |_| StatusCode::OK).await
}

/// The answer that the request's key has already: for work that does some of it before it comes to its last transaction.
pub async fn answered(state: &State, identity: &Identity, sent: &Sent) -> Result<Option<HttpResponse>> {
    let Some(key) = Key::of(sent)? else { return Ok(None) };
    Ok(key.find(state, identity).await?.map(replay))
}

/// As [`create`], where a part of the answer is shown once: `hide` takes it out of what is kept for a repeat.
pub async fn create_once_shown<T: Serialize>(
    state: &State,
    identity: &Identity,
    cause: Cause,
    sent: &Sent,
    work: impl AsyncFnOnce(&mut Conn, &mut Unit) -> Result<T>,
    hide: impl FnOnce(&mut T),
) -> Result<HttpResponse> {
    once(state, identity, cause, sent, work, (hide, |_| StatusCode::CREATED)).await
}

async fn once<T: Serialize>(
    state: &State,
    identity: &Identity,
    cause: Cause,
    sent: &Sent,
    work: impl AsyncFnOnce(&mut Conn, &mut Unit) -> Result<T>,
    (hide, status): (impl FnOnce(&mut T), impl Fn(&T) -> StatusCode),
) -> Result<HttpResponse> {
    let Some(key) = Key::of(sent)? else {
        let made = state.observer.commit(identity.tenant_id, cause.0, work).await?;
        return Ok(respond::json(status(&made), respond::data_text(&made)?));
    };
    if let Some(answer) = key.find(state, identity).await? {
        return Ok(replay(answer));
    }
    let done = state.observer.commit(identity.tenant_id, cause.0, async |conn, unit| {
        let mut made = work(conn, unit).await?;
        let (status, answer) = (status(&made), respond::data_text(&made)?);
        hide(&mut made);
        key.keep(conn, identity, unit, (status, respond::data_text(&made)?)).await?;
        Ok((status, answer))
    });
    match done.await {
        Ok((status, body)) => Ok(respond::json(status, body)),
        Err(error) => key.find(state, identity).await?.map(replay).ok_or(error),
    }
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

    async fn keep(
        &self,
        conn: &mut Conn,
        identity: &Identity,
        unit: &Unit,
        (status, body): (StatusCode, String),
    ) -> Result<()> {
        let status = i32::from(status.as_u16());
        let answer = Answer { fingerprint: self.fingerprint.clone(), status, body };
        let owner = (identity.tenant_id, identity.user_id);
        idempotency::keep(conn, owner, &self.text, &answer, unit.now()).await
    }
}

/// SHA-256 of method, path and body.
fn fingerprint(sent: &Sent) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{} {}\n", sent.request.method(), sent.request.path()));
    hash.update(&sent.bytes);
    hex::encode(hash.finalize())
}
