//! `Session`: a conversation with an SMTP server, step by step: at which step it refuses says whose fault it is.

use super::{CarryFailure, Handover};
use crate::config::{Smtp, SmtpTls};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::{Address, Message};
use std::time::Duration;

/// See the module.
pub(super) struct Session {
    connection: AsyncSmtpConnection,
    usable: bool,
}

impl Session {
    /// Connects, encrypts and signs in as configured.
    pub(super) async fn open(smtp: &Smtp) -> Result<Self, Handover> {
        let again = |step: &str, error: &SmtpError| {
            let message = format!("The SMTP server {}:{} {step}: {error}.", smtp.host, smtp.port);
            Handover::Again(message)
        };
        let timeout = Some(Duration::from_secs(smtp.timeout_seconds));
        let tls =
            || TlsParameters::new_rustls(smtp.host.clone()).map_err(|e| again("cannot be verified", &e));
        let at_once = if smtp.tls == SmtpTls::Implicit { Some(tls()?) } else { None };
        let hello =
            ClientId::Domain(smtp.from.rsplit('@').next().unwrap_or_default().trim_matches('>').to_owned());
        let server = (smtp.host.as_str(), smtp.port);
        let mut connection = AsyncSmtpConnection::connect_tokio1(server, timeout, &hello, at_once, None)
            .await
            .map_err(|e| again("cannot be reached", &e))?;
        if smtp.tls == SmtpTls::Starttls {
            connection.starttls(tls()?, &hello).await.map_err(|e| again("does not encrypt", &e))?;
        }
        if let Some(password) = &smtp.password {
            let credentials = Credentials::new(smtp.username.clone(), password.expose().to_owned());
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            connection
                .auth(&mechanisms, &credentials)
                .await
                .map_err(|e| again("refuses the password", &e))?;
        }
        Ok(Self { connection, usable: true })
    }

    /// Whether another letter may be sent by it.
    pub(super) const fn is_usable(&self) -> bool {
        self.usable
    }

    /// Sends one letter; `name` is its Message-ID.
    pub(super) async fn send(&mut self, message: &Message, name: &str) -> Handover {
        match self.exchange(message).await {
            Ok(()) => Handover::Sent(name.to_owned()),
            Err((step, error)) => {
                // A refusal leaves the conversation where it can go on; anything else does not.
                let refused = error.is_transient() || error.is_permanent();
                self.usable = refused && self.connection.command(Rset).await.is_ok();
                verdict(step, &error)
            }
        }
    }

    async fn exchange(&mut self, message: &Message) -> Result<(), (Step, SmtpError)> {
        let envelope = message.envelope();
        let mut parameters = Vec::new();
        if envelope.from().into_iter().chain(envelope.to()).any(|address| !is_ascii(address))
            && self.connection.server_info().supports_feature(Extension::SmtpUtfEight)
        {
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let from = Mail::new(envelope.from().cloned(), parameters);
        self.connection.command(from).await.map_err(|e| (Step::Sender, e))?;
        for to in envelope.to() {
            let to = Rcpt::new(to.clone(), Vec::new());
            self.connection.command(to).await.map_err(|e| (Step::Recipient, e))?;
        }
        self.connection.command(Data).await.map_err(|e| (Step::Content, e))?;
        self.connection.message(&message.formatted()).await.map_err(|e| (Step::Content, e))?;
        Ok(())
    }

    /// Says goodbye; whether the server says so too is its own affair.
    pub(super) async fn close(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.connection.quit()).await;
    }
}

fn is_ascii(address: &Address) -> bool {
    let text: &str = address.as_ref();
    text.is_ascii()
}

/// What was asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// To take letters from us.
    Sender,
    /// To take letters to that address.
    Recipient,
    /// To take this letter.
    Content,
}

fn verdict(step: Step, error: &SmtpError) -> Handover {
    match step {
        Step::Recipient if error.is_permanent() => {
            Handover::Bounced(format!("The SMTP server knows no such recipient: {error}."))
        }
        Step::Sender if error.is_permanent() => {
            let message = format!("The SMTP server takes nothing from this sender: {error}.");
            Handover::Failed(CarryFailure::Refused, message)
        }
        Step::Content if error.is_permanent() => {
            let message = format!("The SMTP server does not take this e-mail: {error}.");
            Handover::Failed(CarryFailure::Refused, message)
        }
        _ => Handover::Again(format!("The SMTP server did not take the e-mail: {error}.")),
    }
}
