//! The rows of habits: what came into inboxes at each hour of the day, and how much of it was read, of each user and of
//! all of a tenant together. What they mean is said by [`best_time`](super::best_time). They are at most twenty-four for each
//! user, and stay as long as their user does.
//!
//! Each observation is added in the transaction of what is observed, in one statement for the users and one for the
//! tenants, however many they are. Rows are taken in the order of their keys, users' before tenants', and all of them
//! before the event order lock: so those who count at one time wait for each other, and never for ever.
//!
//! A tenant's sums are kept in parts, of which each transaction takes one: who counts for one user waits for another
//! user's transaction one time in sixteen, and what is known of a tenant is read from 384 rows, however many users it has.

use super::best_time::{HOURS, Habits, HourCount, Observation, Prior, kept_weight};
use crate::domain::{Result, TenantId, Timestamp, UserId};
use crate::storage::schema::{notification_engagement as e, notification_engagement_totals as t};
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Double, Integer};
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Into so many parts the sums of a tenant are divided.
const PARTS: u8 = 16;

/// Seven arrays: diesel's own statement for a thousand rows would have seven thousand values to be bound.
const ADD_TO_USERS: &str = "INSERT INTO notification_engagement AS e \
    (tenant_id, user_id, hour, sent, read, waited, late) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7) \
    ON CONFLICT (tenant_id, user_id, hour) DO UPDATE SET sent = e.sent + excluded.sent, \
    read = e.read + excluded.read, waited = e.waited + excluded.waited, late = e.late + excluded.late";

const ADD_TO_TENANTS: &str = "INSERT INTO notification_engagement_totals AS t (tenant_id, part, hour, sent, read) \
    SELECT * FROM unnest($1, $2, $3, $4, $5) ON CONFLICT (tenant_id, hour, part) DO UPDATE SET \
    sent = t.sent + excluded.sent, read = t.read + excluded.read";

#[derive(Debug, Clone, Copy, Insertable)]
#[diesel(table_name = e, treat_none_as_default_value = false)]
struct UserRow {
    tenant_id: TenantId,
    user_id: UserId,
    hour: i32,
    sent: f64,
    read: f64,
    waited: f64,
    late: f64,
}

#[derive(Debug, Clone, Copy, Insertable)]
#[diesel(table_name = t, treat_none_as_default_value = false)]
struct TenantRow {
    tenant_id: TenantId,
    hour: i32,
    part: i32,
    sent: f64,
    read: f64,
}

/// Adds what was observed of these users.
pub(super) async fn note(
    conn: &mut Conn,
    observed: impl IntoIterator<Item = ((TenantId, UserId), Observation)>,
) -> Result<()> {
    let part = i32::from(rand::random::<u8>() % PARTS);
    let (mut users, mut tenants) = (BTreeMap::new(), BTreeMap::new());
    for ((tenant_id, user_id), Observation { hour, count, at }) in observed {
        let (hour, kept) = (i32::try_from(hour).unwrap_or_default(), count.times(kept_weight(at)));
        let sum: &mut HourCount = users.entry((tenant_id, user_id, hour)).or_default();
        *sum = sum.plus(kept);
        // What had waited says nothing of others.
        if kept.sends > 0.0 || kept.reads > 0.0 {
            let sum: &mut HourCount = tenants.entry((tenant_id, hour)).or_default();
            *sum = sum.plus(kept);
        }
    }
    let user = |((tenant_id, user_id, hour), sum): (_, HourCount)| {
        let HourCount { sends, reads, waited, late } = sum;
        UserRow { tenant_id, user_id, hour, sent: sends, read: reads, waited, late }
    };
    let tenant = |((tenant_id, hour), sum): (_, HourCount)| TenantRow {
        tenant_id,
        hour,
        part,
        sent: sum.sends,
        read: sum.reads,
    };
    add_to_users(conn, users.into_iter().map(user).collect()).await?;
    add_to_tenants(conn, tenants.into_iter().map(tenant).collect()).await
}

