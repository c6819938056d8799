//! A user's own inbox.

use super::{READ, WRITE};
use crate::auth::Identity;
use crate::catalog::observer::Unit;
use crate::domain::{NotificationId, Result};
use crate::http::extract::Cause;
use crate::http::{State, respond};
use crate::notifications::inbox::{self, Hand, InboxFilter, Mark, Owner};
use crate::storage::Conn;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

fn owner(identity: &Identity) -> Owner {
    (identity.tenant_id, identity.user_id)
}

fn hand(identity: &Identity, cause: Cause, unit: &Unit) -> Hand {
    Hand { owner: owner(identity), except: cause.0, now: unit.now() }
}

pub(super) async fn list(
    request: HttpRequest,
    identity: Identity,
    state: Data<State>,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let (filter, cursor) = InboxFilter::parse(request.query_string())?;
    let mut conn = state.db.read().await?;
    let slice = inbox::list(&mut conn, owner(&identity), &filter, cursor, state.clock.now()).await?;
    Ok(respond::slice(&request, cursor, &slice))
}

pub(super) async fn show(
    identity: Identity,
    state: Data<State>,
    id: Path<NotificationId>,
) -> Result<HttpResponse> {
    identity.require(READ)?;
    let mut conn = state.db.read().await?;
    respond::data(&inbox::find(&mut conn, owner(&identity), *id, state.clock.now()).await?)
}

pub(super) async fn unread_count(identity: Identity, state: Data<State>) -> Result<HttpResponse> {
    identity.require(READ)?;
    let mut conn = state.db.read().await?;
    let count = inbox::unread_count(&mut conn, owner(&identity), state.clock.now()).await?;
    respond::data(&json!({"unread_count": count}))
}

pub(super) async fn mark_read(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    id: Path<NotificationId>,
) -> Result<HttpResponse> {
    mark(&identity, cause, &state, *id, Mark::Read).await
}

pub(super) async fn mark_unread(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    id: Path<NotificationId>,
) -> Result<HttpResponse> {
    mark(&identity, cause, &state, *id, Mark::Unread).await
}

pub(super) async fn archive(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    id: Path<NotificationId>,
) -> Result<HttpResponse> {
    mark(&identity, cause, &state, *id, Mark::Archived).await
}

pub(super) async fn unarchive(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    id: Path<NotificationId>,
) -> Result<HttpResponse> {
    mark(&identity, cause, &state, *id, Mark::Unarchived).await
}

async fn mark(
    identity: &Identity,
    cause: Cause,
    state: &State,
    id: NotificationId,
    mark: Mark,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        let (changed, events) = inbox::mark(conn, hand(identity, cause, unit), id, mark).await?;
        unit.tell(events);
        Ok(changed)
    };
    respond::data(&state.observer.commit(identity.tenant_id, cause.0, work).await?)
}

pub(super) async fn mark_all_read(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        let (all, events) = inbox::mark_all_read(conn, hand(&identity, cause, unit)).await?;
        unit.tell(events);
        Ok(all)
    };
    respond::data(&state.observer.commit(identity.tenant_id, cause.0, work).await?)
}

pub(super) async fn remove(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    id: Path<NotificationId>,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        unit.tell(inbox::delete(conn, hand(&identity, cause, unit), *id).await?);
        Ok(())
    };
    state.observer.commit(identity.tenant_id, cause.0, work).await?;
    Ok(respond::no_content())
}
