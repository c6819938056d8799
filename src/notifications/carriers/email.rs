//! Notifications by e-mail: the channel, [`EmailChannel`], and its carrier, [`Email`], through the SMTP server of
//! `[notifications.smtp]`.
//!
//! Letters are sent outside of any transaction, by a few connections at once. One that is cut off between the server's
//! answer and ours being written down goes out again, with the same Message-ID.

use super::smtp::Session;
use super::{Carrier, CarryFailure, Handover, Letter, queue};
use crate::config::{Notifications, Smtp};
use crate::domain::{Clock, Committed, Result};
use crate::notifications::Channel;
use crate::notifications::channel_driver::{ChannelDriver, Envelope};
use crate::notifications::recipients::Recipient;
use crate::notifications::template::Rendered;
use crate::storage::{Conn, Db};
use futures_util::future::{LocalBoxFuture, join_all};
use lettre::Message;
use lettre::message::{Mailbox, MultiPart};
use std::sync::Arc;
use std::time::Duration;

/// Connections to the server at once.
const LANES: usize = 4;

/// Letters of one connection.
const EACH: usize = 4;

/// To the address in the recipient's row, with a subject and HTML where the template has them.
pub struct EmailChannel;

impl ChannelDriver for EmailChannel {
    fn envelope(&self, recipient: &Recipient, words: &Rendered) -> Envelope {
        Envelope {
            address: Some(recipient.email.clone()),
            subject: words.subject.as_ref().unwrap_or(&words.title).clone(),
            body_html: words.body_html.clone(),
        }
    }

    fn digest_template(&self) -> &'static str {
        "digest_email"
    }

    fn carrier(&self, (db, clock): (&Db, &Clock), settings: &Notifications) -> Option<Arc<dyn Carrier>> {
        Some(Arc::new(Email { db: db.clone(), clock: clock.clone(), smtp: settings.smtp.clone() }))
    }
}

/// See the module.
pub struct Email {
    /// The rows.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// The server; none where no host is named.
    pub smtp: Smtp,
}

impl Email {
    /// Sends those of one connection, one after another, and gives what became of each.
    async fn lane(&self, letters: Vec<Letter>) -> Vec<(Letter, Handover)> {
        let (mut session, mut done) = (None, Vec::new());
        for letter in letters {
            let handover = self.send(&mut session, &letter).await;
            done.push((letter, handover));
        }
        if let Some(session) = session {
            session.close().await;
        }
        done
    }

    async fn send(&self, session: &mut Option<Session>, letter: &Letter) -> Handover {
        if self.smtp.host.is_empty() {
            let message = "E-mail is not set up: [notifications.smtp] host and from in the configuration.";
            return Handover::Failed(CarryFailure::NotSetUp, message.to_owned());
        }
        let message = match compose(letter, &self.smtp) {
            Ok(message) => message,
            Err(reason) => return Handover::Failed(CarryFailure::Refused, reason),
        };
        let patience = Duration::from_secs(self.smtp.timeout_seconds);
        let exchange = async {
            let mut open = match session.take() {
                Some(open) => open,
                None => Session::open(&self.smtp).await?,
            };
            let handover = open.send(&message, &message_id(letter, &self.smtp)).await;
            if open.is_usable() {
                *session = Some(open);
            }
            Ok(handover)
        };
        match tokio::time::timeout(patience, exchange).await {
            Ok(Ok(handover) | Err(handover)) => handover,
            Err(_) => Handover::Again(format!("The SMTP server did not answer within {patience:?}.")),
        }
    }
}

/// `<…@…>`, the same at each attempt.
fn message_id(letter: &Letter, smtp: &Smtp) -> String {
    let host = smtp.from.rsplit('@').next().unwrap_or_default().trim_end_matches('>');
    format!("<{}@{host}>", letter.name())
}

/// The letter as it goes over the wire, or what is wrong with it.
fn compose(letter: &Letter, smtp: &Smtp) -> std::result::Result<Message, String> {
    let from: Mailbox =
        smtp.from.parse().map_err(|e| format!("[notifications.smtp] from is no address: {e}."))?;
    let address = letter.recipient.as_deref().unwrap_or_default();
    let to = address
        .parse()
        .map_err(|e| format!("\"{address}\" is no address that e-mail can be sent to: {e}."))?;
    let message = Message::builder()
        .message_id(Some(message_id(letter, smtp)))
        .from(from)
        .to(Mailbox::new(None, to))
        .subject(&letter.subject);
    let text = with_action(letter);
    let whole = match &letter.body_html {
        Some(html) => message.multipart(MultiPart::alternative_plain_html(text, html.clone())),
        None => message.body(text),
    };
    whole.map_err(|e| format!("The e-mail could not be composed: {e}."))
}

/// The text, and where to go from it: a path alone leads nowhere from a mailbox.
fn with_action(letter: &Letter) -> String {
    match &letter.extras.action {
        Some(action) if !action.url.starts_with('/') => {
            let label = action.label.as_deref().map(|label| format!("{label}: ")).unwrap_or_default();
            format!("{}\n\n{label}{}\n", letter.body.trim_end(), action.url)
        }
        _ => letter.body.clone(),
    }
}

impl Carrier for Email {
    fn name(&self) -> &'static str {
        "notifications by e-mail"
    }

    fn channel(&self) -> Channel {
        Channel::Email
    }

    fn at_once(&self) -> usize {
        LANES * EACH
    }

    fn lease(&self) -> Duration {
        // Letter after letter of a connection, each as slow as it may be.
        let each = u32::try_from(EACH).unwrap_or(u32::MAX);
        Duration::from_secs(self.smtp.timeout_seconds).saturating_mul(each) + Duration::from_secs(20)
    }

    fn carry(&self, letters: Vec<Letter>) -> LocalBoxFuture<'_, Result<Option<Committed>>> {
        Box::pin(async move {
            let lanes = letters.chunks(letters.len().div_ceil(LANES).max(1)).map(<[Letter]>::to_vec);
            let done = join_all(lanes.map(|letters| self.lane(letters))).await;
            let now = self.clock.now();
            let write = async |conn: &mut Conn| {
                for (letter, handover) in done.iter().flatten() {
                    let sent = matches!(handover, Handover::Sent(_));
                    tracing::debug!(id = %letter.id, sent, "an e-mail was tried");
                    queue::settle(conn, letter, handover, now).await?;
                }
                Ok(())
            };
            self.db.transaction(write).await?;
            Ok(None)
        })
    }
}
