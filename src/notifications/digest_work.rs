//! `DigestWork`: sends the digests that are due.
//!
//! A digest's row is held from the look at what is in it to the mark that it has gone, in one transaction with all
//! that tells of it: whoever puts something into it either does so before, or finds it gone and takes the next. Of several
//! processes each takes those that no other holds. One that cannot be sent does not hold up the others.

use super::decision::Trigger;
use super::digest::DigestFrequency;
use super::digest_items::{self, Contents};
use super::dispatch::{self, Content, Dispatched, Extras, Message, Notice, Outcome, Terms, Wordings};
use super::herald::Herald;
use super::recipients;
use super::retry::RetryRule;
use super::template::Variables;
use super::worker::{Turn, Work};
use super::{Channel, NotificationType, Priority};
use crate::domain::{
    Clock, Code, Committed, DigestId, Error, NotificationId, Result, TenantId, Timestamp, UserId,
};
use crate::storage::schema::notification_digests as d;
use crate::storage::{Conn, Db, condition, on_conn, on_conn_locking, on_conn_skipping_locked, outbox};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::future::LocalBoxFuture;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Digests of one transaction.
const BATCH: usize = 100;

/// For a [`WorkerActor`](super::worker::WorkerActor).
#[derive(Clone)]
pub struct DigestWork {
    /// The rows.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Who is told of what was sent; nobody where there is no server.
    pub herald: Option<Herald>,
}

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = d, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct Row {
    id: DigestId,
    tenant_id: TenantId,
    user_id: UserId,
    channel_type: Channel,
    frequency: DigestFrequency,
    attempts: i32,
}

condition!(
    /// As text, so that the partial index is used.
    Pending, "notification_digests.status = 'pending'"
);

impl DigestWork {
    /// Sends some of what is due.
    pub async fn send_some(&self) -> Result<Turn> {
        let now = self.clock.now();
        match self.send(BATCH, now).await {
            Ok(None) => Ok(Turn::Sleep(next_due(&self.db).await?)),
            Ok(Some(committed)) => {
                self.tell(committed);
                Ok(Turn::Again)
            }
            // One of them, perhaps: one by one the others go.
            Err(error) => {
                tracing::warn!(%error, "digests could not be sent together");
                self.send_singly(now).await?;
                Ok(Turn::Again)
            }
        }
    }

    async fn send_singly(&self, now: Timestamp) -> Result<()> {
        for _ in 0..BATCH {
            let mut taken = None;
            let done = self.db.transaction(async |conn| {
                let rows = due(conn, 1, now).await?;
                taken = rows.as_slice().first().cloned();
                send_these(conn, rows, now).await
            });
            match (done.await, taken) {
                (Ok(None), _) => return Ok(()),
                (Ok(Some(committed)), _) => self.tell(committed),
                (Err(error), Some(row)) => {
                    self.db.transaction(async |conn| put_off(conn, &row, &error, now).await).await?;
                }
                (Err(error), None) => return Err(error),
            }
        }
        Ok(())
    }

    async fn send(&self, most: usize, now: Timestamp) -> Result<Option<Committed>> {
        let work = async |conn: &mut Conn| {
            let rows = due(conn, most, now).await?;
            send_these(conn, rows, now).await
        };
        self.db.transaction(work).await
    }

    fn tell(&self, committed: Committed) {
        if let Some(herald) = &self.herald {
            herald.tell(committed);
        }
    }
}

async fn due(conn: &mut Conn, most: usize, now: Timestamp) -> Result<Vec<Row>> {
    let query = d::table
        .filter(Pending)
        .filter(d::next_attempt_at.le(now))
        .order((d::next_attempt_at, d::id))
        .limit(i64::try_from(most).unwrap_or(i64::MAX));
    Ok(on_conn_skipping_locked!(conn, query, |q, c| q.select(Row::as_select()).load(c).await)?)
}

async fn next_due(db: &Db) -> Result<Option<Timestamp>> {
    let query = d::table.filter(Pending).select(diesel::dsl::min(d::next_attempt_at));
    Ok(on_conn!(&mut db.read().await?, c => query.first(c).await)?)
}

