//! Lists of templates: the tenant's and the system's, without their words.

use super::{TemplateBrief, TemplateRow, usable};
use crate::domain::Locale;
use crate::domain::{Result, TenantId};
use crate::notifications::template::TemplateKind;
use crate::storage::page::{Columns, ListQuery, Listed, Page, lower, paged};
use crate::storage::schema::notification_templates;
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

const COLUMNS: Columns = Columns {
    sorts: &["id", "code", "locale", "name", "created_at", "updated_at"],
    filters: &["code", "locale", "name", "type", "is_system", "is_active"],
};

/// Which templates are asked for.
#[derive(Debug, Clone, Default)]
pub struct TemplateFilter {
    code: Option<String>,
    locale: Option<Locale>,
    name: Option<String>,
    kind: Option<TemplateKind>,
    is_system: Option<bool>,
    is_active: Option<bool>,
}

impl TemplateFilter {
    /// Reads a list's query string. `filter[name]` finds its text anywhere in the name, whatever the case.
    pub fn parse(query: &str) -> Result<(Self, Page)> {
        let mut query = ListQuery::parse(query, &COLUMNS);
        let filter = Self {
            code: query.text("code"),
            locale: query.read("locale", "a locale, such as pt-BR", |text| Locale::parse(text).ok()),
            name: query.contains("name"),
            kind: query.value("type", "one of email, in_app, webhook"),
            is_system: query.boolean("is_system"),
            is_active: query.boolean("is_active"),
        };
        Ok((filter, query.finish()?))
    }
}

/// The templates that the filter lets through, for one back end.
macro_rules! matching {
    ($filter:expr, $tenant:expr, $backend:ty) => {{
        let filter: &TemplateFilter = $filter;
        let mut query = usable($tenant).into_boxed::<$backend>();
        if let Some(code) = &filter.code {
            query = query.filter(notification_templates::code.eq(code));
        }
        if let Some(locale) = &filter.locale {
            query = query.filter(notification_templates::locale.eq(locale.as_str()));
        }
        if let Some(pattern) = &filter.name {
            query = query.filter(lower(notification_templates::name).like(lower(pattern)).escape('\\'));
        }
        if let Some(kind) = filter.kind {
            query = query.filter(notification_templates::template_type.eq(kind));
        }
        if let Some(active) = filter.is_active {
            query = query.filter(notification_templates::is_active.eq(active));
        }
        match filter.is_system {
            Some(true) => query.filter(notification_templates::tenant_id.is_null()),
            Some(false) => query.filter(notification_templates::tenant_id.is_not_null()),
            None => query,
        }
    }};
}

/// A page of the templates that the tenant may use.
pub async fn list(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &TemplateFilter,
    page: &Page,
) -> Result<Listed<TemplateBrief>> {
    let rows: Vec<TemplateRow> = on_conn!(conn, c: B => {
        let columns = paged!(matching!(filter, tenant, B), page, notification_templates {
            id, code, locale, name, created_at, updated_at
        });
        columns.select(TemplateRow::as_select()).load(c).await
    })?;
    let total = match page.total_if_last(rows.len()) {
        Some(total) => total,
        None => on_conn!(conn, c: B => matching!(filter, tenant, B).count().get_result(c).await)?,
    };
    Ok(Listed { rows: rows.into_iter().map(TemplateBrief::from).collect(), total })
}
