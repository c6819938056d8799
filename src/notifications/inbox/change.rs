//! Changes to one notification of an inbox. Each is told to the user's other tabs, unless nothing changed.

use super::events::for_user;
use super::{InboxResource, Owner, find, present, unread_count};
use crate::domain::{Error, NotificationId, Result, SocketId, Timestamp, Zone};
use crate::notifications::best_time::Observation;
use crate::notifications::{Channel, engagement, recipients};
use crate::storage::outbox::{self, NewEvent};
use crate::storage::schema::{in_app_notifications as i, notification_log as l, tenants, users};
use crate::storage::{Conn, on_conn, on_conn_locking};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::json;

/// A change to one notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It was read.
    Read,
    /// It shall count as unread again.
    Unread,
    /// It is put aside.
    Archived,
    /// It is taken back.
    Unarchived,
}

/// Who changes an inbox, and when.
#[derive(Debug, Clone, Copy)]
pub struct Hand {
    /// Whose inbox it is.
    pub owner: Owner,
    /// The tab that needs not be told.
    pub except: Option<SocketId>,
    /// The time.
    pub now: Timestamp,
}

/// How an inbox stands after a change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changed {
    /// The notification, as it is now.
    #[serde(flatten)]
    pub notification: InboxResource,
    /// How many are unread now.
    pub unread_count: i64,
}

/// Whoever changes an inbox waits for whoever else does: two that wait for each other's rows, and for their turn to write
/// events, would wait for ever. What comes into it meanwhile waits for nobody. Gives the zone of its owner.
pub(super) async fn hold(conn: &mut Conn, (tenant, user): Owner) -> Result<Zone> {
    let of_tenant = tenants::table.filter(tenants::id.eq(users::tenant_id)).select(tenants::timezone);
    let query = users::table
        .filter(users::id.eq(user).and(users::tenant_id.eq(tenant)))
        .select((users::timezone, of_tenant.single_value()));
    let found: Option<(Option<String>, Option<String>)> =
        on_conn_locking!(conn, query, |q, c| q.first(c).await.optional())?;
    let (own, tenants) = found.ok_or_else(|| Error::not_found("user"))?;
    Ok(recipients::zone_of(own.as_deref(), tenants.as_deref()))
}

/// Makes a change. The events are the caller's to write, last in the same transaction.
pub async fn mark(
    conn: &mut Conn,
    hand: Hand,
    id: NotificationId,
    mark: Mark,
) -> Result<(Changed, Vec<NewEvent>)> {
    let Hand { owner, except, now } = hand;
    let zone = hold(conn, owner).await?;
    let is_new = set(conn, (owner, &zone), id, mark, now).await?;
    if is_new && matches!(mark, Mark::Read | Mark::Unread) {
        note_reading(conn, id, (mark == Mark::Read).then_some(now)).await?;
    }
    if is_new {
        outbox::take_turn(conn).await?;
    }
    let notification = find(conn, owner, id, now).await?;
    let changed = Changed { notification, unread_count: unread_count(conn, owner, now).await? };
    if !is_new {
        return Ok((changed, Vec::new()));
    }
    let data = json!({
        "id": id, "is_read": changed.notification.is_read, "read_at": changed.notification.read_at,
        "is_archived": changed.notification.is_archived, "archived_at": changed.notification.archived_at,
        "unread_count": changed.unread_count,
    });
    let event = for_user(owner, "notification:updated", &data, except)?;
    Ok((changed, vec![event]))
}

/// Marks as read. The first time that says something of its owner's habits.
async fn read(
    conn: &mut Conn,
    (owner, zone): (Owner, &Zone),
    id: NotificationId,
    now: Timestamp,
) -> Result<bool> {
    let row = present(owner.0, owner.1, now).filter(i::id.eq(id).and(i::read_at.is_null()));
    let query = row.select((i::created_at, i::was_read));
    let unread: Option<(Timestamp, bool)> = on_conn!(conn, c => query.first(c).await.optional())?;
    let Some((came_at, was_read)) = unread else { return Ok(false) };
    let set = (i::read_at.eq(now), i::was_read.eq(true));
    on_conn!(conn, c => diesel::update(i::table.find(id)).set(set).execute(c).await)?;
    if !was_read {
        note_habit(conn, owner, came_at, (zone, now)).await?;
    }
    Ok(true)
}

/// Whether it was otherwise before.
async fn set(
    conn: &mut Conn,
    (owner, zone): (Owner, &Zone),
    id: NotificationId,
    mark: Mark,
    now: Timestamp,
) -> Result<bool> {
    let (tenant, user) = owner;
    let row = present(tenant, user, now).filter(i::id.eq(id));
    let never: Option<Timestamp> = None;
    let count = match mark {
        Mark::Read => return read(conn, (owner, zone), id, now).await,
        Mark::Unread => {
            let row = row.filter(i::read_at.is_not_null());
            on_conn!(conn, c => diesel::update(row).set(i::read_at.eq(never)).execute(c).await)?
        }
        Mark::Archived => {
            let row = row.filter(i::archived_at.is_null());
            on_conn!(conn, c => diesel::update(row).set(i::archived_at.eq(now)).execute(c).await)?
        }
        Mark::Unarchived => {
            let row = row.filter(i::archived_at.is_not_null());
            on_conn!(conn, c => diesel::update(row).set(i::archived_at.eq(never)).execute(c).await)?
        }
    };
    Ok(count > 0)
}

/// The history knows when what was in the inbox was read. Rows of other channels are their carriers', who hold them
/// while they wait for the event order lock: to wait for such a row with that lock in hand would be a deadlock.
async fn note_reading(conn: &mut Conn, id: NotificationId, read_at: Option<Timestamp>) -> Result<()> {
    let rows = l::table.filter(l::in_app_id.eq(id).and(l::channel.eq(Channel::InApp)));
    on_conn!(conn, c => diesel::update(rows).set(l::read_at.eq(read_at)).execute(c).await)?;
    Ok(())
}

/// What came then was read for the first time.
pub(super) async fn note_habit(
    conn: &mut Conn,
    owner: Owner,
    came_at: Timestamp,
    (zone, now): (&Zone, Timestamp),
) -> Result<()> {
    let observed = Observation::read(came_at, now, zone);
    engagement::note(conn, observed.into_iter().map(|one| (owner, one))).await
}

/// Deletes a notification; the history keeps that it was sent.
pub async fn delete(conn: &mut Conn, hand: Hand, id: NotificationId) -> Result<Vec<NewEvent>> {
    let Hand { owner, except, now } = hand;
    let (tenant, user) = owner;
    hold(conn, owner).await?;
    let row = present(tenant, user, now).filter(i::id.eq(id));
    if on_conn!(conn, c => diesel::delete(row).execute(c).await)? == 0 {
        return Err(Error::not_found("notification"));
    }
    outbox::take_turn(conn).await?;
    let data = json!({"id": id, "unread_count": unread_count(conn, owner, now).await?});
    Ok(vec![for_user(owner, "notification:deleted", &data, except)?])
}
