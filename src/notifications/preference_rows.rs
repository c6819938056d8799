//! The rows of preferences, as [`Preference`]s: of many users at once, and of tenants.

use super::preferences::{DigestMode, Preference};
use super::{Channel, QuietHours};
use crate::domain::{EventFilter, Result, TenantId, UserId};
use crate::storage::schema::user_notification_preferences as p;
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::{BTreeSet, HashMap};

/// A row, without its times.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = p, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct Row {
    tenant_id: TenantId,
    user_id: Option<UserId>,
    channel_type: String,
    notification_type: String,
    is_enabled: Option<bool>,
    digest_frequency: Option<String>,
    quiet_from: Option<i32>,
    quiet_until: Option<i32>,
}

impl Row {
    /// None for a row that this build cannot read: it says nothing then.
    fn preference(&self) -> Option<Preference> {
        let channel = match self.channel_type.as_str() {
            "" => None,
            word => Some(word.parse::<Channel>().ok()?),
        };
        let types = match self.notification_type.as_str() {
            "" => None,
            pattern => Some(EventFilter::parse(pattern).ok()?),
        };
        let digest = match self.digest_frequency.as_deref() {
            None => None,
            Some("off") => Some(DigestMode::Off),
            Some(word) => Some(DigestMode::Every(word.parse().ok()?)),
        };
        let quiet_hours = match (self.quiet_from, self.quiet_until) {
            (Some(from), Some(until)) => QuietHours::from_minutes(from, until),
            _ => None,
        };
        Some(Preference { channel, types, enabled: self.is_enabled, digest, quiet_hours })
    }
}

/// What each of these users chose for themselves.
pub(super) async fn of_users(
    conn: &mut Conn,
    tenants: &BTreeSet<TenantId>,
    users: &BTreeSet<UserId>,
) -> Result<HashMap<UserId, Vec<Preference>>> {
    let query = p::table.filter(p::tenant_id.eq_any(tenants).and(p::user_id.eq_any(users))).order(p::id);
    let rows: Vec<Row> = on_conn!(conn, c => query.select(Row::as_select()).load(c).await)?;
    let mut chosen: HashMap<UserId, Vec<Preference>> = HashMap::new();
    for row in rows {
        if let (Some(user), Some(preference)) = (row.user_id, row.preference()) {
            chosen.entry(user).or_default().push(preference);
        }
    }
    Ok(chosen)
}

/// What each of these tenants chose for its users.
pub(super) async fn of_tenants(
    conn: &mut Conn,
    tenants: &BTreeSet<TenantId>,
) -> Result<HashMap<TenantId, Vec<Preference>>> {
    let query = p::table.filter(p::tenant_id.eq_any(tenants).and(p::user_id.is_null())).order(p::id);
    let rows: Vec<Row> = on_conn!(conn, c => query.select(Row::as_select()).load(c).await)?;
    let mut chosen: HashMap<TenantId, Vec<Preference>> = HashMap::new();
    for row in rows {
        if let Some(preference) = row.preference() {
            chosen.entry(row.tenant_id).or_default().push(preference);
        }
    }
    Ok(chosen)
}
