//! `Delivery`: one event on its way to one endpoint; rows of `webhook_deliveries`, claimed by lease.
//!
//! Whoever sends a delivery holds a lease on its row: an owner (a random id of the process) and an end. A lease
//! that ran out is free for anybody. An outcome counts only while its row still has the owner and the number of
//! attempts that were claimed (the fence); else somebody else has taken over, and the outcome is dropped.

use crate::domain::{DeliveryId, EndpointId, Error, EventId, Leased, Result, Timestamp};
use crate::storage::schema::{events, webhook_breakers, webhook_deliveries, webhooks};
use crate::storage::{Conn, condition, on_conn, on_conn_skipping_locked};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::future::try_join_all;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

condition!(
    /// What the index on pending rows is for.
    pub(super) Pending,
    "webhook_deliveries.status = 'pending'"
);

/// A delivery leased to us.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its row.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// Attempts that were recorded so far.
    pub attempts: u32,
    /// Of these, those before it was last sent again by hand: the schedule counts from there.
    pub attempts_before: u32,
    /// When the lease ends.
    pub lease_until: Timestamp,
    /// The `webhook-id`: of the event, the same at every attempt.
    pub message_id: Arc<str>,
    /// The event's name.
    pub event: Arc<str>,
    /// The event's data: JSON text, sent as it stands.
    pub data: Arc<str>,
}

impl Delivery {
    /// One that came to its endpoint's actor leased, at its first attempt.
    pub(super) fn leased(leased: Leased) -> Self {
        let endpoint = leased.endpoint;
        let (id, lease_until, event) = leased.arrive();
        Self {
            id,
            endpoint,
            attempts: 0,
            attempts_before: 0,
            lease_until,
            message_id: event.message_id,
            event: event.name.into(),
            data: event.data,
        }
    }

    /// Its lease, to be handed back.
    pub(super) fn lease(&self) -> Lease {
        (self.id, self.lease_until)
    }
}

/// A delivery's row, and until when it is leased: a lease that was renewed is another.
pub type Lease = (DeliveryId, Timestamp);

/// What an endpoint asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Whose deliveries.
    pub endpoint: EndpointId,
    /// At most so many.
    pub limit: usize,
    /// Whether each has to wait for those before it.
    pub is_ordered: bool,
    /// Leased until then.
    pub lease_until: Timestamp,
}

/// Leases to `owner` what is due, oldest first. Call it in a transaction.
pub async fn claim(conn: &mut Conn, owner: &str, wanted: &[Wanted], now: Timestamp) -> Result<Vec<Delivery>> {
    let (ordered, free): (Vec<Wanted>, Vec<Wanted>) = wanted.iter().copied().partition(|one| one.is_ordered);
    let mut found = lock_due(conn, free, now).await?;
    for one in ordered {
        let next = lock_next(conn, &one, now).await?;
        found.extend(next.into_iter().map(|row| (one, row)));
    }
    let mut leases: BTreeMap<Timestamp, Vec<DeliveryId>> = BTreeMap::new();
    for (one, row) in &found {
        leases.entry(one.lease_until).or_default().push(row.id);
    }
    for (until, ids) in leases {
        lease(conn, owner, &ids, until, now).await?;
    }
    let contents = contents(conn, found.iter().map(|(_, row)| row.event_id).collect()).await?;
    let complete = |(one, row): (Wanted, DueRow)| Some(row.with(one, contents.get(&row.event_id)?));
    Ok(found.into_iter().filter_map(complete).collect())
}

#[derive(Clone, Copy, Queryable)]
struct DueRow {
    id: DeliveryId,
    event_id: EventId,
    attempts: i32,
    attempts_before: i32,
}

impl DueRow {
    fn with(self, wanted: Wanted, content: &Content) -> Delivery {
        Delivery {
            id: self.id,
            endpoint: wanted.endpoint,
            attempts: self.attempts.unsigned_abs(),
            attempts_before: self.attempts_before.unsigned_abs(),
            lease_until: wanted.lease_until,
            message_id: Arc::clone(&content.message_id),
            event: Arc::clone(&content.name),
            data: Arc::clone(&content.data),
        }
    }
}

