//! `TokenUse`: writes `last_used_at` at most once a minute, and never while a request waits.

use crate::domain::{Result, Timestamp, TokenId};
use crate::storage::schema::personal_access_tokens as tokens;
use crate::storage::{Db, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_mins(1);

/// Tokens remembered before those noted longer ago than the interval are forgotten.
const REMEMBERED: usize = 10_000;

/// Notes that tokens were used. Cloning shares the memory of who was noted when, which keeps a burst of
/// requests from queueing one write each before the first is through.
#[derive(Clone)]
pub(super) struct TokenUse {
    db: Db,
    noted: Arc<Mutex<Noted>>,
}

impl TokenUse {
    pub(super) fn new(db: Db) -> Self {
        Self { db, noted: Arc::default() }
    }

    /// Starts a write in the background when the last one is a minute old. A failure is logged and makes
    /// nobody wait; the next use in a minute tries again.
    pub(super) fn note(&self, id: TokenId, last_used_at: Option<Timestamp>, now: Timestamp) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if !noted.is_due(id, last_used_at, now) {
            return;
        }
        drop(noted);
        let db = self.db.clone();
        actix_rt::spawn(async move {
            if let Err(error) = write(&db, id, now).await {
                tracing::warn!(%error, token.id = id.0, "last_used_at of a token could not be written");
            }
        });
    }
}

/// As Eloquent's `save`, it moves `updated_at` too. Another process may have been faster.
async fn write(db: &Db, id: TokenId, now: Timestamp) -> Result<()> {
    let now = now.whole_seconds();
    let unused = tokens::last_used_at.is_null().or(tokens::last_used_at.le(now.minus(INTERVAL)));
    let query = diesel::update(tokens::table.filter(tokens::id.eq(id)).filter(unused))
        .set((tokens::last_used_at.eq(now), tokens::updated_at.eq(now)));
    db.transaction(async |conn| {
        on_conn!(conn, c => query.execute(c).await)?;
        Ok(())
    })
    .await
}

/// When each token was last noted by this process.
#[derive(Default)]
struct Noted(HashMap<TokenId, Timestamp>);

impl Noted {
    /// Whether a write is due; if so, it counts as done.
    fn is_due(&mut self, id: TokenId, last_used_at: Option<Timestamp>, now: Timestamp) -> bool {
        let fresh = |at: &Timestamp| now.since(*at) < INTERVAL;
        if last_used_at.as_ref().is_some_and(fresh) || self.0.get(&id).is_some_and(fresh) {
            return false;
        }
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, at| fresh(at));
        }
        self.0.insert(id, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn a_use_is_noted_once_a_minute() {
        let mut noted = Noted::default();
        assert!(noted.is_due(TokenId(1), None, at(0)));
        assert!(!noted.is_due(TokenId(1), None, at(59)));
        assert!(noted.is_due(TokenId(2), None, at(59)));
        assert!(noted.is_due(TokenId(1), None, at(60)));
    }

    #[test]
    fn a_note_of_another_process_counts() {
        assert!(!Noted::default().is_due(TokenId(1), Some(at(1)), at(60)));
        assert!(Noted::default().is_due(TokenId(1), Some(at(1)), at(61)));
    }

    #[test]
    fn what_was_noted_long_ago_is_forgotten_when_memory_is_full() {
        let mut noted = Noted::default();
        for id in 0..=i64::try_from(REMEMBERED).unwrap() {
            noted.is_due(TokenId(id), None, at(id / 100));
        }
        assert!(noted.0.len() < REMEMBERED);
    }
}
