//! Tenants and their users: made on the command line, and kept here for tokens to refer to.

use crate::domain::{Error, Fields, Result, TenantId, Timestamp, UserId};
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
}

/// A tenant about to be made.
#[derive(Debug, Clone)]
pub struct NewTenant {
    name: String,
}

impl NewTenant {
    /// Checks the name: 1 to 255 characters.
    pub fn parse(name: &str) -> Result<Self> {
        let mut fields = Fields::of(json!({ "name": name }))?;
        let name = required(&mut fields, "name");
        fields.finish()?;
        Ok(Self { name: name.unwrap_or_default() })
    }
}

/// A user about to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    tenant_id: TenantId,
    name: String,
    email: String,
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
        Ok(Self { tenant_id, name: name.unwrap_or_default(), email: email.unwrap_or_default() })
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
    let values = (tenants::name.eq(&new.name), tenants::created_at.eq(now), tenants::updated_at.eq(now));
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
