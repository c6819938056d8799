//! Sending, and how far it is where it goes to many.

use super::SEND;
use crate::auth::Identity;
use crate::catalog::observer::Unit;
use crate::domain::{FanOutId, Result};
use crate::http::extract::{Body, Cause};
use crate::http::idempotent::Reply;
use crate::http::{State, idempotent, respond};
use crate::notifications::charges::Charges;
use crate::notifications::dispatch::Terms;
use crate::notifications::fan_out::{self, FanOutFilter};
use crate::notifications::send::{self, SendRequest};
use crate::storage::Conn;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

pub(super) async fn create(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(SEND)?;
    let sent = body.read().await?;
    let request = SendRequest::parse(sent.fields()?, state.clock.now())?;
    let charges = Charges::new(&state.notifier.limits);
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        let terms = Terms { limits: Some(&charges), except: cause.0, now: unit.now() };
        let (report, events) = send::send(conn, identity.tenant_id, &request, terms).await?;
        unit.tell(events);
        if report.goes_on() { Reply::accepted(&report) } else { Reply::created(&report) }
    };
    let answer = idempotent::once(&state, &identity, cause, &sent, work).await?;
    if !idempotent::is_replay(&answer) {
        charges.keep();
    }
    state.notifier.wake();
    Ok(answer)
}

pub(super) async fn list(
    request: HttpRequest,
    identity: Identity,
    state: Data<State>,
) -> Result<HttpResponse> {
    identity.require(SEND)?;
    let (filter, cursor) = FanOutFilter::parse(request.query_string())?;
    let mut conn = state.db.read().await?;
    let slice = fan_out::list(&mut conn, identity.tenant_id, filter, cursor).await?;
    Ok(respond::slice(&request, cursor, &slice))
}

pub(super) async fn retry(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    id: Path<FanOutId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(SEND)?;
    let sent = body.read_any().await?;
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        Reply::ok(&fan_out::retry(conn, identity.tenant_id, *id, unit.now()).await?)
    };
    let answer = idempotent::once(&state, &identity, cause, &sent, work).await;
    state.notifier.wake();
    answer
}

pub(super) async fn show(identity: Identity, state: Data<State>, id: Path<FanOutId>) -> Result<HttpResponse> {
    identity.require(SEND)?;
    let mut conn = state.db.read().await?;
    respond::data(&fan_out::find(&mut conn, identity.tenant_id, *id).await?)
}
