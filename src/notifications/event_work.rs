//! `EventWork`: tells those who subscribed of the events of their tenant's catalog.
//!
//! It reads on in the outbox from a cursor, which moves in the transaction that notifies: so each event is told once,
//! whichever of several processes does it, and whoever dies in between. An event that more want than one batch takes is
//! told page by page; the cursor says which user was the last. Where nobody wants anything, which is the rule, nothing is
//! written: how far was looked is kept in memory, and in the row only now and then.
//!
//! Only what happens after somebody subscribed is told them.

use super::charges::Charges;
use super::decision::Trigger;
use super::dispatch::{self, Content, Dispatched, Extras, Message, Notice, Terms, Wordings};
use super::event_words;
use super::herald::Herald;
use super::send_limits::SendLimits;
use super::subscription_rows::{self, Wanting};
use super::worker::{Turn, Work};
use super::{Channel, NotificationType, Priority};
use crate::domain::{ChannelName, Clock, Committed, Event, EventId, Result, TenantId, Timestamp, UserId};
use crate::storage::schema::notification_cursors as n;
use crate::storage::{Conn, Db, on_conn, on_conn_skipping_locked, outbox};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The name of the cursor.
const CURSOR: &str = "subscriptions";

/// Events of one look.
const PAGE: i64 = 200;

/// So many events that nobody wanted are looked at again, at most, after a start.
const NOTE_EVERY: i64 = 1_000;

/// For a [`WorkerActor`](super::worker::WorkerActor).
#[derive(Clone)]
pub struct EventWork {
    /// The rows.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// How much one user may be sent.
    pub limits: Arc<SendLimits>,
    /// Who is told of what was sent; nobody where there is no server.
    pub herald: Option<Herald>,
    /// Up to which event this process has found nothing to tell; zero at first.
    pub seen: Arc<AtomicI64>,
}

/// Every event up to this one is done; and the one after it, for the users up to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    event: EventId,
    user: UserId,
}

/// What is to be told, and how far it goes.
struct Batch {
    notices: Vec<Notice>,
    position: Position,
    /// Whether it was cut off at its bound.
    is_full: bool,
}

impl EventWork {
    /// Tells of some events.
    pub async fn tell_some(&self) -> Result<Turn> {
        let now = self.clock.now();
        let mut conn = self.db.read().await?;
        let Some(kept) = kept(&mut conn).await? else {
            drop(conn);
            begin(&self.db, now).await?;
            return Ok(Turn::Again);
        };
        let start = self.start(kept);
        let events = outbox::read_after(&mut conn, start.event, PAGE).await?;
        let Some(last) = events.as_slice().last().map(|event| event.id) else { return Ok(Turn::Sleep(None)) };
        let wanting = wanting(&mut conn, &events).await?;
        drop(conn);
        let is_wanted = start.user.0 > 0 || events.iter().any(|event| !told_of(event, &wanting).is_empty());
        if !is_wanted {
            self.pass_over(kept, last, now).await?;
            let is_all = events.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            return Ok(if is_all { Turn::Sleep(None) } else { Turn::Again });
        }
        let charges = Charges::new(&self.limits);
        let told = self.db.transaction(async |conn| self.tell(conn, &charges, now).await).await?;
        charges.keep();
        let Some(committed) = told else { return Ok(Turn::Sleep(None)) };
        if let Some(herald) = &self.herald {
            herald.tell(committed);
        }
        Ok(Turn::Again)
    }

    /// Where to go on: what was only looked at in this process counts, unless an event is half told.
    fn start(&self, kept: Position) -> Position {
        let seen = EventId(AtomicI64::load(&self.seen, Ordering::Relaxed));
        if kept.user.0 > 0 || kept.event >= seen { kept } else { Position { event: seen, user: UserId(0) } }
    }

    /// Nobody wants any of the events up to this one. Should the note of it be lost, they are looked at again.
    async fn pass_over(&self, kept: Position, last: EventId, now: Timestamp) -> Result<()> {
        self.seen.fetch_max(last.0, Ordering::Relaxed);
        if last.0 - kept.event.0 < NOTE_EVERY {
            return Ok(());
        }
        let row =
            n::table.filter(n::name.eq(CURSOR).and(n::event_id.eq(kept.event)).and(n::user_id.eq(UserId(0))));
        let set = (n::event_id.eq(last), n::updated_at.eq(now));
        let note = async |conn: &mut Conn| {
            on_conn!(conn, c => diesel::update(row).set(set).execute(c).await)?;
            Ok(())
        };
        self.db.transaction_relaxed(note).await
    }

    /// None when another process is at it.
    async fn tell(
        &self,
        conn: &mut Conn,
        charges: &Charges<'_>,
        now: Timestamp,
    ) -> Result<Option<Committed>> {
        let held = n::table.filter(n::name.eq(CURSOR)).select((n::event_id, n::user_id));
        let kept: Option<(EventId, UserId)> =
            on_conn_skipping_locked!(conn, held, |q, c| q.first(c).await.optional())?;
        let Some((event, user)) = kept else { return Ok(None) };
        let start = self.start(Position { event, user });
        let events = outbox::read_after(conn, start.event, PAGE).await?;
        let wanting = wanting(conn, &events).await?;
        let Batch { notices, position, is_full } = batch(conn, &events, &wanting, start).await?;
        let terms = Terms { limits: Some(charges), except: None, now };
        let Dispatched { events, .. } = dispatch::dispatch(conn, &notices, terms).await?;
        let set = (n::event_id.eq(position.event), n::user_id.eq(position.user), n::updated_at.eq(now));
        let row = n::table.filter(n::name.eq(CURSOR));
        on_conn!(conn, c => diesel::update(row).set(set).execute(c).await)?;
        tracing::debug!(notices = notices.len(), is_full, "subscribers are told of events");
        outbox::write(conn, events, now).await.map(Some)
    }
}

