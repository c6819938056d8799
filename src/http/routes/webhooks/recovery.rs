//! Sending again, and sending a test.

use super::WRITE;
use crate::auth::Identity;
use crate::domain::{DeliveryId, EndpointId, Result};
use crate::http::extract::Body;
use crate::http::{State, respond};
use crate::webhooks::endpoint;
use crate::webhooks::recovery::{self, Done, MOST, Wanted};
use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde_json::json;

pub(super) async fn test(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let now = state.clock.now();
    let delivery = state
        .db
        .transaction(async |conn| {
            let found = endpoint::find(conn, identity.tenant_id, *id).await?;
            state.cooldown.take((identity.tenant_id, *id), now)?;
            recovery::test(conn, &found, now).await
        })
        .await?;
    state.doorbell.ring(*id);
    respond::accepted(&delivery)
}

pub(super) async fn resend(
    identity: Identity,
    state: Data<State>,
    path: Path<(EndpointId, DeliveryId)>,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let ((id, delivery), now) = (*path, state.clock.now());
    let delivery = state
        .db
        .transaction(async |conn| {
            let found = endpoint::find(conn, identity.tenant_id, id).await?;
            recovery::resend(conn, &found, delivery, now).await
        })
        .await?;
    state.doorbell.ring(id);
    respond::accepted(&delivery)
}

pub(super) async fn recover(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let wanted = Wanted::parse_recovery(body.read().await?.fields()?)?;
    let found = endpoint::find(&mut state.db.read().await?, identity.tenant_id, *id).await?;
    let done = recovery::recover((&state.db, &state.clock), &found, &wanted, MOST, |_| ()).await;
    // What was done before a failure stands, and is due.
    state.doorbell.ring(*id);
    let Done { count, next } = done?;
    respond::data(&json!({"recovered": count, "next": next}))
}

pub(super) async fn replay(
    identity: Identity,
    state: Data<State>,
    id: Path<EndpointId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let wanted = Wanted::parse_replay(body.read().await?.fields()?)?;
    let found = endpoint::find(&mut state.db.read().await?, identity.tenant_id, *id).await?;
    let done = recovery::replay((&state.db, &state.clock), &found, &wanted, MOST, |_| ()).await;
    state.doorbell.ring(*id);
    let Done { count, next } = done?;
    respond::data(&json!({"replayed": count, "next": next}))
}
