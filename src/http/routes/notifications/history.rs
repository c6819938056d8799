//! What became of notifications: to whoever may send, of the whole tenant; to anybody else, of their own.

use super::{READ, SEND};
use crate::auth::Identity;
use crate::domain::{HistoryId, Result, UserId};
use crate::http::{State, respond};
use crate::notifications::history::{self, HistoryFilter};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

pub(super) async fn list(
    request: HttpRequest,
    identity: Identity,
    state: Data<State>,
) -> Result<HttpResponse> {
    let only = permit(&identity)?;
    let (filter, cursor) = HistoryFilter::parse(request.query_string())?;
    let filter = match only {
        Some(user) => filter.of(user),
        None => filter,
    };
    let mut conn = state.db.read().await?;
    let slice = history::list(&mut conn, identity.tenant_id, &filter, cursor).await?;
    Ok(respond::slice(&request, cursor, &slice))
}

pub(super) async fn show(
    identity: Identity,
    state: Data<State>,
    id: Path<HistoryId>,
) -> Result<HttpResponse> {
    let only = permit(&identity)?;
    let mut conn = state.db.read().await?;
    respond::data(&history::find(&mut conn, (identity.tenant_id, only), *id).await?)
}

/// Whose history alone may be seen; none: everybody's.
fn permit(identity: &Identity) -> Result<Option<UserId>> {
    if identity.can(SEND) {
        return Ok(None);
    }
    identity.require(READ)?;
    Ok(Some(identity.user_id))
}
