//! `POST /apps/{id}/users/{user}/terminate_connections`: ends all connections of a user.

use super::{nothing, signed};
use crate::auth::api_signature::Query;
use crate::domain::Result;
use crate::http::State;
use crate::realtime::Hub;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

/// An empty object, or nothing, or what a library may yet put there.
const MAX_BODY: usize = 4_096;

/// The end of the path.
#[derive(Deserialize)]
pub(super) struct User {
    user: String,
}

/// `{}`, also when the user has no connection. Without an app in its path (as Pusher's library for Python sends
/// it) the request is the app's whose key and signature it carries.
pub(super) async fn terminate(
    request: HttpRequest,
    path: web::Path<User>,
    payload: web::Payload,
    hub: web::Data<Hub>,
    state: web::Data<State>,
) -> Result<HttpResponse> {
    let query = Query::parse(request.query_string());
    let app = signed::app(&request, &query, &hub, &state)?;
    signed::body(payload, &query, MAX_BODY).await?;
    let ended = hub.terminate_user(&app.id, &path.user);
    tracing::info!(app = %app.id, ended, "a back end ended the connections of a user");
    Ok(nothing())
}
