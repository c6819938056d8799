//! The one error type and the one table: what went wrong → HTTP status, WebSocket close code, retry.
//!
//! Three habitats: rooms return `Error` with the narrowest `Code`; the doors turn it into an answer
//! (`http/respond.rs`, the Pusher session); actors log it once, where it is handled.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong. Everything an outsider is told about a failure follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request cannot be read at all (broken JSON, broken query string).
    Malformed,
    /// No credential, or one that does not verify.
    Unauthenticated,
    /// The credential is good and does not allow this.
    Forbidden,
    /// No such thing, or it belongs to another tenant.
    NotFound,
    /// The method is not offered here.
    MethodNotAllowed,
    /// It contradicts the present state (stock too short, key taken, status passed).
    Conflict,
    /// The body is over its limit.
    TooLarge,
    /// The body is not of the type this path reads.
    UnsupportedMediaType,
    /// Readable, and one or more fields are wrong; `Error::fields` names them.
    Invalid,
    /// Over a rate; come back later.
    TooMany,
    /// Something we depend on is away or full (database, disk, a mailbox); the same request may succeed later.
    Unavailable,
    /// A defect of ours.
    Internal,
}

impl Code {
    /// The HTTP status of an answer with this code.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// The WebSocket close code (Pusher protocol 7) for a connection that ends with this code.
    /// 40xx tells a client to stay away, 41xx to come back after a second, 42xx at once.
    pub const fn close_code(self) -> u16 {
        match self {
            Self::NotFound => 4001,
            Self::Unauthenticated | Self::Forbidden => 4009,
            Self::TooMany | Self::Unavailable | Self::Internal => 4100,
            _ => 4006,
        }
    }

    /// Whether the same request can be expected to succeed later without being changed.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::TooMany | Self::Unavailable)
    }
}

/// Messages by field name, as Laravel's validator shapes them.
pub type FieldErrors = BTreeMap<String, Vec<String>>;

/// An error with its code, a sentence for the person who caused or must mend it, and its cause.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    fields: FieldErrors,
    retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error whose `message` says what was wrong and what to do. It is shown to outsiders.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fields: FieldErrors::new(), retry_after: None, source: None }
    }

    /// Wrong fields, each with its messages; the headline is the first of them.
    pub fn invalid(fields: FieldErrors) -> Self {
        let total: usize = fields.values().map(Vec::len).sum();
        let first = fields.values().flatten().next().cloned().unwrap_or_default();
        let message = match total {
            0 | 1 => first,
            2 => format!("{first} (and 1 more error)"),
            n => format!("{first} (and {} more errors)", n - 1),
        };
        Self { code: Code::Invalid, message, fields, retry_after: None, source: None }
    }

    /// One wrong field.
    pub fn field(name: &str, message: impl Into<String>) -> Self {
        Self::invalid(FieldErrors::from([(name.to_owned(), vec![message.into()])]))
    }

    /// `what` (such as "product") does not exist for whoever asks.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("No such {what}."))
    }

    /// Adds the cause: logged, never shown to outsiders.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says when the same request may succeed, where that is known.
    #[must_use]
    pub const fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// After how long the same request may succeed, where that is known.
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The code.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The sentence for outsiders.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The wrong fields; empty unless the code is `Invalid`.
    pub const fn fields(&self) -> &FieldErrors {
        &self.fields
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (field, messages) in &self.fields {
            if messages.iter().any(|m| *m != self.message) {
                write!(f, "; {field}: {}", messages.join(" "))?;
            }
        }
        if let Some(source) = &self.source {
            write!(f, " ({source})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_counts_the_other_errors() {
        let fields = FieldErrors::from([
            ("name".to_owned(), vec!["The name field is required.".to_owned()]),
            ("sku".to_owned(), vec!["The sku field is required.".to_owned(), "x".to_owned()]),
        ]);
        let error = Error::invalid(fields);
        assert_eq!(error.message(), "The name field is required. (and 2 more errors)");
        assert_eq!(error.code().status(), 422);
    }
}
