//! A preview: when something would go out, why then, and in which words, without anything being written.

use super::create::{Ready, prepare};
use super::input::Wanted;
use crate::domain::{Error, Result, TenantId, Timestamp, UserId, Zone};
use crate::notifications::best_time::Chosen;
use crate::notifications::effective_time::DueReason;
use crate::storage::Conn;
use serde::Serialize;

/// Times of what recurs that are told.
const OCCURRENCES: usize = 5;

/// What a preview answers.
#[derive(Debug, Clone, Serialize)]
pub struct PreviewResource {
    /// Who is told.
    pub user_id: UserId,
    /// The time asked for; of what recurs, its first.
    pub scheduled_at: Timestamp,
    /// When it goes out, as the recipient's wishes are now.
    pub due_at: Timestamp,
    /// Why then.
    pub reason: DueReason,
    /// Of what goes out at its best time: how that was chosen.
    #[serde(flatten)]
    pub best: Option<Chosen>,
    /// Whose clocks were read.
    pub timezone: Zone,
    /// What the recipient's clock reads when it goes out.
    pub local_time: String,
    /// The words.
    pub title: String,
    /// The words.
    pub body: String,
    /// Of what recurs: its next times, before quiet hours are looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub occurrences: Vec<Timestamp>,
}

impl From<Ready> for PreviewResource {
    fn from(ready: Ready) -> Self {
        let Ready { wanted, at, due, best, words, .. } = ready;
        let recurrence = wanted.recurrence.as_ref();
        let later = recurrence.into_iter().flat_map(|r| r.times_after(at, &due.zone).take(OCCURRENCES - 1));
        let occurrences = recurrence.map(|_| at).into_iter().chain(later).collect();
        Self {
            user_id: wanted.user,
            scheduled_at: at,
            due_at: due.due_at,
            reason: due.reason,
            best,
            local_time: due.zone.reading(due.due_at).to_string(),
            timezone: due.zone,
            title: words.title,
            body: words.body_text,
            occurrences,
        }
    }
}

/// What would become of one notification.
pub async fn preview(
    conn: &mut Conn,
    tenant: TenantId,
    wanted: Vec<Wanted>,
    now: Timestamp,
) -> Result<PreviewResource> {
    if wanted.len() != 1 {
        return Err(Error::field("notifications", "Preview one notification at a time."));
    }
    let ready = prepare(conn, tenant, wanted, now).await?;
    let first = ready.into_iter().next().map(PreviewResource::from);
    first.ok_or_else(|| Error::field("notifications", "Preview one notification at a time."))
}
