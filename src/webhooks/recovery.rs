//! Sending again by hand: one delivery, the failed ones of a time, past events to a new endpoint, and a test.
//!
//! A delivery that is sent again starts its schedule afresh. Whatever may be much goes in short transactions, each
//! complete in itself: where one fails, those before it stand, and the same call goes on.

use super::deliveries::{self, DeliveryResource};
use super::endpoint::Endpoint;
use super::time_range::TimeRange;
use crate::domain::channel_name;
use crate::domain::fields::Given;
use crate::domain::{
    ChannelName, Clock, Code, DeliveryId, EndpointId, Error, EventFilter, EventId, EventName, Fields, Result,
    Timestamp,
};
use crate::storage::outbox::{self, NewEvent};
use crate::storage::schema::{events, webhook_deliveries};
use crate::storage::{Conn, Db, on_conn, on_conn_locking};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Timestamp as SqlTimestamp};
use diesel_async::RunQueryDsl;
use serde_json::json;
use {events as e, webhook_deliveries as d};

/// Deliveries that one request sends again, or makes, at most.
pub const MOST: u64 = 10_000;

/// Rows of one transaction.
const BATCH: usize = 500;

/// Events that are looked at in one go for those that an endpoint wants.
const WINDOW: i64 = 2_000;

/// Windows that one call looks at: what it does has a bound, also where nothing matches.
const WINDOWS: usize = 50;

/// The name of the event of a test. It is for the endpoint that is tested, and never replayed to another.
pub const TEST: &str = "webhook:test";

/// What shall be sent again.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// When it was made.
    pub made: TimeRange,
    /// Ids above this: where an earlier call ended.
    pub after: i64,
    /// Of a replay: only these events, of those that the endpoint wants.
    pub events: Option<Vec<EventFilter>>,
}

impl Wanted {
    /// Reads a request's body to recover: `since` is required, `until` and `after` are not.
    pub fn parse_recovery(mut fields: Fields) -> Result<Self> {
        let wanted = Self::read(&mut fields);
        fields.finish()?;
        Ok(wanted)
    }

    /// Reads a request's body to replay: the same, and perhaps `events`.
    pub fn parse_replay(mut fields: Fields) -> Result<Self> {
        let mut wanted = Self::read(&mut fields);
        wanted.events = super::endpoint::read_events(&mut fields).value();
        fields.finish()?;
        Ok(wanted)
    }

    fn read(fields: &mut Fields) -> Self {
        let since = fields.timestamp("since");
        let since = fields.required("since", since);
        let until = fields.timestamp("until").value();
        let after = match fields.integer("after", 0, i64::MAX) {
            Given::Value(id) => id,
            _ => 0,
        };
        Self { made: TimeRange { since, until }, after, events: None }
    }
}

/// What a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// How many deliveries are on their way now.
    pub count: u64,
    /// Where to go on, if the bound was reached.
    pub next: Option<i64>,
}

/// Refuses an endpoint that is not active: what waits for it would not be sent.
fn insist_on_active(endpoint: &Endpoint) -> Result<()> {
    if endpoint.is_active {
        return Ok(());
    }
    Err(Error::new(Code::Conflict, "The webhook is not active and gets nothing; make it active first."))
}

/// Puts the delivery back to its beginning, due now, whatever became of it.
pub async fn resend(
    conn: &mut Conn,
    endpoint: &Endpoint,
    id: DeliveryId,
    now: Timestamp,
) -> Result<DeliveryResource> {
    insist_on_active(endpoint)?;
    let row = d::table.filter(d::id.eq(id).and(d::webhook_id.eq(endpoint.id)));
    let query = row.select((d::status, d::lease_until));
    let found: Option<(String, Option<Timestamp>)> =
        on_conn_locking!(conn, query, |q, c| q.first(c).await.optional())?;
    match found {
        None => return Err(Error::not_found("delivery")),
        Some((_, Some(until))) if until > now => {
            return Err(Error::new(Code::Conflict, "The delivery is being sent just now."));
        }
        Some(_) => {}
    }
    let change = afresh(now);
    on_conn!(conn, c => diesel::update(row).set(change).execute(c).await)?;
    deliveries::find(conn, endpoint.id, id).await
}

