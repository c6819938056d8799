//! `GET /app/{key}`: the upgrade to a Pusher WebSocket. Other paths at `/app` are told so (4005).
//!
//! What a browser must be told it is told by a close code after the upgrade (it cannot read the status of a
//! refused one); what protects the server is refused before it.

use crate::auth::Tokens;
use crate::domain::{Code, Error, Result};
use crate::http::client_address::client_address;
use crate::http::{State, extract, origin};
use crate::realtime::Hub;
use crate::realtime::frame::Ending;
use crate::realtime::session::{Opening, Principal, open};
use actix_web::http::header::{HeaderValue, RETRY_AFTER, UPGRADE};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use serde::Deserialize;
use std::time::Instant;

/// Versions of the protocol that are spoken: 5 and 6 differ from 7 only in what they lack.
const PROTOCOLS: std::ops::RangeInclusive<u32> = 5..=7;

/// The query of a connect; other parameters (`client`, `version`, `flash`) tell nothing that is needed.
#[derive(Deserialize)]
struct Query {
    protocol: Option<String>,
    token: Option<String>,
}

/// Adds the routes: the one to connect to, and those that only say that there is none.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.route("/app/{key}", web::get().to(connect))
        .route("/app", web::get().to(connect))
        .route("/app/{tail:.*}", web::get().to(connect));
}

/// Why a connect is refused: the metric's label, and what the client is told by a close code.
type Refusal = (&'static str, Ending);

async fn connect(
    request: HttpRequest,
    hub: web::Data<Hub>,
    state: web::Data<State>,
    payload: web::Payload,
) -> actix_web::Result<HttpResponse> {
    let key = request.match_info().get("key");
    if key.is_none() && !request.headers().contains_key(UPGRADE) {
        return Ok(Error::new(Code::NotFound, "There is nothing at this address.").error_response());
    }
    let address = client_address(&request, &state.config.server.trusted_proxies);
    if let Err(wait) = hub.connects.admit(address, Instant::now()) {
        hub.metrics.refused.with_label_values(&["rate_limited"]).inc();
        let mut response =
            Error::new(Code::TooMany, "Too many connections from this address.").error_response();
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        return Ok(response);
    }
    if hub.table.len() >= hub.capacity {
        hub.metrics.refused.with_label_values(&["over_capacity"]).inc();
        return Ok(Error::new(Code::Unavailable, "The server takes no more connections.").error_response());
    }
    let opening = judge(&request, key, &hub, &state.tokens).await.unwrap_or_else(|(why, ending)| {
        hub.metrics.refused.with_label_values(&[why]).inc();
        Opening::Refused(ending)
    });
    open(&hub.into_inner(), opening, &request, payload)
}

async fn judge(
    request: &HttpRequest,
    key: Option<&str>,
    hub: &Hub,
    tokens: &Tokens,
) -> std::result::Result<Opening, Refusal> {
    if hub.table.is_closed() {
        return Err(("draining", Ending::RESTARTING));
    }
    let key = key.ok_or(("no_path", Ending::NO_PATH))?;
    let no_app = ("no_app", Ending { code: 4001, reason: "There is no app with this key" });
    let app = hub.app_by_key(key).ok_or(no_app)?;
    if !app.enabled {
        return Err(("app_disabled", Ending::DISABLED));
    }
    let query = web::Query::<Query>::from_query(request.query_string())
        .map_err(|_| ("protocol", Ending { code: 4006, reason: "The query cannot be read" }))?
        .into_inner();
    check_protocol(query.protocol.as_deref()).map_err(|ending| ("protocol", ending))?;
    if !origin::is_allowed(&app.allowed_origins, origin::of(request.headers())) {
        return Err(("origin", Ending { code: 4009, reason: "This origin may not connect to the app" }));
    }
    let principal = match query.token.or_else(|| extract::bearer(request.headers()).map(str::to_owned)) {
        Some(token) => Some(principal(tokens, &token).await.map_err(|e| ("token", ending(&e)))?),
        None => None,
    };
    if let (Some(tenant), Some(principal)) = (app.tenant, &principal)
        && principal.tenant != tenant
    {
        return Err(("tenant", Ending { code: 4009, reason: "This app does not serve the token's tenant" }));
    }
    Ok(Opening::Accepted(app.clone(), principal))
}

fn check_protocol(given: Option<&str>) -> std::result::Result<(), Ending> {
    let given = given.ok_or(Ending { code: 4008, reason: "The query needs protocol=7" })?;
    let version: u32 =
        given.parse().map_err(|_| Ending { code: 4006, reason: "protocol must be a number" })?;
    if PROTOCOLS.contains(&version) {
        Ok(())
    } else {
        Err(Ending { code: 4007, reason: "This protocol version is not supported; use 7" })
    }
}

async fn principal(tokens: &Tokens, token: &str) -> Result<Principal> {
    let identity = tokens.authenticate(token).await?;
    Ok(Principal {
        token: identity.token_id,
        user: identity.user_id,
        tenant: identity.tenant_id,
        name: identity.name,
    })
}

fn ending(error: &Error) -> Ending {
    match error.code() {
        Code::Unauthenticated => Ending { code: 4009, reason: "The token is not valid" },
        code => Ending { code: code.close_code(), reason: "The server cannot check the token just now" },
    }
}
