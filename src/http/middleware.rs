//! What is laid around every request: an id for it, a log line, a count, and the one place where the cause
//! of a failed answer is logged.

use super::State;
use super::first_request::FirstRequest;
use crate::domain::{Code, Error};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, web};
use std::time::Instant;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id of somebody else's that is taken over.
const MAX_ID: usize = 64;

/// The id of a request: the one a proxy in front gave it, else a new one. Answered in `X-Request-Id`.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Wrap the app in it: `App::new().wrap(from_fn(middleware::observe))`. The query string is never logged, as
/// a token may stand in it.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    if let Some(connection) = request.conn_data::<FirstRequest>() {
        connection.made();
    }
    let started = Instant::now();
    let id = request_id(&request);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.call(request).await?;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    count(&response);
    log(&response, &id, started);
    Ok(response)
}

fn request_id(request: &ServiceRequest) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain = |id: &&str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(allowed)
    };
    match given.filter(plain) {
        Some(id) => id.to_owned(),
        None => uuid::Uuid::now_v7().simple().to_string(),
    }
}

fn count(response: &ServiceResponse<impl MessageBody>) {
    if let Some(state) = response.request().app_data::<web::Data<State>>() {
        state.metrics.http_responses.with_label_values(&[response.status().as_str()]).inc();
    }
}

fn log(response: &ServiceResponse<impl MessageBody>, id: &str, started: Instant) {
    let (method, path) = (response.request().method(), response.request().path());
    let status = response.status().as_u16();
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(request.id = id, http.method = %method, http.path = path, http.status = status, duration_ms, "answered");
    let failed = response.response().error().and_then(|error| error.as_error::<Error>());
    let Some(error) = failed else { return };
    match error.code() {
        Code::Internal => {
            tracing::error!(request.id = id, http.method = %method, http.path = path, %error, "request failed");
        }
        Code::Unavailable => {
            tracing::warn!(request.id = id, http.method = %method, http.path = path, %error, "request refused for now");
        }
        _ => tracing::debug!(request.id = id, %error, "request refused"),
    }
}
