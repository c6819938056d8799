//! Claims: a lease on rows that are due, so that nobody else sends them meanwhile.
//!
//! A claim takes the oldest rows of all. Where these are as many as it takes, more may be due than can go at once, and
//! tenants take turns ([`Turns`]); where a pace is set they always do ([`Pace`]). What is critical does not wait behind a
//! herd. SQLite has one writer; on PostgreSQL rows that another process is claiming are passed over.
//!
//! Time is this process's: one whose clock is ahead claims that much early, and may claim what another has in hand
//! when it is ahead by more than a lease. That costs work and no more: an end counts only with the token of the claim,
//! looked at with the rows held ([`deliver`](super::deliver)).

use super::MOST;
use super::pace::Pace;
use super::share::Turns;
use crate::domain::{Result, ScheduledId, TenantId, Timestamp};
use crate::storage::schema::scheduled_notifications as s;
use crate::storage::{Conn, Db, condition, on_conn, on_conn_skipping_locked};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Timestamp as SqlTimestamp};
use diesel_async::RunQueryDsl;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

condition!(
    /// It waits for its time, or is in somebody's hands.
    pub(super) Pending,
    "scheduled_notifications.status = 'pending'"
);
condition!(Critical, "scheduled_notifications.priority = 'critical'");

/// How long a claim holds. A batch takes well under a second; who dies with one in hand delays it by so much.
pub(super) const LEASE: Duration = Duration::from_secs(10);

/// The tenants that have something due, in the order of their ids: a jump of the index for each tenant that has
/// something pending.
const DUE_TENANTS: &str = "WITH RECURSIVE t (id) AS ( \
        SELECT (SELECT min(tenant_id) FROM scheduled_notifications WHERE status = 'pending') \
        UNION ALL \
        SELECT (SELECT min(tenant_id) FROM scheduled_notifications WHERE status = 'pending' AND tenant_id > t.id) \
        FROM t WHERE t.id IS NOT NULL) \
    SELECT t.id AS tenant_id FROM t WHERE t.id IS NOT NULL AND EXISTS ( \
        SELECT 1 FROM scheduled_notifications AS due \
        WHERE due.status = 'pending' AND due.tenant_id = t.id AND due.next_attempt_at <= $1) \
    ORDER BY t.id";

/// Rows in hand.
#[derive(Debug)]
pub struct Claim {
    /// With which their ends count.
    pub(super) token: String,
    pub(super) ids: Vec<ScheduledId>,
    /// How long the first of them had been due.
    pub(super) lag: Duration,
}

/// Claims, one after another; it remembers whose turn it was.
#[derive(Debug)]
pub(super) struct Claimer {
    pace: Pace,
    turns: Turns,
    /// The last claim took as many as one takes.
    in_herd: bool,
}

impl Claim {
    /// Whether it took as many as one takes, so that more may be due.
    pub(super) fn is_full(&self) -> bool {
        self.ids.len() >= MOST
    }
}

/// A row that is due: its id, its tenant, since when.
type Due = (ScheduledId, TenantId, Timestamp);

impl Claimer {
    /// So many of each tenant a minute; 0 = no bound.
    pub(super) fn new(per_minute: u32) -> Self {
        Self { pace: Pace::new(per_minute), turns: Turns::default(), in_herd: false }
    }

    /// Leases up to [`MOST`] rows; none where nothing is due, or may go.
    pub(super) async fn claim(&mut self, db: &Db, now: Timestamp) -> Result<Option<Claim>> {
        let token = uuid::Uuid::now_v7().simple().to_string();
        let rows = db
            .transaction_relaxed(async |conn| {
                let rows = self.due(conn, now).await?;
                lease(conn, rows.iter().map(|(id, ..)| *id).collect(), &token, now).await?;
                Ok(rows)
            })
            .await?;
        self.in_herd = rows.len() >= MOST;
        let mut of_tenants: BTreeMap<TenantId, usize> = BTreeMap::new();
        for (_, tenant, _) in &rows {
            *of_tenants.entry(*tenant).or_default() += 1;
        }
        for (tenant, count) in of_tenants {
            self.pace.took(tenant, count, now);
        }
        let Some(oldest) = rows.iter().map(|(.., since)| *since).min() else { return Ok(None) };
        let ids = rows.into_iter().map(|(id, ..)| id).collect();
        Ok(Some(Claim { token, ids, lag: now.since(oldest) }))
    }

