//! `POST /broadcasting/auth`: signs a channel subscription for a user with a bearer token, in the shape that
//! Laravel answers and pusher-js and Echo read.

use crate::auth::{Identity, channel_policy, channel_signature};
use crate::config::App;
use crate::domain::{ChannelKind, ChannelName, Code, Error, Result, SocketId};
use crate::http::extract;
use crate::http::respond::method_not_allowed;
use crate::realtime::Hub;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

/// Largest body: two short names.
const MAX_BODY: usize = 4_096;

/// Adds the route.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::resource("/broadcasting/auth")
            .route(web::post().to(authorize))
            .default_service(method_not_allowed("POST")),
    );
}

/// What a client asks: as a form (pusher-js, Echo) or as JSON (custom authorizers).
#[derive(Deserialize)]
struct Ask {
    socket_id: String,
    channel_name: String,
}

/// Which app the client is connected to, by its key; the first of the configuration when it does not say.
#[derive(Deserialize)]
struct Query {
    app_key: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    auth: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_data: Option<String>,
}

async fn authorize(
    request: HttpRequest,
    query: web::Query<Query>,
    payload: web::Payload,
    identity: Identity,
    hub: web::Data<Hub>,
) -> Result<HttpResponse> {
    let ask = read(&request, &extract::raw(payload, MAX_BODY).await?)?;
    let app = match &query.app_key {
        Some(key) => hub.app_by_key(key),
        None => hub.apps.first(),
    };
    let app = app.ok_or_else(|| Error::field("app_key", "There is no app with this key."))?;
    let socket: SocketId =
        ask.socket_id.parse().map_err(|()| Error::field("socket_id", "The socket_id is not one of ours."))?;
    let answer = sign(app, &identity, socket, &ask.channel_name)?;
    hub.table.vouch(socket, identity.token_id);
    Ok(HttpResponse::Ok().json(answer))
}

fn read(request: &HttpRequest, body: &[u8]) -> Result<Ask> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let is = |expected: &str| kind.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case(expected));
    if is("application/json") {
        serde_json::from_slice(body).map_err(|e| unreadable(&e))
    } else if is("application/x-www-form-urlencoded") {
        serde_urlencoded::from_bytes(body).map_err(|e| unreadable(&e))
    } else {
        Err(Error::new(Code::UnsupportedMediaType, "Send a form or JSON with socket_id and channel_name."))
    }
}

fn unreadable(error: &dyn std::error::Error) -> Error {
    Error::new(Code::Invalid, format!("socket_id and channel_name are needed: {error}."))
}

fn sign(app: &App, identity: &Identity, socket: SocketId, name: &str) -> Result<Answer> {
    let channel = ChannelName::parse(name).map_err(|e| Error::field("channel_name", e))?;
    if !channel.kind().is_guarded() || !channel_policy::identity_may_join(identity, &channel) {
        return Err(Error::new(Code::Forbidden, "You may not subscribe to this channel."));
    }
    let channel_data = (channel.kind() == ChannelKind::Presence).then(|| {
        let user = serde_json::json!({ "name": identity.name });
        serde_json::json!({ "user_id": identity.user_id.to_string(), "user_info": user }).to_string()
    });
    let auth = channel_signature::sign(app, socket, &channel, channel_data.as_deref());
    Ok(Answer { auth, channel_data })
}
