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
        Self::of_shelf(conn, shelf, code).await
    }

    /// The same of what was on the shelf when that was fetched.
    pub async fn of_shelf(conn: &mut Conn, shelf: Shelf, code: &str) -> Result<Self> {
        let compiled = compiled(conn, &shelf.all()).await?;
        if compiled.is_empty() {
            let shown: String = code.chars().take(100).collect();
            let message = format!("There is no active template \"{shown}\"; GET templates lists them.");
            return Err(Error::field("template", message));
        }
        Ok(Self { choice: Choice::ByReader(shelf, code.to_owned()), compiled: Arc::new(compiled) })
    }

    /// What its readers pick from.
    pub const fn shelf(&self) -> Option<&Shelf> {
        match &self.choice {
            Choice::Version(_) => None,
            Choice::ByReader(templates, _) => Some(templates),
        }
    }

    /// The one for somebody who reads these languages, the best first ([`Locale::chain`]); none when it is not there any
    /// more, or cannot be read.
    pub(super) fn for_reader(&self, locales: &[Locale]) -> Option<&Template> {
        self.compiled.get(&self.pick(locales)?)
    }

    fn pick(&self, locales: &[Locale]) -> Option<Pinned> {
        match &self.choice {
            Choice::Version(version) => Some(*version),
            Choice::ByReader(templates, code) => templates.pick(code, locales),
        }
    }

    /// Whether all that these readers get can do with these variables; the error names what is missing. A reader is the
    /// languages that one reads, the best first.
    pub fn check(&self, given: &Variables, readers: &[Vec<Locale>]) -> Result<()> {
        let picked: BTreeSet<Pinned> = readers.iter().filter_map(|locales| self.pick(locales)).collect();
        let missing: BTreeSet<String> = picked
            .iter()
            .filter_map(|pinned| self.compiled.get(pinned))
            .flat_map(|template| template.missing(given))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(TemplateError::Missing(missing.into_iter().collect()).into())
    }
}
