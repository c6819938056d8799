//! The outbox: events and their webhook deliveries, written in the transaction of the change that caused
//! them, and read on by id. Whoever changes rows calls [`write()`]; whoever forwards events calls [`read_after`].

use super::schema::{events, webhook_deliveries, webhooks};
use super::{Conn, insert_rows, lock, on_conn};
use crate::domain::{
    ChannelName, Code, Committed, DeliveryId, EndpointId, Error, Event, EventFilter, EventId, EventName,
    Result, SocketId, TenantId, Timestamp,
};
use diesel::prelude::*;
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
/// the event, unless it is published on one user's own channel. Call it last in the transaction: on PostgreSQL it holds the event order lock to the end of it.
pub async fn write(conn: &mut Conn, new: Vec<NewEvent>, now: Timestamp) -> Result<Committed> {
    if new.is_empty() {
        return Ok(Committed { events: Arc::new([]), endpoints: Vec::new() });
    }
    lock::event_order(conn).await?;
    let tenants: BTreeSet<TenantId> = new.iter().map(|e| e.tenant_id).collect();
    let subscribers = active_endpoints(conn, tenants).await?;
    let written = insert(conn, new, now).await?;
    let wanted = |event| subscribers.iter().filter(move |s| s.wants(event)).map(|s| s.endpoint);
    let deliveries: Vec<DeliveryRow> = written
        .iter()
        .flat_map(|event| wanted(event).map(|endpoint| DeliveryRow::of(event, endpoint)))
        .collect();
    let touched: BTreeSet<EndpointId> = deliveries.iter().map(|row| row.webhook_id).collect();
    insert_deliveries(conn, deliveries).await?;
    Ok(Committed { events: written.into(), endpoints: touched.into_iter().collect() })
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
    let rows: Vec<DeliveryRow> = written.iter().map(|event| DeliveryRow::of(event, endpoint)).collect();
    let ids = insert_deliveries(conn, rows).await?;
    ids.as_slice()
        .first()
        .copied()
        .ok_or_else(|| Error::new(Code::Internal, "The delivery was not written down."))
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
}

impl Subscriber {
    fn wants(&self, event: &Event) -> bool {
        self.tenant == event.tenant_id
            && !event.channel.is_one_users()
            && self.filters.iter().any(|f| f.accepts(event.name.as_str()))
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

#[derive(Insertable)]
#[diesel(table_name = webhook_deliveries)]
struct DeliveryRow {
    webhook_id: EndpointId,
    event_id: EventId,
    status: &'static str,
    due_at: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl DeliveryRow {
    fn of(event: &Event, endpoint: EndpointId) -> Self {
        let at = event.created_at;
        Self {
            webhook_id: endpoint,
            event_id: event.id,
            status: "pending",
            due_at: at,
            created_at: at,
            updated_at: at,
        }
    }
}

async fn insert_deliveries(conn: &mut Conn, rows: Vec<DeliveryRow>) -> Result<Vec<DeliveryId>> {
    Ok(insert_rows!(conn, webhook_deliveries::table, rows, webhook_deliveries::id))
}
