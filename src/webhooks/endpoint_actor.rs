//! `EndpointActor`: one for each active endpoint; claims what is due, sends it, sleeps until there is more.
//!
//! Spoken to by the registry (`domain::Wake`). Mailbox: 16; a full one already holds a wake, so another may be
//! dropped. It owns no truth: what it holds is leased rows, and when it dies they are claimed again. It is not
//! supervised: it ends when its endpoint is gone or inactive, and the registry makes a new one on demand.

use super::attempt::{self, Job};
use super::books::Claimed;
use super::client::Client;
use super::delivery::Delivery;
use super::endpoint::Endpoint;
use super::endpoints::Works;
use super::outcome::Verdict;
use super::queue::{Claim, Queue};
use crate::domain::{EndpointId, Result, Timestamp, Wake};
use actix::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// After so long without a request the client goes, and its connections with it.
const CLIENT_IDLE: Duration = Duration::from_secs(10);

pub(super) struct EndpointActor {
    id: EndpointId,
    works: Arc<Works>,
    queue: Queue<Delivery>,
    target: Option<Arc<attempt::Target>>,
    client: Option<Client>,
    last_sent: Instant,
    alarm: Option<(Timestamp, SpawnHandle)>,
}

impl EndpointActor {
    pub(super) fn new(id: EndpointId, works: Arc<Works>) -> Self {
        let queue = Queue::new(works.lanes);
        Self { id, works, queue, target: None, client: None, last_sent: Instant::now(), alarm: None }
    }

    /// Carries out what the queue says.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        if self.works.is_draining() {
            self.let_go();
            return;
        }
        self.send_waiting(ctx);
        if let Some(claim) = self.queue.claim() {
            self.claim(claim, ctx);
        }
        self.set_alarm(ctx);
    }

    fn claim(&mut self, claim: Claim, ctx: &mut Context<Self>) {
        let (works, id) = (Arc::clone(&self.works), self.id);
        let asked = async move { works.ledger.claim(id, claim.room, claim.look_ahead).await };
        ctx.spawn(asked.into_actor(self).map(move |answer, actor, ctx| actor.claimed(claim, answer, ctx)));
    }

    fn claimed(&mut self, claim: Claim, answer: Result<Claimed>, ctx: &mut Context<Self>) {
        match answer {
            Ok(Claimed { endpoint: None, .. }) => ctx.stop(),
            Ok(Claimed { endpoint: Some(endpoint), deliveries, next_due }) => {
                self.aim(endpoint);
                self.works
                    .metrics
                    .webhook_deliveries
                    .with_label_values(&["waiting"])
                    .add(count(deliveries.len()));
                self.queue.claimed(claim, deliveries, next_due);
                self.advance(ctx);
            }
            // The sweep finds what is due when the database is back.
            Err(_) => self.queue.claim_failed(claim),
        }
    }

    fn aim(&mut self, endpoint: Endpoint) {
        let same = self.target.as_ref().is_some_and(|t| t.is_of(&endpoint));
        if !same {
            self.target = Some(Arc::new(attempt::Target::new(endpoint, &self.works.vault)));
        }
    }

    fn send_waiting(&mut self, ctx: &mut Context<Self>) {
        let Some(target) = self.target.clone() else { return };
        while let Some(delivery) = self.queue.take() {
            self.works.metrics.webhook_deliveries.with_label_values(&["waiting"]).dec();
            let job = Job {
                works: Arc::clone(&self.works),
                target: Arc::clone(&target),
                client: self.client(ctx),
                delivery,
            };
            let (tell, told) = oneshot::channel();
            // Not one of the context's futures: it would poll all of them whenever one can go on, and an attempt
            // is written down even when this actor ends.
            actix::spawn(attempt::make(job, tell));
            ctx.spawn(told.into_actor(self).map(|verdict, actor, ctx| actor.finished(verdict.ok(), ctx)));
        }
    }

    /// An attempt is over, with this verdict, or without one when it was not made.
    fn finished(&mut self, verdict: Option<Verdict>, ctx: &mut Context<Self>) {
        let retry_at = match verdict {
            Some(Verdict::Retry(at)) => Some(at),
            _ => None,
        };
        self.queue.finished(verdict == Some(Verdict::Delivered), retry_at);
        self.advance(ctx);
    }

    fn client(&mut self, ctx: &mut Context<Self>) -> Client {
        self.last_sent = Instant::now();
        let works = &self.works;
        let client = self.client.get_or_insert_with(|| {
            ctx.run_later(CLIENT_IDLE, Self::drop_idle_client);
            Client::new(&works.outbound, works.lanes)
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

    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        let at = self.queue.wakes_at();
        if self.alarm.map(|(at, _)| at) == at {
            return;
        }
        if let Some((_, handle)) = self.alarm.take() {
            ctx.cancel_future(handle);
        }
        self.alarm = at.map(|at| (at, ctx.run_later(at.since(self.works.clock.now()), Self::ring)));
    }

    fn ring(&mut self, ctx: &mut Context<Self>) {
        self.alarm = None;
        self.queue.tick(self.works.clock.now());
        self.advance(ctx);
    }

    fn let_go(&mut self) {
        let held = self.queue.clear();
        self.works.metrics.webhook_deliveries.with_label_values(&["waiting"]).sub(count(held));
    }
}

impl Actor for EndpointActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.advance(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.let_go();
    }
}

impl Handler<Wake> for EndpointActor {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.queue.tick(self.works.clock.now());
        self.queue.wake();
        self.advance(ctx);
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
