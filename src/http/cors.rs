//! Cross-origin requests (<https://fetch.spec.whatwg.org/#http-cors-protocol>): pages of the origins that may
//! connect to an app may also ask `/broadcasting/auth` and the REST routes, which for a browser stand on
//! another origin than the page. Bearer tokens only: no cookie is ever read, so none is allowed for.

use super::{State, origin};
use crate::domain::{Code, Error};
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, ResponseError, web};

/// What pages may ask. Back ends sign `/apps/…` with a secret that no page has.
const PATHS: [&str; 2] = ["/api/", "/broadcasting/"];
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
/// Headers of answers that a script may read beside the few it always may.
const EXPOSED: HeaderValue = HeaderValue::from_static("Retry-After, X-Request-Id, Idempotency-Replayed");
/// Answers depend on these.
const VARIES: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
/// Seconds that a browser may remember a preflight; more than two hours no browser does.
const REMEMBER: HeaderValue = HeaderValue::from_static("7200");

/// Wrap the app in it, inside of [`super::middleware::observe`]. Answers preflights, and marks all other
/// answers for the origins that may read them.
pub async fn share(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, actix_web::Error> {
    let asked_by_page = PATHS.iter().any(|path| request.path().starts_with(path));
    let Some(origin) = request.headers().get(ORIGIN).filter(|_| asked_by_page).cloned() else {
        return next.call(request).await.map(ServiceResponse::map_into_left_body);
    };
    let allowed = is_allowed(&request);
    let mut response = if is_preflight(&request) {
        let answer = if allowed { permission(request.headers()) } else { refusal() };
        request.into_response(answer).map_into_right_body()
    } else {
        next.call(request).await?.map_into_left_body()
    };
    let headers = response.headers_mut();
    headers.append(VARY, VARIES);
    if allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    Ok(response)
}

fn is_allowed(request: &ServiceRequest) -> bool {
    let origin = origin::of(request.headers());
    let state = request.app_data::<web::Data<State>>();
    state.is_some_and(|s| s.config.apps.iter().any(|app| origin::is_allowed(&app.allowed_origins, origin)))
}

fn is_preflight(request: &ServiceRequest) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whatever headers the page wants to send: none of them does more here than it would from anywhere else.
fn permission(asked: &HeaderMap) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
        .insert_header((ACCESS_CONTROL_MAX_AGE, REMEMBER));
    if let Some(headers) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        response.insert_header((ACCESS_CONTROL_ALLOW_HEADERS, headers.clone()));
    }
    response.finish()
}

fn refusal() -> HttpResponse {
    let message = "Pages of this origin may not ask here: it is in no app's allowed_origins.";
    Error::new(Code::Forbidden, message).error_response()
}
