//! Tenants and their users: made on the command line, and kept here for tokens to refer to.

use crate::domain::fields::Given;
use crate::domain::{Error, Fields, Locale, Result, TenantId, Timestamp, UserId, Zone};
use crate::storage::schema::{tenants, users};
use crate::storage::{Conn, Violation, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::json;

/// A row of `tenants`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = tenants, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// The shop's or company's name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Whose clock counts where a user has said nothing: an IANA name.
    pub timezone: String,
    /// Its language, where a user has said nothing.
    pub locale: String,
}

/// A row of `users`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub struct User {
    /// Its id; the `tokenable_id` of the user's tokens.
    pub id: UserId,
    /// The tenant that the user belongs to.
    pub tenant_id: TenantId,
    /// The person's name, as shown to others in presence channels.
    pub name: String,
    /// Unique among all users, in lower case.
    pub email: String,
    /// When the user was made.
    pub created_at: Timestamp,
    /// When the user was last changed.
    pub updated_at: Timestamp,
    /// What the user is to the tenant (`manager`), in the tenant's own words; notifications can be sent to a role.
    pub role: Option<String>,
    /// The user's clock: an IANA name.
    pub timezone: Option<String>,
    /// The user's language.
    pub locale: Option<String>,
}

/// A tenant about to be made.
#[derive(Debug, Clone)]
pub struct NewTenant {
    name: String,
    settings: TenantChanges,
}

impl NewTenant {
    /// Checks the name: 1 to 255 characters.
    pub fn parse(name: &str) -> Result<Self> {
        let mut fields = Fields::of(json!({ "name": name }))?;
        let name = required(&mut fields, "name");
        fields.finish()?;
        Ok(Self { name: name.unwrap_or_default(), settings: TenantChanges::default() })
    }

    /// The same with these settings instead of UTC and English.
    #[must_use]
    pub fn with(self, settings: TenantChanges) -> Self {
        Self { settings, ..self }
    }
}

/// Changes to a tenant; what is not said stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, AsChangeset)]
#[diesel(table_name = tenants)]
pub struct TenantChanges {
    timezone: Option<String>,
    locale: Option<String>,
}

impl TenantChanges {
    /// Checks the zone (an IANA name) and the locale (BCP 47).
    pub fn parse(timezone: Option<&str>, locale: Option<&str>) -> Result<Self> {
        let mut fields = Fields::of(json!({ "timezone": timezone, "locale": locale }))?;
        let timezone = read_zone(&mut fields).value();
        let locale = read_locale(&mut fields).value();
        fields.finish()?;
        Ok(Self { timezone, locale })
    }
}

/// Changes to a user; what is not said stays, and an empty text takes away what was there.
#[expect(clippy::option_option, reason = "diesel's changeset reads exactly this shape")]
#[derive(Debug, Clone, Default, PartialEq, Eq, AsChangeset)]
#[diesel(table_name = users)]
pub struct UserChanges {
    name: Option<String>,
    role: Option<Option<String>>,
    timezone: Option<Option<String>>,
    locale: Option<Option<String>>,
}

impl UserChanges {
    /// Reads `name`, `role`, `timezone` and `locale`; null takes away, except the name.
    pub fn parse(mut fields: Fields) -> Result<Self> {
        let name = fields.string("name", 1, 255);
        let role = read_role(&mut fields);
        let changes = Self {
            name: fields.present("name", name),
            role: role.change(),
            timezone: read_zone(&mut fields).change(),
            locale: read_locale(&mut fields).change(),
        };
        fields.finish()?;
        Ok(changes)
    }

    /// Of the clock and the language alone.
    pub const fn of_place(timezone: Option<Option<String>>, locale: Option<Option<String>>) -> Self {
        Self { name: None, role: None, timezone, locale }
    }
}

/// Up to 50 of the letters, digits and signs that a role is written in.
fn read_role(fields: &mut Fields) -> Given<String> {
    let given = fields.string("role", 1, 50);
    if let Given::Value(role) = &given
        && !role.bytes().all(|b| b.is_ascii_alphanumeric() || b":._-".contains(&b))
    {
        fields.wrong("role", "The role field must be letters, digits and any of : . _ - only.");
        return Given::Wrong;
    }
    given
}

/// An IANA name in the field `timezone`, as the tz database spells it.
pub fn read_zone(fields: &mut Fields) -> Given<String> {
    match fields.string("timezone", 1, 64) {
        Given::Value(name) => match Zone::parse(&name) {
            Ok(zone) => Given::Value(zone.name().to_owned()),
            Err(message) => {
                fields.wrong("timezone", message);
                Given::Wrong
            }
        },
        other => other,
    }
}

/// A BCP 47 tag in the field `locale`.
pub fn read_locale(fields: &mut Fields) -> Given<String> {
    match fields.string("locale", 1, 35) {
        Given::Value(tag) => match Locale::parse(&tag) {
            Ok(locale) => Given::Value(locale.as_str().to_owned()),
            Err(message) => {
                fields.wrong("locale", message);
                Given::Wrong
            }
        },
        other => other,
    }
}

/// A user about to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    tenant_id: TenantId,
    name: String,
    email: String,
    settings: UserChanges,
}

impl NewUser {
    /// Checks name and email; the email is kept in lower case, so that one address is one user.
    pub fn parse(tenant_id: TenantId, name: &str, email: &str) -> Result<Self> {
        let mut fields = Fields::of(json!({ "name": name, "email": email.to_lowercase() }))?;
        let name = required(&mut fields, "name");
        let email = required(&mut fields, "email");
        if email.as_deref().is_some_and(|e| !looks_like_email(e)) {
            fields.wrong("email", "The email field must be an email address.");
        }
        fields.finish()?;
        let (name, email) = (name.unwrap_or_default(), email.unwrap_or_default());
        Ok(Self { tenant_id, name, email, settings: UserChanges::default() })
    }

