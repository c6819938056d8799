//! `/api/v1/scheduler`: what a server does by itself: the tasks that come again and again, and how far behind the
//! schedule of notifications is.

use crate::auth::Identity;
use crate::domain::{Result, Timestamp};
use crate::http::respond::method_not_allowed;
use crate::http::{State, respond};
use crate::notifications::schedule::{self, Standing};
use crate::storage::tasks::{self, RunResource};
use crate::storage::{Conn, retention};
use actix_web::HttpResponse;
use actix_web::web::{Data, ServiceConfig, get, resource};
use serde::Serialize;

const READ: &str = "scheduler:read";

pub(in crate::http) fn configure(app: &mut ServiceConfig) {
    let view = resource("/api/v1/scheduler").route(get().to(show));
    app.service(view.default_service(method_not_allowed("GET")));
}

/// What the scheduler does.
#[derive(Serialize)]
struct View {
    tasks: Vec<Task>,
    /// Of scheduled notifications.
    notifications: Standing,
}

/// A task that comes again and again.
#[derive(Serialize)]
struct Task {
    name: &'static str,
    about: &'static str,
    /// Second, minute, hour, day of the month, month, day of the week, in UTC.
    cron: String,
    /// Whether it runs at all.
    is_enabled: bool,
    next_run_at: Option<Timestamp>,
    last_run: Option<RunResource>,
}

async fn show(identity: Identity, state: Data<State>) -> Result<HttpResponse> {
    identity.require(READ)?;
    let now = state.clock.now();
    let mut conn = state.db.read().await?;
    let tasks = vec![retention_task(&mut conn, &state, now).await?];
    let notifications = schedule::standing(&mut conn, now).await?;
    respond::data(&View { tasks, notifications })
}

async fn retention_task(conn: &mut Conn, state: &State, now: Timestamp) -> Result<Task> {
    let config = &state.config.retention;
    let is_enabled = config.age().is_some();
    let next = tasks::next_after(&config.schedule()?, now).filter(|_| is_enabled);
    Ok(Task {
        name: retention::TASK,
        about: "Deletes rows that have had their time: webhook deliveries, events, history, expired notifications, \
                ended schedules, idempotency keys.",
        cron: config.cron.clone(),
        is_enabled,
        next_run_at: next,
        last_run: tasks::last_run(conn, retention::TASK).await?.map(RunResource::from),
    })
}
