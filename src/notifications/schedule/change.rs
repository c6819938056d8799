//! What can be done to a scheduled notification until it is sent: to move it, to call it off; and to try again one that
//! failed. While it is being sent nothing can: that lasts a moment, and then it is sent or it is not.

use super::due::{Asked, Past, best, due};
use super::resource::{ScheduledResource, not_there, show};
use super::row::{Payload, Row};
use crate::domain::{Code, Error, Fields, Result, ScheduledId, TenantId, Timestamp, UserId};
use crate::notifications::Priority;
use crate::notifications::asked_time::AskedTime;
use crate::notifications::best_time::{Timing, Window};
use crate::notifications::effective_time::EffectiveTime;
use crate::notifications::engagement::Known;
use crate::notifications::recipients;
use crate::notifications::status::ScheduleStatus;
use crate::storage::schema::scheduled_notifications as s;
use crate::storage::{Conn, on_conn, on_conn_locking};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::BTreeSet;

/// Whose rows may be changed: a tenant's, or those of one of its users.
pub type Owner = (TenantId, Option<UserId>);

/// Changes to one that waits; what is not given stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduledChanges {
    scheduled_at: Option<Timestamp>,
    priority: Option<Priority>,
    timing: Timing,
}

impl ScheduledChanges {
    /// Reads a request's body: `scheduled_at`, `priority`, `deliver`, `window_hours`.
    pub fn parse(mut fields: Fields, now: Timestamp) -> Result<Self> {
        let at = fields.timestamp("scheduled_at");
        let at = fields.present("scheduled_at", at);
        let scheduled_at = at.and_then(|at| {
            AskedTime::default().check(at, now).map_err(|message| fields.wrong("scheduled_at", message)).ok()
        });
        let word = fields.string("priority", 1, 20);
        let word: Option<String> = fields.present("priority", word);
        let priority = word
            .and_then(|word| word.parse().map_err(|message: String| fields.wrong("priority", message)).ok());
        let timing = Timing::read(&mut fields);
        fields.finish()?;
        Ok(Self { scheduled_at, priority, timing })
    }
}

/// Calls one off that waits. Of a series, the rest as well: there is none yet.
pub async fn cancel(
    conn: &mut Conn,
    owner: Owner,
    id: ScheduledId,
    now: Timestamp,
) -> Result<ScheduledResource> {
    let row = lock_waiting(conn, owner, id, now).await?;
    let set =
        (s::status.eq(ScheduleStatus::Cancelled), s::claim_token.eq(None::<String>), s::updated_at.eq(now));
    let target = s::table.filter(s::id.eq(row.id));
    let row = on_conn!(conn, c =>
        diesel::update(target).set(set).returning(Row::as_returning()).get_result(c).await)?;
    show(conn, row, now).await
}

/// Moves one that waits; when it is due is decided anew, and its best time chosen anew.
pub async fn reschedule(
    conn: &mut Conn,
    owner: Owner,
    id: ScheduledId,
    changes: ScheduledChanges,
    now: Timestamp,
) -> Result<ScheduledResource> {
    let mut row = lock_waiting(conn, owner, id, now).await?;
    row.scheduled_at = changes.scheduled_at.unwrap_or(row.scheduled_at);
    row.priority = changes.priority.unwrap_or(row.priority);
    let mut payload = Payload::read(&row.payload)?;
    let window = match changes.timing {
        Timing::Unsaid => payload.best.map(|best| best.window_hours),
        said => said.window(),
    };
    if window.is_some() && row.recurrence.is_some() {
        return Err(Error::field("deliver", "What recurs comes at the times of its recurrence."));
    }
    let due = due_anew(conn, &row, (&mut payload, window), row.scheduled_at.max(now), now).await?;
    let expires_at = payload.extras.expires_at;
    if let Some(expires_at) = expires_at.filter(|expires_at| *expires_at <= due.due_at) {
        let message = format!("It expires at {expires_at}, before it would go out at {}.", due.due_at);
        return Err(Error::field("scheduled_at", message));
    }
    let set =
        (s::scheduled_at.eq(row.scheduled_at), s::priority.eq(row.priority), s::payload.eq(payload.text()?));
    let target = s::table.filter(s::id.eq(row.id));
    on_conn!(conn, c => diesel::update(target).set(set).execute(c).await)?;
    put_in_line(conn, id, &due, now).await
}

