//! The rows of subscriptions: which events a user is told of, and on which channels.

use super::Channel;
use super::draft::read_channels;
use super::subscriptions::EventSubscription;
use crate::domain::{Error, EventFilter, Fields, Result, SubscriptionId, TenantId, Timestamp, UserId};
use crate::storage::page::{Cursor, Slice};
use crate::storage::schema::{event_subscriptions as s, users};
use crate::storage::{Conn, on_conn, on_conn_locking};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Subscriptions that one user may have.
const MOST: i64 = 100;

/// A subscription as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubscriptionResource {
    /// Its id.
    pub id: SubscriptionId,
    /// Which events: a name, a prefix (`order:*`) or all (`*`).
    pub event: String,
    /// On which channels.
    pub channels: BTreeSet<Channel>,
    /// One that is not active says nothing.
    pub is_active: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

type Row = (SubscriptionId, String, Value, bool, Timestamp, Timestamp);

impl From<Row> for SubscriptionResource {
    fn from((id, event, channels, is_active, created_at, updated_at): Row) -> Self {
        Self { id, event, channels: channels_of(&channels), is_active, created_at, updated_at }
    }
}

/// What this build does not know is left out.
fn channels_of(kept: &Value) -> BTreeSet<Channel> {
    let words = kept.as_array().map(Vec::as_slice).unwrap_or_default();
    words.iter().filter_map(|word| word.as_str()?.parse().ok()).collect()
}

/// A subscription about to be made.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    event: EventFilter,
    channels: BTreeSet<Channel>,
    is_active: bool,
}

impl NewSubscription {
    /// Reads a request's body: `event`, and perhaps `channels` (the inbox unless said) and `is_active`.
    pub fn parse(mut fields: Fields) -> Result<Self> {
        let event = fields.string("event", 1, 200);
        let event = fields.required("event", event);
        let event = event.map(|text| EventFilter::parse(&text)).transpose();
        let event = event.unwrap_or_else(|message| {
            fields.wrong("event", message);
            None
        });
        let channels = read_channels(&mut fields);
        let channels = fields.present("channels", channels).unwrap_or(BTreeSet::from([Channel::InApp]));
        let is_active = fields.boolean("is_active");
        let is_active = fields.present("is_active", is_active).unwrap_or(true);
        fields.finish()?;
        let event = event.ok_or_else(|| Error::field("event", "The event field is required."))?;
        Ok(Self { event, channels, is_active })
    }
}

/// Writes a subscription; of the same events there is one, which is changed.
pub async fn create(
    conn: &mut Conn,
    (tenant, user): (TenantId, UserId),
    new: &NewSubscription,
    now: Timestamp,
) -> Result<SubscriptionResource> {
    make_room(conn, (tenant, user), &new.event).await?;
    let channels = serde_json::json!(new.channels);
    let values = (
        s::tenant_id.eq(tenant),
        s::user_id.eq(user),
        s::event_type.eq(new.event.as_str()),
        s::notification_channels.eq(&channels),
        s::is_active.eq(new.is_active),
        s::created_at.eq(now),
        s::updated_at.eq(now),
    );
    let change =
        (s::notification_channels.eq(&channels), s::is_active.eq(new.is_active), s::updated_at.eq(now));
    let row: Row = on_conn!(conn, c => diesel::insert_into(s::table)
        .values(values)
        .on_conflict((s::tenant_id, s::user_id, s::event_type))
        .do_update()
        .set(change)
        .returning((s::id, s::event_type, s::notification_channels, s::is_active, s::created_at, s::updated_at))
        .get_result(c)
        .await)?;
    Ok(row.into())
}

