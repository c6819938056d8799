//! `Wordings`: the texts of a template, ready to be rendered: of one version, or of whichever its reader gets.

use crate::domain::{Error, Locale, Result, TenantId};
use crate::notifications::template::{Template, TemplateError, Variables};
use crate::notifications::templates::{Pinned, Shelf, compiled};
use crate::storage::Conn;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Templates that were compiled; a batch compiles each once.
pub type Compiled = Arc<HashMap<Pinned, Template>>;

/// The texts of a template.
#[derive(Debug)]
pub struct Wordings {
    choice: Choice,
    compiled: Compiled,
}

#[derive(Debug)]
enum Choice {
    Version(Pinned),
    ByReader(Shelf, String),
}

impl Wordings {
    /// Of one version, whoever reads it.
    pub const fn pinned(version: Pinned, compiled: Compiled) -> Self {
        Self { choice: Choice::Version(version), compiled }
    }

    /// Of the newest versions of the tenant's templates of this code, and the system's; an error of the field
    /// `template` where there is none.
    pub async fn of_code(conn: &mut Conn, tenant: TenantId, code: &str) -> Result<Self> {
        let shelf = Shelf::fetch(conn, tenant, &BTreeSet::from([code])).await?;
        let compiled = compiled(conn, &shelf.all()).await?;
        if compiled.is_empty() {
            let shown: String = code.chars().take(100).collect();
            let message = format!("There is no active template \"{shown}\"; GET templates lists them.");
            return Err(Error::field("template", message));
        }
        Ok(Self { choice: Choice::ByReader(shelf, code.to_owned()), compiled: Arc::new(compiled) })
    }

    /// The one for somebody who reads these languages, the best first ([`Locale::chain`]); none when it is not there any
    /// more, or cannot be read.
    pub(super) fn for_reader(&self, locales: &[Locale]) -> Option<&Template> {
        let pinned = match &self.choice {
            Choice::Version(version) => Some(*version),
            Choice::ByReader(templates, code) => templates.pick(code, locales),
        };
        self.compiled.get(&pinned?)
    }

    /// Whether all of them can do with these variables; the error names what is missing.
    pub fn check(&self, given: &Variables) -> Result<()> {
        let missing: BTreeSet<String> =
            self.compiled.values().flat_map(|template| template.missing(given)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(TemplateError::Missing(missing.into_iter().collect()).into())
    }
}
