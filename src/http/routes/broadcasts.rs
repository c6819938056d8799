//! `/api/v1/broadcast/users/{id}`: an event of a back end to one user's open connections. It is in no inbox.

use super::notifications::SEND;
use crate::auth::{Identity, account};
use crate::catalog::observer::Unit;
use crate::domain::fields::Given;
use crate::domain::{ChannelName, Code, Error, EventName, Fields, Result, UserId};
use crate::http::extract::{Body, Cause};
use crate::http::idempotent::Reply;
use crate::http::respond::method_not_allowed;
use crate::http::{State, idempotent};
use crate::notifications::charges::Charges;
use crate::storage::Conn;
use crate::storage::outbox::NewEvent;
use actix_web::HttpResponse;
use actix_web::web::{Data, Path, ServiceConfig, post, resource};
use serde::Serialize;
use serde_json::Value;

/// Largest `data`, as JSON text: as much as the Pusher HTTP API takes.
const MAX_DATA_BYTES: usize = 10_240;

/// What the protocol, inboxes and clients say themselves.
const RESERVED: [&str; 6] =
    ["pusher:", "pusher_internal:", "client-", "bellwire:", "notification:", "webhook:"];

pub(in crate::http) fn configure(app: &mut ServiceConfig) {
    let user = resource("/api/v1/broadcast/users/{id}").route(post().to(create));
    app.service(user.default_service(method_not_allowed("POST")));
}

struct Broadcast {
    event: String,
    data: Value,
}

impl Broadcast {
    fn parse(mut fields: Fields) -> Result<Self> {
        let event = fields.string("event", 1, 200);
        let event = fields.required("event", event);
        if let Some(prefix) = RESERVED.iter().find(|p| event.as_deref().is_some_and(|e| e.starts_with(**p))) {
            fields
                .wrong("event", format!("The event field must not begin with {prefix}, which is reserved."));
        }
        let data = match fields.raw("data") {
            Given::Value(data) => data,
            _ => Value::Null,
        };
        if data.to_string().len() > MAX_DATA_BYTES {
            let message = format!("The data field must not have more than {MAX_DATA_BYTES} bytes of JSON.");
            fields.wrong("data", message);
        }
        fields.finish()?;
        Ok(Self { event: event.unwrap_or_default(), data })
    }
}

/// What was said where.
#[derive(Serialize)]
struct Said {
    user_id: UserId,
    channel: String,
    event: String,
}

async fn create(
    identity: Identity,
    cause: Cause,
    state: Data<State>,
    id: Path<UserId>,
    body: Body,
) -> Result<HttpResponse> {
    identity.require(SEND)?;
    let sent = body.read().await?;
    let Broadcast { event, data } = Broadcast::parse(sent.fields()?)?;
    let charges = Charges::new(&state.notifier.limits);
    let work = async |conn: &mut Conn, unit: &mut Unit| {
        charges.admit_tenant(identity.tenant_id, 1, unit.now()).map_err(|wait| {
            let message = "The tenant has sent as many notifications as it may in a minute.";
            Error::new(Code::TooMany, message).after(wait)
        })?;
        account::find_user(conn, identity.tenant_id, *id).await?;
        let channel = ChannelName::user_notifications(*id);
        unit.tell(vec![NewEvent {
            tenant_id: identity.tenant_id,
            name: EventName::new(&event),
            channel: channel.clone(),
            data: data.to_string(),
            except: cause.0,
        }]);
        Reply::created(&Said { user_id: *id, channel: channel.as_str().to_owned(), event: event.clone() })
    };
    let answer = idempotent::once(&state, &identity, cause, &sent, work).await?;
    if !idempotent::is_replay(&answer) {
        charges.keep();
    }
    Ok(answer)
}
