//! Plans: what is sent to several, to each at their best time, as rows of the schedule.

use super::create::{Ready, prepare_each, write};
use super::input::Wanted;
use crate::domain::{Code, Error, Result, ScheduledId, TenantId, Timestamp, UserId};
use crate::notifications::best_time::Chosen;
use crate::notifications::draft::Draft;
use crate::notifications::effective_time::DueReason;
use crate::notifications::templates::Shelf;
use crate::storage::Conn;
use serde::Serialize;

/// When something goes to somebody.
#[derive(Debug, Clone, Serialize)]
pub struct Planned {
    /// Its row, which can be shown, moved and called off.
    pub id: ScheduledId,
    /// When it goes out.
    pub due_at: Timestamp,
    /// Why then.
    pub reason: DueReason,
    /// How that was chosen.
    #[serde(flatten)]
    pub best: Option<Chosen>,
    /// Where it is.
    pub links: PlannedLinks,
}

/// Where a plan is.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedLinks {
    /// Its path.
    #[serde(rename = "self")]
    pub itself: String,
}

impl Planned {
    fn of(ready: &Ready, id: ScheduledId) -> Self {
        let links = PlannedLinks { itself: format!("/api/v1/notifications/scheduled/{id}") };
        Self { id, due_at: ready.due.due_at, reason: ready.due.reason, best: ready.best, links }
    }
}

/// Schedules it for each of these users, from `now` on; or says of each why it cannot be. Its words are picked from the
/// shelf, or, without one, from what there is now.
pub async fn plan(
    conn: &mut Conn,
    tenant: TenantId,
    users: &[UserId],
    (draft, shelf): (&Draft, Option<&Shelf>),
    now: Timestamp,
) -> Result<Vec<(UserId, Result<Planned>)>> {
    let wanted = |user: &UserId| Wanted {
        place: String::new(),
        user: *user,
        draft: draft.clone(),
        expires_in: None,
        at: Some(now),
        recurrence: None,
    };
    let wanted = users.iter().map(wanted).collect();
    let (mut ready, mut faults) = (Vec::new(), Vec::new());
    for one in prepare_each(conn, tenant, (wanted, shelf), now).await? {
        match one {
            Ok(one) => {
                ready.push(one);
                faults.push(None);
            }
            Err(fault) => faults.push(Some(fault)),
        }
    }
    let ids = write(conn, tenant, &ready, now).await?;
    let mut planned = ready.iter().zip(ids).map(|(one, id)| Planned::of(one, id));
    let lost = || Error::new(Code::Internal, "The notification was not written down.");
    let mut outcome = |fault: Option<Error>| fault.map_or_else(|| planned.next().ok_or_else(lost), Err);
    Ok(users.iter().copied().zip(faults.into_iter().map(&mut outcome)).collect())
}
