//! Which app a request speaks for, judged by its head alone: who has no secret has no body read.

use crate::auth::api_signature::{self, Query};
use crate::config::App;
use crate::domain::{Code, Error, Result};
use crate::http::{State, extract};
use crate::realtime::Hub;
use actix_web::{HttpRequest, web};
use std::sync::Arc;

/// The app that the path names, if the query carries its signature; 403 when the app is disabled.
pub(super) fn app<'h>(
    request: &HttpRequest,
    query: &Query<'_>,
    hub: &'h Hub,
    state: &State,
) -> Result<&'h Arc<App>> {
    let named = match request.match_info().get("app") {
        Some(id) => hub.app_by_id(id),
        None => query.get("auth_key").and_then(|key| hub.app_by_key(key)),
    };
    let unknown = || Error::new(Code::Unauthenticated, "There is no app with this id and key.");
    let app = named.ok_or_else(unknown)?;
    api_signature::verify(app, request.method().as_str(), request.path(), query, state.clock.now())?;
    if app.enabled {
        Ok(app)
    } else {
        Err(Error::new(Code::Forbidden, "This app is disabled ([[apps]] enabled)."))
    }
}

/// The body that the signed query speaks of, of at most `limit` bytes.
pub(super) async fn body(payload: web::Payload, query: &Query<'_>, limit: usize) -> Result<web::Bytes> {
    let body = extract::raw(payload, limit).await?;
    api_signature::verify_body(query, &body)?;
    Ok(body)
}
