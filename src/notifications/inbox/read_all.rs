//! Marking all that is unread as read.
//!
//! Of a long inbox most is marked part by part, each a transaction of its own, so that nobody waits long for a turn to
//! write events. A part tells which notifications it marked: a tab that takes each event as it comes counts right
//! between the parts, too. How many are unread is said by the last event alone; to count them at each part would cost
//! more than the parts.

use super::change::{hold, note_habit};
use super::events::for_user;
use super::{Hand, Owner, unread_count};
use crate::domain::{NotificationId, Result, Timestamp};
use crate::notifications::Channel;
use crate::storage::outbox::{self, NewEvent};
use crate::storage::page::keyset::{UserAfter, UserBefore, UserNewest, UserOldest};
use crate::storage::schema::{in_app_notifications as i, notification_log as l};
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::json;

/// Notifications that one transaction marks.
pub const PART: usize = 1_000;

/// What was done to a whole inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AllRead {
    /// How many became read.
    pub updated: i64,
    /// How many are unread now.
    pub unread_count: i64,
}

/// Whether more is unread than one transaction marks.
pub async fn is_long(conn: &mut Conn, owner: Owner, now: Timestamp) -> Result<bool> {
    Ok(unread_after(conn, owner, NotificationId(0), now).await?.len() > PART)
}

/// Marks the oldest [`PART`] of what is unread behind `after`, and says how many became read and where the next part
/// begins. None where no more are left than that: they are [`mark_all_read`]'s. The events are the caller's to write,
/// last in the same transaction.
pub async fn mark_part_read(
    conn: &mut Conn,
    hand: Hand,
    after: NotificationId,
) -> Result<Option<(i64, NotificationId, Vec<NewEvent>)>> {
    let Hand { owner, except, now } = hand;
    hold(conn, owner).await?;
    let mut ids = unread_after(conn, owner, after, now).await?;
    if ids.len() <= PART {
        return Ok(None);
    }
    ids.truncate(PART);
    let last = ids.as_slice().last().copied().unwrap_or(after);
    let read = set_read(conn, ids, now).await?;
    let data = json!({"ids": read, "read_at": now, "updated": read.len()});
    let event = for_user(owner, "notification:read_some", &data, except)?;
    Ok(Some((count(&read), last, vec![event])))
}

/// Marks all that is unread as read, what came in the meantime among it; so many were marked in parts before.
pub async fn mark_all_read(conn: &mut Conn, hand: Hand, before: i64) -> Result<(AllRead, Vec<NewEvent>)> {
    let Hand { owner, except, now } = hand;
    let zone = hold(conn, owner).await?;
    // Most of them before the others have to wait, and what they wrote until then after it.
    let newest = newest_unseen(conn, owner, now).await?;
    let first = read_all(conn, owner, now).await?;
    if let Some(came_at) = newest {
        note_habit(conn, owner, came_at, (&zone, now)).await?;
    }
    outbox::take_turn(conn).await?;
    let rest = read_all(conn, owner, now).await?;
    let updated = before + first + rest;
    let all = AllRead { updated, unread_count: unread_count(conn, owner, now).await? };
    if updated == 0 {
        return Ok((all, Vec::new()));
    }
    let data = json!({"read_at": now, "updated": updated, "unread_count": all.unread_count});
    let event = for_user(owner, "notification:read_all", &data, except)?;
    Ok((all, vec![event]))
}

/// When the newest of what is unread came, unless it was read before. Who clears an inbox was there, and that is all it
/// says: it counts as the reading of one notification. Parts begin with the oldest, so it is in none of them.
async fn newest_unseen(conn: &mut Conn, (tenant, user): Owner, now: Timestamp) -> Result<Option<Timestamp>> {
    let newest = i::table
        .filter(UserBefore(tenant, user, i64::MAX))
        .filter(i::read_at.is_null().and(i::archived_at.is_null()))
        .filter(i::expires_at.is_null().or(i::expires_at.gt(now)))
        .order(UserNewest)
        .select((i::created_at, i::was_read));
    let newest: Option<(Timestamp, bool)> = on_conn!(conn, c => newest.first(c).await.optional())?;
    Ok(newest.filter(|(_, was_read)| !was_read).map(|(came_at, _)| came_at))
}

async fn read_all(conn: &mut Conn, owner: Owner, now: Timestamp) -> Result<i64> {
    let (mut updated, mut after) = (0, NotificationId(0));
    loop {
        let ids = unread_after(conn, owner, after, now).await?;
        let Some(last) = ids.as_slice().last().copied() else { return Ok(updated) };
        updated += count(&set_read(conn, ids, now).await?);
        after = last;
    }
}

/// The oldest, one more than a part of them, as their index has them.
async fn unread_after(
    conn: &mut Conn,
    (tenant, user): Owner,
    after: NotificationId,
    now: Timestamp,
) -> Result<Vec<NotificationId>> {
    let unread = i::table
        .filter(UserAfter(tenant, user, after.0))
        .filter(i::read_at.is_null().and(i::archived_at.is_null()))
        .filter(i::expires_at.is_null().or(i::expires_at.gt(now)))
        .order(UserOldest)
        .limit(i64::try_from(PART + 1).unwrap_or(i64::MAX))
        .select(i::id);
    Ok(on_conn!(conn, c => unread.load(c).await)?)
}

/// Those of them that became read, in the inbox and in the history.
async fn set_read(conn: &mut Conn, ids: Vec<NotificationId>, now: Timestamp) -> Result<Vec<NotificationId>> {
    let unread =
        i::table.filter(i::id.eq_any(ids)).filter(i::read_at.is_null().and(i::archived_at.is_null()));
    let read: Vec<NotificationId> = on_conn!(conn, c =>
        diesel::update(unread).set((i::read_at.eq(now), i::was_read.eq(true))).returning(i::id).get_results(c).await)?;
    let rows = l::table.filter(l::in_app_id.eq_any(&read).and(l::channel.eq(Channel::InApp)));
    on_conn!(conn, c => diesel::update(rows).set(l::read_at.eq(now)).execute(c).await)?;
    Ok(read)
}

fn count(read: &[NotificationId]) -> i64 {
    i64::try_from(read.len()).unwrap_or(i64::MAX)
}
