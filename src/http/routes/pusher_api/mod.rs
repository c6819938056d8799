//! `/apps/{id}/…`: the Pusher HTTP API for back ends, signed with the app's secret.
//! <https://pusher.com/docs/channels/library_auth_reference/rest-api/>
//!
//! Each call judges the head of the request before it reads the body (`signed`), checks all that it was
//! given before it does anything, and answers 200 with exactly the documented body, or 400, 401, 403, 413,
//! 429 (over `events_per_second`) with a message.

pub mod batch;
mod channels;
pub mod event;
mod info;
mod signed;
mod trigger;
mod users;

use crate::config::App;
use crate::domain::{Code, Error, Result};
use crate::http::respond::{json, method_not_allowed};
use crate::realtime::Hub;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use std::time::Instant;

/// Adds the routes.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::scope("/apps/{app}")
            .service(post("/events").route(web::post().to(trigger::trigger)))
            .service(post("/batch_events").route(web::post().to(batch::trigger)))
            .service(get("/channels").route(web::get().to(channels::list)))
            .service(get("/channels/{channel}").route(web::get().to(channels::one)))
            .service(get("/channels/{channel}/users").route(web::get().to(channels::users)))
            .service(post("/users/{user}/terminate_connections").route(web::post().to(users::terminate))),
    )
    .service(post("/users/{user}/terminate_connections").route(web::post().to(users::terminate)));
}

/// A resource that answers GET.
fn get(path: &str) -> actix_web::Resource {
    web::resource(path).default_service(method_not_allowed("GET"))
}

/// A resource that answers POST.
fn post(path: &str) -> actix_web::Resource {
    web::resource(path).default_service(method_not_allowed("POST"))
}

/// 200 with this object.
fn answer(body: &impl Serialize) -> Result<HttpResponse> {
    let text = serde_json::to_string(body)
        .map_err(|e| Error::new(Code::Internal, "The answer could not be written down.").because(e))?;
    Ok(json(StatusCode::OK, text))
}

/// 200 with `{}`.
fn nothing() -> HttpResponse {
    json(StatusCode::OK, "{}".to_owned())
}

/// Takes so many publications from what the app may publish a second; the 429 if it has none left. Taking
/// none asks whether there is any.
fn admit(hub: &Hub, app: &App, publications: usize) -> Result<()> {
    hub.publishing.admit(&app.id, publications, Instant::now()).map_err(|wait| {
        hub.metrics.events_refused.with_label_values(&["rate_limited"]).inc();
        let message = format!(
            "This app may publish {} events a second ([[apps]] events_per_second); an event on several \
             channels counts for each.",
            app.events_per_second
        );
        Error::new(Code::TooMany, message).after(wait)
    })
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(Code::Malformed, message)
}
