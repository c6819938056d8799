//! What is in a digest, and its history: a row for each notification that was gathered, which ends when the digest does.

use super::Channel;
use super::dispatch::{Extras, FailureReason};
use super::status::Status;
use super::template::{Variables, excerpt};
use crate::domain::{DigestId, HistoryId, NotificationId, Result, Timestamp};
use crate::storage::schema::{notification_log as l, pending_digest_notifications as i};
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

/// What one digest shows; the rest is counted.
const SHOWN: usize = 100;

/// Characters of what it shows: what a text may have, less what a template puts around them.
const ROOM: usize = 8_000;

/// Characters of one body.
const EXCERPT: usize = 300;

/// What belongs to the items beside their words may be so long, as JSON text: what `data` of any notification may be.
const MOST_BYTES: usize = 8_192;

/// What is shown of a digest, and how much there is.
#[derive(Debug, Default)]
pub(super) struct Contents {
    shown: Vec<Value>,
    /// What belongs to what is shown, as far as there is room.
    about: Vec<Value>,
    pub(super) count: usize,
}

impl Contents {
    /// For templates: `title`, `body`, `type`, `action`, `icon` and `data` of each.
    pub(super) fn items(&self) -> Value {
        let mut items = self.shown.clone();
        let more = self.count.saturating_sub(items.len());
        if more > 0 {
            items.push(json!({"title": format!("… {more} more"), "body": "", "type": "", "action": null, "icon": null,
                "data": null}));
        }
        Value::Array(items)
    }

    /// For programs: `type`, `title`, `action`, `icon` and `data` of each that there is room for.
    pub(super) fn data(&self) -> Variables {
        Variables::from_iter([
            ("count".to_owned(), json!(self.count)),
            ("items".to_owned(), Value::Array(self.about.clone())),
        ])
    }