async fn add_to_users(conn: &mut Conn, rows: Vec<UserRow>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    match conn {
        Conn::Postgres(c) => {
            let of = |column: fn(&UserRow) -> i64| rows.iter().map(column).collect::<Vec<_>>();
            let sum_of = |column: fn(&UserRow) -> f64| rows.iter().map(column).collect::<Vec<_>>();
            let add = diesel::sql_query(ADD_TO_USERS)
                .bind::<Array<BigInt>, _>(of(|row| row.tenant_id.0))
                .bind::<Array<BigInt>, _>(of(|row| row.user_id.0))
                .bind::<Array<Integer>, _>(rows.iter().map(|row| row.hour).collect::<Vec<_>>())
                .bind::<Array<Double>, _>(sum_of(|row| row.sent))
                .bind::<Array<Double>, _>(sum_of(|row| row.read))
                .bind::<Array<Double>, _>(sum_of(|row| row.waited))
                .bind::<Array<Double>, _>(sum_of(|row| row.late));
            add.execute(&mut **c).await?;
        }
        Conn::Sqlite(c) => {
            let add = move |c: &mut diesel::SqliteConnection| {
                let insert = diesel::insert_into(e::table).values(&rows);
                let added = (
                    e::sent.eq(e::sent + excluded(e::sent)),
                    e::read.eq(e::read + excluded(e::read)),
                    e::waited.eq(e::waited + excluded(e::waited)),
                    e::late.eq(e::late + excluded(e::late)),
                );
                let upsert = insert.on_conflict((e::tenant_id, e::user_id, e::hour)).do_update().set(added);
                diesel::RunQueryDsl::execute(upsert, c)
            };
            c.spawn_blocking(add).await?;
        }
    }
    Ok(())
}

async fn add_to_tenants(conn: &mut Conn, rows: Vec<TenantRow>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    match conn {
        Conn::Postgres(c) => {
            let of = |column: fn(&TenantRow) -> i32| rows.iter().map(column).collect::<Vec<_>>();
            let add = diesel::sql_query(ADD_TO_TENANTS)
                .bind::<Array<BigInt>, _>(rows.iter().map(|row| row.tenant_id.0).collect::<Vec<_>>())
                .bind::<Array<Integer>, _>(of(|row| row.part))
                .bind::<Array<Integer>, _>(of(|row| row.hour))
                .bind::<Array<Double>, _>(rows.iter().map(|row| row.sent).collect::<Vec<_>>())
                .bind::<Array<Double>, _>(rows.iter().map(|row| row.read).collect::<Vec<_>>());
            add.execute(&mut **c).await?;
        }
        Conn::Sqlite(c) => {
            let add = move |c: &mut diesel::SqliteConnection| {
                let insert = diesel::insert_into(t::table).values(&rows);
                let added =
                    (t::sent.eq(t::sent + excluded(t::sent)), t::read.eq(t::read + excluded(t::read)));
                let upsert = insert.on_conflict((t::tenant_id, t::hour, t::part)).do_update().set(added);
                diesel::RunQueryDsl::execute(upsert, c)
            };
            c.spawn_blocking(add).await?;
        }
    }
    Ok(())
}

/// What is known of some users of a tenant, and of all of them.
#[derive(Debug)]
pub(super) struct Known {
    habits: HashMap<UserId, Habits>,
    stranger: Habits,
    /// Of all the tenant's users.
    pub(super) prior: Prior,
}

impl Known {
    /// Reads what there is of these users, in two statements; in none where there is nobody to ask about.
    pub(super) async fn fetch(
        conn: &mut Conn,
        tenant: TenantId,
        users: &BTreeSet<UserId>,
        now: Timestamp,
    ) -> Result<Self> {
        let stranger = Habits::none(now);
        if users.is_empty() {
            let prior = Prior::of(&stranger);
            return Ok(Self { habits: HashMap::new(), stranger, prior });
        }
        let query = e::table.filter(e::tenant_id.eq(tenant).and(e::user_id.eq_any(users)));
        let query = query.select((e::user_id, e::hour, e::sent, e::read, e::waited, e::late));
        let rows: Vec<(UserId, i32, f64, f64, f64, f64)> = on_conn!(conn, c => query.load(c).await)?;
        let mut of_users: HashMap<UserId, [HourCount; HOURS]> = HashMap::new();
        for (user, hour, sends, reads, waited, late) in rows {
            add(of_users.entry(user).or_default(), hour, HourCount { sends, reads, waited, late });
        }
        let query = t::table.filter(t::tenant_id.eq(tenant)).select((t::hour, t::sent, t::read));
        let rows: Vec<(i32, f64, f64)> = on_conn!(conn, c => query.load(c).await)?;
        let mut of_all = [HourCount::default(); HOURS];
        for (hour, sends, reads) in rows {
            add(&mut of_all, hour, HourCount { sends, reads, ..HourCount::default() });
        }
        let habits = of_users.into_iter().map(|(user, sums)| (user, Habits::kept(sums, now))).collect();
        Ok(Self { habits, stranger, prior: Prior::of(&Habits::kept(of_all, now)) })
    }

    /// What a user does; nothing, of whom nothing is known.
    pub(super) fn of(&self, user: UserId) -> &Habits {
        self.habits.get(&user).unwrap_or(&self.stranger)
    }
}

fn add(sums: &mut [HourCount; HOURS], hour: i32, count: HourCount) {
    if let Some(sum) = usize::try_from(hour).ok().and_then(|hour| sums.get_mut(hour)) {
        *sum = sum.plus(count);
    }
}
