//! What a database's failures mean to the house.

use crate::domain::{Code, Error};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::deadpool::PoolError;

/// Which rule of the database a change broke. The catalog turns it into words about a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// A value that must be unique is taken.
    Unique,
    /// A row refers to one that is not there, or is still referred to.
    ForeignKey,
    /// A value is outside what the column allows.
    Check,
}

impl Violation {
    /// The rule that `error` speaks of, if it is a broken rule.
    pub fn of(error: &DieselError) -> Option<Self> {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Some(Self::Unique),
            DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => Some(Self::ForeignKey),
            DieselError::DatabaseError(DatabaseErrorKind::CheckViolation, _) => Some(Self::Check),
            _ => None,
        }
    }
}

/// Parts of messages by which the databases say "not now" without a kind of their own: a full disk, a file
/// locked by another process, a server that stops, starts, is out of connections or lost a race.
const PASSING: [&str; 17] = [
    "database or disk is full",
    "database is locked",
    "disk I/O error",
    "readonly database",
    "unable to open database file",
    "No space left on device",
    "could not extend file",
    "could not write",
    "the database system is",
    "terminating connection",
    "too many clients",
    "remaining connection slots",
    "connection closed",
    "Connection refused",
    "deadlock detected",
    "canceling statement due to",
    "error communicating with the server",
];

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        let code = match &error {
            DieselError::NotFound => return Self::not_found("row").because(error),
            DieselError::DatabaseError(kind, info) => match kind {
                DatabaseErrorKind::UniqueViolation | DatabaseErrorKind::ForeignKeyViolation => Code::Conflict,
                DatabaseErrorKind::CheckViolation => Code::Invalid,
                DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::ReadOnlyTransaction => Code::Unavailable,
                _ if PASSING.iter().any(|part| info.message().contains(part)) => Code::Unavailable,
                _ => Code::Internal,
            },
            DieselError::BrokenTransactionManager => Code::Unavailable,
            _ => Code::Internal,
        };
        Self::new(code, message_for(code)).because(error)
    }
}

fn message_for(code: Code) -> &'static str {
    match code {
        Code::Conflict => "The change contradicts another row.",
        Code::Invalid => "A value is outside what the database accepts.",
        Code::Unavailable => "The database is not available just now; try again.",
        _ => "The database refused a query of ours.",
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        Self::new(Code::Unavailable, message_for(Code::Unavailable)).because(error)
    }
}
