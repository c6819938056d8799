//! How far the clients of a channel had come, kept for after a restart: one row a channel, written again and
//! again while the channel lives.

use super::schema::channel_positions;
use super::{Conn, Db, on_conn};
use crate::domain::{AppId, ChannelName, Result, Timestamp};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// What was noted of the channel last, and when. The text is the realtime room's own.
pub async fn read(
    conn: &mut Conn,
    app: &AppId,
    channel: &ChannelName,
) -> Result<Option<(String, Timestamp)>> {
    let query = channel_positions::table
        .filter(channel_positions::app_id.eq(&*app.0).and(channel_positions::channel.eq(channel.as_str())))
        .select((channel_positions::positions, channel_positions::updated_at));
    Ok(on_conn!(conn, c => query.first(c).await.optional())?)
}

/// Notes the positions of a channel in place of those noted before.
pub async fn write(db: &Db, app: &AppId, channel: &ChannelName, text: &str, now: Timestamp) -> Result<()> {
    let values = (
        channel_positions::app_id.eq(&*app.0),
        channel_positions::channel.eq(channel.as_str()),
        channel_positions::positions.eq(text),
        channel_positions::updated_at.eq(now),
    );
    let news = (channel_positions::positions.eq(text), channel_positions::updated_at.eq(now));
    db.transaction(async |conn| {
        on_conn!(conn, c => diesel::insert_into(channel_positions::table)
            .values(values)
            .on_conflict((channel_positions::app_id, channel_positions::channel))
            .do_update()
            .set(news)
            .execute(c)
            .await)?;
        Ok(())
    })
    .await
}

/// Forgets what was noted before `before`: nobody can come back to it any more.
pub async fn forget(db: &Db, before: Timestamp) -> Result<usize> {
    let old = channel_positions::table.filter(channel_positions::updated_at.lt(before));
    db.transaction(async |conn| Ok(on_conn!(conn, c => diesel::delete(old).execute(c).await)?)).await
}
