//! `GET /api/v1/channels/{name}/history`: the last messages of a channel, page by page, for who may subscribe to it.

use crate::auth::{Identity, channel_policy};
use crate::config::App;
use crate::domain::{ChannelName, Code, Epoch, Error, Position, Result, Timestamp};
use crate::http::respond::method_not_allowed;
use crate::realtime::Hub;
use crate::realtime::channel::page::{Message, Page, ReadPage};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Messages of one page at most, and when nothing is said.
const MAX_LIMIT: usize = 100;

/// Adds the route.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::resource("/api/v1/channels/{name}/history")
            .route(web::get().to(history))
            .default_service(method_not_allowed("GET")),
    );
}

/// From where, how much, and of which app; the first app of the configuration when it does not say.
#[derive(Deserialize)]
struct Query {
    epoch: Option<String>,
    #[serde(default)]
    after: u64,
    #[serde(default = "default_limit")]
    limit: usize,
    app_key: Option<String>,
}

const fn default_limit() -> usize {
    MAX_LIMIT
}

/// A message as it was sent; `data` is the text that subscribers got.
#[derive(Serialize)]
struct Item {
    offset: u64,
    event: String,
    data: String,
    published_at: Timestamp,
}

/// What of a message's envelope is shown.
#[derive(Deserialize)]
struct Envelope {
    event: String,
    data: String,
}

async fn history(
    request: HttpRequest,
    name: web::Path<String>,
    identity: Identity,
    hub: web::Data<Hub>,
) -> Result<HttpResponse> {
    let query = web::Query::<Query>::from_query(request.query_string())
        .map_err(|e| Error::new(Code::Malformed, format!("The query cannot be read: {e}.")))?
        .into_inner();
    let channel = ChannelName::parse(&name).map_err(|e| Error::field("channel", e))?;
    if !channel_policy::identity_may_join(&identity, &channel) {
        return Err(Error::new(Code::Forbidden, "You may not subscribe to this channel."));
    }
    let ask = parse(&query)?;
    let app = app(&hub, query.app_key.as_deref())?;
    if app.tenant.is_some_and(|tenant| tenant != identity.tenant_id) {
        return Err(Error::new(Code::Forbidden, "The app serves another tenant."));
    }
    let page = hub.history(&app.id, &channel, ask).await?;
    Ok(HttpResponse::Ok().json(answer(&request, &query, ask, &page)))
}

fn app<'a>(hub: &'a Hub, key: Option<&str>) -> Result<&'a App> {
    let app = match key {
        Some(key) => hub.app_by_key(key),
        None => hub.apps.first(),
    };
    app.map(|app| &**app).ok_or_else(|| Error::field("app_key", "There is no app with this key."))
}

fn parse(query: &Query) -> Result<ReadPage> {
    let wrong = |()| Error::field("epoch", "The epoch must be one that an earlier answer gave.");
    let epoch = query.epoch.as_deref().map(str::parse::<Epoch>).transpose().map_err(wrong)?;
    if !(1..=MAX_LIMIT).contains(&query.limit) {
        return Err(Error::field("limit", format!("The limit must be from 1 to {MAX_LIMIT}.")));
    }
    Ok(ReadPage { epoch, after: query.after, limit: query.limit })
}

fn answer(request: &HttpRequest, query: &Query, ask: ReadPage, page: &Page) -> serde_json::Value {
    let last = page.messages.last().map_or(ask.after, |message| message.offset);
    let more = page.head.filter(|head| page.messages.len() == ask.limit && head.offset > last);
    let next = more.map(|head| next_link(request, query, Position { offset: last, ..head }));
    let head = page.head.map(|head| (head.epoch, head.offset));
    json!({
        "data": page.messages.iter().filter_map(item).collect::<Vec<_>>(),
        "links": { "next": next },
        "meta": {
            "epoch": head.map(|(epoch, _)| epoch),
            "offset": head.map_or(0, |(_, offset)| offset),
            "complete": page.complete,
            "limit": ask.limit,
        },
    })
}

fn item(message: &Message) -> Option<Item> {
    let Envelope { event, data } = serde_json::from_str(&message.frame.text).ok()?;
    Some(Item { offset: message.offset, event, data, published_at: message.at })
}

fn next_link(request: &HttpRequest, query: &Query, position: Position) -> String {
    let limit = query.limit.to_string();
    let (epoch, after) = (position.epoch.to_string(), position.offset.to_string());
    let mut pairs = vec![("epoch", epoch.as_str()), ("after", &after), ("limit", &limit)];
    pairs.extend(query.app_key.as_deref().map(|key| ("app_key", key)));
    format!("{}?{}", request.path(), serde_urlencoded::to_string(pairs).unwrap_or_default())
}
