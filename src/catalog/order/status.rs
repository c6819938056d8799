//! `OrderStatus` and the way it may go: pending → processing → completed, or to cancelled before that.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub enum OrderStatus {
    /// Taken, and nothing done yet.
    Pending,
    /// Being prepared.
    Processing,
    /// Done; for good.
    Completed,
    /// Called off, its stock returned; for good.
    Cancelled,
}

impl OrderStatus {
    const ALL: [Self; 4] = [Self::Pending, Self::Processing, Self::Completed, Self::Cancelled];

    /// The word for it in tables and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether an order may go from here to `next`. Staying is not going.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Processing)
                | (Self::Processing, Self::Completed)
                | (Self::Pending | Self::Processing, Self::Cancelled)
        )
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OrderStatus {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

impl Serialize for OrderStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<DB: Backend> ToSql<Text, DB> for OrderStatus
where
    str: ToSql<Text, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        self.as_str().to_sql(out)
    }
}

impl<DB: Backend> FromSql<Text, DB> for OrderStatus
where
    String: FromSql<Text, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let text = String::from_sql(bytes)?;
        text.parse().map_err(|()| format!("\"{text}\" is no order status").into())
    }
}

#[cfg(test)]
mod tests {
    use super::OrderStatus::{self, Cancelled, Completed, Pending, Processing};

    #[test]
    fn an_order_goes_forward_or_is_cancelled_before_it_is_completed() {
        let allowed: Vec<(OrderStatus, OrderStatus)> = OrderStatus::ALL
            .into_iter()
            .flat_map(|from| OrderStatus::ALL.map(|to| (from, to)))
            .filter(|(from, to)| from.may_become(*to))
            .collect();
        let expected =
            [(Pending, Processing), (Pending, Cancelled), (Processing, Completed), (Processing, Cancelled)];
        assert_eq!(allowed, expected);
    }

    #[test]
    fn a_status_reads_back_what_it_writes() {
        for status in OrderStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("Pending".parse::<OrderStatus>(), Err(()));
    }
}
