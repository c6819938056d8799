//! `condition!`: a condition that stands in the statement as text, so that the planner sees that a partial index serves
//! it; a bound value would hide that. What `diesel::dsl::sql` makes is prepared anew each time, because it might be
//! another each time; this is prepared once.

/// `condition!(pub Pending, "webhook_deliveries.status = 'pending'")` declares an expression of that text.
macro_rules! condition {
    ($(#[$meta:meta])* $visible:vis $name:ident, $sql:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, diesel::query_builder::QueryId)]
        $visible struct $name;

        impl diesel::expression::Expression for $name {
            type SqlType = diesel::sql_types::Bool;
        }

        impl<From> diesel::expression::AppearsOnTable<From> for $name {}

        impl<From> diesel::expression::SelectableExpression<From> for $name {}

        impl<GroupBy> diesel::expression::ValidGrouping<GroupBy> for $name {
            type IsAggregate = diesel::expression::is_aggregate::Never;
        }

        impl<DB: diesel::backend::Backend> diesel::query_builder::QueryFragment<DB> for $name {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, DB>,
            ) -> diesel::QueryResult<()> {
                out.push_sql($sql);
                Ok(())
            }
        }
    };
}
pub(crate) use condition;
