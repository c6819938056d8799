//! Templates: the system's, to use and to look at, and the tenant's own. PUT and PATCH both change the given fields
//! only; other words are a new version.

use crate::auth::Identity;
use crate::catalog::observer::Unit;
use crate::domain::{Result, TemplateId};
use crate::http::extract::{Body, Cause};
use crate::http::idempotent::Reply;
use crate::http::{State, idempotent, respond};
use crate::notifications::templates::{self, NewTemplate, Preview, TemplateChanges, TemplateFilter};
use crate::storage::Conn;
use crate::storage::page::ListQuery;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

const READ: &str = "templates:read";
const WRITE: &str = "templates:write";

pub(super) async fn list(
    request: HttpRequest,
    identity: Identity,
    state: Data<State>,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let (filter, page) = TemplateFilter::parse(request.query_string())?;
    let mut conn = state.db.read().await?;
    let listed = templates::list(&mut conn, identity.tenant_id, &filter, &page).await?;
    Ok(respond::list(&request, &page, &listed))
}

pub(super) async fn show(
    identity: Identity,
    state: Data<State>,
    id: Path<TemplateId>,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let mut conn = state.db.read().await?;
    respond::data(&templates::find(&mut conn, identity.tenant_id, *id).await?)
}

pub(super) async fn versions(
    request: HttpRequest,
    identity: Identity,
    state: Data<State>,
    id: Path<TemplateId>,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let cursor = ListQuery::parse_cursor(request.query_string(), &[]).finish_cursor()?;
    let mut conn = state.db.read().await?;
    let slice = templates::versions(&mut conn, identity.tenant_id, *id, cursor).await?;
    Ok(respond::slice(&request, cursor, &slice))
}

pub(super) async fn version(
    identity: Identity,
    state: Data<State>,
    path: Path<(TemplateId, i32)>,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let (id, version) = *path;
    let mut conn = state.db.read().await?;
    respond::data(&templates::find_version(&mut conn, identity.tenant_id, id, version).await?)
}

pub(super) async fn create(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let sent = body.read().await?;
    let new = NewTemplate::parse(sent.fields()?)?;
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        Reply::created(&templates::create(conn, unit.tenant(), &new, unit.now()).await?)
    };
    idempotent::once(&state, &identity, cause, &sent, work).await
}

pub(super) async fn update(
    identity: Identity,
    state: Data<State>,
    id: Path<TemplateId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let changes = TemplateChanges::parse(body.read().await?.fields()?)?;
    let (tenant, now) = (identity.tenant_id, state.clock.now());
    let work = async |conn: &mut Conn| templates::update(conn, tenant, *id, &changes, now).await;
    respond::data(&state.db.transaction(work).await?)
}

pub(super) async fn remove(
    identity: Identity,
    state: Data<State>,
    id: Path<TemplateId>,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let (tenant, now) = (identity.tenant_id, state.clock.now());
    state.db.transaction(async |conn| templates::delete(conn, tenant, *id, now).await).await?;
    Ok(respond::no_content())
}

pub(super) async fn preview(
    identity: Identity,
    state: Data<State>,
    id: Path<TemplateId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let sent = body.read().await?;
    let preview = Preview::parse(sent.fields()?)?;
    let work = async || {
        let mut conn = state.db.read().await?;
        Reply::ok(&templates::preview(&mut conn, identity.tenant_id, *id, &preview).await?)
    };
    idempotent::once_done(&state, &identity, &sent, work).await
}

pub(super) async fn preview_unsaved(
    identity: Identity,
    state: Data<State>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let sent = body.read().await?;
    let work = async || Reply::ok(&Preview::of_unsaved(sent.fields()?)?);
    idempotent::once_done(&state, &identity, &sent, work).await
}
