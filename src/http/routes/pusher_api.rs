//! `/apps/{id}/…`: the Pusher HTTP API for back ends, signed with the app's secret.
//! <https://pusher.com/docs/channels/library_auth_reference/rest-api/>

use crate::auth::api_signature::{self, SignedRequest};
use crate::config::App;
use crate::domain::{ChannelName, Clock, Code, Error, Result, SocketId};
use crate::http::{State, extract};
use crate::realtime::frame::Origin;
use crate::realtime::{Hub, Publication};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Instant;

/// Channels of one event.
const MAX_CHANNELS: usize = 100;
/// Largest `data`, in bytes.
const MAX_DATA: usize = 10_240;
/// Longest event name.
const MAX_NAME: usize = 200;
/// Largest body: names and an escaped `data` of the largest size fit well.
const MAX_BODY: usize = 131_072;

/// Adds the routes.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.service(web::scope("/apps/{app}").route("/events", web::post().to(trigger)));
}

/// The body of `POST /apps/{id}/events`.
#[derive(Deserialize)]
struct Trigger {
    name: String,
    data: String,
    #[serde(default)]
    channels: Vec<String>,
    channel: Option<String>,
    socket_id: Option<String>,
}

async fn trigger(
    request: HttpRequest,
    app: web::Path<String>,
    payload: web::Payload,
    hub: web::Data<Hub>,
    state: web::Data<State>,
) -> Result<HttpResponse> {
    let body = extract::raw(payload, MAX_BODY).await?;
    let at = Instant::now();
    let app = verified(&request, &app, &body, &hub, &state.clock)?;
    let trigger: Trigger = serde_json::from_slice(&body)
        .map_err(|e| Error::new(Code::Malformed, format!("The body is not a trigger: {e}.")))?;
    let (channels, publication) = parse(trigger, at)?;
    hub.publish(&app.id, channels, publication).await?;
    Ok(HttpResponse::Ok().content_type("application/json").body("{}"))
}

/// The app that the path names, if the request carries its signature.
fn verified(request: &HttpRequest, id: &str, body: &[u8], hub: &Hub, clock: &Clock) -> Result<Arc<App>> {
    let unknown = || Error::new(Code::Unauthenticated, "There is no app with this id and key.");
    let app = hub.app_by_id(id).ok_or_else(unknown)?;
    let query: Vec<(String, String)> = serde_urlencoded::from_str(request.query_string())
        .map_err(|_| Error::new(Code::Malformed, "The query cannot be read."))?;
    let signed =
        SignedRequest { method: request.method().as_str(), path: request.path(), query: &query, body };
    api_signature::verify(app, &signed, clock.now())?;
    Ok(app.clone())
}

fn parse(trigger: Trigger, at: Instant) -> Result<(Vec<ChannelName>, Publication)> {
    let wrong = |message: String| Error::new(Code::Malformed, message);
    if trigger.data.len() > MAX_DATA {
        return Err(Error::new(Code::TooLarge, format!("data has at most {MAX_DATA} bytes.")));
    }
    if trigger.name.is_empty() || trigger.name.len() > MAX_NAME {
        return Err(wrong(format!("name has 1 to {MAX_NAME} bytes.")));
    }
    let names: Vec<String> = trigger.channels.into_iter().chain(trigger.channel).collect();
    if names.is_empty() || names.len() > MAX_CHANNELS {
        return Err(wrong(format!("An event goes to 1 to {MAX_CHANNELS} channels.")));
    }
    let channels = names.iter().map(|name| ChannelName::parse(name)).collect::<std::result::Result<_, _>>();
    let except = trigger.socket_id.as_deref().map(str::parse::<SocketId>).transpose();
    let publication = Publication {
        name: trigger.name.into(),
        data: trigger.data.into(),
        except: except.map_err(|()| wrong("socket_id must be two numbers and a dot.".to_owned()))?,
        origin: Origin::BackEnd,
        user_id: None,
        at,
    };
    Ok((channels.map_err(wrong)?, publication))
}
