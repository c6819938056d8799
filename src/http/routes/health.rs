//! Health: `/up` (the process serves), `/ready` (send it traffic), the WebSocket's health, `/metrics`.

use crate::domain::{Code, Error, Result};
use crate::http::State;
use crate::realtime::Hub;
use actix_web::{HttpResponse, web};
use serde_json::json;
use std::time::Instant;

/// When the process began to serve.
#[derive(Debug, Clone, Copy)]
pub struct Started(pub Instant);

/// Adds the routes.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.route("/up", web::get().to(up))
        .route("/ready", web::get().to(ready))
        .route("/metrics", web::get().to(metrics))
        .route("/api/v1/websocket/health", web::get().to(websocket));
}

async fn up() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "up" }))
}

/// Green while the database answers, the registry answers, and no drain has begun.
async fn ready(state: web::Data<State>, hub: web::Data<Hub>) -> Result<HttpResponse> {
    if hub.table.is_closed() {
        return Err(Error::new(Code::Unavailable, "The server is draining."));
    }
    state.db.ping().await?;
    hub.probe().await?;
    Ok(HttpResponse::Ok().json(json!({ "status": "ready" })))
}

async fn websocket(hub: web::Data<Hub>, started: web::Data<Started>) -> HttpResponse {
    let healthy = !hub.table.is_closed() && hub.probe().await.is_ok();
    let body = json!({
        "status": if healthy { "healthy" } else { "unhealthy" },
        "connections": hub.table.len(),
        "uptime_seconds": started.0.elapsed().as_secs(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    if healthy { HttpResponse::Ok().json(body) } else { HttpResponse::ServiceUnavailable().json(body) }
}

async fn metrics(hub: web::Data<Hub>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(hub.metrics.render())
}