/// Due now, and the schedule counts from here.
#[diesel::dsl::auto_type]
fn afresh(now: Timestamp) -> _ {
    let nobody: Option<String> = None;
    let never: Option<Timestamp> = None;
    (
        d::status.eq("pending"),
        d::attempts_before.eq(d::attempts),
        d::due_at.eq(now),
        d::lease_owner.eq(nobody),
        d::lease_until.eq(never),
        d::updated_at.eq(now),
    )
}

/// Sends the failed deliveries of a time again, at most `most`, and tells `progress` of each batch.
pub async fn recover(
    (db, clock): (&Db, &Clock),
    endpoint: &Endpoint,
    wanted: &Wanted,
    most: u64,
    mut progress: impl FnMut(u64),
) -> Result<Done> {
    insist_on_active(endpoint)?;
    let (from, to) = wanted.made.deliveries(&mut db.read().await?).await?;
    let mut after = DeliveryId(wanted.after.max(from.0 - 1));
    let mut count = 0;
    while count < most {
        let limit = usize::try_from(most - count).unwrap_or(BATCH).min(BATCH);
        let failed = failed(&mut db.read().await?, endpoint.id, (after, to), limit).await?;
        let Some((last, _)) = failed.last().copied() else { return Ok(Done { count, next: None }) };
        let ids: Vec<DeliveryId> =
            failed.into_iter().filter(|(_, made)| wanted.made.contains(*made)).map(|(id, _)| id).collect();
        let again = db.transaction(async |conn| restart(conn, &ids, clock.now()).await).await?;
        progress(again);
        count += again;
        after = last;
    }
    Ok(Done { count, next: Some(after.0) })
}

/// How many deliveries [`recover()`] would send again without a bound, give or take the ends of the time.
pub async fn count_failed(conn: &mut Conn, endpoint: EndpointId, wanted: &Wanted) -> Result<u64> {
    let (from, to) = wanted.made.deliveries(conn).await?;
    let query = d::table
        .filter(d::webhook_id.eq(endpoint).and(d::status.eq("failed")))
        .filter(d::id.ge(from).and(d::id.lt(to)));
    let count: i64 = on_conn!(conn, c => query.count().get_result(c).await)?;
    Ok(count.unsigned_abs())
}

async fn failed(
    conn: &mut Conn,
    endpoint: EndpointId,
    (after, to): (DeliveryId, DeliveryId),
    limit: usize,
) -> Result<Vec<(DeliveryId, Timestamp)>> {
    let query = d::table
        .filter(d::webhook_id.eq(endpoint).and(d::status.eq("failed")))
        .filter(d::id.gt(after).and(d::id.lt(to)))
        .order(d::id)
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select((d::id, d::created_at));
    Ok(on_conn!(conn, c => query.load(c).await)?)
}

/// Those of them that are failed still.
async fn restart(conn: &mut Conn, ids: &[DeliveryId], now: Timestamp) -> Result<u64> {
    let rows = d::table.filter(d::id.eq_any(ids).and(d::status.eq("failed")));
    let change = afresh(now);
    let changed = on_conn!(conn, c => diesel::update(rows).set(change).execute(c).await)?;
    Ok(u64::try_from(changed).unwrap_or(0))
}

