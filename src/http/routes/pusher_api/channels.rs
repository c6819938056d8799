//! `GET /apps/{id}/channels`, `…/channels/{name}` and `…/channels/{name}/users`: what is going on.

use super::info::{Attributes, Info};
use super::{answer, signed, wrong};
use crate::auth::api_signature::Query;
use crate::domain::{ChannelKind, ChannelName, Result};
use crate::http::State;
use crate::realtime::Hub;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A GET has no body; an empty one may be signed.
const NO_BODY: usize = 0;
/// What the names of presence channels begin with, and `filter_by_prefix` when it asks for their users.
const PRESENCE: &str = "presence-";

#[derive(Serialize)]
struct Listed {
    #[serde(serialize_with = "as_map")]
    channels: Vec<(ChannelName, Attributes)>,
}

/// The occupied channels: `{"channels":{NAME:{…}}}`, of those whose names begin with `filter_by_prefix`, with
/// the attributes of `info`.
pub(super) async fn list(
    request: HttpRequest,
    payload: web::Payload,
    hub: web::Data<Hub>,
    state: web::Data<State>,
) -> Result<HttpResponse> {
    let query = Query::parse(request.query_string());
    let app = signed::app(&request, &query, &hub, &state)?;
    signed::body(payload, &query, NO_BODY).await?;
    let prefix = query.get("filter_by_prefix").unwrap_or_default();
    let info = Info::parse(query.get("info").unwrap_or_default())?;
    if info.user_count && !prefix.starts_with(PRESENCE) {
        return Err(wrong(
            "user_count is there for presence channels only: ask with filter_by_prefix=presence-.",
        ));
    }
    if info.cache {
        return Err(wrong("cache is told of one channel at a time."));
    }
    let told = |(name, counts)| {
        let attributes = info.of(&name, counts);
        (name, attributes)
    };
    let channels = hub.occupancy.occupied(&app.id, prefix).into_iter().map(told).collect();
    answer(&Listed { channels })
}

fn as_map<S: Serializer>(
    channels: &[(ChannelName, Attributes)],
    to: S,
) -> std::result::Result<S::Ok, S::Error> {
    to.collect_map(channels.iter().map(|(name, attributes)| (name.as_str(), attributes)))
}

#[derive(Serialize)]
struct One {
    occupied: bool,
    #[serde(flatten)]
    attributes: Attributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<Value>,
}

/// One channel, which need not exist: `{"occupied":…}` with the attributes of `info`; `cache` is
/// `{"data":…,"ttl":SECONDS}` or null.
pub(super) async fn one(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
    hub: web::Data<Hub>,
    state: web::Data<State>,
) -> Result<HttpResponse> {
    let query = Query::parse(request.query_string());
    let app = signed::app(&request, &query, &hub, &state)?;
    signed::body(payload, &query, NO_BODY).await?;
    let channel = ChannelName::parse(&path.1).map_err(wrong)?;
    let info = Info::parse(query.get("info").unwrap_or_default())?;
    info.check(&channel)?;
    let counts = hub.occupancy.counts(&app.id, &channel);
    let attributes = info.of(&channel, counts);
    let cached = |(data, left): (Arc<str>, Duration)| json!({"data": data, "ttl": left.as_secs()});
    let cache =
        if info.cache { Some(hub.cached(&app.id, channel).await?.map_or(Value::Null, cached)) } else { None };
    answer(&One { occupied: counts.subscriptions > 0, attributes, cache })
}

#[derive(Serialize)]
struct Users {
    users: Vec<User>,
}

#[derive(Serialize)]
struct User {
    id: Arc<str>,
}

/// Who is in a presence channel: `{"users":[{"id":…}]}`, each user once.
pub(super) async fn users(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
    hub: web::Data<Hub>,
    state: web::Data<State>,
) -> Result<HttpResponse> {
    let query = Query::parse(request.query_string());
    let app = signed::app(&request, &query, &hub, &state)?;
    signed::body(payload, &query, NO_BODY).await?;
    let channel = ChannelName::parse(&path.1).map_err(wrong)?;
    if channel.kind() != ChannelKind::Presence {
        return Err(wrong("Only presence channels have users."));
    }
    let ids = hub.members(&app.id, channel).await?;
    answer(&Users { users: ids.into_iter().map(|id| User { id }).collect() })
}