/// Puts one that failed in line again, its tries counted from the beginning.
pub async fn retry(
    conn: &mut Conn,
    owner: Owner,
    id: ScheduledId,
    now: Timestamp,
) -> Result<ScheduledResource> {
    let row = lock(conn, owner, id).await?;
    if row.status != ScheduleStatus::Failed {
        let message = format!("It is {}; only what failed can be tried again.", row.status);
        return Err(Error::new(Code::Conflict, message));
    }
    // It is late enough: another time is not chosen for it.
    let due = due_anew(conn, &row, (&mut Payload::read(&row.payload)?, None), row.scheduled_at.max(now), now)
        .await?;
    put_in_line(conn, id, &due, now).await
}

/// When it is due, asked for at that time; of a window, its best time, and how that was chosen is put into the payload.
async fn due_anew(
    conn: &mut Conn,
    row: &Row,
    (payload, window): (&mut Payload, Option<Window>),
    at: Timestamp,
    now: Timestamp,
) -> Result<EffectiveTime> {
    let kind = row.kind()?;
    let recipients = recipients::read(conn, &BTreeSet::from([row.recipient_id])).await?;
    let recipient = recipients.get(&row.recipient_id);
    let gone = || Error::new(Code::Conflict, "Its recipient is not there any more.");
    let wishes = &recipient.ok_or_else(gone)?.wishes;
    let asked = Asked { kind: &kind, priority: row.priority, channels: payload.channels.as_ref(), at };
    let Some(window) = window else {
        payload.best = None;
        return Ok(due(asked, wishes));
    };
    let known = Known::fetch(conn, row.tenant_id, &BTreeSet::from([row.recipient_id]), now).await?;
    let past = Past { habits: known.of(row.recipient_id), prior: &known.prior };
    let ends = window.end(row.scheduled_at, payload.extras.expires_at);
    let (due, chosen) = best(asked, (window, ends), wishes, past);
    payload.best = Some(chosen);
    Ok(due)
}

async fn put_in_line(
    conn: &mut Conn,
    id: ScheduledId,
    due: &EffectiveTime,
    now: Timestamp,
) -> Result<ScheduledResource> {
    let set = (
        s::status.eq(ScheduleStatus::Pending),
        s::due_at.eq(due.due_at),
        s::reason.eq(due.reason.as_str()),
        s::next_attempt_at.eq(due.due_at),
        s::attempts.eq(0),
        s::claim_token.eq(None::<String>),
        s::last_error.eq(None::<String>),
        s::updated_at.eq(now),
    );
    let target = s::table.filter(s::id.eq(id));
    let row = on_conn!(conn, c =>
        diesel::update(target).set(set).returning(Row::as_returning()).get_result(c).await)?;
    show(conn, row, now).await
}

/// One that waits and that nobody has in hand; it stands still until the transaction ends.
async fn lock_waiting(conn: &mut Conn, owner: Owner, id: ScheduledId, now: Timestamp) -> Result<Row> {
    let row = lock(conn, owner, id).await?;
    if row.status != ScheduleStatus::Pending {
        let message = format!("It is {} already.", row.status);
        return Err(Error::new(Code::Conflict, message));
    }
    if row.is_leased(now) {
        let message = "It is being sent just now: look at it again in a moment.";
        return Err(Error::new(Code::Conflict, message).after(row.next_attempt_at.since(now)));
    }
    Ok(row)
}

async fn lock(conn: &mut Conn, (tenant, user): Owner, id: ScheduledId) -> Result<Row> {
    let query = s::table.filter(s::id.eq(id).and(s::tenant_id.eq(tenant)));
    let row: Option<Row> =
        on_conn_locking!(conn, query, |q, c| q.select(Row::as_select()).first(c).await.optional())?;
    row.filter(|row| user.is_none_or(|user| row.recipient_id == user)).ok_or_else(not_there)
}
