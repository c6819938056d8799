//! What a handler reads from a request: who is asking, which connection caused it, and the JSON body.

use super::State;
use crate::auth::Identity;
use crate::domain::{Code, Error, Fields, Result, SocketId};
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName};
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::future::LocalBoxFuture;
use futures_util::{Stream, StreamExt};
use serde_json::Value;
use std::future::{Ready, ready};
use std::time::Duration;

const SOCKET_ID: HeaderName = HeaderName::from_static("x-socket-id");

/// How long a body may take to arrive. Without an end a client that never sends what it announced would keep
/// its connection for ever.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// The bearer token of the `Authorization` header, verified; 401 without one.
impl FromRequest for Identity {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let state = state(request);
        let bearer = bearer(request.headers()).map(str::to_owned);
        Box::pin(async move {
            let bearer = bearer.ok_or_else(|| Error::new(Code::Unauthenticated, "Unauthenticated."))?;
            state?.tokens.authenticate(&bearer).await
        })
    }
}

/// The token of `Authorization: Bearer …`; the scheme in any case, as RFC 9110 has it.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn state(request: &HttpRequest) -> Result<web::Data<State>> {
    let state = request.app_data::<web::Data<State>>().cloned();
    state.ok_or_else(|| Error::new(Code::Internal, "The server is not set up."))
}

/// The connection that must not be told of what it caused itself: `X-Socket-ID`, as Laravel Echo sends it. A
/// value that is no socket id of ours (Echo sends `undefined` before it is connected) names nobody.
#[derive(Debug, Clone, Copy)]
pub struct Cause(pub Option<SocketId>);

impl FromRequest for Cause {
    type Error = Error;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let socket = request.headers().get(SOCKET_ID).and_then(|value| value.to_str().ok()?.parse().ok());
        ready(Ok(Self(socket)))
    }
}

/// A body that has not been read. A handler reads it after it knows that the caller may send one.
pub struct Body {
    request: HttpRequest,
    payload: Payload,
}

/// A body that has been read, and the request that brought it.
pub struct Sent {
    pub(super) request: HttpRequest,
    pub(super) bytes: web::Bytes,
}

impl FromRequest for Body {
    type Error = Error;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Ok(Self { request: request.clone(), payload: payload.take() }))
    }
}

impl Body {
    /// Reads the body to its end: 415 when it is not declared as JSON, 413 when it is over the limit.
    pub async fn read(self) -> Result<Sent> {
        if !is_json(self.request.headers()) {
            let message = "The body must be JSON: send Content-Type: application/json.";
            return Err(Error::new(Code::UnsupportedMediaType, message));
        }
        let limit = state(&self.request)?.config.server.max_body_bytes;
        if declared_length(self.request.headers()).is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let bytes = collect(self.payload, limit, BODY_PATIENCE).await?;
        Ok(Sent { request: self.request, bytes })
    }

    /// Of a request that says all in its path: whatever it brings is read, and means nothing.
    pub async fn read_any(self) -> Result<Sent> {
        let limit = state(&self.request)?.config.server.max_body_bytes;
        let bytes = collect(self.payload, limit, BODY_PATIENCE).await?;
        Ok(Sent { request: self.request, bytes })
    }
}

/// A body as it came, whatever it is declared as: 413 when it is over `limit`, 400 when it does not come whole.
pub async fn raw(payload: web::Payload, limit: usize) -> Result<web::Bytes> {
    collect(payload, limit, BODY_PATIENCE).await
}

async fn collect<S>(mut payload: S, limit: usize, patience: Duration) -> Result<web::Bytes>
where
    S: Stream<Item = std::result::Result<web::Bytes, PayloadError>> + Unpin,
{
    let broken = || Error::new(Code::Malformed, "The body ended too early.");
    let all = async {
        let mut bytes = web::BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|e| broken().because(e.to_string()))?;
            if bytes.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    };
    tokio::time::timeout(patience, all)
        .await
        .unwrap_or_else(|_| Err(Error::new(Code::Malformed, "The body did not arrive in time.")))
}

impl Sent {
    /// The body as an object whose fields are about to be read: 400 when it is not JSON, 422 when it is no
    /// object.
    pub fn fields(&self) -> Result<Fields> {
        let value: Value = serde_json::from_slice(&self.bytes)
            .map_err(|e| Error::new(Code::Malformed, format!("The body is not JSON: {e}.")))?;
        Fields::of(value)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(limit: usize) -> Error {
    Error::new(Code::TooLarge, format!("The body must be at most {limit} bytes."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_scheme_of_a_bearer_token_is_read_in_any_case() {
        let read = |value: &str| {
            let request = TestRequest::default().insert_header((AUTHORIZATION, value)).to_http_request();
            bearer(request.headers()).map(str::to_owned)
        };
        assert_eq!(read("Bearer 1|x").as_deref(), Some("1|x"));
        assert_eq!(read("bearer  1|x").as_deref(), Some("1|x"));
        assert_eq!(read("Basic 1|x"), None);
        assert_eq!(read("1|x"), None);
    }

    #[actix_web::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let begun = futures_util::stream::iter([Ok(web::Bytes::from_static(b"{"))]);
        let never = begun.chain(futures_util::stream::pending());
        let error = collect(never, 10, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(error.code(), Code::Malformed);
    }

    #[test]
    fn only_json_is_declared_as_json() {
        let declared = |value: &str| {
            let request = TestRequest::default().insert_header((CONTENT_TYPE, value)).to_http_request();
            is_json(request.headers())
        };
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"] {
            assert!(declared(good), "{good}");
        }
        for bad in ["text/plain", "text/json+json", "application/jsonp", "multipart/form-data", ""] {
            assert!(!declared(bad), "{bad}");
        }
    }
}
