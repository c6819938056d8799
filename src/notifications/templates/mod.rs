//! Templates as rows: the system's, which every tenant uses and none changes, and a tenant's own, which go before
//! them.
//!
//! A row is one code in one language; its words are in its versions, and a version never changes: what was scheduled
//! with one is sent with it. [`Shelf`] says which version a recipient gets. Compiled templates are not kept between
//! batches: compiling takes some ten microseconds, and a batch compiles a version once.

mod input;
mod list;
mod seed;
mod shelf;
mod version;

pub use input::{NewTemplate, Preview, TemplateChanges};
pub use list::{TemplateFilter, list};
pub use seed::seed;
pub use shelf::{Pinned, Shelf, compiled};
pub use version::{VersionResource, find_version, versions};

use super::template::{Rendered, Template, TemplateKind};
use crate::domain::{Code, Error, Result, TemplateId, TenantId, Timestamp};
use crate::storage::schema::notification_templates;
use crate::storage::{Conn, Violation, on_conn, on_conn_locking};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use version::Words;

/// A row of `notification_templates`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = notification_templates, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct TemplateRow {
    /// Its id.
    pub id: TemplateId,
    /// Whose it is; null for the system's.
    pub tenant_id: Option<TenantId>,
    /// By which it is used.
    pub code: String,
    /// Its language.
    pub locale: String,
    /// For people.
    pub name: String,
    /// What it is for.
    #[diesel(column_name = template_type)]
    #[serde(rename = "type")]
    pub kind: TemplateKind,
    /// Whether it is used; while it is not, the next one of its code is.
    pub is_active: bool,
    /// The newest of its versions.
    pub version: i32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A template in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TemplateBrief {
    /// Its row.
    #[serde(flatten)]
    pub template: TemplateRow,
    /// Whether it is one that only the program changes.
    pub is_system: bool,
}

impl From<TemplateRow> for TemplateBrief {
    fn from(template: TemplateRow) -> Self {
        Self { is_system: template.tenant_id.is_none(), template }
    }
}

/// A template with the words of its newest version.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TemplateResource {
    /// Its row.
    #[serde(flatten)]
    pub template: TemplateBrief,
    /// Its words.
    #[serde(flatten)]
    pub words: Words,
}

impl TemplateResource {
    fn new(template: TemplateRow, words: Words) -> Self {
        Self { template: template.into(), words }
    }
}

/// One template that the tenant may use.
pub async fn find(conn: &mut Conn, tenant: TenantId, id: TemplateId) -> Result<TemplateResource> {
    let row = find_row(conn, tenant, id).await?;
    let words = version::words(conn, &row, row.version).await?;
    Ok(TemplateResource::new(row, words))
}

async fn find_row(conn: &mut Conn, tenant: TenantId, id: TemplateId) -> Result<TemplateRow> {
    let query = usable(tenant).filter(notification_templates::id.eq(id));
    let row = on_conn!(conn, c => query.select(TemplateRow::as_select()).first(c).await.optional())?;
    row.ok_or_else(|| Error::not_found("template"))
}

/// Writes a template of the tenant and its first version.
pub async fn create(
    conn: &mut Conn,
    tenant: TenantId,
    new: &NewTemplate,
    now: Timestamp,
) -> Result<TemplateResource> {
    let values = (
        notification_templates::tenant_id.eq(tenant),
        notification_templates::code.eq(&new.code),
        notification_templates::locale.eq(new.locale.as_str()),
        notification_templates::name.eq(&new.name),
        notification_templates::template_type.eq(new.kind),
        notification_templates::is_active.eq(new.is_active),
        notification_templates::created_at.eq(now),
        notification_templates::updated_at.eq(now),
    );
    let written = on_conn!(conn, c => diesel::insert_into(notification_templates::table)
        .values(values)
        .returning(TemplateRow::as_returning())
        .get_result(c)
        .await);
    let row: TemplateRow = written.map_err(|e| match Violation::of(&e) {
        Some(Violation::Unique) => {
            let message =
                format!("You have a template \"{}\" in {} already: change that.", new.code, new.locale);
            Error::field("code", message).because(e)
        }
        _ => e.into(),
    })?;
    let words = version::write(conn, (row.id, row.version), &new.source, now).await?;
    Ok(TemplateResource::new(row, words))
}

/// Changes a template of the tenant. Other words are a new version; the same words are none.
pub async fn update(
    conn: &mut Conn,
    tenant: TenantId,
    id: TemplateId,
    changes: &TemplateChanges,
    now: Timestamp,
) -> Result<TemplateResource> {
    let present = lock_own(conn, tenant, id).await?;
    let present_words = version::words(conn, &present, present.version).await?;
    let source = changes.words_after(present.kind, &present_words.source)?;
    let next = present.version + i32::from(source.is_some());
    let words = match source {
        Some(source) => version::write(conn, (id, next), &source, now).await?,
        None => present_words,
    };
    let row = notification_templates::table.filter(notification_templates::id.eq(id));
    let set = (
        notification_templates::name.eq(changes.name.as_ref().unwrap_or(&present.name)),
        notification_templates::is_active.eq(changes.is_active.unwrap_or(present.is_active)),
        notification_templates::version.eq(next),
        notification_templates::updated_at.eq(now),
    );
    let after = on_conn!(conn, c =>
        diesel::update(row).set(set).returning(TemplateRow::as_returning()).get_result(c).await)?;
    Ok(TemplateResource::new(after, words))
}

/// Deletes a template of the tenant. What was scheduled with it is sent with it still.
pub async fn delete(conn: &mut Conn, tenant: TenantId, id: TemplateId, now: Timestamp) -> Result<()> {
    lock_own(conn, tenant, id).await?;
    let row = notification_templates::table.filter(notification_templates::id.eq(id));
    let gone = (notification_templates::deleted_at.eq(now), notification_templates::updated_at.eq(now));
    on_conn!(conn, c => diesel::update(row).set(gone).execute(c).await)?;
    Ok(())
}

/// What a version of a template comes to with these variables; of the system's, with its examples where none are
/// given.
pub async fn preview(
    conn: &mut Conn,
    tenant: TenantId,
    id: TemplateId,
    preview: &Preview,
) -> Result<Rendered> {
    let row = find_row(conn, tenant, id).await?;
    let words = version::words(conn, &row, preview.version.unwrap_or(row.version)).await?;
    let given = match &preview.variables {
        Some(given) => given.clone(),
        None => words.examples(),
    };
    Ok(Template::compile(&words.source)?.render(&given)?)
}

/// A template that the tenant may change. Nobody else changes it meanwhile.
async fn lock_own(conn: &mut Conn, tenant: TenantId, id: TemplateId) -> Result<TemplateRow> {
    let query = usable(tenant).filter(notification_templates::id.eq(id));
    let row =
        on_conn_locking!(conn, query, |q, c| q.select(TemplateRow::as_select()).first(c).await.optional())?;
    let row: TemplateRow = row.ok_or_else(|| Error::not_found("template"))?;
    if row.tenant_id.is_some() {
        return Ok(row);
    }
    let message = format!(
        "Templates of the system cannot be changed. Create one of your own with the code \"{}\": it is used instead.",
        row.code
    );
    Err(Error::new(Code::Forbidden, message))
}

/// The tenant's templates and the system's.
#[diesel::dsl::auto_type]
fn usable(tenant: TenantId) -> _ {
    let its = notification_templates::tenant_id.eq(tenant).or(notification_templates::tenant_id.is_null());
    notification_templates::table.filter(its).filter(notification_templates::deleted_at.is_null())
}
