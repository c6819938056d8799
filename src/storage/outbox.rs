//! The outbox: events and their webhook deliveries, written in the transaction of the change that caused
//! them, and read on by id. Whoever changes rows calls [`write()`]; whoever forwards events calls [`read_after`].

mod deliveries;

use super::schema::{events, webhook_breakers, webhooks};
use super::{Conn, insert_rows, lock, on_conn};
use crate::domain::standby::Place;
use crate::domain::{
    ChannelName, Code, Committed, DeliveryId, EndpointId, Error, Event, EventFilter, EventId, EventName,
    Leased, Result, SocketId, Standby, TenantId, Timestamp,
};
use deliveries::DeliveryRow;
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An event that is about to be written.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Whose data changed.
    pub tenant_id: TenantId,
    /// What happened.
    pub name: EventName,
    /// Where it is published.
    pub channel: ChannelName,
    /// JSON text.
    pub data: String,
    /// The connection that caused it.
    pub except: Option<SocketId>,
}

/// Writes the events, in order, and a delivery for each active endpoint of the tenant whose filters accept
/// the event, unless it is published on one user's own channel. Call it last in the transaction: on PostgreSQL it holds the event order lock to the end of it.
pub async fn write(conn: &mut Conn, new: Vec<NewEvent>, now: Timestamp) -> Result<Committed> {
    write_for_standby(conn, new, &Standby::default(), now).await
}

/// The same; what goes to endpoints that stand by and have no failure to live down is leased to them at once. Send what
/// this returns on after the commit: leases that are dropped are handed back.
pub async fn write_for_standby(
    conn: &mut Conn,
    new: Vec<NewEvent>,
    standby: &Standby,
    now: Timestamp,
) -> Result<Committed> {
    if new.is_empty() {
        return Ok(Committed { events: Arc::new([]), endpoints: Vec::new(), leased: Vec::new() });
    }
    let tenants: BTreeSet<TenantId> = new.iter().map(|e| e.tenant_id).collect();
    let subscribers = active_endpoints_in_order(conn, tenants).await?;
    let written = insert(conn, new, now).await?;
    let (mut rows, mut places) = (Vec::new(), Vec::new());
    for event in &written {
        for subscriber in subscribers.iter().filter(|subscriber| subscriber.wants(event)) {
            let place = subscriber.place(standby);
            rows.push(DeliveryRow::of(event, subscriber.endpoint, place.as_ref()));
            places.push((event, subscriber.endpoint, place));
        }
    }
    let ids = deliveries::insert(conn, rows).await?;
    let (mut endpoints, mut leased) = (BTreeSet::new(), Vec::new());
    for ((event, endpoint, place), delivery) in places.into_iter().zip(ids) {
        let Some(mut place) = place else {
            endpoints.insert(endpoint);
            continue;
        };
        let lease_until = place.lease_until(event.created_at);
        place.leased(delivery, lease_until);
        leased.push(Leased { delivery, endpoint, lease_until, event: event.clone(), place });
    }
    Ok(Committed { events: written.into(), endpoints: endpoints.into_iter().collect(), leased })
}

/// Takes the event order lock before [`write()`] does: what is read from here on has seen the rows of every event that
/// is written, and will stand before all that are not.
pub async fn take_turn(conn: &mut Conn) -> Result<()> {
    lock::event_order(conn).await
}

/// Writes an event that goes to one endpoint alone, whatever its filters say, and its delivery. As [`write()`],
/// call it last.
pub async fn write_for(
    conn: &mut Conn,
    new: NewEvent,
    endpoint: EndpointId,
    now: Timestamp,
) -> Result<DeliveryId> {
    lock::event_order(conn).await?;
    let written = insert(conn, vec![new], now).await?;
    let rows: Vec<DeliveryRow> = written.iter().map(|event| DeliveryRow::of(event, endpoint, None)).collect();
    let ids = deliveries::insert(conn, rows).await?;
    ids.as_slice()
        .first()
        .copied()
        .ok_or_else(|| Error::new(Code::Internal, "The delivery was not written down."))
}

/// Those of these tenants that have an active endpoint which gets events of this name.
pub async fn tenants_listening(
    conn: &mut Conn,
    tenants: BTreeSet<TenantId>,
    name: &str,
) -> Result<BTreeSet<TenantId>> {
    let query = webhooks::table
        .filter(webhooks::tenant_id.eq_any(tenants).and(webhooks::is_active.eq(true)))
        .select((webhooks::tenant_id, webhooks::events));
    let rows: Vec<(TenantId, serde_json::Value)> = on_conn!(conn, c => query.load(c).await)?;
    let listens = |filters: serde_json::Value| {
        let filters: Vec<EventFilter> = serde_json::from_value(filters).unwrap_or_default();
        filters.iter().any(|filter| filter.accepts(name))
    };
    Ok(rows.into_iter().filter_map(|(tenant, filters)| listens(filters).then_some(tenant)).collect())
}

/// Up to `limit` events with ids above `after`, in id order.
pub async fn read_after(conn: &mut Conn, after: EventId, limit: i64) -> Result<Vec<Event>> {
    let query = events::table.filter(events::id.gt(after)).order(events::id).limit(limit);
    let rows: Vec<EventRow> = on_conn!(conn, c => query.select(EventRow::as_select()).load(c).await)?;
    rows.into_iter().map(Event::try_from).collect()
}

/// The same of one tenant.
pub async fn read_tenant_after(
    conn: &mut Conn,
    tenant: TenantId,
    after: EventId,
    limit: i64,
) -> Result<Vec<Event>> {
    let query = events::table
        .filter(events::tenant_id.eq(tenant).and(events::id.gt(after)))
        .order(events::id)
        .limit(limit);
    let rows: Vec<EventRow> = on_conn!(conn, c => query.select(EventRow::as_select()).load(c).await)?;
    rows.into_iter().map(Event::try_from).collect()
}

