//! `Desk`: a shop with as many users as a test wants, and the ways to notify them.

use crate::support::{Shop, TestDb, opening_time};
use bellwire::auth::account::{self, NewUser, UserChanges};
use bellwire::domain::{Committed, DigestId, Fields, Result, TenantId, UserId};
use bellwire::notifications::decision::Trigger;
use bellwire::notifications::dispatch::{self, Content, Dispatched, Extras, Message, Notice, Outcome, Terms};
use bellwire::notifications::{Channel, NotificationType, Priority};
use bellwire::storage::schema::{
    in_app_notifications, notification_log as l, user_notification_preferences as p, users,
};
use bellwire::storage::{Conn, Db, outbox};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::sync::Arc;

/// A row of the history, in short.
#[derive(Debug, Queryable, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) user: UserId,
    pub(crate) channel: Channel,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) subject: Option<String>,
}

pub(crate) struct Desk {
    pub(crate) shop: Shop,
}

impl Desk {
    pub(crate) async fn open(db: &TestDb) -> Self {
        Self { shop: Shop::open(db).await }
    }

    /// Another user of the tenant, with these of `role`, `timezone` and `locale`.
    pub(crate) async fn user(&self, settings: Value) -> UserId {
        add_user(&self.shop, settings).await
    }

    pub(crate) fn notice(&self, recipient: UserId, message: Message) -> Notice {
        let (tenant, message) = (self.shop.tenant, Arc::new(message));
        Notice { tenant, recipient, message, trigger: Trigger::Immediate, scheduled: None }
    }

    /// Dispatches a batch as its callers do.
    pub(crate) async fn dispatch(&self, notices: &[Notice]) -> (Vec<Outcome>, Committed) {
        let now = self.shop.clock.now();
        let work = async |conn: &mut Conn| -> Result<_> {
            let terms = Terms { limits: None, except: None, now };
            let Dispatched { events, outcomes, .. } = dispatch::dispatch(conn, notices, terms).await?;
            Ok((outcomes, outbox::write(conn, events, now).await?))
        };
        self.shop.db.transaction(work).await.unwrap()
    }

    /// What one user has in their inbox: titles, oldest first.
    pub(crate) async fn inbox(&self, user: UserId) -> Vec<String> {
        let query = in_app_notifications::table
            .filter(in_app_notifications::user_id.eq(user))
            .order(in_app_notifications::id)
            .select(in_app_notifications::title);
        on_conn!(&mut self.shop.db.read().await.unwrap(), c => query.load(c).await).unwrap()
    }

    /// The history of all users, oldest first.
    pub(crate) async fn history(&self) -> Vec<Logged> {
        let query = l::table.order((l::user_id, l::channel, l::id)).select((
            l::user_id,
            l::channel,
            l::status,
            l::reason,
            l::subject,
        ));
        on_conn!(&mut self.shop.db.read().await.unwrap(), c => query.load(c).await).unwrap()
    }

    /// A choice of a user: `channel_type`, `notification_type`, and what was chosen.
    pub(crate) async fn prefer(&self, user: Option<UserId>, chosen: Value) {
        let text = |name: &str| chosen[name].as_str().map(str::to_owned);
        let minutes = |name: &str| chosen[name].as_i64().map(|n| i32::try_from(n).unwrap());
        let now = self.shop.clock.now();
        let values = (
            p::tenant_id.eq(self.shop.tenant),
            p::user_id.eq(user),
            p::channel_type.eq(text("channel").unwrap_or_default()),
            p::notification_type.eq(text("type").unwrap_or_default()),
            p::is_enabled.eq(chosen["enabled"].as_bool()),
            p::digest_frequency.eq(text("digest")),
            p::quiet_from.eq(minutes("from")),
            p::quiet_until.eq(minutes("until")),
            p::created_at.eq(now),
            p::updated_at.eq(now),
        );
        let insert = async |conn: &mut Conn| {
            Ok(on_conn!(conn, c => diesel::insert_into(p::table).values(values).execute(c).await)?)
        };
        self.shop.db.transaction(insert).await.unwrap();
    }
}

/// What is gathered for later: user, titles.
pub(crate) async fn gathered(desk: &Desk) -> Vec<(DigestId, UserId, String)> {
    use bellwire::storage::schema::{notification_digests as d, pending_digest_notifications as i};
    let query = i::table.inner_join(d::table).order(i::id).select((d::id, d::user_id, i::title));
    on_conn!(&mut desk.shop.db.read().await.unwrap(), c => query.load(c).await).unwrap()
}

pub(crate) fn empty() -> Value {
    json!({})
}

pub(crate) fn message() -> Message {
    Message {
        kind: NotificationType::parse("order:shipped").unwrap(),
        priority: Priority::Normal,
        content: Content::Words { title: "Shipped".to_owned(), body: "It is on its way.".to_owned() },
        extras: Extras::default(),
        channels: None,
    }
}

/// Another user of the shop's tenant, with these of `role`, `timezone` and `locale`.
pub(crate) async fn add_user(shop: &Shop, settings: Value) -> UserId {
    let email = format!("{}@shop.example", uuid::Uuid::now_v7().simple());
    let settings = UserChanges::parse(Fields::of(settings).unwrap()).unwrap();
    let new = NewUser::parse(shop.tenant, "Ben", &email).unwrap().with(settings);
    let now = shop.clock.now();
    shop.db.transaction(async |conn| account::create_user(conn, &new, now).await).await.unwrap().id
}

/// So many more users of the shop's tenant, of this role.
pub(crate) async fn add_crowd(shop: &Shop, count: usize, role: &str) {
    crowd(&shop.db, shop.tenant, count, role).await;
}

/// The same of any tenant.
pub(crate) async fn crowd(db: &Db, tenant: TenantId, count: usize, role: &str) {
    let now = opening_time();
    let row = |number: usize| {
        (
            users::tenant_id.eq(tenant),
            users::name.eq("One of many"),
            users::email.eq(format!("{role}{number}-{tenant}@shop.example")),
            users::role.eq(role),
            users::created_at.eq(now),
            users::updated_at.eq(now),
        )
    };
    let rows: Vec<_> = (0..count).map(row).collect();
    let insert = async |conn: &mut Conn| {
        for rows in rows.chunks(1_000) {
            match conn {
                Conn::Postgres(object) => {
                    diesel::insert_into(users::table).values(rows).execute(&mut **object).await?;
                }
                Conn::Sqlite(object) => {
                    for row in rows {
                        diesel::insert_into(users::table).values(row).execute(&mut **object).await?;
                    }
                }
            }
        }
        Ok(())
    };
    db.transaction(insert).await.unwrap();
}