/// Refuses one more than there may be beside that of `event`, which is changed if it is there. Whoever makes one waits
/// for whoever else does.
async fn make_room(conn: &mut Conn, (tenant, user): (TenantId, UserId), event: &EventFilter) -> Result<()> {
    let held = users::table.filter(users::id.eq(user).and(users::tenant_id.eq(tenant))).select(users::id);
    let found: Option<UserId> = on_conn_locking!(conn, held, |q, c| q.first(c).await.optional())?;
    found.ok_or_else(|| Error::not_found("user"))?;
    let others = s::table.filter(s::event_type.ne(event.as_str()));
    let own = others.filter(s::tenant_id.eq(tenant).and(s::user_id.eq(user)));
    let count: i64 = on_conn!(conn, c => own.count().get_result(c).await)?;
    if count < MOST {
        return Ok(());
    }
    let message =
        format!("You have {MOST} subscriptions, which is as many as there may be: delete one first.");
    Err(Error::field("event", message))
}

/// A user's subscriptions, newest first.
pub async fn list(
    conn: &mut Conn,
    (tenant, user): (TenantId, UserId),
    cursor: Cursor,
) -> Result<Slice<SubscriptionResource>> {
    let before = SubscriptionId(cursor.after.unwrap_or(i64::MAX));
    let query = s::table
        .filter(s::tenant_id.eq(tenant).and(s::user_id.eq(user)).and(s::id.lt(before)))
        .order(s::id.desc())
        .limit(i64::try_from(cursor.per_page).unwrap_or(i64::MAX).saturating_add(1))
        .select((s::id, s::event_type, s::notification_channels, s::is_active, s::created_at, s::updated_at));
    let mut rows: Vec<Row> = on_conn!(conn, c => query.load(c).await)?;
    let goes_on = rows.len() > cursor.per_page;
    rows.truncate(cursor.per_page);
    let next = rows.last().filter(|_| goes_on).map(|row| row.0.0);
    Ok(Slice { rows: rows.into_iter().map(SubscriptionResource::from).collect(), next })
}

/// Deletes a subscription.
pub async fn delete(conn: &mut Conn, (tenant, user): (TenantId, UserId), id: SubscriptionId) -> Result<()> {
    let row = s::table.filter(s::id.eq(id).and(s::tenant_id.eq(tenant)).and(s::user_id.eq(user)));
    match on_conn!(conn, c => diesel::delete(row).execute(c).await)? {
        0 => Err(Error::not_found("subscription")),
        _ => Ok(()),
    }
}

/// Somebody who wants to be told of some events.
#[derive(Debug, Clone)]
pub(super) struct Wanting {
    pub(super) tenant: TenantId,
    pub(super) user: UserId,
    /// Of what happened before they are told nothing.
    pub(super) since: Timestamp,
    pub(super) subscription: EventSubscription,
}

type WantingRow = (TenantId, UserId, Timestamp, String, Value);

/// The active subscriptions of these tenants that may accept events of these names. Found by an index: a name is accepted
/// by itself and by each of its beginnings.
pub(super) async fn wanting(
    conn: &mut Conn,
    tenants: BTreeSet<TenantId>,
    names: &BTreeSet<&str>,
) -> Result<Vec<Wanting>> {
    let mut patterns: BTreeSet<String> = BTreeSet::new();
    for name in names {
        patterns.insert((*name).to_owned());
        let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
        patterns.extend(ends.filter_map(|end| Some(format!("{}*", name.get(..end)?))));
    }
    if tenants.is_empty() || patterns.is_empty() {
        return Ok(Vec::new());
    }
    let query = s::table
        .filter(s::tenant_id.eq_any(tenants).and(s::event_type.eq_any(patterns)).and(s::is_active.eq(true)))
        .order(s::id)
        .select((s::tenant_id, s::user_id, s::created_at, s::event_type, s::notification_channels));
    let rows: Vec<WantingRow> = on_conn!(conn, c => query.load(c).await)?;
    let wanting = |(tenant, user, since, event, channels): WantingRow| {
        let events = EventFilter::parse(&event).ok()?;
        let subscription = EventSubscription { events, channels: channels_of(&channels), active: true };
        Some(Wanting { tenant, user, since, subscription })
    };
    Ok(rows.into_iter().filter_map(wanting).collect())
}