/// The due rows of these endpoints that nobody holds, held to the end of the transaction. SQLite has one writer, and is
/// asked for all of them in one trip to its thread; PostgreSQL is asked for all of them at once, and rows that another
/// process is just claiming are passed over.
async fn lock_due(conn: &mut Conn, wanted: Vec<Wanted>, now: Timestamp) -> Result<Vec<(Wanted, DueRow)>> {
    use webhook_deliveries as d;
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let due = move |one: &Wanted| {
        d::table
            .filter(d::webhook_id.eq(one.endpoint).and(Pending).and(d::due_at.le(now)))
            .filter(d::lease_until.is_null().or(d::lease_until.le(now)))
            .order((d::due_at, d::id))
            .limit(i64::try_from(one.limit).unwrap_or(i64::MAX))
            .select((d::id, d::event_id, d::attempts, d::attempts_before))
    };
    let of_each: Vec<(Wanted, Vec<DueRow>)> = match conn {
        Conn::Postgres(object) => {
            let shared: &AsyncPgConnection = object;
            let rows = |one: Wanted| async move {
                let query = due(&one).for_no_key_update().skip_locked();
                Ok::<_, Error>((one, query.load(&mut &*shared).await?))
            };
            try_join_all(wanted.into_iter().map(rows)).await?
        }
        Conn::Sqlite(object) => {
            let rows = move |c: &mut diesel::SqliteConnection| {
                let rows = |one: Wanted| Ok((one, diesel::RunQueryDsl::load(due(&one), c)?));
                wanted.into_iter().map(rows).collect::<diesel::QueryResult<_>>()
            };
            object.spawn_blocking(rows).await?
        }
    };
    Ok(of_each.into_iter().flat_map(|(one, rows)| rows.into_iter().map(move |row| (one, row))).collect())
}

/// The oldest pending rows of an endpoint that wants them in order, up to the first that cannot go now: it is not
/// due, or somebody holds it. Nothing is waited for: a row that another process has in hand stops this one, too.
async fn lock_next(conn: &mut Conn, wanted: &Wanted, now: Timestamp) -> Result<Vec<DueRow>> {
    use webhook_deliveries as d;
    let next = d::table
        .filter(d::webhook_id.eq(wanted.endpoint).and(Pending))
        .order(d::id)
        .limit(i64::try_from(wanted.limit).unwrap_or(i64::MAX))
        .select(d::id);
    let ids: Vec<DeliveryId> = on_conn!(conn, c => next.load(c).await)?;
    let due = d::table
        .filter(d::id.eq_any(&ids).and(Pending).and(d::due_at.le(now)))
        .filter(d::lease_until.is_null().or(d::lease_until.le(now)))
        .order(d::id)
        .select((d::id, d::event_id, d::attempts, d::attempts_before));
    let rows: Vec<DueRow> = on_conn_skipping_locked!(conn, due, |q, c| q.load(c).await)?;
    Ok(rows.into_iter().zip(ids).take_while(|(row, id)| row.id == *id).map(|(row, _)| row).collect())
}

async fn lease(
    conn: &mut Conn,
    owner: &str,
    ids: &[DeliveryId],
    until: Timestamp,
    now: Timestamp,
) -> Result<()> {
    use webhook_deliveries as d;
    let rows = d::table.filter(d::id.eq_any(ids));
    let changes = (d::lease_owner.eq(owner), d::lease_until.eq(until), d::updated_at.eq(now));
    on_conn!(conn, c => diesel::update(rows).set(changes).execute(c).await)?;
    Ok(())
}

struct Content {
    message_id: Arc<str>,
    name: Arc<str>,
    data: Arc<str>,
}

/// What the events say; an event that goes to many endpoints is kept once.
async fn contents(conn: &mut Conn, mut ids: Vec<EventId>) -> Result<HashMap<EventId, Content>> {
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let query = events::table.filter(events::id.eq_any(ids)).select((
        events::id,
        events::message_id,
        events::name,
        events::data,
    ));
    let rows: Vec<(EventId, String, String, String)> = on_conn!(conn, c => query.load(c).await)?;
    let content = |(id, message_id, name, data): (_, String, String, String)| {
        (id, Content { message_id: message_id.into(), name: name.into(), data: data.into() })
    };
    Ok(rows.into_iter().map(content).collect())
}

