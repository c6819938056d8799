//! Which events a user is told of.

use super::{READ, WRITE};
use crate::auth::Identity;
use crate::catalog::observer::Unit;
use crate::domain::{Result, SubscriptionId};
use crate::http::extract::{Body, Cause};
use crate::http::idempotent::Reply;
use crate::http::{State, idempotent, respond};
use crate::notifications::subscription_rows::{self, NewSubscription};
use crate::storage::Conn;
use crate::storage::page::ListQuery;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

pub(super) async fn list(
    request: HttpRequest,
    identity: Identity,
    state: Data<State>,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let cursor = ListQuery::parse_cursor(request.query_string(), &[]).finish_cursor()?;
    let mut conn = state.db.read().await?;
    let owner = (identity.tenant_id, identity.user_id);
    let slice = subscription_rows::list(&mut conn, owner, cursor).await?;
    Ok(respond::slice(&request, cursor, &slice))
}

pub(super) async fn create(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let sent = body.read().await?;
    let new = NewSubscription::parse(sent.fields()?)?;
    let owner = (identity.tenant_id, identity.user_id);
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        Reply::created(&subscription_rows::create(conn, owner, &new, unit.now()).await?)
    };
    idempotent::once(&state, &identity, cause, &sent, work).await
}

pub(super) async fn remove(
    identity: Identity,
    state: Data<State>,
    id: Path<SubscriptionId>,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let owner = (identity.tenant_id, identity.user_id);
    state.db.transaction(async |conn| subscription_rows::delete(conn, owner, *id).await).await?;
    Ok(respond::no_content())
}
