//! `POST /apps/{id}/events`: one event on up to 100 channels. Its fields stand in the body as JSON, or in the
//! query.

use super::event::{Raw, Told, body_limit};
use super::{admit, answer, nothing, signed};
use crate::auth::api_signature::Query;
use crate::domain::Result;
use crate::http::State;
use crate::realtime::Hub;
use actix_web::{HttpRequest, HttpResponse, web};
use std::time::Instant;

/// `{}`, or `{"channels":{NAME:{…}}}` when `info` was asked.
pub(super) async fn trigger(
    request: HttpRequest,
    payload: web::Payload,
    hub: web::Data<Hub>,
    state: web::Data<State>,
) -> Result<HttpResponse> {
    let query = Query::parse(request.query_string());
    let app = signed::app(&request, &query, &hub, &state)?;
    admit(&hub, app, 0)?;
    let body = signed::body(payload, &query, body_limit(app, 1)).await?;
    let event = Raw::read(&body, &query)?.check(app, Instant::now())?;
    admit(&hub, app, event.channels.len())?;
    event.check_room(&hub, app)?;
    let Some(info) = event.info else {
        hub.publish(&app.id, event.channels, event.publication).await?;
        return Ok(nothing());
    };
    hub.publish(&app.id, event.channels.clone(), event.publication.clone()).await?;
    answer(&Told { channels: event.attributes(info, &hub, app) })
}
