//! Endpoints themselves. PUT and PATCH both change the given fields only; the secret is in the answer that makes
//! or replaces it, and in no other.

use super::{READ, WRITE};
use crate::auth::Identity;
use crate::catalog::observer::Unit;
use crate::domain::{EndpointId, Error, Result, Timestamp};
use crate::http::extract::{Body, Cause, Sent};
use crate::http::idempotent::Reply;
use crate::http::{State, idempotent, respond};
use crate::storage::Conn;
use crate::storage::page::Listed;
use crate::webhooks::endpoint::{
    self, Endpoint, EndpointChanges, EndpointFilter, EndpointResource, NewEndpoint,
};
use crate::webhooks::rotation;
use crate::webhooks::secrets::{Secrets, SecretsView};
use crate::webhooks::stats::{self, Period};
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub(super) async fn list(
    request: HttpRequest,
    identity: Identity,
    state: Data<State>,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let (filter, page) = EndpointFilter::parse(request.query_string())?;
    let mut conn = state.db.read().await?;
    let Listed { rows, total } = endpoint::page(&mut conn, identity.tenant_id, &filter, &page).await?;
    let rows = endpoint::show_all(&mut conn, rows).await?;
    Ok(respond::list(&request, &page, &Listed { rows, total }))
}

pub(super) async fn show(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let mut conn = state.db.read().await?;
    let found = endpoint::find(&mut conn, identity.tenant_id, *id).await?;
    respond::data(&Detailed::of(&mut conn, &state, found).await?)
}

/// An endpoint with what may be shown of its secrets.
#[derive(Serialize)]
struct Detailed {
    #[serde(flatten)]
    endpoint: EndpointResource,
    #[serde(flatten)]
    secrets: SecretsView,
}

impl Detailed {
    async fn of(conn: &mut Conn, state: &State, endpoint: Endpoint) -> Result<Self> {
        let secrets = SecretsView::of(&endpoint, &state.vault);
        Ok(Self { endpoint: endpoint::show(conn, endpoint).await?, secrets })
    }
}

/// An endpoint that was just made.
#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    endpoint: &'a Detailed,
    /// Null where the answer is given a second time.
    secret: Option<&'a str>,
}

/// What takes the place of what it was.
#[derive(Serialize)]
struct Rotated<'a> {
    /// Null where the answer is given a second time.
    secret: Option<&'a str>,
    /// Of an endpoint that is signed for with a key pair, too.
    public_key: Option<&'a str>,
}

pub(super) async fn create(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let sent = body.read().await?;
    let new = NewEndpoint::read(identity.tenant_id, sent.fields()?)?;
    new.permit(&state.config.webhooks)?;
    let most = state.config.webhooks.endpoints_per_tenant;
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        endpoint::make_room(conn, identity.tenant_id, most).await?;
        let (made, shown) = endpoint::create(conn, &state.vault, new.clone(), unit.now()).await?;
        let endpoint = Detailed::of(conn, &state, made).await?;
        let made = Made { endpoint: &endpoint, secret: Some(shown.secret.expose()) };
        Reply::created(&made)?.keeping(&Made { secret: None, ..made })
    };
    idempotent::once(&state, &identity, cause, &sent, work).await
}

pub(super) async fn update(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let changes = EndpointChanges::parse(body.read().await?.fields()?)?;
    changes.permit(&state.config.webhooks)?;
    let owned = (identity.tenant_id, *id);
    let now = state.clock.now();
    let work = async |conn: &mut Conn| {
        if !changes.secrets.is_empty() {
            let change = |secrets: &mut Secrets| changes.secrets.clone().apply(secrets);
            rotation::change(conn, &state.vault, owned, now, change).await?;
        }
        let updated = endpoint::update(conn, owned, &changes, now).await?;
        Detailed::of(conn, &state, updated).await
    };
    let shown = state.db.transaction(work).await?;
    state.doorbell.ring(*id);
    respond::data(&shown)
}

pub(super) async fn pause(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let (owned, sent) = ((identity.tenant_id, *id), body.read_any().await?);
    let work = async |conn: &mut Conn, now| endpoint::set_paused(conn, owned, true, now).await;
    act(&state, &identity, (&sent, *id), work).await
}

pub(super) async fn resume(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let (owned, sent) = ((identity.tenant_id, *id), body.read_any().await?);
    let work = async |conn: &mut Conn, now| endpoint::set_paused(conn, owned, false, now).await;
    act(&state, &identity, (&sent, *id), work).await
}

pub(super) async fn reset(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let (owned, sent) = ((identity.tenant_id, *id), body.read_any().await?);
    let work = async |conn: &mut Conn, now| {
        let found = endpoint::find(conn, identity.tenant_id, *id).await?;
        state.cooldown.take(owned, now)?;
        endpoint::reset_breaker(conn, found.id).await?;
        Ok(found)
    };
    act(&state, &identity, (&sent, *id), work).await
}

/// Does this to the endpoint, once a key, has the sender look at it, and answers with it.
async fn act(
    state: &State,
    identity: &Identity,
    (sent, id): (&Sent, EndpointId),
    work: impl AsyncFnOnce(&mut Conn, Timestamp) -> Result<Endpoint>,
) -> Result<HttpResponse> {
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        let changed = work(conn, unit.now()).await?;
        Reply::ok(&Detailed::of(conn, state, changed).await?)
    };
    let answer = idempotent::once(state, identity, Cause(None), sent, work).await?;
    state.doorbell.ring(id);
    Ok(answer)
}

/// Gives the endpoint a new secret. The old one signs beside it for `overlap_seconds`; the configuration's unless
/// said.
pub(super) async fn rotate_secret(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let sent = body.read().await?;
    let mut fields = sent.fields()?;
    let given = fields.integer("overlap_seconds", 0, 604_800);
    let seconds = fields.present("overlap_seconds", given).map(i64::unsigned_abs);
    fields.finish()?;
    let overlap = Duration::from_secs(seconds.unwrap_or(state.config.webhooks.secret_overlap_seconds));
    let owned = (identity.tenant_id, *id);
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        let shown = rotation::rotate(conn, &state.vault, owned, overlap, unit.now()).await?;
        let rotated =
            Rotated { secret: Some(shown.secret.expose()), public_key: shown.public_key.as_deref() };
        Reply::ok(&rotated)?.keeping(&Rotated { secret: None, ..rotated })
    };
    let answer = idempotent::once(&state, &identity, Cause(None), &sent, work).await?;
    state.doorbell.ring(*id);
    Ok(answer)
}

pub(super) async fn remove(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let now = state.clock.now();
    state.db.transaction(async |conn| endpoint::delete(conn, identity.tenant_id, *id, now).await).await?;
    state.doorbell.ring(*id);
    Ok(respond::no_content())
}

#[derive(Deserialize)]
pub(super) struct Over {
    period: Option<String>,
}

pub(super) async fn stats(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
    over: Query<Over>,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let period: Period = over
        .period
        .as_deref()
        .unwrap_or("day")
        .parse()
        .map_err(|message: String| Error::field("period", message))?;
    let mut conn = state.db.read().await?;
    let found = endpoint::find(&mut conn, identity.tenant_id, *id).await?;
    respond::data(&stats::report(&mut conn, found.id, period, state.clock.now()).await?)
}
