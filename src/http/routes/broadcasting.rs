//! `/broadcasting/auth` and `/broadcasting/user-auth`: sign a channel subscription or a sign-in for a user with
//! a bearer token, in the shape that Laravel answers and pusher-js and Echo read. GET and POST, as in Laravel.
//!
//! What is asked may stand in the body (a form or JSON) or in the query:
//!
//! | name | what |
//! |---|---|
//! | `socket_id` | the connection |
//! | `channel_name` | the channel, for `/broadcasting/auth` |
//! | `app_key` | the app that the client is connected to; the first of the configuration when it is left out |
//! | `client` | what the page calls itself: 1 to 64 of `A-Z a-z 0-9 _ -`. Two pages with one token are told apart by it |

use crate::auth::{Identity, channel_policy, channel_signature, user_signature};
use crate::config::App;
use crate::domain::{ChannelKind, ChannelName, Code, Error, Result, SocketId};
use crate::http::extract;
use crate::http::respond::method_not_allowed;
use crate::realtime::Hub;
use crate::realtime::session_table::Voucher;
use actix_web::http::Method;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Largest body: a few short names.
const MAX_BODY: usize = 4_096;
/// Longest name that a page may give itself.
const MAX_CLIENT: usize = 64;

/// Adds the routes.
pub fn configure(cfg: &mut web::ServiceConfig) {
    let resource = |path| web::resource(path).default_service(method_not_allowed("GET, POST"));
    let channel = resource("/broadcasting/auth");
    let user = resource("/broadcasting/user-auth");
    cfg.service(channel.route(web::get().to(channel_auth)).route(web::post().to(channel_auth)))
        .service(user.route(web::get().to(user_auth)).route(web::post().to(user_auth)));
}

/// What a client asks; each value as it stands in the body, else in the query.
#[derive(Default, Deserialize)]
struct Ask {
    socket_id: Option<String>,
    channel_name: Option<String>,
    app_key: Option<String>,
    client: Option<String>,
}

/// What is signed for: a connection to an app, and the page that asks.
struct Asker {
    app: Arc<App>,
    socket: SocketId,
    client: Option<Arc<str>>,
}

impl Asker {
    fn voucher(self, identity: &Identity) -> Voucher {
        Voucher { token: identity.token_id, user: identity.user_id, client: self.client }
    }
}

#[derive(Serialize)]
struct Answer {
    auth: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_data: Option<String>,
}

async fn channel_auth(
    request: HttpRequest,
    payload: web::Payload,
    identity: Identity,
    hub: web::Data<Hub>,
) -> Result<HttpResponse> {
    let ask = read(&request, payload).await?;
    let asker = parse(&ask, &hub, &identity)?;
    let channel = ask.channel_name.ok_or_else(|| missing("channel_name"))?;
    let channel = ChannelName::parse(&channel).map_err(|e| Error::field("channel_name", e))?;
    let answer = sign_channel(&asker, &identity, &channel)?;
    hub.table.vouch(asker.socket, asker.voucher(&identity));
    Ok(HttpResponse::Ok().json(answer))
}

async fn user_auth(
    request: HttpRequest,
    payload: web::Payload,
    identity: Identity,
    hub: web::Data<Hub>,
) -> Result<HttpResponse> {
    let ask = read(&request, payload).await?;
    let asker = parse(&ask, &hub, &identity)?;
    let user = serde_json::json!({ "name": identity.name });
    let user_data = serde_json::json!({ "id": identity.user_id.to_string(), "user_info": user }).to_string();
    let auth = user_signature::sign(&asker.app, asker.socket, &user_data);
    hub.table.vouch(asker.socket, asker.voucher(&identity));
    Ok(HttpResponse::Ok().json(Answer { auth, channel_data: None, user_data: Some(user_data) }))
}

async fn read(request: &HttpRequest, payload: web::Payload) -> Result<Ask> {
    let query: Ask = serde_urlencoded::from_str(request.query_string()).map_err(|e| unreadable(&e))?;
    let body = match *request.method() {
        Method::GET => Ask::default(),
        _ => read_body(request, &extract::raw(payload, MAX_BODY).await?)?,
    };
    Ok(Ask {
        socket_id: body.socket_id.or(query.socket_id),
        channel_name: body.channel_name.or(query.channel_name),
        app_key: body.app_key.or(query.app_key),
        client: body.client.or(query.client),
    })
}

/// A form (pusher-js, Echo) or JSON (custom authorizers).
fn read_body(request: &HttpRequest, body: &[u8]) -> Result<Ask> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let is = |expected: &str| kind.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case(expected));
    if is("application/json") {
        serde_json::from_slice(body).map_err(|e| unreadable(&e))
    } else if is("application/x-www-form-urlencoded") {
        serde_urlencoded::from_bytes(body).map_err(|e| unreadable(&e))
    } else {
        let message = "Send socket_id, and channel_name for a channel, as a form or as JSON.";
        Err(Error::new(Code::UnsupportedMediaType, message))
    }
}

fn unreadable(error: &dyn std::error::Error) -> Error {
    Error::new(Code::Invalid, format!("socket_id, channel_name, app_key and client are strings: {error}."))
}

fn missing(field: &str) -> Error {
    Error::field(field, format!("The {field} field is required."))
}

fn parse(ask: &Ask, hub: &Hub, identity: &Identity) -> Result<Asker> {
    let app = match &ask.app_key {
        Some(key) => hub.app_by_key(key),
        None => hub.apps.first(),
    };
    let app = app.ok_or_else(|| Error::field("app_key", "There is no app with this key."))?;
    if !app.enabled || app.tenant.is_some_and(|tenant| tenant != identity.tenant_id) {
        return Err(Error::new(Code::Forbidden, "This app does not serve you."));
    }
    let socket = ask.socket_id.as_deref().ok_or_else(|| missing("socket_id"))?;
    let socket =
        socket.parse().map_err(|()| Error::field("socket_id", "The socket_id is not one of ours."))?;
    let client = ask.client.as_deref().map(parse_client).transpose()?;
    Ok(Asker { app: app.clone(), socket, client })
}

fn parse_client(client: &str) -> Result<Arc<str>> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    if client.is_empty() || client.len() > MAX_CLIENT || !client.bytes().all(allowed) {
        let message = format!("client is 1 to {MAX_CLIENT} letters, digits, _ and -.");
        return Err(Error::field("client", message));
    }
    Ok(client.into())
}

fn sign_channel(asker: &Asker, identity: &Identity, channel: &ChannelName) -> Result<Answer> {
    if !channel.kind().is_guarded() || !channel_policy::identity_may_join(identity, channel) {
        return Err(Error::new(Code::Forbidden, "You may not subscribe to this channel."));
    }
    let channel_data = (channel.kind() == ChannelKind::Presence).then(|| {
        let user = serde_json::json!({ "name": identity.name });
        serde_json::json!({ "user_id": identity.user_id.to_string(), "user_info": user }).to_string()
    });
    let auth = channel_signature::sign(&asker.app, asker.socket, channel, channel_data.as_deref());
    Ok(Answer { auth, channel_data, user_data: None })
}
