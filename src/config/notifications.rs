//! `[notifications]`: bounds on sending, and the way out for e-mail.

use super::wrong;
use crate::domain::{Result, Secret};
use lettre::message::Mailbox;
use serde::{Deserialize, Serialize};

/// `[notifications]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notifications {
    /// Notifications a minute that a tenant may send, on average, each recipient counting; 0 = no bound.
    pub tenant_per_minute: u32,
    /// Notifications a minute that may be sent to one user, on average; what is critical is not counted. 0 = no bound.
    pub user_per_minute: u32,
    /// Scheduled notifications of one tenant that this process sends a minute, evenly, however many are due at once; 0 =
    /// no bound.
    pub scheduled_per_minute: u32,
    /// Where e-mail goes out.
    pub smtp: Smtp,
}

impl Default for Notifications {
    fn default() -> Self {
        Self {
            tenant_per_minute: 60_000,
            user_per_minute: 60,
            scheduled_per_minute: 0,
            smtp: Smtp::default(),
        }
    }
}

impl Notifications {
    /// Checks what single types cannot.
    pub(super) fn validate(&self) -> Result<()> {
        let smtp = &self.smtp;
        if smtp.host.is_empty() {
            return Ok(());
        }
        if let Err(error) = smtp.from.parse::<Mailbox>() {
            let example = "write \"Shop <shop@example.com>\"";
            return Err(wrong(format!("notifications.smtp.from is no address ({error}): {example}.")));
        }
        if smtp.timeout_seconds == 0 || smtp.timeout_seconds > MAX_TIMEOUT_SECONDS {
            let message = format!("notifications.smtp.timeout_seconds must be 1 to {MAX_TIMEOUT_SECONDS}.");
            return Err(wrong(message));
        }
        Ok(())
    }
}

/// What one process has in hand at once, letter after letter, must be done within its lease.
const MAX_TIMEOUT_SECONDS: u64 = 25;

/// `[notifications.smtp]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smtp {
    /// The server that takes e-mail; empty: none is sent.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the conversation is encrypted.
    pub tls: SmtpTls,
    /// Who signs in, where a password is set.
    pub username: String,
    /// Belongs in the environment.
    #[serde(skip_serializing)]
    pub password: Option<Secret>,
    /// The sender, as `Shop <shop@example.com>`.
    pub from: String,
    /// For one e-mail, from dialling to the last answer.
    pub timeout_seconds: u64,
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            tls: SmtpTls::Starttls,
            username: String::new(),
            password: None,
            from: String::new(),
            timeout_seconds: 20,
        }
    }
}

/// How a conversation with an SMTP server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// From its first byte; port 465.
    Implicit,
    /// After a greeting, and nothing is sent if the server cannot; port 587.
    Starttls,
    /// Never: for a server on the same machine.
    None,
}
