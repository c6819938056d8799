//! `World`: a shop with users, the REST routes, a scheduler, and a clock that stands.

use crate::support::rest::{Reply, Rest};
use crate::support::{TestDb, opening_time};
use bellwire::auth::account::{self, NewUser};
use bellwire::config::Config;
use bellwire::domain::{Clock, Fields, TenantId, Timestamp, UserId};
use bellwire::notifications::schedule::{self, Counts, Scheduler};
use bellwire::notifications::worker::Turn;
use bellwire::storage::schema::{
    events, in_app_notifications, notification_log, scheduled_notifications, user_notification_preferences,
};
use bellwire::storage::{Conn, Db};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

pub(super) const SCHEDULED: &str = "/api/v1/notifications/scheduled";

pub(super) struct World {
    pub(super) rest: Rest,
    pub(super) scheduler: Scheduler,
}

impl World {
    pub(super) async fn open(db: TestDb) -> Self {
        let rest = Rest::open(db).await;
        let scheduler = scheduler_on(&rest.shop.db, &rest.shop.clock, 0);
        Self { rest, scheduler }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.rest.shop.clock.now()
    }

    pub(super) fn pass(&self, time: Duration) {
        self.rest.shop.clock.advance(time);
    }

    /// In so many seconds, as requests have it.
    pub(super) fn at(&self, seconds: u64) -> String {
        self.now().plus(Duration::from_secs(seconds)).to_string()
    }

    /// Another user of the shop.
    pub(super) async fn user(&self) -> UserId {
        user_of(&self.rest.shop.db, self.rest.shop.tenant).await
    }

    /// A notification for the shop's user that is due in so many seconds.
    pub(super) async fn schedule(&self, seconds: u64, more: Value) -> Reply {
        let mut body = json!({"type": "reminder", "title": "Look", "body": "It is time.", "scheduled_at": self.at(seconds)});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.rest.post(SCHEDULED, body).await
    }

    pub(super) async fn show(&self, id: i64) -> Value {
        self.rest.get(&format!("{SCHEDULED}/{id}")).await.body["data"].clone()
    }

    pub(super) async fn status(&self, id: i64) -> String {
        self.show(id).await["status"].as_str().unwrap().to_owned()
    }

    /// Delivers all that is due.
    pub(super) async fn run(&self) -> Counts {
        run(&self.scheduler).await
    }

    /// What the user chose for all channels and types.
    pub(super) async fn prefer(&self, user: UserId, enabled: Option<bool>, quiet: Option<(i32, i32)>) {
        use user_notification_preferences as p;
        let values = (
            p::tenant_id.eq(self.rest.shop.tenant),
            p::user_id.eq(user),
            p::is_enabled.eq(enabled),
            p::quiet_from.eq(quiet.map(|(from, _)| from)),
            p::quiet_until.eq(quiet.map(|(_, until)| until)),
            p::created_at.eq(opening_time()),
            p::updated_at.eq(opening_time()),
        );
        let write = async |conn: &mut Conn| {
            let own = p::table.filter(p::user_id.eq(user));
            on_conn!(conn, c => diesel::delete(own).execute(c).await)?;
            Ok(on_conn!(conn, c => diesel::insert_into(p::table).values(values).execute(c).await)?)
        };
        self.rest.db.transaction(write).await.unwrap();
    }
}

pub(super) fn scheduler_on(db: &Db, clock: &Clock, per_minute: u32) -> Scheduler {
    let metrics = std::sync::Arc::new(bellwire::telemetry::Metrics::new().unwrap());
    Scheduler::new((db.clone(), clock.clone()), per_minute, metrics, None)
}

pub(super) async fn run(scheduler: &Scheduler) -> Counts {
    let mut counts = Counts::default();
    loop {
        let (some, turn) = scheduler.step().await.unwrap();
        counts += some;
        if turn != Turn::Again {
            return counts;
        }
    }
}

pub(super) async fn user_of(db: &Db, tenant: TenantId) -> UserId {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let new = NewUser::parse(tenant, "Ben", &format!("ben{number}@shop.example")).unwrap();
    let made = db.transaction(async |conn| account::create_user(conn, &new, opening_time()).await);
    made.await.unwrap().id
}

/// So many critical ones for these users in turn, due at one moment.
pub(super) async fn schedule_many(db: &Db, tenant: TenantId, users: &[UserId], count: usize, at: Timestamp) {
    let now = opening_time();
    let one = |n: usize| {
        json!({"user_id": users[n % users.len()], "type": "herd", "title": format!("{n}"), "body": "One of many.",
            "scheduled_at": at.to_string(), "priority": "high"})
    };
    for first in (0..count).step_by(1_000) {
        let all: Vec<Value> = (first..count.min(first + 1_000)).map(one).collect();
        let body = Fields::of(json!({"notifications": all})).unwrap();
        let wanted = schedule::parse(body, users[0], now).unwrap();
        let write = async |conn: &mut Conn| schedule::create(conn, tenant, wanted, now).await;
        db.transaction(write).await.unwrap();
    }
}

/// How many rows there are of each: scheduled ones with this status, inboxes, history, events of new notifications.
pub(super) async fn count(db: &Db, status: &str) -> [i64; 4] {
    let mut conn = db.read().await.unwrap();
    let scheduled = scheduled_notifications::table.filter(scheduled_notifications::status.eq(status));
    let scheduled = on_conn!(&mut conn, c => scheduled.count().get_result(c).await).unwrap();
    let inboxes = on_conn!(&mut conn, c => in_app_notifications::table.count().get_result(c).await).unwrap();
    let history = on_conn!(&mut conn, c => notification_log::table.count().get_result(c).await).unwrap();
    let told = events::table.filter(events::name.eq("notification:created"));
    let told = on_conn!(&mut conn, c => told.count().get_result(c).await).unwrap();
    [scheduled, inboxes, history, told]
}

/// The inbox of a user, oldest first.
pub(super) async fn inbox(db: &Db, user: UserId) -> Vec<String> {
    use in_app_notifications as i;
    let query = i::table.filter(i::user_id.eq(user)).order(i::id).select(i::title);
    let mut conn = db.read().await.unwrap();
    on_conn!(&mut conn, c => query.load(c).await).unwrap()
}

/// A configuration for a hub that works at notifications.
pub(super) fn quick(config: &mut Config) {
    config.notifications.tenant_per_minute = 0;
}