/// Makes deliveries to the endpoint of past events that it wants and has not got, at most `most`.
pub async fn replay(
    (db, clock): (&Db, &Clock),
    endpoint: &Endpoint,
    wanted: &Wanted,
    most: u64,
    mut progress: impl FnMut(u64),
) -> Result<Done> {
    insist_on_active(endpoint)?;
    let (from, to) = wanted.made.events(&mut db.read().await?).await?;
    let mut after = EventId(wanted.after.max(from.0 - 1));
    let mut count = 0;
    for _ in 0..WINDOWS {
        let mut seen = past(&mut db.read().await?, endpoint, (after, to)).await?;
        let Some(last) = seen.last().map(|event| event.id) else { return Ok(Done { count, next: None }) };
        seen.retain(|event| event.is_wanted(endpoint, wanted));
        let mut left = seen.as_slice();
        while !left.is_empty() {
            if count >= most {
                return Ok(Done { count, next: Some(after.0) });
            }
            let size = usize::try_from(most - count).unwrap_or(BATCH).min(BATCH).min(left.len());
            let (batch, rest) = left.split_at(size);
            let ids: Vec<EventId> = batch.iter().map(|event| event.id).collect();
            let made =
                db.transaction(async |conn| deliver(conn, endpoint.id, &ids, clock.now()).await).await?;
            progress(made);
            count += made;
            after = ids.last().copied().unwrap_or(after);
            left = rest;
        }
        after = last;
    }
    Ok(Done { count, next: Some(after.0) })
}

#[derive(Queryable)]
struct Past {
    id: EventId,
    name: String,
    channel: String,
    made: Timestamp,
}

impl Past {
    fn is_wanted(&self, endpoint: &Endpoint, wanted: &Wanted) -> bool {
        let accepted = |filters: &[EventFilter]| filters.iter().any(|filter| filter.accepts(&self.name));
        self.name != TEST
            && !channel_name::is_one_users(&self.channel)
            && wanted.made.contains(self.made)
            && accepted(&endpoint.events)
            && wanted.events.as_deref().is_none_or(accepted)
    }
}

async fn past(conn: &mut Conn, endpoint: &Endpoint, (after, to): (EventId, EventId)) -> Result<Vec<Past>> {
    let query = e::table
        .filter(e::tenant_id.eq(endpoint.tenant_id))
        .filter(e::id.gt(after).and(e::id.lt(to)))
        .order(e::id)
        .limit(WINDOW)
        .select((e::id, e::name, e::channel, e::created_at));
    Ok(on_conn!(conn, c => query.load(c).await)?)
}

/// A delivery for each of the events that has none; another replay may be making the same.
async fn deliver(conn: &mut Conn, endpoint: EndpointId, ids: &[EventId], now: Timestamp) -> Result<u64> {
    let has_one = d::table.filter(d::event_id.eq(e::id).and(d::webhook_id.eq(endpoint)));
    let missing = e::table.filter(e::id.eq_any(ids)).filter(not(exists(has_one))).order(e::id).select((
        endpoint.into_sql::<BigInt>(),
        e::id,
        "pending".into_sql::<Text>(),
        now.into_sql::<SqlTimestamp>(),
        now.into_sql::<SqlTimestamp>(),
        now.into_sql::<SqlTimestamp>(),
    ));
    let columns = (d::webhook_id, d::event_id, d::status, d::due_at, d::created_at, d::updated_at);
    let insert = missing.insert_into(d::table).into_columns(columns).on_conflict_do_nothing();
    let made = on_conn!(conn, c => insert.execute(c).await)?;
    Ok(u64::try_from(made).unwrap_or(0))
}

/// Writes an event with sample data for this endpoint alone.
pub async fn test(conn: &mut Conn, endpoint: &Endpoint, now: Timestamp) -> Result<DeliveryResource> {
    insist_on_active(endpoint)?;
    let data = json!({"webhook_id": endpoint.id, "name": endpoint.name, "is_test": true});
    let event = NewEvent {
        tenant_id: endpoint.tenant_id,
        name: EventName::new(TEST),
        channel: ChannelName::tenant(endpoint.tenant_id),
        data: data.to_string(),
        except: None,
    };
    let delivery = outbox::write_for(conn, event, endpoint.id, now).await?;
    deliveries::find(conn, endpoint.id, delivery).await
}