/// The last `limit` events of a channel, in id order; of one tenant alone, where one is given.
pub async fn read_channel_end(
    conn: &mut Conn,
    channel: &ChannelName,
    tenant: Option<TenantId>,
    limit: i64,
) -> Result<Vec<Event>> {
    let of_channel = events::table.filter(events::channel.eq(channel.as_str()));
    let latest = of_channel.order(events::id.desc()).limit(limit);
    let rows: Vec<EventRow> = match tenant {
        Some(tenant) => {
            let own = latest.filter(events::tenant_id.eq(tenant));
            on_conn!(conn, c => own.select(EventRow::as_select()).load(c).await)?
        }
        None => on_conn!(conn, c => latest.select(EventRow::as_select()).load(c).await)?,
    };
    rows.into_iter().rev().map(Event::try_from).collect()
}

/// The highest id in use; zero in an empty table.
pub async fn last_id(conn: &mut Conn) -> Result<EventId> {
    let last: Option<EventId> =
        on_conn!(conn, c => events::table.select(diesel::dsl::max(events::id)).first(c).await)?;
    Ok(last.unwrap_or(EventId(0)))
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = events, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct EventRow {
    id: EventId,
    message_id: String,
    tenant_id: TenantId,
    name: String,
    channel: String,
    data: String,
    socket_id: Option<String>,
    created_at: Timestamp,
}

impl TryFrom<EventRow> for Event {
    type Error = Error;

    fn try_from(row: EventRow) -> Result<Self> {
        let channel = ChannelName::parse(&row.channel).map_err(|e| {
            Error::new(Code::Internal, format!("Event {} has a channel that is none: {e}", row.id))
        })?;
        Ok(Self {
            id: row.id,
            message_id: row.message_id.into(),
            tenant_id: row.tenant_id,
            name: EventName::new(&row.name),
            channel,
            data: row.data.into(),
            except: row.socket_id.and_then(|s| s.parse().ok()),
            created_at: row.created_at,
        })
    }
}

#[derive(Insertable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
struct NewRow {
    message_id: String,
    tenant_id: TenantId,
    name: String,
    channel: String,
    data: String,
    socket_id: Option<String>,
    created_at: Timestamp,
}

impl NewRow {
    fn of(new: &NewEvent, now: Timestamp) -> Self {
        Self {
            message_id: format!("msg_{}", uuid::Uuid::now_v7().simple()),
            tenant_id: new.tenant_id,
            name: new.name.as_str().to_owned(),
            channel: new.channel.as_str().to_owned(),
            data: new.data.clone(),
            socket_id: new.except.as_ref().map(ToString::to_string),
            created_at: now,
        }
    }
}

/// Writes the events; ids are given in their order.
async fn insert(conn: &mut Conn, new: Vec<NewEvent>, now: Timestamp) -> Result<Vec<Event>> {
    let rows: Vec<NewRow> = new.iter().map(|one| NewRow::of(one, now)).collect();
    let message_ids: Vec<String> = rows.iter().map(|row| row.message_id.clone()).collect();
    let ids: Vec<EventId> = insert_rows!(conn, events::table, rows, events::id);
    let events = new.into_iter().zip(ids).zip(message_ids).map(|((new, id), message_id)| Event {
        id,
        message_id: message_id.into(),
        tenant_id: new.tenant_id,
        name: new.name,
        channel: new.channel,
        data: new.data.into(),
        except: new.except,
        created_at: now,
    });
    Ok(events.collect())
}

struct Subscriber {
    endpoint: EndpointId,
    tenant: TenantId,
    filters: Vec<EventFilter>,
    revision: i32,
    /// Something of it failed and was not made good yet: its breaker decides what is sent.
    is_in_doubt: bool,
}

impl Subscriber {
    fn wants(&self, event: &Event) -> bool {
        self.tenant == event.tenant_id
            && !event.channel.is_one_users()
            && self.filters.iter().any(|f| f.accepts(event.name.as_str()))
    }

    fn place(&self, standby: &Standby) -> Option<Place> {
        if self.is_in_doubt { None } else { standby.take(self.endpoint, self.revision) }
    }
}

/// Takes the event order lock, too. PostgreSQL is asked for both at once, and answers in this order: what was changed
/// while the lock was waited for is seen.
async fn active_endpoints_in_order(conn: &mut Conn, tenants: BTreeSet<TenantId>) -> Result<Vec<Subscriber>> {
    let breaker = webhook_breakers::table.filter(webhook_breakers::webhook_id.eq(webhooks::id));
    let query = webhooks::table
        .filter(webhooks::tenant_id.eq_any(tenants).and(webhooks::is_active.eq(true)))
        .select((webhooks::id, webhooks::tenant_id, webhooks::events, webhooks::revision, exists(breaker)));
    let rows: Vec<(EndpointId, TenantId, serde_json::Value, i32, bool)> = match conn {
        Conn::Postgres(object) => {
            let mut shared: &AsyncPgConnection = object;
            let endpoints = async { Ok(query.load(&mut shared).await?) };
            futures_util::future::try_join(lock::event_order_on(object), endpoints).await?.1
        }
        Conn::Sqlite(object) => query.load(&mut **object).await?,
    };
    // A filter that no longer parses matches nothing; the API and the command line write only good ones.
    let subscriber = |(endpoint, tenant, filters, revision, is_in_doubt)| Subscriber {
        endpoint,
        tenant,
        filters: serde_json::from_value(filters).unwrap_or_default(),
        revision,
        is_in_doubt,
    };
    Ok(rows.into_iter().map(subscriber).collect())
}
