//! The outbox: events and their webhook deliveries, written in the transaction of the change that caused
//! them, and read on by id. Whoever changes rows calls [`write()`]; whoever forwards events calls [`read_after`].

use super::schema::{events, webhook_deliveries, webhooks};
use super::{Conn, lock, on_conn};
use crate::domain::{
    ChannelName, Code, Committed, DeliveryId, EndpointId, Error, Event, EventFilter, EventId, EventName,
    Result, SocketId, TenantId, Timestamp,
};
use diesel::prelude::*;
use diesel::sql_types::{self, BigInt, Text};
use diesel_async::RunQueryDsl;
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
/// the event. Call it last in the transaction: on PostgreSQL it holds the event order lock to the end of it.
pub async fn write(conn: &mut Conn, new: Vec<NewEvent>, now: Timestamp) -> Result<Committed> {
    if new.is_empty() {
        return Ok(Committed { events: Arc::new([]), endpoints: Vec::new() });
    }
    lock::event_order(conn).await?;
    let tenants: BTreeSet<TenantId> = new.iter().map(|e| e.tenant_id).collect();
    let subscribers = active_endpoints(conn, tenants).await?;
    let mut written = Vec::with_capacity(new.len());
    let mut touched = BTreeSet::new();
    for event in new {
        let event = insert(conn, event, now).await?;
        let wanted: Vec<EndpointId> =
            subscribers.iter().filter(|s| s.wants(&event)).map(|s| s.endpoint).collect();
        insert_deliveries(conn, &event, &wanted).await?;
        touched.extend(wanted);
        written.push(event);
    }
    Ok(Committed { events: written.into(), endpoints: touched.into_iter().collect() })
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
    let event = insert(conn, new, now).await?;
    insert_delivery(conn, &event, endpoint).await
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

async fn insert(conn: &mut Conn, new: NewEvent, now: Timestamp) -> Result<Event> {
    let message_id = format!("msg_{}", uuid::Uuid::now_v7().simple());
    let values = (
        events::message_id.eq(&message_id),
        events::tenant_id.eq(new.tenant_id),
        events::name.eq(new.name.as_str()),
        events::channel.eq(new.channel.as_str()),
        events::data.eq(&new.data),
        events::socket_id.eq(new.except.map(|s| s.to_string())),
        events::created_at.eq(now),
    );
    let id: EventId = on_conn!(conn, c =>
        diesel::insert_into(events::table).values(values).returning(events::id).get_result(c).await)?;
    Ok(Event {
        id,
        message_id: message_id.into(),
        tenant_id: new.tenant_id,
        name: new.name,
        channel: new.channel,
        data: new.data.into(),
        except: new.except,
        created_at: now,
    })
}

struct Subscriber {
    endpoint: EndpointId,
    tenant: TenantId,
    filters: Vec<EventFilter>,
}

impl Subscriber {
    fn wants(&self, event: &Event) -> bool {
        self.tenant == event.tenant_id && self.filters.iter().any(|f| f.accepts(event.name.as_str()))
    }
}

async fn active_endpoints(conn: &mut Conn, tenants: BTreeSet<TenantId>) -> Result<Vec<Subscriber>> {
    let query = webhooks::table
        .filter(webhooks::tenant_id.eq_any(tenants).and(webhooks::is_active.eq(true)))
        .select((webhooks::id, webhooks::tenant_id, webhooks::events));
    let rows: Vec<(EndpointId, TenantId, serde_json::Value)> = on_conn!(conn, c => query.load(c).await)?;
    // A filter that no longer parses matches nothing; the API and the command line write only good ones.
    let subscriber = |(endpoint, tenant, filters)| Subscriber {
        endpoint,
        tenant,
        filters: serde_json::from_value(filters).unwrap_or_default(),
    };
    Ok(rows.into_iter().map(subscriber).collect())
}

async fn insert_delivery(conn: &mut Conn, event: &Event, endpoint: EndpointId) -> Result<DeliveryId> {
    let values = (
        webhook_deliveries::webhook_id.eq(endpoint),
        webhook_deliveries::event_id.eq(event.id),
        webhook_deliveries::status.eq("pending"),
        webhook_deliveries::due_at.eq(event.created_at),
        webhook_deliveries::created_at.eq(event.created_at),
        webhook_deliveries::updated_at.eq(event.created_at),
    );
    let insert = diesel::insert_into(webhook_deliveries::table).values(values);
    Ok(on_conn!(conn, c => insert.returning(webhook_deliveries::id).get_result(c).await)?)
}

/// One statement however many they are: the event order lock is held meanwhile.
async fn insert_deliveries(conn: &mut Conn, event: &Event, wanted: &[EndpointId]) -> Result<()> {
    use webhook_deliveries as d;
    match wanted {
        [] => Ok(()),
        [endpoint] => insert_delivery(conn, event, *endpoint).await.map(drop),
        many => {
            let at = event.created_at.into_sql::<sql_types::Timestamp>();
            let (event, status) = (event.id.into_sql::<BigInt>(), "pending".into_sql::<Text>());
            let wanted = webhooks::table.filter(webhooks::id.eq_any(many)).order(webhooks::id);
            let rows = wanted.select((webhooks::id, event, status, at, at, at));
            let columns = (d::webhook_id, d::event_id, d::status, d::due_at, d::created_at, d::updated_at);
            let insert = rows.insert_into(d::table).into_columns(columns);
            on_conn!(conn, c => insert.execute(c).await)?;
            Ok(())
        }
    }
}
