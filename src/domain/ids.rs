//! Ids: one newtype a table, so that a user's id can never stand where a tenant's is meant.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::BigInt;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

macro_rules! row_id {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            Serialize, Deserialize, AsExpression, FromSqlRow,
        )]
        #[diesel(sql_type = BigInt)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl<DB: Backend> ToSql<BigInt, DB> for $name
        where
            i64: ToSql<BigInt, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
                self.0.to_sql(out)
            }
        }

        impl<DB: Backend> FromSql<BigInt, DB> for $name
        where
            i64: FromSql<BigInt, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
                i64::from_sql(bytes).map(Self)
            }
        }
    )+};
}

row_id! {
    /// A row of `tenants`: a shop or company; the wall that nothing crosses.
    TenantId;
    /// A row of `users`.
    UserId;
    /// A row of `personal_access_tokens`; the part of a bearer token before its `|`.
    TokenId;
    /// A row of `categories`.
    CategoryId;
    /// A row of `products`.
    ProductId;
    /// A row of `orders`.
    OrderId;
    /// A row of `events`. Ids grow in commit order, so they are also the order of a channel's messages.
    EventId;
    /// A row of `webhooks`: a subscriber's endpoint.
    EndpointId;
    /// A row of `webhook_deliveries`: one event on its way to one endpoint.
    DeliveryId;
    /// A row of `notification_templates`: words with variables, in one language.
    TemplateId;
    /// A row of `scheduled_notifications`: what goes out at its time.
    ScheduledId;
    /// A row of `in_app_notifications`: one notification in one user's inbox.
    NotificationId;
    /// A row of `notification_log`: what became of a notification on one channel.
    HistoryId;
    /// A row of `notification_fan_outs`: a notification on its way to many.
    FanOutId;
    /// A row of `notification_digests`: what one user is told together.
    DigestId;
    /// A row of `event_subscriptions`.
    SubscriptionId;
}

/// The id of a Pusher app, as the operator wrote it in `[[apps]] id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AppId(pub Arc<str>);

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A connection's id in the Pusher protocol: two numbers and a dot (`123.456`), 64 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId(u64);

impl SocketId {
    /// The id made of these 64 bits; the caller brings the randomness.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits, for hashing into shards and for storage in memory.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SocketId {
    type Err = ();

    /// Accepts exactly what `Display` writes: `^\d+\.\d+$` with halves below 2³² and no leading zeros,
    /// so that one id has one spelling (signatures are made over the spelling).
    fn from_str(text: &str) -> Result<Self, ()> {
        let (high, low) = text.split_once('.').ok_or(())?;
        let half = |part: &str| {
            let canonical = part == "0" || !part.starts_with('0');
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            if canonical && digits { part.parse::<u32>().map_err(drop) } else { Err(()) }
        };
        Ok(Self(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_id_reads_back_what_it_writes() {
        for bits in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            let id = SocketId::from_bits(bits);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn a_socket_id_has_one_spelling() {
        for text in ["", "1", "1.", ".1", "01.1", "1.1.1", "1:1", "-1.1", "+1.1", "4294967296.1", "1.1 "] {
            assert_eq!(text.parse::<SocketId>(), Err(()), "{text:?}");
        }
    }
}
