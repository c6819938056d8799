//! `POST /apps/{id}/batch_events`: up to ten events, each on one channel. All are checked before the first is
//! published; they are published in their order, and none when the channel of one is full.

use super::event::{Event, Raw, body_limit};
use super::info::Attributes;
use super::{admit, answer, nothing, signed, wrong};
use crate::auth::api_signature::Query;
use crate::config::App;
use crate::domain::{Error, Result};
use crate::http::State;
use crate::realtime::Hub;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Events of one batch.
const MAX_EVENTS: usize = 10;

#[derive(Deserialize)]
#[serde(expecting = "an object with a batch of events")]
struct Batch {
    batch: Vec<Raw>,
}

#[derive(Serialize)]
struct Told {
    batch: Vec<Attributes>,
}

/// `{}`, or, when one of the events asked for `info`, `{"batch":[{…},…]}` with an object for each event.
pub(super) async fn trigger(
    request: HttpRequest,
    payload: web::Payload,
    hub: web::Data<Hub>,
    state: web::Data<State>,
) -> Result<HttpResponse> {
    let query = Query::parse(request.query_string());
    let app = signed::app(&request, &query, &hub, &state)?;
    admit(&hub, app, 0)?;
    let body = signed::body(payload, &query, body_limit(app, MAX_EVENTS)).await?;
    let events = parse(&body, app, Instant::now())?;
    admit(&hub, app, events.len())?;
    events.iter().try_for_each(|event| event.check_room(&hub, app))?;
    let on_each = |event: &Event| {
        let publication = event.publication.clone();
        event.channels.clone().into_iter().map(move |channel| (channel, publication.clone()))
    };
    hub.publish_batch(&app.id, events.iter().flat_map(on_each).collect()).await?;
    if events.iter().all(|event| event.info.is_none()) {
        return Ok(nothing());
    }
    let told = |event: &Event| {
        let of = |info| event.attributes(info, &hub, app).into_values().next();
        event.info.and_then(of).unwrap_or_default()
    };
    answer(&Told { batch: events.iter().map(told).collect() })
}

/// The events of a body, each checked; `at` is when it came.
pub fn parse(body: &[u8], app: &App, at: Instant) -> Result<Vec<Event>> {
    let Batch { batch } =
        serde_json::from_slice(body).map_err(|e| wrong(format!("The body is not a batch: {e}.")))?;
    if batch.is_empty() || batch.len() > MAX_EVENTS {
        return Err(wrong(format!("A batch has 1 to {MAX_EVENTS} events.")));
    }
    let event = |(nth, raw): (usize, Raw)| {
        let checked = raw.for_one_channel().and_then(|raw| raw.check(app, at));
        checked.map_err(|e| Error::new(e.code(), format!("Event {} of the batch: {}", nth + 1, e.message())))
    };
    batch.into_iter().enumerate().map(event).collect()
}
