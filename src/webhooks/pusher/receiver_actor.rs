//! `ReceiverActor`: posts to one receiver of one app what its [`Batcher`] says, one batch at a time.
//!
//! The `HooksActor` alone speaks to it, from the same thread, and may pass on all that it holds before this one has
//! its turn: so the mailbox, 16,384, takes more than that one's. When it is full all the same, the newest note is
//! dropped and counted. What waits longer is the batcher's to bound. It is not restarted.

use super::batcher::{Batcher, Step};
use super::format::{self, Note};
use crate::config;
use crate::telemetry::Metrics;
use crate::webhooks::client::{Client, Outbound, Post};
use crate::webhooks::outcome::{Outcome, Report};
use actix::prelude::*;
use awc::http::Uri;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const MAILBOX: usize = 16_384;
/// For everything of one attempt together; Pusher gives 4 s.
const TIMEOUT: Duration = Duration::from_secs(5);
/// After so long without a request the client goes, and its connection with it.
const CLIENT_IDLE: Duration = Duration::from_secs(10);

/// Something happened that the receiver wants to know.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Tell(pub(super) Note);

/// Send what there is, by then at the latest; how many events were left.
#[derive(Clone, Copy, Message)]
#[rtype(result = "usize")]
pub(super) struct Drain(pub(super) Instant);

/// Where to post and in whose name.
pub(super) struct Target {
    pub(super) app: Arc<config::App>,
    pub(super) url: Uri,
}

pub(super) struct ReceiverActor {
    target: Target,
    outbound: Outbound,
    metrics: Arc<Metrics>,
    batcher: Batcher,
    client: Option<Client>,
    last_sent: Instant,
    alarm: Option<(Instant, SpawnHandle)>,
    /// Whether the last attempt failed, and how many events made room for others since one did not.
    failing: bool,
    pushed_out: usize,
    drained: Option<oneshot::Sender<usize>>,
}

impl ReceiverActor {
    pub(super) fn new(target: Target, outbound: Outbound, metrics: Arc<Metrics>) -> Self {
        Self {
            target,
            outbound,
            metrics,
            batcher: Batcher::default(),
            client: None,
            last_sent: Instant::now(),
            alarm: None,
            failing: false,
            pushed_out: 0,
            drained: None,
        }
    }

    /// Carries out what the batcher says.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let expired = self.batcher.expire(now);
        self.give_up(expired);
        match self.batcher.step(now) {
            Step::Send(notes) => self.send(&notes, ctx),
            Step::Wait(at) => self.set_alarm(at, now, ctx),
            Step::Rest => {}
        }
        if self.batcher.is_empty() {
            self.end_drain();
        }
    }

    fn send(&mut self, notes: &[Note], ctx: &mut Context<Self>) {
        let body = format::body(notes);
        let headers = format::headers(&self.target.app, &body);
        let url = self.target.url.clone();
        let post = Post { url, body, headers, own_headers: Vec::new(), timeout: TIMEOUT };
        let client = self.client(ctx);
        let sent = async move { client.send(post).await };
        ctx.spawn(sent.into_actor(self).map(|report, actor, ctx| actor.sent(&report, ctx)));
    }

    fn sent(&mut self, report: &Report, ctx: &mut Context<Self>) {
        self.metrics.pusher_webhook_attempts.with_label_values(&[report.outcome.as_str()]).inc();
        if report.outcome == Outcome::Ok {
            let taken = self.batcher.taken();
            self.count("delivered", taken);
            self.recovered();
        } else {
            let given_up = self.batcher.refused(Instant::now(), rand::random());
            self.failed(report);
            self.give_up(given_up);
        }
        self.advance(ctx);
    }

    fn recovered(&mut self) {
        let (app, host) = (&self.target.app.id, self.target.url.host());
        if std::mem::take(&mut self.failing) {
            tracing::info!(%app, host, "a receiver of Pusher webhooks takes them again");
        }
        let lost = std::mem::take(&mut self.pushed_out);
        if lost > 0 {
            tracing::warn!(%app, host, lost, "so many events made room for newer ones");
        }
    }

    /// Said once, until it takes one again.
    fn failed(&mut self, report: &Report) {
        if !std::mem::replace(&mut self.failing, true) {
            let (app, host) = (&self.target.app.id, self.target.url.host());
            let (outcome, error) = (report.outcome.as_str(), report.error.as_deref());
            tracing::warn!(%app, host, outcome, error, "a Pusher webhook was not taken; it will be sent again");
        }
    }

    fn give_up(&self, events: usize) {
        if events > 0 {
            let (app, host) = (&self.target.app.id, self.target.url.host());
            tracing::warn!(%app, host, events, "Pusher webhook events were not taken in their time");
            self.count("expired", events);
        }
    }

    fn count(&self, result: &str, events: usize) {
        self.metrics.pusher_webhook_events.with_label_values(&[result]).inc_by(events as u64);
    }

    fn set_alarm(&mut self, at: Instant, now: Instant, ctx: &mut Context<Self>) {
        if self.alarm.is_some_and(|(set, _)| set == at) {
            return;
        }
        if let Some((_, handle)) = self.alarm.take() {
            ctx.cancel_future(handle);
        }
        let ring = |actor: &mut Self, ctx: &mut Context<Self>| {
            actor.alarm = None;
            actor.advance(ctx);
        };
        self.alarm = Some((at, ctx.run_later(at.saturating_duration_since(now), ring)));
    }

    fn client(&mut self, ctx: &mut Context<Self>) -> Client {
        self.last_sent = Instant::now();
        let outbound = &self.outbound;
        let client = self.client.get_or_insert_with(|| {
            ctx.run_later(CLIENT_IDLE, Self::drop_idle_client);
            Client::new(outbound, 1)
        });
        client.clone()
    }

    fn drop_idle_client(&mut self, ctx: &mut Context<Self>) {
        let left = CLIENT_IDLE.saturating_sub(self.last_sent.elapsed());
        if left.is_zero() {
            self.client = None;
        } else {
            ctx.run_later(left, Self::drop_idle_client);
        }
    }

    fn end_drain(&mut self) {
        if let Some(told) = self.drained.take() {
            let left = self.batcher.len();
            self.count("unsent", left);
            let _ = told.send(left);
        }
    }
}

impl Actor for ReceiverActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Tell> for ReceiverActor {
    type Result = ();

    fn handle(&mut self, Tell(note): Tell, ctx: &mut Self::Context) {
        let pushed_out = self.batcher.push(note, Instant::now());
        if pushed_out > 0 {
            if self.pushed_out == 0 {
                let (app, host) = (&self.target.app.id, self.target.url.host());
                tracing::warn!(%app, host, "too many Pusher webhook events wait: the oldest make room");
            }
            self.pushed_out += pushed_out;
            self.count("full", pushed_out);
        }
        self.advance(ctx);
    }
}

impl Handler<Drain> for ReceiverActor {
    type Result = ResponseFuture<usize>;

    fn handle(&mut self, Drain(deadline): Drain, ctx: &mut Self::Context) -> Self::Result {
        let (tell, told) = oneshot::channel();
        self.drained = Some(tell);
        ctx.run_later(deadline.saturating_duration_since(Instant::now()), |actor, _| actor.end_drain());
        self.batcher.hurry();
        self.advance(ctx);
        Box::pin(async move { told.await.unwrap_or_default() })
    }
}
