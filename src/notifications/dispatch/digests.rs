//! Gathering: puts notices into the digests that they go into.
//!
//! A digest is made by whoever comes first. Its row stands still while something is put into it, and while it is sent:
//! so nothing is put into one that has gone; it goes into the next.

use super::plan::Plan;
use super::rows::text;
use crate::domain::{Code, DigestId, Error, Result, TenantId, Timestamp, UserId};
use crate::notifications::Channel;
use crate::notifications::decision::Decision;
use crate::notifications::digest::{DigestFrequency, DigestWindow};
use crate::storage::schema::{notification_digests as d, pending_digest_notifications};
use crate::storage::{Conn, insert_new_rows, insert_rows, on_conn_locking};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::{BTreeMap, BTreeSet};

/// Digests after the first that may have gone already: with clocks that differ, one.
const MAX_WINDOWS: usize = 4;

/// What makes a digest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    tenant: TenantId,
    user: UserId,
    channel: Channel,
    frequency: DigestFrequency,
    due_at: Timestamp,
}

#[derive(Debug, Insertable)]
#[diesel(table_name = d)]
struct NewDigest {
    tenant_id: TenantId,
    user_id: UserId,
    channel_type: Channel,
    frequency: DigestFrequency,
    due_at: Timestamp,
    status: &'static str,
    next_attempt_at: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl NewDigest {
    fn of(key: Key, now: Timestamp) -> Self {
        Self {
            tenant_id: key.tenant,
            user_id: key.user,
            channel_type: key.channel,
            frequency: key.frequency,
            due_at: key.due_at,
            status: "pending",
            next_attempt_at: key.due_at,
            created_at: now,
            updated_at: now,
        }
    }
}

#[derive(Debug, Insertable)]
#[diesel(table_name = pending_digest_notifications, treat_none_as_default_value = false)]
struct Item {
    digest_id: DigestId,
    notification_type: String,
    title: String,
    body: String,
    payload: Option<String>,
    expires_at: Option<Timestamp>,
    created_at: Timestamp,
}

impl Item {
    fn of(plan: &Plan<'_>, digest_id: DigestId, now: Timestamp) -> Result<Self> {
        let extras = &plan.notice.message.extras;
        Ok(Self {
            digest_id,
            notification_type: plan.notice.message.kind.as_str().to_owned(),
            title: plan.words.title.clone(),
            body: plan.words.body_text.clone(),
            payload: Some(text(extras)?),
            expires_at: extras.expires_at,
            created_at: now,
        })
    }
}

/// With which digest each of these goes out, and when: by the number of its plan, and its channel.
pub(super) type Gathered = BTreeMap<(usize, Channel), (DigestId, Timestamp)>;

/// Puts whatever of the plans is to be gathered into its digest.
pub(super) async fn gather(conn: &mut Conn, plans: &[Plan<'_>], now: Timestamp) -> Result<Gathered> {
    let mut wanted: BTreeMap<(usize, Channel), Key> = BTreeMap::new();
    for (number, plan) in plans.iter().enumerate() {
        for (channel, decision) in &plan.steps {
            if let Decision::Digest(frequency, window) = decision {
                let (tenant, user) = (plan.notice.tenant, plan.notice.recipient);
                let key =
                    Key { tenant, user, channel: *channel, frequency: *frequency, due_at: window.due_at };
                wanted.insert((number, *channel), key);
            }
        }
    }
    let (mut items, mut gathered) = (Vec::new(), Gathered::new());
    for _ in 0..MAX_WINDOWS {
        if wanted.is_empty() {
            break;
        }
        let open = open(conn, wanted.values().copied().collect(), now).await?;
        let mut late = BTreeMap::new();
        for (place, key) in wanted {
            let Some(plan) = plans.get(place.0) else { continue };
            if let Some(digest) = open.get(&key) {
                items.push(Item::of(plan, *digest, now)?);
                gathered.insert(place, (*digest, key.due_at));
            } else {
                late.insert(place, next(plan, key));
            }
        }
        wanted = late;
    }
    if !wanted.is_empty() {
        return Err(Error::new(Code::Unavailable, "The digests of the coming days have gone out already."));
    }
    if !items.is_empty() {
        let table = pending_digest_notifications::table;
        let _: Vec<i64> = insert_rows!(conn, table, items, pending_digest_notifications::id);
    }
    Ok(gathered)
}

/// The digest after this one.
fn next(plan: &Plan<'_>, key: Key) -> Key {
    let wishes = &plan.recipient.wishes;
    let quiet = wishes.settled(key.channel, &plan.notice.message.kind).quiet_hours.unwrap_or_default();
    let window = DigestWindow::after_quiet(key.due_at, key.frequency, quiet, &wishes.zone);
    Key { due_at: window.due_at, ..key }
}

type Row = (DigestId, TenantId, UserId, Channel, DigestFrequency, Timestamp);

/// Makes the digests that are not there, and gives those that have not gone, held still.
async fn open(conn: &mut Conn, keys: BTreeSet<Key>, now: Timestamp) -> Result<BTreeMap<Key, DigestId>> {
    let rows: Vec<NewDigest> = keys.iter().map(|key| NewDigest::of(*key, now)).collect();
    let _: Vec<DigestId> = insert_new_rows!(conn, d::table, rows, d::id);
    let tenants: BTreeSet<TenantId> = keys.iter().map(|key| key.tenant).collect();
    let users: BTreeSet<UserId> = keys.iter().map(|key| key.user).collect();
    let times: BTreeSet<Timestamp> = keys.iter().map(|key| key.due_at).collect();
    let query = d::table
        .filter(d::tenant_id.eq_any(tenants).and(d::user_id.eq_any(users)).and(d::due_at.eq_any(times)))
        .filter(d::status.eq("pending"))
        .order(d::id)
        .select((d::id, d::tenant_id, d::user_id, d::channel_type, d::frequency, d::due_at));
    let rows: Vec<Row> = on_conn_locking!(conn, query, |q, c| q.load(c).await)?;
    let keyed = |(id, tenant, user, channel, frequency, due_at)| {
        (Key { tenant, user, channel, frequency, due_at }, id)
    };
    Ok(rows.into_iter().map(keyed).filter(|(key, _)| keys.contains(key)).collect())
}
