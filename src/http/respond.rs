//! How requests are answered: `{"data": …}`, Laravel's lists, and `{"message", "errors"}` for every error, also
//! for those that actix finds before a handler runs.

use super::State;
use crate::domain::error::FieldErrors;
use crate::domain::{Code, Error, Result};
use crate::storage::page::{Cursor, Listed, Page, Slice};
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HOST, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, ResponseError, Route, web};
use serde::Serialize;

/// Seconds after which the same request may be tried again.
const RETRY_TOO_MANY: &str = "60";
const RETRY_UNAVAILABLE: &str = "1";

/// Gives actix's own errors the shape of ours. The first of the groups in [`super::configure`].
pub(super) fn configure(app: &mut web::ServiceConfig) {
    app.app_data(web::PathConfig::default().error_handler(|_, _| nothing_here().into()))
        .app_data(web::QueryConfig::default().error_handler(|cause, _| {
            Error::new(Code::Malformed, "The query string cannot be read.").because(cause.to_string()).into()
        }))
        .default_service(web::to(async || Err::<HttpResponse, Error>(nothing_here())));
}

/// For a resource's `default_service`: the methods it has are `allow`.
pub(super) fn method_not_allowed(allow: &'static str) -> Route {
    web::to(move || async move {
        let message = format!("This address answers to {allow} only.");
        let mut response = Error::new(Code::MethodNotAllowed, message).error_response();
        response.headers_mut().insert(ALLOW, actix_web::http::header::HeaderValue::from_static(allow));
        response
    })
}

fn nothing_here() -> Error {
    Error::new(Code::NotFound, "There is nothing at this address.")
}

#[derive(Serialize)]
struct Failure<'a> {
    message: &'a str,
    errors: &'a FieldErrors,
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Code, message and fields only: the cause is for the log.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        match self.code() {
            Code::Unauthenticated => response.insert_header((WWW_AUTHENTICATE, "Bearer")),
            Code::TooMany => response.insert_header((RETRY_AFTER, RETRY_TOO_MANY)),
            Code::Unavailable => response.insert_header((RETRY_AFTER, RETRY_UNAVAILABLE)),
            _ => &mut response,
        };
        if let Some(wait) = self.retry_after() {
            // Whole seconds, and none too early.
            response.insert_header((RETRY_AFTER, wait.as_secs() + 1));
        }
        response.json(Failure { message: self.message(), errors: self.fields() })
    }
}

#[derive(Serialize)]
struct Data<T> {
    data: T,
}

/// 200 with `{"data": …}`.
pub fn data(value: &impl Serialize) -> Result<HttpResponse> {
    Ok(json(StatusCode::OK, data_text(value)?))
}

/// 204 without a body.
pub fn no_content() -> HttpResponse {
    HttpResponse::NoContent().finish()
}

/// A body that is JSON text already.
pub(super) fn json(status: StatusCode, text: String) -> HttpResponse {
    HttpResponse::build(status).insert_header((CONTENT_TYPE, "application/json")).body(text)
}

/// The text of `{"data": …}`.
pub(super) fn data_text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(&Data { data: value })
        .map_err(|e| Error::new(Code::Internal, "The answer could not be written down.").because(e))
}

#[derive(Serialize)]
struct List<'a, T> {
    data: &'a [T],
    links: Links,
    meta: Meta,
}

#[derive(Serialize)]
struct Links {
    first: String,
    last: String,
    prev: Option<String>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Meta {
    current_page: i64,
    from: Option<i64>,
    last_page: i64,
    path: String,
    per_page: i64,
    to: Option<i64>,
    total: i64,
}

/// 200 with a page of a list, as Laravel's resource collections show it; the links keep sort and filters.
pub fn list<T: Serialize>(request: &HttpRequest, page: &Page, listed: &Listed<T>) -> HttpResponse {
    let count = i64::try_from(listed.rows.len()).unwrap_or(i64::MAX);
    let last_page = ((listed.total + page.per_page - 1) / page.per_page).max(1);
    let path = address(request);
    let link = |number| link(&path, request.query_string(), ("page", number));
    let links = Links {
        first: link(1),
        last: link(last_page),
        prev: (page.number > 1).then(|| link(page.number - 1)),
        next: (page.number < last_page).then(|| link(page.number + 1)),
    };
    let meta = Meta {
        current_page: page.number,
        from: (count > 0).then(|| page.offset() + 1),
        last_page,
        path: path.clone(),
        per_page: page.per_page,
        to: (count > 0).then(|| page.offset() + count),
        total: listed.total,
    };
    HttpResponse::Ok().json(List { data: &listed.rows, links, meta })
}

#[derive(Serialize)]
struct Run<'a, T> {
    data: &'a [T],
    links: RunLinks,
    meta: RunMeta,
}

/// Laravel's four; a list that is read by cursor here knows only where it goes on.
#[derive(Serialize)]
struct RunLinks {
    first: Option<String>,
    last: Option<String>,
    prev: Option<String>,
    next: Option<String>,
}

#[derive(Serialize)]
struct RunMeta {
    path: String,
    per_page: usize,
    next_cursor: Option<String>,
    prev_cursor: Option<String>,
}

/// 200 with a part of a long list, as Laravel's `cursorPaginate` shows it.
pub fn slice<T: Serialize>(request: &HttpRequest, cursor: Cursor, slice: &Slice<T>) -> HttpResponse {
    let path = address(request);
    let next = slice.next.map(|next| link(&path, request.query_string(), ("cursor", next)));
    let links = RunLinks { first: None, last: None, prev: None, next };
    let next_cursor = slice.next.map(|next| next.to_string());
    let meta = RunMeta { path, per_page: cursor.per_page, next_cursor, prev_cursor: None };
    HttpResponse::Ok().json(Run { data: &slice.rows, links, meta })
}

/// The address as the client wrote it. What a proxy says of it counts only when the proxy is trusted.
fn address(request: &HttpRequest) -> String {
    let info = request.connection_info();
    let trusted = || {
        let state = request.app_data::<web::Data<State>>()?;
        let peer = request.peer_addr()?.ip().to_canonical();
        state.config.server.trusted_proxies.iter().find(|network| network.contains(&peer))
    };
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    match (trusted(), host) {
        (Some(_), _) => format!("{}://{}{}", info.scheme(), info.host(), request.path()),
        (None, Some(host)) => format!("http://{host}{}", request.path()),
        (None, None) => request.path().to_owned(),
    }
}

fn link(path: &str, query: &str, (place, number): (&str, i64)) -> String {
    let others = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key != place);
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(others).append_pair(place, &number.to_string());
    format!("{path}?{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_link_keeps_the_other_parameters() {
        let to_third = link("/p", "page=2&sort=-price&filter[name]=a b", ("page", 3));
        assert_eq!(to_third, "/p?sort=-price&filter%5Bname%5D=a+b&page=3");
    }

    #[test]
    fn an_unknown_proxy_does_not_decide_the_address() {
        let request = TestRequest::with_uri("/api/v1/products?page=2")
            .insert_header((HOST, "shop.example:8080"))
            .insert_header(("x-forwarded-host", "evil.example"))
            .to_http_request();
        assert_eq!(address(&request), "http://shop.example:8080/api/v1/products");
    }

    #[test]
    fn a_cause_is_not_shown() {
        let error = Error::new(Code::Unavailable, "Try again.").because("password=hunter2");
        let response = error.error_response();
        assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), RETRY_UNAVAILABLE);
        let body = actix_web::body::MessageBody::try_into_bytes(response.into_body()).unwrap();
        assert_eq!(body, r#"{"message":"Try again.","errors":{}}"#);
    }
}