async fn kept(conn: &mut Conn) -> Result<Option<Position>> {
    let query = n::table.filter(n::name.eq(CURSOR)).select((n::event_id, n::user_id));
    let row: Option<(EventId, UserId)> = on_conn!(conn, c => query.first(c).await.optional())?;
    Ok(row.map(|(event, user)| Position { event, user }))
}

/// The first time it begins with what happens from now on: called before the doors open, that is all that ever does.
pub async fn begin(db: &Db, now: Timestamp) -> Result<()> {
    if kept(&mut db.read().await?).await?.is_some() {
        return Ok(());
    }
    db.transaction(async |conn| {
        let last = outbox::last_id(conn).await?;
        let values =
            (n::name.eq(CURSOR), n::event_id.eq(last), n::user_id.eq(UserId(0)), n::updated_at.eq(now));
        let new = diesel::insert_into(n::table).values(values).on_conflict_do_nothing();
        on_conn!(conn, c => new.execute(c).await)?;
        Ok(())
    })
    .await
}

/// Whether subscribers may be told of it: what happens to the tenant's catalog is told on its channel.
fn is_of_catalog(event: &Event) -> bool {
    event.channel == ChannelName::tenant(event.tenant_id) && !event.name.as_str().starts_with("webhook:")
}

async fn wanting(conn: &mut Conn, events: &[Event]) -> Result<Vec<Wanting>> {
    let told: Vec<&Event> = events.iter().filter(|event| is_of_catalog(event)).collect();
    let tenants: BTreeSet<TenantId> = told.iter().map(|event| event.tenant_id).collect();
    let names: BTreeSet<&str> = told.iter().map(|event| event.name.as_str()).collect();
    subscription_rows::wanting(conn, tenants, &names).await
}

/// Who is told of an event, and on which channels.
fn told_of(event: &Event, wanting: &[Wanting]) -> BTreeMap<UserId, BTreeSet<Channel>> {
    let mut told: BTreeMap<UserId, BTreeSet<Channel>> = BTreeMap::new();
    if !is_of_catalog(event) {
        return told;
    }
    let wants = |one: &&Wanting| {
        one.tenant == event.tenant_id
            && one.since <= event.created_at
            && one.subscription.active
            && one.subscription.events.accepts(event.name.as_str())
    };
    for one in wanting.iter().filter(wants) {
        told.entry(one.user).or_default().extend(one.subscription.channels.iter().copied());
    }
    told
}

/// Up to as many notices as one dispatch takes.
async fn batch(conn: &mut Conn, events: &[Event], wanting: &[Wanting], start: Position) -> Result<Batch> {
    let mut batch = Batch { notices: Vec::new(), position: start, is_full: false };
    let mut templates = BTreeMap::new();
    let mut after = start.user;
    for event in events {
        let told = told_of(event, wanting);
        let mut messages: BTreeMap<BTreeSet<Channel>, Arc<Message>> = BTreeMap::new();
        for (user, channels) in told.into_iter().filter(|(user, _)| *user > after) {
            if batch.notices.len() >= dispatch::MOST {
                batch.is_full = true;
                return Ok(batch);
            }
            let message = match messages.get(&channels) {
                Some(message) => message.clone(),
                None => match message(conn, event, channels.clone(), &mut templates).await? {
                    Some(message) => {
                        let message = Arc::new(message);
                        messages.insert(channels, message.clone());
                        message
                    }
                    None => break,
                },
            };
            let (tenant, trigger) = (event.tenant_id, Trigger::Immediate);
            batch.notices.push(Notice { tenant, recipient: user, message, trigger, scheduled: None });
            batch.position.user = user;
        }
        after = UserId(0);
        batch.position = Position { event: event.id, user: after };
    }
    Ok(batch)
}

type Templates = BTreeMap<(TenantId, &'static str), Option<Arc<Wordings>>>;

/// None for an event that no notification can be called after.
async fn message(
    conn: &mut Conn,
    event: &Event,
    channels: BTreeSet<Channel>,
    templates: &mut Templates,
) -> Result<Option<Message>> {
    let name = event.name.as_str();
    let Ok(kind) = NotificationType::parse(name) else { return Ok(None) };
    let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
    let (code, variables) = event_words::words(name, &data);
    let key = (event.tenant_id, code);
    if let Entry::Vacant(place) = templates.entry(key) {
        place.insert(Wordings::of_code(conn, event.tenant_id, code).await.ok().map(Arc::new));
    }
    let content = match templates.get(&key).cloned().flatten() {
        Some(wordings) => Content::Template { wordings, variables },
        None => Content::Words { title: name.to_owned(), body: event_words::summary(name, &data) },
    };
    let about = [
        ("event", json!(name)),
        ("id", data.get("id").or(data.get("productId")).cloned().unwrap_or_default()),
    ];
    let about = about.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let extras = Extras { data: Some(about), ..Extras::default() };
    Ok(Some(Message { kind, priority: Priority::Normal, content, extras, channels: Some(channels) }))
}

impl Work for EventWork {
    fn name(&self) -> &'static str {
        "event subscriptions"
    }

    fn turn(&self) -> LocalBoxFuture<'static, Result<Turn>> {
        let work = self.clone();
        Box::pin(async move { work.tell_some().await })
    }
}
