//! `Past`: what a channel knows when it is opened: the end of its rows in the outbox, and where its clients
//! stood when they were last noted. And how that is noted.

use super::history::History;
use super::positions::{Parked, Positions};
use crate::config::App;
use crate::domain::{ChannelName, Event, EventId, Result, Timestamp, TokenId};
use crate::realtime::cursor::Identity;
use crate::realtime::frame::Frame;
use crate::realtime::protocol::pusher;
use crate::storage::{Db, outbox, positions};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What the tables hold of a channel.
#[derive(Debug)]
pub struct Past {
    /// The last events, oldest first.
    events: Vec<Event>,
    /// The last event before those; zero if there is none.
    floor: EventId,
    /// Where clients stood, as it was noted, and when.
    noted: Option<(String, Timestamp)>,
}

/// One client, as noted: whose, over which connection, and the last row it had.
#[derive(Debug, Serialize, Deserialize)]
struct Noted(Whose, Option<String>, Option<EventId>);

/// An [`Identity`] in JSON.
#[derive(Debug, Serialize, Deserialize)]
enum Whose {
    #[serde(rename = "t")]
    Token(TokenId, #[serde(default)] Option<Arc<str>>),
    #[serde(rename = "u")]
    User(Arc<str>),
    #[serde(rename = "m")]
    Member(Arc<str>),
}

impl Past {
    /// Reads it: at most `messages` events, of the tenant that the app serves.
    pub async fn read(db: &Db, app: &App, channel: &ChannelName, messages: usize) -> Result<Self> {
        let mut conn = db.read().await?;
        let noted = positions::read(&mut conn, &app.id, channel).await?;
        let limit = i64::try_from(messages).unwrap_or(i64::MAX - 1) + 1;
        let mut events = outbox::read_channel_end(&mut conn, channel, app.tenant, limit).await?;
        let floor = if events.len() > messages { events.remove(0).id } else { EventId(0) };
        Ok(Self { events, floor, noted })
    }

    /// The history that it makes, and the clients that may come back.
    pub fn restore(self, name: &ChannelName, mut history: History, now: Timestamp) -> (History, Positions) {
        history.start_after(self.floor);
        for event in self.events {
            let text = pusher::event(name, event.name.as_str(), &event.data, None);
            let place = Some((name.clone(), history.next_offset()));
            let frame = Arc::new(Frame { text, published: None, place });
            history.push(frame, event.except, Some(event.id), event.created_at);
        }
        history.trim(now);
        let mut positions = Positions::default();
        if let Some((text, at)) = self.noted {
            for (identity, parked) in clients(&text, at, &history) {
                positions.park(identity, parked);
            }
        }
        (history, positions)
    }
}

/// The clients in what was noted. Text that cannot be read (of another version) holds none.
fn clients<'a>(
    text: &str,
    at: Timestamp,
    history: &'a History,
) -> impl Iterator<Item = (Identity, Parked)> + 'a {
    let noted: Vec<Noted> = serde_json::from_str(text).unwrap_or_default();
    noted.into_iter().map(move |Noted(whose, socket, row)| {
        let offset = row.and_then(|row| history.offset_at(row).ok());
        let identity = match whose {
            Whose::Token(token, client) => Identity::Token(token, client),
            Whose::User(id) => Identity::User(id),
            Whose::Member(id) => Identity::Member(id),
        };
        (identity, Parked { socket: socket.and_then(|s| s.parse().ok()), offset, at })
    })
}

/// Where the clients of a channel stand now, to be noted.
pub fn note(positions: &Positions, history: &History) -> String {
    let noted: Vec<Noted> = positions
        .rows(history)
        .map(|standing| {
            let whose = match standing.identity.clone() {
                Identity::Token(token, client) => Whose::Token(token, client),
                Identity::User(id) => Whose::User(id),
                Identity::Member(id) => Whose::Member(id),
            };
            Noted(whose, standing.socket.map(|s| s.to_string()), standing.row)
        })
        .collect();
    // Strings and numbers always serialise.
    serde_json::to_string(&noted).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Epoch, EventName, SocketId, TenantId};
    use crate::realtime::channel::history::{Bounds, Total};
    use crate::realtime::channel::positions::Whence;
    use crate::realtime::cursor::Cursor;
    use std::time::Duration;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    fn empty() -> History {
        let total = Arc::new(Total::new(1_000_000));
        let bounds = Bounds { messages: 100, bytes: 100_000, age: Duration::from_mins(2), total };
        History::new(Epoch::from_bits(1), bounds)
    }

    fn event(id: i64, seconds: i64) -> Event {
        Event {
            id: EventId(id),
            message_id: format!("msg_{id}").into(),
            tenant_id: TenantId(1),
            name: EventName::new("product:updated"),
            channel: ChannelName::tenant(TenantId(1)),
            data: "{}".into(),
            except: None,
            created_at: at(seconds),
        }
    }

    fn restored(events: Vec<Event>, floor: i64, noted: &str) -> (History, Positions) {
        let past = Past { events, floor: EventId(floor), noted: Some((noted.to_owned(), at(100))) };
        past.restore(&ChannelName::tenant(TenantId(1)), empty(), at(110))
    }

    fn missed(history: &History, positions: &mut Positions, identity: &Identity) -> Option<Vec<i64>> {
        let Whence::Back(parked) = positions.whence(identity, history, None, at(110)) else { return None };
        let entries = history.since(parked.offset?).ok()?;
        Some(entries.map(|entry| entry.row.0).collect())
    }

    #[test]
    fn who_stood_at_a_row_misses_the_rows_after_it() {
        let ana = Identity::Token(TokenId(7), Some("tab-1".into()));
        let (mut history, mut positions) = (empty(), Positions::default());
        for id in 1..=3 {
            history.push(Frame::answer("x".into()), None, Some(EventId(id)), at(99));
        }
        let cursor = Cursor::new(ana.clone());
        cursor.confirm(2);
        positions.enter(SocketId::from_bits(5), Arc::new(cursor));
        let text = note(&positions, &history);

        let (history, mut positions) = restored((1..=5).map(|id| event(id, 99)).collect(), 0, &text);
        assert_eq!(missed(&history, &mut positions, &ana), Some(vec![3, 4, 5]));
        assert_eq!(missed(&history, &mut positions, &ana), None, "once");
    }

    #[test]
    fn who_stood_before_what_can_be_read_has_a_gap() {
        let ana = Identity::User("1".into());
        let text = r#"[[{"u":"1"},null,3]]"#;
        let (history, mut positions) = restored(vec![event(6, 99)], 5, text);
        assert!(matches!(
            positions.whence(&ana, &history, None, at(110)),
            Whence::Back(Parked { offset: None, .. })
        ));
    }

    #[test]
    fn what_another_version_noted_is_passed_over() {
        let (_, positions) = restored(Vec::new(), 0, "{\"version\":9}");
        assert!(positions.is_empty());
    }
}
