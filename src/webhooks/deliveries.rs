//! Lists of deliveries for their owner, newest first, and one delivery with the log of its attempts.
//!
//! A list is merged from the streams of an index (endpoint, status, id), so it costs what it shows, however many
//! rows there are. A filter that no index knows looks at so many rows at most, and then answers with what it has
//! and where to go on.

use super::time_range::TimeRange;
use crate::domain::{DeliveryId, EndpointId, Error, EventFilter, EventId, Result, Timestamp};
use crate::storage::page::{Cursor, ListQuery, Slice};
use crate::storage::schema::{events, webhook_deliveries, webhook_delivery_logs};
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::value::RawValue;
use {events as e, webhook_deliveries as d, webhook_delivery_logs as l};

/// Rows of each stream that are looked at in one go, where a filter may leave most of them out.
const WINDOW: usize = 500;

/// Goes that one answer may take.
const WINDOWS: usize = 10;

/// Attempts that are shown of one delivery, the latest.
const MAX_LOG: i64 = 100;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It waits for its first attempt, or its next.
    Pending,
    /// The endpoint has it.
    Delivered,
    /// It was tried as often as it may be.
    Failed,
}

impl Status {
    const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    /// The word for it in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl std::str::FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

/// A delivery as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryResource {
    /// Its row.
    pub id: DeliveryId,
    /// Where it goes.
    pub webhook_id: EndpointId,
    /// What it tells of.
    pub event_id: EventId,
    /// The `webhook-id` of every attempt.
    pub message_id: String,
    /// The event's name.
    pub event: String,
    /// `pending`, `delivered` or `failed`.
    pub status: String,
    /// Attempts so far.
    pub attempts: i32,
    /// When it is tried next; null once it has ended.
    pub due_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its last attempt began or ended.
    pub updated_at: Timestamp,
}

/// One delivery with all there is to know of it.
#[derive(Debug, Serialize)]
pub struct DeliveryDetails {
    /// Its row.
    #[serde(flatten)]
    pub delivery: DeliveryResource,
    /// The event's data.
    pub data: Box<RawValue>,
    /// Its attempts, oldest first; of very many the latest hundred.
    pub log: Vec<AttemptResource>,
}

/// A row of `webhook_delivery_logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = webhook_delivery_logs, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct AttemptResource {
    /// From 1.
    pub attempt_number: i32,
    /// `ok`, or the class of the failure.
    pub outcome: String,
    /// The status of the answer, if one began.
    pub response_status: Option<i32>,
    /// The beginning of the answer's body.
    pub response_body: Option<String>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// From dialling to the end.
    pub duration_ms: i64,
    /// When the endpoint accepted it.
    pub delivered_at: Option<Timestamp>,
    /// When it ended.
    pub created_at: Timestamp,
}

type Row = (DeliveryId, EndpointId, EventId, String, String, String, i32, Timestamp, Timestamp, Timestamp);

impl From<Row> for DeliveryResource {
    fn from(row: Row) -> Self {
        let (id, webhook_id, event_id, message_id, event, status, attempts, due_at, created_at, updated_at) =
            row;
        let due_at = (status == Status::Pending.as_str()).then_some(due_at);
        Self { id, webhook_id, event_id, message_id, event, status, attempts, due_at, created_at, updated_at }
    }
}

/// Which deliveries are asked for.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// All, if nothing is said.
    pub status: Option<Status>,
    /// The event's name, or a pattern.
    pub event: Option<EventFilter>,
    /// When they were made.
    pub made: TimeRange,
}

impl DeliveryFilter {
    /// Reads a list's query string. `from` is in, `to` is out.
    pub fn parse(query: &str) -> Result<(Self, Cursor)> {
        let mut query = ListQuery::parse_cursor(query, &["status", "event", "from", "to"]);
        let status = query.value("status", "pending, delivered or failed");
        let (filter, cursor) = Self::read(query)?;
        Ok((Self { status, ..filter }, cursor))
    }

    /// The same of a list of failed ones.
    pub fn parse_failed(query: &str) -> Result<(Self, Cursor)> {
        let query = ListQuery::parse_cursor(query, &["event", "from", "to"]);
        let (filter, cursor) = Self::read(query)?;
        Ok((Self { status: Some(Status::Failed), ..filter }, cursor))
    }

    fn read(mut query: ListQuery) -> Result<(Self, Cursor)> {
        let event = query.read("event", "an event's name or a pattern, such as order:*", |text| {
            EventFilter::parse(text).ok()
        });
        let made = TimeRange { since: query.timestamp("from"), until: query.timestamp("to") };
        Ok((Self { status: None, event, made }, query.finish_cursor()?))
    }

