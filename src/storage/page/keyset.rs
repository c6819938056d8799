//! Rows of one user or of one tenant, from a place in their order on, in the shape in which both planners read them from
//! the index that begins with tenant, user and id (or tenant and id) and from no other.
//!
//! PostgreSQL takes a condition that an id is equal to something out of the order that is asked for, and then likes to
//! walk the primary key and leave out whoever else's rows it meets: all of them, where those asked for are old. So it is
//! asked for a range and an order of which the user is a part. SQLite has no such fancy, and compares a row's id in an
//! index only as a column.
//!
//! For queries of one table that has these columns.

use crate::domain::{TenantId, UserId};
use diesel::QueryResult;
use diesel::expression::{
    AppearsOnTable, Expression, SelectableExpression, ValidGrouping, expression_types::NotSelectable,
    is_aggregate,
};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool};
use diesel::sqlite::Sqlite;

/// Makes an expression of a type: a condition, or an order.
macro_rules! expression {
    ($name:ident, $sql_type:ty) => {
        impl Expression for $name {
            type SqlType = $sql_type;
        }

        impl<From> AppearsOnTable<From> for $name {}

        impl<From> SelectableExpression<From> for $name {}

        impl<GroupBy> ValidGrouping<GroupBy> for $name {
            type IsAggregate = is_aggregate::Never;
        }
    };
}

/// An order, by the text that each database is given.
macro_rules! order {
    ($(#[$meta:meta])* $name:ident, $postgres:literal, $sqlite:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, QueryId)]
        pub(crate) struct $name;

        expression!($name, NotSelectable);

        impl QueryFragment<Pg> for $name {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                out.push_sql($postgres);
                Ok(())
            }
        }

        impl QueryFragment<Sqlite> for $name {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
                out.push_sql($sqlite);
                Ok(())
            }
        }
    };
}

order!(
    /// A user's newest rows first: with [`UserBefore`].
    UserNewest, "user_id DESC, id DESC", "id DESC"
);
order!(
    /// A user's oldest rows first: with [`UserAfter`].
    UserOldest, "user_id, id", "id"
);
order!(
    /// A tenant's newest rows first: with [`TenantBefore`].
    TenantNewest, "tenant_id DESC, id DESC", "id DESC"
);

/// Rows of a user with smaller ids than this.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct UserBefore(pub(crate) TenantId, pub(crate) UserId, pub(crate) i64);

/// Rows of a user with larger ids than this.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct UserAfter(pub(crate) TenantId, pub(crate) UserId, pub(crate) i64);

/// Rows of a tenant with smaller ids than this.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct TenantBefore(pub(crate) TenantId, pub(crate) i64);

expression!(UserBefore, Bool);
expression!(UserAfter, Bool);
expression!(TenantBefore, Bool);

/// Writes texts and numbers in turn, the first and the last being texts.
macro_rules! write_out {
    ($out:ident, $first:literal $(, $number:expr, $text:literal)+) => {{
        $out.push_sql($first);
        $(
            $out.push_bind_param::<BigInt, _>($number)?;
            $out.push_sql($text);
        )+
        Ok(())
    }};
}

impl QueryFragment<Pg> for UserBefore {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Self(tenant, user, id) = self;
        write_out!(
            out,
            "(tenant_id = ",
            tenant,
            " AND user_id >= ",
            user,
            " AND (user_id, id) < (",
            user,
            ", ",
            id,
            "))"
        )
    }
}

impl QueryFragment<Sqlite> for UserBefore {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let Self(tenant, user, id) = self;
        write_out!(out, "(tenant_id = ", tenant, " AND user_id = ", user, " AND id < ", id, ")")
    }
}

impl QueryFragment<Pg> for UserAfter {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Self(tenant, user, id) = self;
        write_out!(
            out,
            "(tenant_id = ",
            tenant,
            " AND user_id <= ",
            user,
            " AND (user_id, id) > (",
            user,
            ", ",
            id,
            "))"
        )
    }
}

impl QueryFragment<Sqlite> for UserAfter {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let Self(tenant, user, id) = self;
        write_out!(out, "(tenant_id = ", tenant, " AND user_id = ", user, " AND id > ", id, ")")
    }
}

impl QueryFragment<Pg> for TenantBefore {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Self(tenant, id) = self;
        write_out!(out, "(tenant_id >= ", tenant, " AND (tenant_id, id) < (", tenant, ", ", id, "))")
    }
}

impl QueryFragment<Sqlite> for TenantBefore {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let Self(tenant, id) = self;
        write_out!(out, "(tenant_id = ", tenant, " AND id < ", id, ")")
    }
}
