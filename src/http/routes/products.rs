//! `/api/v1/products`: products, their stock among it. PUT and PATCH both change the given fields only.

use crate::auth::Identity;
use crate::catalog::product::{self, NewProduct, ProductChanges, ProductFilter};
use crate::domain::{ProductId, Result};
use crate::http::extract::{Body, Cause};
use crate::http::idempotent::Reply;
use crate::http::respond::method_not_allowed;
use crate::http::{State, idempotent, respond};
use actix_web::web::{Data, Path, ServiceConfig, delete, get, patch, post, put, resource};
use actix_web::{HttpRequest, HttpResponse};

const READ: &str = "products:read";
const WRITE: &str = "products:write";

pub(in crate::http) fn configure(app: &mut ServiceConfig) {
    let all = resource("/api/v1/products").route(get().to(list)).route(post().to(create));
    let one = resource("/api/v1/products/{id}")
        .route(get().to(show))
        .route(put().to(update))
        .route(patch().to(update))
        .route(delete().to(remove));
    app.service(all.default_service(method_not_allowed("GET, POST")))
        .service(one.default_service(method_not_allowed("GET, PUT, PATCH, DELETE")));
}

async fn list(request: HttpRequest, identity: Identity, state: Data<State>) -> Result<HttpResponse> {
    identity.require(READ)?;
    let (filter, page) = ProductFilter::parse(request.query_string())?;
    let mut conn = state.db.read().await?;
    let listed = product::list(&mut conn, identity.tenant_id, &filter, &page).await?;
    Ok(respond::list(&request, &page, &listed))
}

async fn show(identity: Identity, state: Data<State>, id: Path<ProductId>) -> Result<HttpResponse> {
    identity.require(READ)?;
    let mut conn = state.db.read().await?;
    respond::data(&product::find(&mut conn, identity.tenant_id, *id).await?)
}

async fn create(identity: Identity, cause: Cause, state: Data<State>, body: Body) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let sent = body.read().await?;
    let new = NewProduct::parse(sent.fields()?)?;
    let work = async |conn: &mut _, unit: &mut _| Reply::created(&product::create(conn, unit, &new).await?);
    idempotent::once(&state, &identity, cause, &sent, work).await
}

async fn update(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    id: Path<ProductId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let changes = ProductChanges::parse(body.read().await?.fields()?)?;
    let work = async |conn: &mut _, unit: &mut _| product::update(conn, unit, *id, changes).await;
    respond::data(&state.observer.commit(identity.tenant_id, cause.0, work).await?)
}

async fn remove(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    id: Path<ProductId>,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let work = async |conn: &mut _, unit: &mut _| product::delete(conn, unit, *id).await;
    state.observer.commit(identity.tenant_id, cause.0, work).await?;
    Ok(respond::no_content())
}
