//! Sending to each at their best time: it becomes a row of the schedule for each, which can be shown, moved and called
//! off like others.

use super::draft::Draft;
use super::readers::Readers;
use super::schedule::{self, Planned};
use super::send::{RecipientReport, SendReport};
use super::templates::Shelf;
use crate::domain::{Fields, Result, TenantId, Timestamp, UserId};
use crate::storage::Conn;

/// What is kept for each of many: as much as a body written without a template may be long, and what belongs to it.
const MAX_KEPT_BYTES: usize = 20_000;

/// Records that it is too large to be kept for each of its recipients.
pub(super) fn check_size(draft: &Draft, fields: &mut Fields) {
    let is_large = || serde_json::to_string(draft).map_or(0, |text| text.len()) > MAX_KEPT_BYTES;
    if draft.window.is_some() && is_large() {
        let message = format!(
            "What goes to each at their best time is kept for each, and may have {MAX_KEPT_BYTES} bytes as JSON."
        );
        fields.wrong("deliver", message);
    }
}

/// Schedules it for these users, up to a thousand. Of a single one it is an error that it cannot be.
pub(super) async fn report(
    conn: &mut Conn,
    tenant: TenantId,
    users: &[UserId],
    draft: &Draft,
    is_one: bool,
    now: Timestamp,
) -> Result<SendReport> {
    if !is_one {
        // What is wrong for everybody is an error, whoever they are.
        draft.message(conn, tenant, Readers::These(users)).await?;
    }
    let mut recipients = Vec::with_capacity(users.len());
    for (user, planned) in schedule::plan(conn, tenant, users, (draft, None), now).await? {
        match planned {
            Err(error) if is_one => return Err(error),
            planned => recipients.push(recipient(user, planned)),
        }
    }
    let scheduled = recipients.iter().filter(|one| one.scheduled.is_some()).count();
    let failed = recipients.len() - scheduled;
    let (id, status, fan_out) = (None, "scheduled", None);
    Ok(SendReport {
        id,
        status,
        sent: 0,
        skipped: 0,
        failed,
        recipients,
        fan_out,
        scheduled: Some(scheduled),
    })
}

fn recipient(user: UserId, planned: Result<Planned>) -> RecipientReport {
    match planned {
        Ok(planned) => {
            RecipientReport { scheduled: Some(planned), ..RecipientReport::empty(user, "scheduled") }
        }
        Err(error) => {
            let sentences: Vec<&str> = error.fields().values().flatten().map(String::as_str).collect();
            let sentence =
                if sentences.is_empty() { error.message().to_owned() } else { sentences.join(" ") };
            let reason = match error.fields().keys().next().map(String::as_str) {
                Some("user_id") => Some("recipient_gone"),
                Some("expires_at") => Some("expired"),
                Some(_) => Some("template_error"),
                None => None,
            };
            RecipientReport { reason, error: Some(sentence), ..RecipientReport::empty(user, "failed") }
        }
    }
}

/// Schedules a page of a fan-out, in the words that were kept for it: how many it goes to, and to how many it cannot be
/// sent.
pub(super) async fn page(
    conn: &mut Conn,
    tenant: TenantId,
    users: &[UserId],
    (draft, kept): (&Draft, Option<Shelf>),
    now: Timestamp,
) -> Result<(i64, i64)> {
    let shelf = draft.shelf_of(kept)?;
    let plans = schedule::plan(conn, tenant, users, (draft, Some(&shelf)), now).await?;
    let failed = plans.iter().filter(|(_, planned)| planned.is_err()).count();
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    Ok((count(plans.len() - failed), count(failed)))
}
