//! `Readers`: whoever is told something in words of a template, as far as their languages go.

use crate::domain::{Locale, Result, TenantId, UserId};
use crate::storage::schema::{tenants, users};
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::BTreeSet;

/// Of one tenant.
#[derive(Debug, Clone, Copy)]
pub enum Readers<'a> {
    /// These users, a thousand at most.
    These(&'a [UserId]),
    /// Too many to ask.
    Anybody,
}

impl Readers<'_> {
    /// What they read, the best first: each combination once. Of who cannot be asked it is taken that they read any of the
    /// languages that there are words in, or none.
    pub(super) async fn chains(
        self,
        conn: &mut Conn,
        tenant: TenantId,
        there: Vec<Locale>,
    ) -> Result<Vec<Vec<Locale>>> {
        let own: Vec<Option<Locale>> = match self {
            Self::These(ids) => {
                let query = users::table.filter(users::tenant_id.eq(tenant).and(users::id.eq_any(ids)));
                let tags: BTreeSet<Option<String>> =
                    on_conn!(conn, c => query.select(users::locale).load::<Option<String>>(c).await)?
                        .into_iter()
                        .collect();
                tags.into_iter().map(|tag| locale(tag.as_deref())).collect()
            }
            Self::Anybody => there.into_iter().map(Some).chain([None]).collect(),
        };
        let query = tenants::table.filter(tenants::id.eq(tenant)).select(tenants::locale);
        let tag: Option<String> = on_conn!(conn, c => query.first(c).await.optional())?;
        let tenants = locale(tag.as_deref());
        Ok(own.iter().map(|own| Locale::chain(own.as_ref(), tenants.as_ref())).collect())
    }
}

/// A tag that this build does not know says nothing.
fn locale(tag: Option<&str>) -> Option<Locale> {
    tag.and_then(|tag| Locale::parse(tag).ok())
}
