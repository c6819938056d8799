//! What became of events on their way to endpoints.

use super::READ;
use crate::auth::Identity;
use crate::domain::{DeliveryId, EndpointId, Result};
use crate::http::{State, respond};
use crate::webhooks::deliveries::{self, DeliveryFilter};
use crate::webhooks::endpoint;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

pub(super) async fn list(
    request: HttpRequest,
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let (filter, cursor) = DeliveryFilter::parse(request.query_string())?;
    let mut conn = state.db.read().await?;
    let found = endpoint::find(&mut conn, identity.tenant_id, *id).await?;
    let slice = deliveries::list(&mut conn, &[found.id], &filter, cursor).await?;
    Ok(respond::slice(&request, cursor, &slice))
}

/// The failed deliveries of all the tenant's endpoints.
pub(super) async fn failed(
    request: HttpRequest,
    identity: Identity,
    state: Data<State>,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let (filter, cursor) = DeliveryFilter::parse_failed(request.query_string())?;
    let mut conn = state.db.read().await?;
    let endpoints = endpoint::ids(&mut conn, identity.tenant_id).await?;
    let slice = deliveries::list(&mut conn, &endpoints, &filter, cursor).await?;
    Ok(respond::slice(&request, cursor, &slice))
}

pub(super) async fn show(
    identity: Identity,
    state: Data<State>,
    path: Path<(EndpointId, DeliveryId)>,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let (id, delivery) = *path;
    let mut conn = state.db.read().await?;
    let found = endpoint::find(&mut conn, identity.tenant_id, id).await?;
    respond::data(&deliveries::details(&mut conn, found.id, delivery).await?)
}
