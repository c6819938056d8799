//! What a request may say about a category. The slug is not among it: it follows the name.

use super::Category;
use crate::catalog::keep_if_new;
use crate::domain::{Fields, Result};
use crate::storage::schema::categories;
use diesel::prelude::*;

/// A category about to be made.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = categories, treat_none_as_default_value = false)]
pub struct NewCategory {
    pub(super) name: String,
    description: Option<String>,
    icon: Option<String>,
    is_active: bool,
}

impl NewCategory {
    /// Reads a request's body: `name` is required.
    pub fn parse(mut fields: Fields) -> Result<Self> {
        let name = fields.string("name", 1, 255);
        let name = fields.required("name", name);
        let description = fields.string("description", 0, 5_000).value();
        let icon = fields.string("icon", 1, 255).value();
        let is_active = fields.boolean("is_active");
        let is_active = fields.present("is_active", is_active).unwrap_or(true);
        fields.finish()?;
        Ok(Self { name: name.unwrap_or_default(), description, icon, is_active })
    }
}

/// Changes to a category; `None` leaves a column as it is.
#[expect(clippy::option_option, reason = "diesel's changeset reads exactly this shape")]
#[derive(Debug, Clone, Default, PartialEq, Eq, AsChangeset)]
#[diesel(table_name = categories)]
pub struct CategoryChanges {
    pub(super) name: Option<String>,
    /// Set by `update` when the name changes.
    pub(super) slug: Option<String>,
    description: Option<Option<String>>,
    icon: Option<Option<String>>,
    is_active: Option<bool>,
}

impl CategoryChanges {
    /// Reads a request's body; no field is required.
    pub fn parse(mut fields: Fields) -> Result<Self> {
        let (name, is_active) = (fields.string("name", 1, 255), fields.boolean("is_active"));
        let changes = Self {
            name: fields.present("name", name),
            slug: None,
            description: fields.string("description", 0, 5_000).change(),
            icon: fields.string("icon", 1, 255).change(),
            is_active: fields.present("is_active", is_active),
        };
        fields.finish()?;
        Ok(changes)
    }

    /// What of this would change `present`.
    pub(super) fn against(mut self, present: &Category) -> Self {
        keep_if_new(&mut self.name, &present.name);
        keep_if_new(&mut self.description, &present.description);
        keep_if_new(&mut self.icon, &present.icon);
        keep_if_new(&mut self.is_active, &present.is_active);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_slug_cannot_be_sent() {
        let fields = Fields::of(json!({"name": "Tea", "slug": "tea"})).unwrap();
        assert!(NewCategory::parse(fields).unwrap_err().fields().contains_key("slug"));
    }
}