    /// The same with a role, a zone and a locale.
    #[must_use]
    pub fn with(self, settings: UserChanges) -> Self {
        Self { settings, ..self }
    }
}

fn required(fields: &mut Fields, name: &'static str) -> Option<String> {
    let given = fields.string(name, 1, 255);
    fields.required(name, given)
}

/// One `@` between a name and a host, and no spaces. More cannot be known without sending a letter.
fn looks_like_email(text: &str) -> bool {
    let clean = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let parts = text.split_once('@');
    let named = parts.is_some_and(|(name, host)| {
        let host_is_good = !host.starts_with('.') && !host.ends_with('.') && !host.contains("..");
        !name.is_empty() && !host.is_empty() && !host.contains('@') && host_is_good
    });
    clean && named
}

/// Writes a tenant.
pub async fn create_tenant(conn: &mut Conn, new: &NewTenant, now: Timestamp) -> Result<Tenant> {
    let values = (
        tenants::name.eq(&new.name),
        tenants::timezone.eq(new.settings.timezone.as_deref().unwrap_or("UTC")),
        tenants::locale.eq(new.settings.locale.as_deref().unwrap_or("en")),
        tenants::created_at.eq(now),
        tenants::updated_at.eq(now),
    );
    Ok(on_conn!(conn, c => diesel::insert_into(tenants::table)
        .values(values)
        .returning(Tenant::as_returning())
        .get_result(c)
        .await)?)
}

/// Writes a user. An email that is taken, or a tenant that does not exist, is named as a wrong field.
pub async fn create_user(conn: &mut Conn, new: &NewUser, now: Timestamp) -> Result<User> {
    let values = (
        users::tenant_id.eq(new.tenant_id),
        users::name.eq(&new.name),
        users::email.eq(&new.email),
        users::role.eq(new.settings.role.clone().flatten()),
        users::timezone.eq(new.settings.timezone.clone().flatten()),
        users::locale.eq(new.settings.locale.clone().flatten()),
        users::created_at.eq(now),
        users::updated_at.eq(now),
    );
    let written = on_conn!(conn, c => diesel::insert_into(users::table)
        .values(values)
        .returning(User::as_returning())
        .get_result(c)
        .await);
    written.map_err(|e| match Violation::of(&e) {
        Some(Violation::Unique) => Error::field("email", "The email has already been taken.").because(e),
        Some(Violation::ForeignKey) => {
            Error::field("tenant_id", format!("There is no tenant {}.", new.tenant_id)).because(e)
        }
        _ => e.into(),
    })
}

/// Changes a tenant.
pub async fn update_tenant(
    conn: &mut Conn,
    id: TenantId,
    changes: &TenantChanges,
    now: Timestamp,
) -> Result<Tenant> {
    let row = tenants::table.filter(tenants::id.eq(id));
    let written = on_conn!(conn, c => diesel::update(row)
        .set((changes, tenants::updated_at.eq(now)))
        .returning(Tenant::as_returning())
        .get_result(c)
        .await
        .optional())?;
    written.ok_or_else(|| Error::not_found("tenant"))
}

/// Changes a user.
pub async fn update_user(conn: &mut Conn, id: UserId, changes: &UserChanges, now: Timestamp) -> Result<User> {
    let row = users::table.filter(users::id.eq(id));
    let written = on_conn!(conn, c => diesel::update(row)
        .set((changes, users::updated_at.eq(now)))
        .returning(User::as_returning())
        .get_result(c)
        .await
        .optional())?;
    written.ok_or_else(|| Error::not_found("user"))
}

/// A user of the tenant.
pub async fn find_user(conn: &mut Conn, tenant: TenantId, id: UserId) -> Result<User> {
    let query = users::table.filter(users::id.eq(id).and(users::tenant_id.eq(tenant)));
    let found = on_conn!(conn, c => query.select(User::as_select()).first(c).await.optional())?;
    found.ok_or_else(|| Error::not_found("user"))
}

/// All tenants, oldest first.
pub async fn list_tenants(conn: &mut Conn) -> Result<Vec<Tenant>> {
    let query = tenants::table.order(tenants::id);
    Ok(on_conn!(conn, c => query.select(Tenant::as_select()).load(c).await)?)
}

/// The users of a tenant, oldest first.
pub async fn list_users(conn: &mut Conn, tenant: TenantId) -> Result<Vec<User>> {
    let query = users::table.filter(users::tenant_id.eq(tenant)).order(users::id);
    Ok(on_conn!(conn, c => query.select(User::as_select()).load(c).await)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_has_one_at_between_a_name_and_a_host() {
        for good in ["a@b", "ana.cruz+x@shop.example", "é@exämple.ph"] {
            assert!(NewUser::parse(TenantId(1), "Ana", good).is_ok(), "{good}");
        }
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b..c", "a@.b", "a@b\n", &"x".repeat(256)] {
            let error = NewUser::parse(TenantId(1), "Ana", bad).unwrap_err();
            assert!(error.fields().contains_key("email"), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_1_to_255_characters() {
        assert!(NewTenant::parse(&"é".repeat(255)).is_ok());
        for bad in ["", &"x".repeat(256)] {
            assert!(NewTenant::parse(bad).unwrap_err().fields().contains_key("name"));
        }
    }

    #[test]
    fn an_email_is_kept_in_lower_case() {
        assert_eq!(NewUser::parse(TenantId(1), "Ana", "Ana@Shop.Example").unwrap().email, "ana@shop.example");
    }
}
