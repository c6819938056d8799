//! Endpoints themselves. PUT and PATCH both change the given fields only; the secret is in the answer that makes
//! or replaces it, and in no other.

use super::{READ, WRITE};
use crate::auth::Identity;
use crate::domain::{EndpointId, Error, Result};
use crate::http::extract::{Body, Cause};
use crate::http::{State, idempotent, respond};
use crate::storage::Conn;
use crate::storage::page::Listed;
use crate::webhooks::endpoint::{
    self, Endpoint, EndpointChanges, EndpointFilter, EndpointResource, NewEndpoint,
};
use crate::webhooks::rotation;
use crate::webhooks::secrets::{Secrets, SecretsView, Shown};
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
struct Made {
    #[serde(flatten)]
    endpoint: Detailed,
    /// Null where the answer is given a second time.
    secret: Option<String>,
}

/// What is shown once.
#[derive(Serialize)]
struct Once {
    secret: String,
    /// Of an endpoint that is signed for with a key pair, too.
    public_key: Option<String>,
}

impl From<Shown> for Once {
    fn from(shown: Shown) -> Self {
        Self { secret: shown.secret.expose().to_owned(), public_key: shown.public_key }
    }
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
    let work = async |conn: &mut Conn, unit: &mut crate::catalog::observer::Unit| {
        endpoint::make_room(conn, identity.tenant_id, most).await?;
        let (made, shown) = endpoint::create(conn, &state.vault, new.clone(), unit.now()).await?;
        let secret = Some(shown.secret.expose().to_owned());
        Ok(Made { endpoint: Detailed::of(conn, &state, made).await?, secret })
    };
    // What is kept for a repeat of the request is kept for a day, and is no place for a secret.
    let without_secret = |made: &mut Made| made.secret = None;
    idempotent::create_once_shown(&state, &identity, cause, &sent, work, without_secret).await
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
    changed(&state, async |conn| {
        if !changes.secrets.is_empty() {
            let change = |secrets: &mut Secrets| changes.secrets.clone().apply(secrets);
            rotation::change(conn, &state.vault, owned, now, change).await?;
        }
        endpoint::update(conn, owned, &changes, now).await
    })
    .await
}

pub(super) async fn pause(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let (owned, now) = ((identity.tenant_id, *id), state.clock.now());
    changed(&state, async |conn| endpoint::set_paused(conn, owned, true, now).await).await
}

pub(super) async fn resume(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let (owned, now) = ((identity.tenant_id, *id), state.clock.now());
    changed(&state, async |conn| endpoint::set_paused(conn, owned, false, now).await).await
}

pub(super) async fn reset(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    changed(&state, async |conn| {
        let found = endpoint::find(conn, identity.tenant_id, *id).await?;
        state.cooldown.take((identity.tenant_id, *id), state.clock.now())?;
        endpoint::reset_breaker(conn, found.id).await?;
        Ok(found)
    })
    .await
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
    let mut fields = body.read().await?.fields()?;
    let given = fields.integer("overlap_seconds", 0, 604_800);
    let seconds = fields.present("overlap_seconds", given).map(i64::unsigned_abs);
    fields.finish()?;
    let overlap = Duration::from_secs(seconds.unwrap_or(state.config.webhooks.secret_overlap_seconds));
    let (owned, now) = ((identity.tenant_id, *id), state.clock.now());
    let rotate = async |conn: &mut Conn| rotation::rotate(conn, &state.vault, owned, overlap, now).await;
    let shown = Once::from(state.db.transaction(rotate).await?);
    state.doorbell.ring(*id);
    respond::data(&shown)
}

/// Commits a change, has the sender look at the endpoint, and answers with it.
async fn changed(
    state: &State,
    work: impl AsyncFnOnce(&mut Conn) -> Result<Endpoint>,
) -> Result<HttpResponse> {
    let shown = state
        .db
        .transaction(async |conn| {
            let changed = work(conn).await?;
            Detailed::of(conn, state, changed).await
        })
        .await?;
    state.doorbell.ring(shown.endpoint.id);
    respond::data(&shown)
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