/// When the first of an endpoint's pending deliveries is due that wants them in order, if that is still to come.
pub async fn next_in_order(
    conn: &mut Conn,
    endpoint: EndpointId,
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    use webhook_deliveries as d;
    let first = d::table.filter(d::webhook_id.eq(endpoint).and(Pending)).order(d::id).select(d::due_at);
    let due: Option<Timestamp> = on_conn!(conn, c => first.first(c).await.optional())?;
    Ok(due.filter(|at| *at > now))
}

/// When the endpoint's next delivery that is not due yet will be.
pub async fn next_due(conn: &mut Conn, endpoint: EndpointId, now: Timestamp) -> Result<Option<Timestamp>> {
    use webhook_deliveries as d;
    let query = d::table
        .filter(d::webhook_id.eq(endpoint).and(Pending).and(d::due_at.gt(now)))
        .select(diesel::dsl::min(d::due_at));
    Ok(on_conn!(conn, c => query.first(c).await)?)
}

/// All active endpoints, each with whether a delivery of it may go that nobody holds: it is due, and neither its
/// owner nor its breaker holds it back.
pub async fn survey(conn: &mut Conn, now: Timestamp) -> Result<Vec<(EndpointId, bool)>> {
    use {webhook_breakers as b, webhook_deliveries as d};
    let due = d::table
        .filter(d::webhook_id.eq(webhooks::id).and(Pending).and(d::due_at.le(now)))
        .filter(d::lease_until.is_null().or(d::lease_until.le(now)));
    let held_back = b::table
        .filter(b::webhook_id.eq(webhooks::id))
        .filter(b::until.gt(now).or(b::deferred_until.gt(now)).assume_not_null());
    let may_go = webhooks::is_paused.eq(false).and(exists(due)).and(not(exists(held_back)));
    let query = webhooks::table.filter(webhooks::is_active.eq(true)).select((webhooks::id, may_go));
    Ok(on_conn!(conn, c => query.load(c).await)?)
}

/// Hands back these leases of `owner`: what was claimed and will not be sent now.
pub(super) async fn hand_back(conn: &mut Conn, owner: &str, leases: &[Lease]) -> Result<()> {
    use webhook_deliveries as d;
    let mut alike: BTreeMap<Timestamp, Vec<DeliveryId>> = BTreeMap::new();
    for (id, until) in leases {
        alike.entry(*until).or_default().push(*id);
    }
    for (until, ids) in alike {
        let held = d::table
            .filter(d::id.eq_any(ids).and(d::lease_owner.eq(owner)).and(d::lease_until.eq(until)))
            .filter(Pending);
        let changes = (d::lease_owner.eq(None::<&str>), d::lease_until.eq(None::<Timestamp>));
        on_conn!(conn, c => diesel::update(held).set(changes).execute(c).await)?;
    }
    Ok(())
}

/// Hands back every lease of `owner`, so that others need not wait for their end.
pub async fn release(conn: &mut Conn, owner: &str) -> Result<usize> {
    use webhook_deliveries as d;
    let held = d::table.filter(Pending).filter(d::lease_owner.eq(owner));
    let changes = (d::lease_owner.eq(None::<&str>), d::lease_until.eq(None::<Timestamp>));
    Ok(on_conn!(conn, c => diesel::update(held).set(changes).execute(c).await)?)
}

/// Hands back every lease there is. For a SQLite file at start: one process serves it, so all owners are dead.
pub async fn reclaim(conn: &mut Conn) -> Result<usize> {
    use webhook_deliveries as d;
    let held = d::table.filter(Pending).filter(d::lease_owner.is_not_null());
    let changes = (d::lease_owner.eq(None::<&str>), d::lease_until.eq(None::<Timestamp>));
    Ok(on_conn!(conn, c => diesel::update(held).set(changes).execute(c).await)?)
}
