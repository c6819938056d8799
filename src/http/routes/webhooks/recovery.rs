//! Sending again, and sending a test.

use super::WRITE;
use crate::auth::Identity;
use crate::catalog::observer::Unit;
use crate::domain::{DeliveryId, EndpointId, Result};
use crate::http::extract::{Body, Cause};
use crate::http::idempotent::Reply;
use crate::http::{State, idempotent};
use crate::storage::Conn;
use crate::webhooks::endpoint;
use crate::webhooks::recovery::{self, Done, MOST, Wanted};
use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde_json::json;

pub(super) async fn test(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let sent = body.read_any().await?;
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        let found = endpoint::find(conn, identity.tenant_id, *id).await?;
        state.cooldown.take((identity.tenant_id, *id), unit.now())?;
        Reply::accepted(&recovery::test(conn, &found, unit.now()).await?)
    };
    let answer = idempotent::once(&state, &identity, Cause(None), &sent, work).await?;
    state.doorbell.ring(*id);
    Ok(answer)
}

pub(super) async fn resend(
    identity: Identity,
    state: Data<State>,
    path: Path<(EndpointId, DeliveryId)>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let ((id, delivery), sent) = (*path, body.read_any().await?);
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        let found = endpoint::find(conn, identity.tenant_id, id).await?;
        Reply::accepted(&recovery::resend(conn, &found, delivery, unit.now()).await?)
    };
    let answer = idempotent::once(&state, &identity, Cause(None), &sent, work).await?;
    state.doorbell.ring(id);
    Ok(answer)
}

/// Of two at once each delivery is sent again by one of them: the other finds it failed no more.
pub(super) async fn recover(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let sent = body.read().await?;
    let wanted = Wanted::parse_recovery(sent.fields()?)?;
    let work = async || {
        let found = endpoint::find(&mut state.db.read().await?, identity.tenant_id, *id).await?;
        let done = recovery::recover((&state.db, &state.clock), &found, &wanted, MOST, |_| ()).await;
        // What was done before a failure stands, and is due.
        state.doorbell.ring(*id);
        let Done { count, next } = done?;
        Reply::ok(&json!({"recovered": count, "next": next}))
    };
    idempotent::once_done(&state, &identity, &sent, work).await
}

/// Of two at once each delivery is made by one of them: there is one of an event to an endpoint.
pub(super) async fn replay(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let sent = body.read().await?;
    let wanted = Wanted::parse_replay(sent.fields()?)?;
    let work = async || {
        let found = endpoint::find(&mut state.db.read().await?, identity.tenant_id, *id).await?;
        let done = recovery::replay((&state.db, &state.clock), &found, &wanted, MOST, |_| ()).await;
        state.doorbell.ring(*id);
        let Done { count, next } = done?;
        Reply::ok(&json!({"replayed": count, "next": next}))
    };
    idempotent::once_done(&state, &identity, &sent, work).await
}
