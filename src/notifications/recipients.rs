//! `Recipient`: all that has to be known of somebody to notify them, read for many in three statements.

use super::preference_rows;
use super::preferences::{Preference, Wishes};
use crate::domain::{Locale, Result, TenantId, UserId, Zone};
use crate::storage::schema::{tenants, users};
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Somebody who may be notified.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// Whose user.
    pub tenant: TenantId,
    /// Where e-mail reaches them.
    pub email: String,
    /// The person's name.
    pub name: String,
    /// What they, and their tenant, chose.
    pub wishes: Wishes,
    /// The languages they read, the best first.
    pub locales: Vec<Locale>,
}

/// Of each user, by id; who is not there is left out.
pub type Recipients = HashMap<UserId, Recipient>;

#[derive(Queryable)]
struct Row {
    id: UserId,
    tenant: TenantId,
    email: String,
    name: String,
    zone: Option<String>,
    locale: Option<String>,
    tenant_zone: String,
    tenant_locale: String,
}

/// Reads those of these users that there are.
pub async fn read(conn: &mut Conn, ids: &BTreeSet<UserId>) -> Result<Recipients> {
    let query = users::table.inner_join(tenants::table).filter(users::id.eq_any(ids)).select((
        users::id,
        users::tenant_id,
        users::email,
        users::name,
        users::timezone,
        users::locale,
        tenants::timezone,
        tenants::locale,
    ));
    let rows: Vec<Row> = on_conn!(conn, c => query.load(c).await)?;
    let of: BTreeSet<TenantId> = rows.iter().map(|row| row.tenant).collect();
    let mut own = preference_rows::of_users(conn, &of, ids).await?;
    let defaults = preference_rows::of_tenants(conn, &of).await?;
    let defaults: HashMap<TenantId, Arc<[Preference]>> =
        defaults.into_iter().map(|(tenant, chosen)| (tenant, chosen.into())).collect();
    let recipient = |row: Row| {
        let wishes = Wishes {
            zone: zone_of(row.zone.as_deref(), Some(&row.tenant_zone)),
            own: own.remove(&row.id).unwrap_or_default(),
            tenant: defaults.get(&row.tenant).cloned().unwrap_or_default(),
        };
        let locales =
            Locale::chain(locale(row.locale.as_deref()).as_ref(), locale(Some(&row.tenant_locale)).as_ref());
        (row.id, Recipient { tenant: row.tenant, email: row.email, name: row.name, wishes, locales })
    };
    Ok(rows.into_iter().map(recipient).collect())
}

/// Whose clocks count for somebody, by what stands in their row and in their tenant's.
pub(super) fn zone_of(user: Option<&str>, tenant: Option<&str>) -> Zone {
    Zone::of_recipient(zone(user).as_ref(), zone(tenant).as_ref())
}

/// A zone that this build does not know says nothing, as if there were none: the doors let no other in.
fn zone(name: Option<&str>) -> Option<Zone> {
    name.and_then(|name| Zone::parse(name).ok())
}

fn locale(tag: Option<&str>) -> Option<Locale> {
    tag.and_then(|tag| Locale::parse(tag).ok())
}
