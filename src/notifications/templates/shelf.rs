//! `Shelf`: which version of which template a recipient gets, by code and language; and templates ready to render.

use super::usable;
use super::version::VersionRow;
use crate::domain::Locale;
use crate::domain::{Result, TemplateId, TenantId};
use crate::notifications::template::Template;
use crate::storage::schema::{notification_template_versions as v, notification_templates as t};
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// One version of one template: words that will not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pinned {
    /// The template.
    pub template: TemplateId,
    /// Its version, from 1.
    pub version: i32,
}

/// The templates of one tenant that have one of some codes, in all their languages. It can be kept: what is picked from
/// it later is what would have been picked when it was fetched.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Shelf(Vec<Candidate>);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Candidate {
    code: String,
    is_own: bool,
    locale: String,
    pinned: Pinned,
}

impl Shelf {
    /// Fetches all that the tenant may use of these codes, in one query.
    pub async fn fetch(conn: &mut Conn, tenant: TenantId, codes: &BTreeSet<&str>) -> Result<Self> {
        if codes.is_empty() {
            return Ok(Self::default());
        }
        let query = usable(tenant)
            .filter(t::is_active.eq(true).and(t::code.eq_any(codes.iter().copied())))
            .order(t::id)
            .select((t::code, t::tenant_id, t::locale, t::id, t::version));
        let rows: Vec<(String, Option<TenantId>, String, TemplateId, i32)> =
            on_conn!(conn, c => query.load(c).await)?;
        let candidate = |(code, tenant, locale, template, version): (_, Option<TenantId>, _, _, _)| {
            Candidate { code, is_own: tenant.is_some(), locale, pinned: Pinned { template, version } }
        };
        Ok(Self(rows.into_iter().map(candidate).collect()))
    }

    /// All that it holds.
    pub fn all(&self) -> BTreeSet<Pinned> {
        self.0.iter().map(|one| one.pinned).collect()
    }

    /// The languages of all that it holds.
    pub fn locales(&self) -> Vec<Locale> {
        self.0.iter().filter_map(|one| Locale::parse(&one.locale).ok()).collect()
    }

    /// The template for who reads these languages, best first ([`Locale::chain`]): the tenant's own in the first
    /// language that it is in, else the system's. Own words in a language that nobody asked for are better than none.
    pub fn pick(&self, code: &str, chain: &[Locale]) -> Option<Pinned> {
        let of_code = |is_own| self.0.iter().filter(move |one| one.is_own == is_own && one.code == code);
        let by_chain =
            |is_own| Locale::pick(chain, |locale| of_code(is_own).find(|one| one.locale == locale.as_str()));
        let found = by_chain(true).or_else(|| by_chain(false));
        found.or_else(|| of_code(true).next()).or_else(|| of_code(false).next()).map(|one| one.pinned)
    }
}

/// These versions, ready to render; one that cannot be read, or is not there, is left out. One query for all.
pub async fn compiled(conn: &mut Conn, wanted: &BTreeSet<Pinned>) -> Result<HashMap<Pinned, Template>> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let (templates, versions): (BTreeSet<_>, BTreeSet<_>) =
        wanted.iter().map(|one| (one.template, one.version)).unzip();
    // A few more than wanted where templates differ in their versions.
    let query = v::table.filter(v::template_id.eq_any(templates).and(v::version.eq_any(versions)));
    let rows: Vec<VersionRow> = on_conn!(conn, c => query.select(VersionRow::as_select()).load(c).await)?;
    let ready = |row: VersionRow| {
        let pinned = Pinned { template: row.template_id, version: row.version };
        let template = wanted.contains(&pinned).then(|| Template::compile(&row.source()))?;
        // It was compiled before it was kept; what an older program accepted may be refused by now.
        template
            .inspect_err(|error| tracing::error!(?pinned, %error, "template left out"))
            .ok()
            .map(|t| (pinned, t))
    };
    Ok(rows.into_iter().filter_map(ready).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(templates: &[(bool, &str)]) -> Shelf {
        let candidate = |(id, (is_own, locale)): (i64, &(bool, &str))| Candidate {
            code: "hello".to_owned(),
            is_own: *is_own,
            locale: (*locale).to_owned(),
            pinned: Pinned { template: TemplateId(id), version: 1 },
        };
        Shelf((1..).zip(templates).map(candidate).collect())
    }

    fn picked(templates: &[(bool, &str)], user: Option<&str>, tenant: &str) -> Option<i64> {
        let locale = |text: &str| Locale::parse(text).unwrap();
        let chain = Locale::chain(user.map(locale).as_ref(), Some(&locale(tenant)));
        shelf(templates).pick("hello", &chain).map(|pinned| pinned.template.0)
    }

    #[test]
    fn a_tenants_own_goes_before_the_systems_and_within_each_the_readers_language() {
        let both = [(false, "pt-BR"), (false, "en"), (true, "en"), (true, "pt")];
        assert_eq!(picked(&both, Some("pt-BR"), "en"), Some(4), "own, and as near as can be");
        assert_eq!(picked(&both, Some("de"), "en"), Some(3));
        assert_eq!(picked(&both[..2], Some("pt-BR"), "en"), Some(1));
        assert_eq!(picked(&both[..2], Some("pt"), "en"), Some(2), "a region says nothing of its language");
        assert_eq!(
            picked(&both[..2], None, "pt-BR"),
            Some(1),
            "the tenant's language, where the user has none"
        );
    }

    #[test]
    fn words_in_another_language_are_better_than_none() {
        assert_eq!(picked(&[(true, "fil")], Some("de"), "en"), Some(1));
        assert_eq!(
            picked(&[(true, "fil"), (false, "en")], Some("de"), "en"),
            Some(2),
            "the system's are in English"
        );
        assert_eq!(picked(&[], Some("de"), "en"), None);
        assert_eq!(shelf(&[(true, "en")]).pick("bye", &[Locale::english()]), None);
    }
}
