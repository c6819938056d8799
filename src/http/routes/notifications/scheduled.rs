//! The schedule: for whoever may send, of all of the tenant; for anybody else, what they schedule for themselves.

use super::{READ, SEND, WRITE};
use crate::auth::Identity;
use crate::catalog::observer::Unit;
use crate::domain::{Code, Error, Result, ScheduledId, UserId};
use crate::http::extract::{Body, Cause, Sent};
use crate::http::idempotent::Reply;
use crate::http::{State, idempotent, respond};
use crate::notifications::charges::Charges;
use crate::notifications::schedule::change::{self, ScheduledChanges};
use crate::notifications::schedule::{self, ScheduledFilter, ScheduledResource, Wanted};
use crate::storage::Conn;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

pub(super) async fn list(
    request: HttpRequest,
    identity: Identity,
    state: Data<State>,
) -> Result<HttpResponse> {
    let only = permit(&identity, READ)?;
    let (filter, cursor) = ScheduledFilter::parse(request.query_string())?;
    let filter = match only {
        Some(user) => filter.of(user),
        None => filter,
    };
    let mut conn = state.db.read().await?;
    let slice = schedule::list(&mut conn, identity.tenant_id, &filter, cursor, state.clock.now()).await?;
    Ok(respond::slice(&request, cursor, &slice))
}

pub(super) async fn show(
    identity: Identity,
    state: Data<State>,
    id: Path<ScheduledId>,
) -> Result<HttpResponse> {
    let owner = (identity.tenant_id, permit(&identity, READ)?);
    let mut conn = state.db.read().await?;
    respond::data(&schedule::find(&mut conn, owner, *id, state.clock.now()).await?)
}

pub(super) async fn create(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    body: Body,
) -> Result<HttpResponse> {
    permit(&identity, WRITE)?;
    let sent = body.read().await?;
    let is_one = !sent.fields()?.has("notifications");
    let wanted = wanted(&identity, &state, &sent)?;
    let count = wanted.len();
    let charges = Charges::new(&state.notifier.limits);
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        let admitted = charges.admit_tenant(unit.tenant(), count, unit.now());
        admitted.map_err(|wait| {
            let message = "The tenant has sent and scheduled as many notifications as it may in a minute.";
            Error::new(Code::TooMany, message).after(wait)
        })?;
        let made = schedule::create(conn, unit.tenant(), wanted, unit.now()).await?;
        match made.as_slice() {
            [only] if is_one => Reply::created(only),
            many => Reply::created(&many),
        }
    };
    let answer = idempotent::once(&state, &identity, cause, &sent, work).await?;
    if !idempotent::is_replay(&answer) {
        charges.keep();
    }
    state.notifier.wake();
    Ok(answer)
}

pub(super) async fn preview(identity: Identity, state: Data<State>, body: Body) -> Result<HttpResponse> {
    permit(&identity, WRITE)?;
    let sent = body.read().await?;
    let wanted = wanted(&identity, &state, &sent)?;
    let work = async || {
        let mut conn = state.db.read().await?;
        Reply::ok(&schedule::preview(&mut conn, identity.tenant_id, wanted, state.clock.now()).await?)
    };
    idempotent::once_done(&state, &identity, &sent, work).await
}

pub(super) async fn reschedule(
    identity: Identity,
    state: Data<State>,
    id: Path<ScheduledId>,
    body: Body,
) -> Result<HttpResponse> {
    let owner = (identity.tenant_id, permit(&identity, WRITE)?);
    let now = state.clock.now();
    let changes = ScheduledChanges::parse(body.read().await?.fields()?, now)?;
    changed(&state, async |conn| change::reschedule(conn, owner, *id, changes, now).await).await
}

pub(super) async fn retry(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    id: Path<ScheduledId>,
    body: Body,
) -> Result<HttpResponse> {
    let owner = (identity.tenant_id, permit(&identity, WRITE)?);
    let sent = body.read_any().await?;
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        Reply::ok(&change::retry(conn, owner, *id, unit.now()).await?)
    };
    let answer = idempotent::once(&state, &identity, cause, &sent, work).await;
    state.notifier.wake();
    answer
}

pub(super) async fn cancel(
    identity: Identity,
    state: Data<State>,
    id: Path<ScheduledId>,
) -> Result<HttpResponse> {
    let owner = (identity.tenant_id, permit(&identity, WRITE)?);
    let now = state.clock.now();
    state.db.transaction(async |conn| change::cancel(conn, owner, *id, now).await).await?;
    Ok(respond::no_content())
}

async fn changed(
    state: &State,
    work: impl AsyncFnOnce(&mut Conn) -> Result<ScheduledResource>,
) -> Result<HttpResponse> {
    let shown = state.db.transaction(work).await?;
    state.notifier.wake();
    respond::data(&shown)
}

/// Reads what is to be scheduled; for others it takes the ability to send.
fn wanted(identity: &Identity, state: &State, sent: &Sent) -> Result<Vec<Wanted>> {
    let wanted = schedule::parse(sent.fields()?, identity.user_id, state.clock.now())?;
    if wanted.iter().any(|one| one.user != identity.user_id) {
        identity.require(SEND)?;
    }
    Ok(wanted)
}

/// Whose rows alone may be seen or changed with this ability; none: everybody's.
fn permit(identity: &Identity, ability: &str) -> Result<Option<UserId>> {
    if identity.can(SEND) {
        return Ok(None);
    }
    identity.require(ability)?;
    Ok(Some(identity.user_id))
}
