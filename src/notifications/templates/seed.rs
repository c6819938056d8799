//! The system's templates, from the program into the database: written where they are missing, and as a new version
//! where the program has other words. Safe to call from several processes at once.

use super::version::{NewVersion, VersionRow, Words};
use crate::domain::{Result, TemplateId, Timestamp};
use crate::notifications::template::catalogue::{SystemTemplate, system_templates};
use crate::storage::schema::{notification_template_versions as v, notification_templates as t};
use crate::storage::{Conn, Db, insert_rows, lock, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::HashMap;

/// Brings the system's templates up to what this program has; returns how many of them were written.
pub async fn seed(db: &Db, now: Timestamp) -> Result<usize> {
    let all = system_templates()?;
    // Usually there is nothing to do, and then nobody needs to wait for the lock.
    if stale(&mut db.read().await?, &all).await?.is_empty() {
        return Ok(0);
    }
    db.transaction(async |conn| {
        lock::system_templates(conn).await?;
        let stale = stale(conn, &all).await?;
        let (missing, changed): (Vec<_>, Vec<_>) = stale.iter().partition(|one| one.present.is_none());
        insert(conn, &missing, now).await?;
        for one in changed {
            change(conn, one, now).await?;
        }
        Ok(stale.len())
    })
    .await
}

/// A template whose row is not as the program has it.
struct Stale<'a> {
    system: &'a SystemTemplate,
    words: Words,
    /// Its row and the newest version.
    present: Option<(TemplateId, i32)>,
}

async fn stale<'a>(conn: &mut Conn, all: &'a [SystemTemplate]) -> Result<Vec<Stale<'a>>> {
    let query = t::table
        .inner_join(v::table)
        .filter(t::tenant_id.is_null().and(t::deleted_at.is_null()).and(v::version.eq(t::version)))
        .order(t::id);
    let rows: Vec<(String, String, String, VersionRow)> = on_conn!(conn, c =>
        query.select((t::code, t::locale, t::name, VersionRow::as_select())).load(c).await)?;
    let mut present: HashMap<_, _> =
        rows.into_iter().map(|(code, locale, name, version)| ((code, locale), (name, version))).collect();
    let outdated = |system: &'a SystemTemplate| {
        let words = Words::of_system(system);
        let key = (system.code.to_owned(), system.locale.as_str().to_owned());
        let Some((name, version)) = present.remove(&key) else {
            return Some(Stale { system, words, present: None });
        };
        let at = (version.template_id, version.version);
        let is_same = name == system.name && version.words() == words;
        (!is_same).then_some(Stale { system, words, present: Some(at) })
    };
    Ok(all.iter().filter_map(outdated).collect())
}

#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = t)]
struct NewRow {
    code: &'static str,
    locale: String,
    name: String,
    template_type: &'static str,
    created_at: Timestamp,
    updated_at: Timestamp,
}

async fn insert(conn: &mut Conn, missing: &[&Stale<'_>], now: Timestamp) -> Result<()> {
    let row = |one: &&Stale<'_>| NewRow {
        code: one.system.code,
        locale: one.system.locale.as_str().to_owned(),
        name: one.system.name.clone(),
        template_type: one.system.kind.as_str(),
        created_at: now,
        updated_at: now,
    };
    let rows: Vec<NewRow> = missing.iter().map(row).collect();
    let ids: Vec<TemplateId> = insert_rows!(conn, t::table, rows, t::id);
    let versions = ids.iter().zip(missing).map(|(id, one)| NewVersion::of((*id, 1), &one.words, now));
    let versions: Vec<NewVersion> = versions.collect::<Result<_>>()?;
    let _: Vec<TemplateId> = insert_rows!(conn, v::table, versions, v::template_id);
    Ok(())
}

async fn change(conn: &mut Conn, one: &Stale<'_>, now: Timestamp) -> Result<()> {
    let Some((id, version)) = one.present else { return Ok(()) };
    let next = version.saturating_add(1);
    let row = NewVersion::of((id, next), &one.words, now)?;
    on_conn!(conn, c => diesel::insert_into(v::table).values(&row).execute(c).await)?;
    let set = (t::name.eq(&one.system.name), t::version.eq(next), t::updated_at.eq(now));
    on_conn!(conn, c => diesel::update(t::table.filter(t::id.eq(id))).set(set).execute(c).await)?;
    Ok(())
}
