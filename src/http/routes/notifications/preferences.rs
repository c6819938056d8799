//! What users choose for themselves, and managers for all users of the tenant.

use super::{READ, SEND, WRITE};
use crate::auth::Identity;
use crate::catalog::observer::Unit;
use crate::domain::{Fields, Result};
use crate::http::extract::{Body, Cause};
use crate::http::idempotent::Reply;
use crate::http::{State, idempotent, respond};
use crate::notifications::charges::Charges;
use crate::notifications::choices::{self, Changes};
use crate::notifications::dispatch::Terms;
use crate::notifications::draft::read_channels;
use crate::notifications::send;
use crate::storage::Conn;
use actix_web::HttpResponse;
use actix_web::web::Data;

pub(super) async fn show(identity: Identity, state: Data<State>) -> Result<HttpResponse> {
    identity.require(READ)?;
    let mut conn = state.db.read().await?;
    respond::data(&choices::show(&mut conn, (identity.tenant_id, identity.user_id)).await?)
}

pub(super) async fn update(identity: Identity, state: Data<State>, body: Body) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let changes = Changes::parse(body.read().await?.fields()?)?;
    let (owner, now) = ((identity.tenant_id, identity.user_id), state.clock.now());
    let work = async |conn: &mut Conn| {
        choices::change(conn, owner, &changes, now).await?;
        choices::show(conn, owner).await
    };
    respond::data(&state.db.transaction(work).await?)
}

pub(super) async fn show_defaults(identity: Identity, state: Data<State>) -> Result<HttpResponse> {
    identity.require(SEND)?;
    let mut conn = state.db.read().await?;
    respond::data(&choices::show_defaults(&mut conn, identity.tenant_id).await?)
}

pub(super) async fn update_defaults(
    identity: Identity,
    state: Data<State>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(SEND)?;
    let changes = Changes::parse(body.read().await?.fields()?)?;
    let (tenant, now) = (identity.tenant_id, state.clock.now());
    let work = async |conn: &mut Conn| {
        choices::change_defaults(conn, tenant, &changes, now).await?;
        choices::show_defaults(conn, tenant).await
    };
    respond::data(&state.db.transaction(work).await?)
}

/// Sends the caller a notification as their preferences would have it.
pub(super) async fn test(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let sent = body.read().await?;
    let mut fields: Fields = sent.fields()?;
    let channels = read_channels(&mut fields).value();
    fields.finish()?;
    let charges = Charges::new(&state.notifier.limits);
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        // Told in every tab, that which asked too.
        let terms = Terms { limits: Some(&charges), except: None, now: unit.now() };
        let owner = (identity.tenant_id, identity.user_id, identity.name.as_str());
        let (report, events) = send::send_test(conn, owner, channels.clone(), terms).await?;
        unit.tell(events);
        Reply::created(&report)
    };
    let answer = idempotent::once(&state, &identity, cause, &sent, work).await?;
    if !idempotent::is_replay(&answer) {
        charges.keep();
    }
    state.notifier.wake();
    Ok(answer)
}