    fn accepts(&self, delivery: &DeliveryResource) -> bool {
        self.made.contains(delivery.created_at)
            && self.event.as_ref().is_none_or(|event| event.accepts(&delivery.event))
    }

    fn statuses(&self) -> Vec<Status> {
        self.status.map_or_else(|| Status::ALL.to_vec(), |status| vec![status])
    }
}

/// The deliveries of these endpoints that the filter lets through, newest first.
pub async fn list(
    conn: &mut Conn,
    endpoints: &[EndpointId],
    filter: &DeliveryFilter,
    cursor: Cursor,
) -> Result<Slice<DeliveryResource>> {
    let (from, mut before) = filter.made.deliveries(conn).await?;
    before = cursor.after.map_or(before, |after| before.min(DeliveryId(after)));
    let size = if filter.event.is_none() { cursor.per_page + 1 } else { WINDOW };
    let mut rows: Vec<DeliveryResource> = Vec::new();
    for _ in 0..WINDOWS {
        let window = newest(conn, endpoints, &filter.statuses(), (from, before), size).await?;
        let last = window.last().map(|delivery| delivery.id).filter(|_| window.len() == size);
        rows.extend(window.into_iter().filter(|delivery| filter.accepts(delivery)));
        if rows.len() > cursor.per_page {
            rows.truncate(cursor.per_page);
            let next = rows.last().map(|delivery| delivery.id.0);
            return Ok(Slice { rows, next });
        }
        let Some(last) = last else { return Ok(Slice { rows, next: None }) };
        before = last;
    }
    Ok(Slice { rows, next: Some(before.0) })
}

/// The newest `size` of all these streams.
async fn newest(
    conn: &mut Conn,
    endpoints: &[EndpointId],
    statuses: &[Status],
    (from, before): (DeliveryId, DeliveryId),
    size: usize,
) -> Result<Vec<DeliveryResource>> {
    let limit = i64::try_from(size).unwrap_or(i64::MAX);
    let mut all: Vec<DeliveryResource> = Vec::new();
    for endpoint in endpoints {
        for status in statuses {
            let query = shown()
                .filter(d::webhook_id.eq(endpoint).and(d::status.eq(status.as_str())))
                .filter(d::id.ge(from).and(d::id.lt(before)))
                .order(d::id.desc())
                .limit(limit);
            let rows: Vec<Row> = on_conn!(conn, c => query.load(c).await)?;
            all.extend(rows.into_iter().map(DeliveryResource::from));
        }
        all.sort_unstable_by_key(|delivery| std::cmp::Reverse(delivery.id));
        all.truncate(size);
    }
    Ok(all)
}

/// Deliveries with what is shown of their events.
#[diesel::dsl::auto_type]
fn shown() -> _ {
    d::table.inner_join(e::table).select((
        d::id,
        d::webhook_id,
        d::event_id,
        e::message_id,
        e::name,
        d::status,
        d::attempts,
        d::due_at,
        d::created_at,
        d::updated_at,
    ))
}

/// The endpoint's delivery of this id.
pub async fn find(conn: &mut Conn, endpoint: EndpointId, id: DeliveryId) -> Result<DeliveryResource> {
    let query = shown().filter(d::id.eq(id).and(d::webhook_id.eq(endpoint)));
    let row: Option<Row> = on_conn!(conn, c => query.first(c).await.optional())?;
    row.map(DeliveryResource::from).ok_or_else(|| Error::not_found("delivery"))
}

/// The same with the event's data and the attempts.
pub async fn details(conn: &mut Conn, endpoint: EndpointId, id: DeliveryId) -> Result<DeliveryDetails> {
    let delivery = find(conn, endpoint, id).await?;
    let data = e::table.filter(e::id.eq(delivery.event_id)).select(e::data);
    let data: String = on_conn!(conn, c => data.first(c).await)?;
    let log = l::table.filter(l::delivery_id.eq(id)).order(l::id.desc()).limit(MAX_LOG);
    let mut log: Vec<AttemptResource> =
        on_conn!(conn, c => log.select(AttemptResource::as_select()).load(c).await)?;
    log.reverse();
    let data = RawValue::from_string(data)
        .map_err(|e| Error::new(crate::domain::Code::Internal, "The event's data is not JSON.").because(e))?;
    Ok(DeliveryDetails { delivery, data, log })
}
