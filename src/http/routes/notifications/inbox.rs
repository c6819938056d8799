//! A user's own inbox.

use super::{READ, WRITE};
use crate::auth::Identity;
use crate::catalog::observer::Unit;
use crate::domain::{NotificationId, Result};
use crate::http::extract::{Body, Cause};
use crate::http::idempotent::Reply;
use crate::http::{State, idempotent, respond};
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
    body: Body,
) -> Result<HttpResponse> {
    mark(&identity, cause, &state, *id, body, Mark::Read).await
}

pub(super) async fn mark_unread(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    id: Path<NotificationId>,
    body: Body,
) -> Result<HttpResponse> {
    mark(&identity, cause, &state, *id, body, Mark::Unread).await
}

pub(super) async fn archive(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    id: Path<NotificationId>,
    body: Body,
) -> Result<HttpResponse> {
    mark(&identity, cause, &state, *id, body, Mark::Archived).await
}

pub(super) async fn unarchive(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    id: Path<NotificationId>,
    body: Body,
) -> Result<HttpResponse> {
    mark(&identity, cause, &state, *id, body, Mark::Unarchived).await
}

async fn mark(
    identity: &Identity,
    cause: Cause,
    state: &State,
    id: NotificationId,
    body: Body,
    mark: Mark,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let sent = body.read_any().await?;
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        let (changed, events) = inbox::mark(conn, hand(identity, cause, unit), id, mark).await?;
        unit.tell(events);
        Reply::ok(&changed)
    };
    idempotent::once(state, identity, cause, &sent, work).await
}

pub(super) async fn mark_all_read(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(WRITE)?;
    let sent = body.read_any().await?;
    if let Some(answer) = idempotent::answered(&state, &identity, &sent).await? {
        return Ok(answer);
    }
    let before = mark_parts_read(&identity, cause, &state).await?;
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        let (all, events) = inbox::mark_all_read(conn, hand(&identity, cause, unit), before).await?;
        unit.tell(events);
        Reply::ok(&all)
    };
    idempotent::once(&state, &identity, cause, &sent, work).await
}

/// Of a long inbox all but the last part, each in a transaction of its own; how many became read. Whoever goes away in
/// between has marked some.
async fn mark_parts_read(identity: &Identity, cause: Cause, state: &State) -> Result<i64> {
    let (mut updated, mut after) = (0, NotificationId(0));
    if !inbox::is_long(&mut state.db.read().await?, owner(identity), state.clock.now()).await? {
        return Ok(updated);
    }
    loop {
        let work = async |conn: &mut Conn, unit: &mut Unit| {
            let part = inbox::mark_part_read(conn, hand(identity, cause, unit), after).await?;
            Ok(part.map(|(count, last, events)| {
                unit.tell(events);
                (count, last)
            }))
        };
        match state.observer.commit(identity.tenant_id, cause.0, work).await? {
            Some((count, last)) => (updated, after) = (updated + count, last),
            None => return Ok(updated),
        }
    }
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
