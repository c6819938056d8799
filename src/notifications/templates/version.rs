//! A version of a template: its words, which never change once they are written.

use super::{TemplateRow, find_row};
use crate::domain::{Error, Result, TemplateId, TenantId, Timestamp};
use crate::notifications::template::catalogue::SystemTemplate;
use crate::notifications::template::{Template, TemplateSource, Variables};
use crate::storage::page::{Cursor, Slice};
use crate::storage::schema::notification_template_versions as v;
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that a template uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedVariable {
    /// Its path: `order.number`.
    pub name: String,
    /// Whether the template does not do without it.
    pub required: bool,
    /// What it is; said of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// What it may be; said of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Value>,
}

/// The words of a version, and what they need.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Words {
    /// The texts.
    #[serde(flatten)]
    pub source: TemplateSource,
    /// What they use.
    pub variables: Vec<NamedVariable>,
}

impl Words {
    /// Reads the texts; the error names the part and the line.
    pub(super) fn of(source: &TemplateSource) -> Result<Self> {
        let template = Template::compile(source)?;
        let needed = template.missing(&Variables::new());
        let named = |name: &String| NamedVariable {
            name: name.clone(),
            required: needed.contains(name),
            about: None,
            example: None,
        };
        Ok(Self { source: source.clone(), variables: template.variables().iter().map(named).collect() })
    }

    pub(super) fn of_system(system: &SystemTemplate) -> Self {
        let named = |(name, variable): (&String, &crate::notifications::template::catalogue::Variable)| {
            NamedVariable {
                name: name.clone(),
                required: !variable.optional,
                about: Some(variable.about.clone()),
                example: Some(variable.example.clone()),
            }
        };
        Self { source: system.source.clone(), variables: system.variables.iter().map(named).collect() }
    }

    /// The examples of its variables, of those that have one.
    pub(super) fn examples(&self) -> Variables {
        let examples = self.variables.iter();
        examples.filter_map(|one| Some((one.name.clone(), one.example.clone()?))).collect()
    }

    pub(super) fn column(&self) -> Result<Value> {
        serde_json::to_value(&self.variables).map_err(|e| {
            Error::new(
                crate::domain::Code::Internal,
                "The variables of a template could not be written down.",
            )
            .because(e)
        })
    }
}

/// A row of `notification_template_versions`.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = v, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub(super) struct VersionRow {
    pub(super) template_id: TemplateId,
    pub(super) version: i32,
    title: String,
    subject: Option<String>,
    body_text: String,
    body_html: Option<String>,
    variables: Value,
    created_at: Timestamp,
}

impl VersionRow {
    pub(super) fn words(self) -> Words {
        let Self { title, subject, body_text, body_html, .. } = self;
        let source = TemplateSource { subject, title, body_text, body_html };
        Words { source, variables: serde_json::from_value(self.variables).unwrap_or_default() }
    }

    pub(super) fn source(self) -> TemplateSource {
        let Self { title, subject, body_text, body_html, .. } = self;
        TemplateSource { subject, title, body_text, body_html }
    }
}

/// A version as REST shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersionResource {
    /// From 1.
    pub version: i32,
    /// Its words.
    #[serde(flatten)]
    pub words: Words,
    /// When it was made.
    pub created_at: Timestamp,
}

impl From<VersionRow> for VersionResource {
    fn from(row: VersionRow) -> Self {
        Self { version: row.version, created_at: row.created_at, words: row.words() }
    }
}

/// The words of one version of a template.
pub(super) async fn words(conn: &mut Conn, template: &TemplateRow, version: i32) -> Result<Words> {
    Ok(row(conn, template.id, version).await?.words())
}

async fn row(conn: &mut Conn, template: TemplateId, version: i32) -> Result<VersionRow> {
    let query = v::table.filter(v::template_id.eq(template).and(v::version.eq(version)));
    let row = on_conn!(conn, c => query.select(VersionRow::as_select()).first(c).await.optional())?;
    row.ok_or_else(|| Error::not_found("version of this template"))
}

/// One version of a template that the tenant may use.
pub async fn find_version(
    conn: &mut Conn,
    tenant: TenantId,
    id: TemplateId,
    version: i32,
) -> Result<VersionResource> {
    find_row(conn, tenant, id).await?;
    Ok(row(conn, id, version).await?.into())
}

/// The versions of a template that the tenant may use, newest first.
pub async fn versions(
    conn: &mut Conn,
    tenant: TenantId,
    id: TemplateId,
    cursor: Cursor,
) -> Result<Slice<VersionResource>> {
    find_row(conn, tenant, id).await?;
    let before = cursor.after.and_then(|after| i32::try_from(after).ok()).unwrap_or(i32::MAX);
    let more = i64::try_from(cursor.per_page).unwrap_or(i64::MAX).saturating_add(1);
    let query = v::table.filter(v::template_id.eq(id).and(v::version.lt(before)));
    let query = query.order(v::version.desc()).limit(more);
    let mut rows: Vec<VersionRow> = on_conn!(conn, c => query.select(VersionRow::as_select()).load(c).await)?;
    let goes_on = rows.len() > cursor.per_page;
    rows.truncate(cursor.per_page);
    let next = rows.last().filter(|_| goes_on).map(|last| i64::from(last.version));
    Ok(Slice { rows: rows.into_iter().map(VersionResource::from).collect(), next })
}

/// Writes a version.
pub(super) async fn write(
    conn: &mut Conn,
    (template, version): (TemplateId, i32),
    source: &TemplateSource,
    now: Timestamp,
) -> Result<Words> {
    let words = Words::of(source)?;
    let row = NewVersion::of((template, version), &words, now)?;
    on_conn!(conn, c => diesel::insert_into(v::table).values(&row).execute(c).await)?;
    Ok(words)
}

#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = v, treat_none_as_default_value = false)]
pub(super) struct NewVersion {
    template_id: TemplateId,
    version: i32,
    title: String,
    subject: Option<String>,
    body_text: String,
    body_html: Option<String>,
    variables: Value,
    created_at: Timestamp,
}

impl NewVersion {
    pub(super) fn of(
        (template_id, version): (TemplateId, i32),
        words: &Words,
        now: Timestamp,
    ) -> Result<Self> {
        let TemplateSource { subject, title, body_text, body_html } = words.source.clone();
        let variables = words.column()?;
        Ok(Self { template_id, version, title, subject, body_text, body_html, variables, created_at: now })
    }
}