    fn of(rows: Vec<Item>, count: usize) -> Self {
        let mut contents = Self { count, ..Self::default() };
        let (mut room, mut bytes) = (ROOM, MOST_BYTES - 100);
        for Item { notification_type: kind, title, body, payload } in rows {
            let body = excerpt(&body, EXCERPT);
            let Some(left) = room.checked_sub(title.chars().count() + body.chars().count()) else { break };
            room = left;
            let extras: Extras =
                payload.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
            let about = json!({
                "type": kind, "title": title, "action": extras.action, "icon": extras.icon, "data": extras.data,
            });
            let mut shown = json!({
                "title": title, "body": body, "type": kind, "action": null, "icon": null, "data": null,
            });
            if let Some(left) = bytes.checked_sub(about.to_string().len() + 1) {
                bytes = left;
                for part in ["action", "icon", "data"] {
                    shown[part] = about[part].clone();
                }
                contents.about.push(about);
            }
            contents.shown.push(shown);
        }
        contents
    }
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = i, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct Item {
    notification_type: String,
    title: String,
    body: String,
    payload: Option<String>,
}

/// What is in a digest and has not expired.
pub(super) async fn read(conn: &mut Conn, digest: DigestId, now: Timestamp) -> Result<Contents> {
    let fresh =
        i::table.filter(i::digest_id.eq(digest)).filter(i::expires_at.is_null().or(i::expires_at.gt(now)));
    let count: i64 = on_conn!(conn, c => fresh.count().get_result(c).await)?;
    let first = fresh.order(i::id).limit(i64::try_from(SHOWN).unwrap_or(i64::MAX));
    let rows: Vec<Item> = on_conn!(conn, c => first.select(Item::as_select()).load(c).await)?;
    Ok(Contents::of(rows, usize::try_from(count).unwrap_or_default()))
}

/// What was in it is of no use any more.
pub(super) async fn forget(conn: &mut Conn, digest: DigestId) -> Result<()> {
    let items = i::table.filter(i::digest_id.eq(digest));
    on_conn!(conn, c => diesel::delete(items).execute(c).await)?;
    Ok(())
}

/// The history of what went with a digest: where that is in the inbox it has arrived, elsewhere it was handed over. What had
/// expired by then did not go.
pub(super) async fn note_sent(
    conn: &mut Conn,
    digest: DigestId,
    in_app: Option<NotificationId>,
    now: Timestamp,
) -> Result<()> {
    let waiting = l::table.filter(l::digest_id.eq(digest).and(l::status.eq(Status::Pending)));
    let rows: Vec<(HistoryId, Option<String>)> =
        on_conn!(conn, c => waiting.select((l::id, l::payload)).load(c).await)?;
    let is_expired = |payload: &Option<String>| {
        let extras: Option<Extras> = payload.as_deref().and_then(|text| serde_json::from_str(text).ok());
        extras.and_then(|extras| extras.expires_at).is_some_and(|at| at <= now)
    };
    let expired: Vec<HistoryId> =
        rows.iter().filter(|(_, payload)| is_expired(payload)).map(|(id, _)| *id).collect();
    if !expired.is_empty() {
        let set = (
            l::status.eq(Status::Failed),
            l::reason.eq(FailureReason::Expired.as_str()),
            l::error_message.eq("It expired before its digest went."),
            l::updated_at.eq(now),
        );
        let rows = l::table.filter(l::id.eq_any(expired));
        on_conn!(conn, c => diesel::update(rows).set(set).execute(c).await)?;
    }
    let arrived = waiting.filter(l::channel.eq(Channel::InApp));
    let set = (
        l::status.eq(Status::Delivered),
        l::in_app_id.eq(in_app),
        l::sent_at.eq(now),
        l::delivered_at.eq(now),
        l::updated_at.eq(now),
    );
    on_conn!(conn, c => diesel::update(arrived).set(set).execute(c).await)?;
    let set = (l::status.eq(Status::Sent), l::sent_at.eq(now), l::updated_at.eq(now));
    on_conn!(conn, c => diesel::update(waiting).set(set).execute(c).await)?;
    Ok(())
}

/// The history of what was in a digest that did not go.
pub(super) async fn note_failed(
    conn: &mut Conn,
    digest: DigestId,
    (reason, message): (&str, &str),
    now: Timestamp,
) -> Result<()> {
    let waiting = l::table.filter(l::digest_id.eq(digest).and(l::status.eq(Status::Pending)));
    let set = (
        l::status.eq(Status::Failed),
        l::reason.eq(reason),
        l::error_message.eq(message),
        l::updated_at.eq(now),
    );
    on_conn!(conn, c => diesel::update(waiting).set(set).execute(c).await)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(title: &str, body: &str, data: &Value) -> Item {
        let payload = json!({"action": null, "icon": null, "data": data, "expires_at": null}).to_string();
        let (title, body) = (title.to_owned(), body.to_owned());
        Item { notification_type: "promo".to_owned(), title, body, payload: Some(payload) }
    }

    #[test]
    fn a_digest_shows_what_there_is_room_for_and_counts_the_rest() {
        let rows =
            (0..100).map(|_| item(&"t".repeat(255), &"b".repeat(10_000), &json!({"a": "x".repeat(5_000)})));
        let contents = Contents::of(rows.collect(), 240);
        let items = contents.items();
        let items = items.as_array().unwrap();
        assert_eq!(items.len(), 15);
        assert_eq!(items[14]["title"], "… 226 more");
        assert_eq!(items[0]["body"].as_str().unwrap().chars().count(), EXCERPT);
        assert_eq!((items[0]["data"]["a"].as_str().unwrap().len(), &items[1]["data"]), (5_000, &Value::Null));
        let data = Value::Object(contents.data());
        assert!(data.to_string().len() <= MOST_BYTES, "{}", data.to_string().len());
        assert_eq!((data["items"].as_array().unwrap().len(), &data["count"]), (1, &json!(240)));
    }
}