    /// After how long to look again, where something is due and may not go yet.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.pace.pause()
    }

    async fn due(&mut self, conn: &mut Conn, now: Timestamp) -> Result<Vec<Due>> {
        let mut taken = Taken::default();
        if self.in_herd || self.pace.is_bound() {
            taken.add(critical(conn, now, MOST).await?);
        }
        if self.pace.is_bound() {
            self.in_turns(conn, now, &mut taken).await?;
            return Ok(taken.rows);
        }
        let oldest = oldest(conn, now, MOST).await?;
        if oldest.len() >= MOST {
            self.in_turns(conn, now, &mut taken).await?;
        }
        taken.add(oldest);
        Ok(taken.rows)
    }

    /// From each tenant whose turn it is what its share and its pace allow.
    async fn in_turns(&mut self, conn: &mut Conn, now: Timestamp, taken: &mut Taken) -> Result<()> {
        let mut tenants = due_tenants(conn, now).await?;
        let may_go = |tenant: &TenantId| self.pace.room(*tenant, now) > taken.of(*tenant);
        tenants.retain(may_go);
        let (turn, share) = self.turns.next(&tenants, taken.room());
        for tenant in turn {
            let room = self.pace.room(tenant, now).saturating_sub(taken.of(tenant));
            let rows = of_tenant(conn, tenant, now, share.min(room).min(taken.room())).await?;
            taken.add(rows);
        }
        Ok(())
    }
}

/// Rows taken into a claim, each once.
#[derive(Debug, Default)]
struct Taken {
    rows: Vec<Due>,
    ids: BTreeSet<ScheduledId>,
}

impl Taken {
    fn room(&self) -> usize {
        MOST.saturating_sub(self.rows.len())
    }

    fn of(&self, tenant: TenantId) -> usize {
        self.rows.iter().filter(|(_, other, _)| *other == tenant).count()
    }

    fn add(&mut self, rows: Vec<Due>) {
        for row in rows {
            if self.room() > 0 && self.ids.insert(row.0) {
                self.rows.push(row);
            }
        }
    }
}

/// The oldest that are due.
async fn oldest(conn: &mut Conn, now: Timestamp, limit: usize) -> Result<Vec<Due>> {
    let query = s::table
        .filter(Pending.and(s::next_attempt_at.le(now)))
        .order((s::next_attempt_at, s::id))
        .limit(most(limit))
        .select((s::id, s::tenant_id, s::next_attempt_at));
    Ok(on_conn_skipping_locked!(conn, query, |q, c| q.load(c).await)?)
}

/// The same of what is critical.
async fn critical(conn: &mut Conn, now: Timestamp, limit: usize) -> Result<Vec<Due>> {
    let query = s::table
        .filter(Pending.and(Critical).and(s::next_attempt_at.le(now)))
        .order((s::next_attempt_at, s::id))
        .limit(most(limit))
        .select((s::id, s::tenant_id, s::next_attempt_at));
    Ok(on_conn_skipping_locked!(conn, query, |q, c| q.load(c).await)?)
}

/// The same of one tenant.
async fn of_tenant(conn: &mut Conn, tenant: TenantId, now: Timestamp, limit: usize) -> Result<Vec<Due>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let query = s::table
        .filter(Pending.and(s::tenant_id.eq(tenant)).and(s::next_attempt_at.le(now)))
        .order((s::next_attempt_at, s::id))
        .limit(most(limit))
        .select((s::id, s::tenant_id, s::next_attempt_at));
    Ok(on_conn_skipping_locked!(conn, query, |q, c| q.load(c).await)?)
}

#[derive(QueryableByName)]
struct DueTenant {
    #[diesel(sql_type = BigInt)]
    tenant_id: TenantId,
}

async fn due_tenants(conn: &mut Conn, now: Timestamp) -> Result<Vec<TenantId>> {
    let query = diesel::sql_query(DUE_TENANTS).bind::<SqlTimestamp, _>(now);
    let rows: Vec<DueTenant> = on_conn!(conn, c => query.load(c).await)?;
    Ok(rows.into_iter().map(|row| row.tenant_id).collect())
}

async fn lease(conn: &mut Conn, ids: Vec<ScheduledId>, token: &str, now: Timestamp) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let rows = s::table.filter(s::id.eq_any(ids));
    let set = (s::claim_token.eq(token), s::next_attempt_at.eq(now.plus(LEASE)));
    on_conn!(conn, c => diesel::update(rows).set(set).execute(c).await)?;
    Ok(())
}

/// When the next row is due, or was: none when none is pending.
pub(super) async fn next_due(conn: &mut Conn) -> Result<Option<Timestamp>> {
    let query = s::table.filter(Pending).order((s::next_attempt_at, s::id)).select(s::next_attempt_at);
    Ok(on_conn!(conn, c => query.first(c).await.optional())?)
}

fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