async fn send_these(conn: &mut Conn, rows: Vec<Row>, now: Timestamp) -> Result<Option<Committed>> {
    if rows.is_empty() {
        return Ok(None);
    }
    let users: BTreeSet<UserId> = rows.iter().map(|row| row.user_id).collect();
    let names: HashMap<UserId, String> =
        recipients::read(conn, &users).await?.into_iter().map(|(id, known)| (id, known.name)).collect();
    let mut wordings = BTreeMap::new();
    let (mut notices, mut sent) = (Vec::new(), Vec::new());
    for row in &rows {
        let contents = digest_items::read(conn, row.id, now).await?;
        if contents.count == 0 {
            let message = "All that was in it had expired.".to_owned();
            finish(conn, row, End::Failed("expired", message), now).await?;
            continue;
        }
        let code = row.channel_type.driver().digest_template();
        let texts = if let Some(texts) = wordings.get(&(row.tenant_id, code)) {
            Arc::clone(texts)
        } else {
            let texts = Arc::new(Wordings::of_code(conn, row.tenant_id, code).await?);
            wordings.insert((row.tenant_id, code), texts.clone());
            texts
        };
        let name = names.get(&row.user_id).map_or("", String::as_str);
        notices.push(notice(row, name, &contents, texts)?);
        sent.push(row);
    }
    let terms = Terms { limits: None, except: None, now };
    let Dispatched { events, outcomes, .. } = dispatch::dispatch(conn, &notices, terms).await?;
    for (row, outcome) in sent.into_iter().zip(&outcomes) {
        close(conn, row, outcome, now).await?;
    }
    outbox::write(conn, events, now).await.map(Some)
}

fn notice(row: &Row, name: &str, contents: &Contents, wordings: Arc<Wordings>) -> Result<Notice> {
    let variables = Variables::from_iter([
        ("user_name".to_owned(), json!(name)),
        ("frequency".to_owned(), json!(row.frequency)),
        ("count".to_owned(), json!(contents.count)),
        ("items".to_owned(), contents.items()),
    ]);
    let message = Message {
        kind: NotificationType::parse("digest").map_err(|e| Error::new(Code::Internal, e))?,
        priority: Priority::Normal,
        content: Content::Template { wordings, variables },
        extras: Extras { data: Some(contents.data()), ..Extras::default() },
        channels: Some(BTreeSet::from([row.channel_type])),
    };
    let (tenant, recipient, message) = (row.tenant_id, row.user_id, Arc::new(message));
    Ok(Notice { tenant, recipient, message, trigger: Trigger::Digest, scheduled: None })
}

/// It has gone, or will not.
async fn close(conn: &mut Conn, row: &Row, outcome: &Outcome, now: Timestamp) -> Result<()> {
    let end = match outcome {
        Outcome::Sent(sent) => End::Sent(sent.in_app),
        Outcome::Deferred(time) => End::Failed(time.reason.as_str(), time.reason.to_string()),
        Outcome::Skipped(reason) => End::Failed(reason.as_str(), reason.to_string()),
        Outcome::Failed(failure) => End::Failed(failure.reason.as_str(), failure.message.clone()),
    };
    finish(conn, row, end, now).await
}

/// How a digest ended.
#[derive(Debug)]
enum End {
    /// With its row in the inbox, if it went there.
    Sent(Option<NotificationId>),
    /// Why, for programs and for people.
    Failed(&'static str, String),
}

/// What was in it is of no use any more, and its history is told.
async fn finish(conn: &mut Conn, row: &Row, end: End, now: Timestamp) -> Result<()> {
    let error = match &end {
        End::Sent(_) => None,
        End::Failed(_, message) => Some(message.clone()),
    };
    let set = (
        d::status.eq(if error.is_none() { "delivered" } else { "failed" }),
        d::attempts.eq(row.attempts.saturating_add(1)),
        d::last_error.eq(error),
        d::updated_at.eq(now),
    );
    on_conn!(conn, c => diesel::update(d::table.find(row.id)).set(set).execute(c).await)?;
    digest_items::forget(conn, row.id).await?;
    match end {
        End::Sent(in_app) => digest_items::note_sent(conn, row.id, in_app, now).await,
        End::Failed(reason, message) => {
            digest_items::note_failed(conn, row.id, (reason, &message), now).await
        }
    }
}

/// It is tried again later, or never.
async fn put_off(conn: &mut Conn, row: &Row, error: &Error, now: Timestamp) -> Result<()> {
    let attempt = row.attempts.saturating_add(1);
    let wait = RetryRule::default().after(u32::try_from(attempt).unwrap_or(u32::MAX), rand::random());
    let same = d::table.filter(Pending).filter(d::id.eq(row.id).and(d::attempts.eq(row.attempts)));
    let Some(wait) = wait else {
        let held = same.select(d::id);
        let found: Option<DigestId> = on_conn_locking!(conn, held, |q, c| q.first(c).await.optional())?;
        return match found {
            Some(_) => finish(conn, row, End::Failed("exhausted", error.message().to_owned()), now).await,
            None => Ok(()),
        };
    };
    let set = (
        d::attempts.eq(attempt),
        d::last_error.eq(error.message()),
        d::next_attempt_at.eq(now.plus(wait)),
        d::updated_at.eq(now),
    );
    on_conn!(conn, c => diesel::update(same).set(set).execute(c).await)?;
    Ok(())
}

impl Work for DigestWork {
    fn name(&self) -> &'static str {
        "digests"
    }

    fn turn(&self) -> LocalBoxFuture<'static, Result<Turn>> {
        let work = self.clone();
        Box::pin(async move { work.send_some().await })
    }
}
