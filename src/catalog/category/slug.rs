//! Slugs: a category's name for addresses, with a number behind it where two names come to the same.

use super::of;
use crate::domain::{CategoryId, Result, TenantId};
use crate::storage::schema::{categories, tenants};
use crate::storage::{Conn, on_conn, on_conn_locking};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::HashSet;

/// Leaves room for a number behind it within the column's 255 characters.
const MAX_SLUG: usize = 240;

/// The first of `slug`, `slug-2`, `slug-3`, … that no other category has. Those who ask at once take turns
/// by a lock on the tenant, held to the end of the transaction.
pub(super) async fn free_slug(
    conn: &mut Conn,
    tenant: TenantId,
    name: &str,
    except: Option<CategoryId>,
) -> Result<String> {
    let turn = tenants::table.filter(tenants::id.eq(tenant));
    on_conn_locking!(conn, turn, |q, c| q.select(tenants::id).first::<TenantId>(c).await)?;
    let slug = slug_of(name);
    let query = of(tenant)
        .filter(categories::slug.eq(&slug).or(categories::slug.like(format!("{slug}-%"))))
        .filter(categories::id.ne(except.unwrap_or(CategoryId(0))))
        .select(categories::slug);
    let taken: HashSet<String> = on_conn!(conn, c => query.load(c).await)?.into_iter().collect();
    let numbered = (2..).map(|n: u32| format!("{slug}-{n}"));
    let free = std::iter::once(slug.clone()).chain(numbered).find(|slug| !taken.contains(slug));
    Ok(free.unwrap_or(slug))
}

/// Letters and digits in lower case, everything between them one hyphen.
fn slug_of(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for c in name.chars().flat_map(char::to_lowercase).take(MAX_SLUG) {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "category".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_letters_and_digits_with_single_hyphens() {
        for (name, slug) in [
            ("Hot Drinks", "hot-drinks"),
            ("  Tea & Coffee!  ", "tea-coffee"),
            ("100% Café", "100-café"),
            ("_%_", "category"),
            ("飲み物", "飲み物"),
        ] {
            assert_eq!(slug_of(name), slug);
        }
        assert!(slug_of(&"İ".repeat(255)).chars().count() <= MAX_SLUG);
    }
}
