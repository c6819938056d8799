//! `PusherHooks`: what `app` holds of the Pusher webhooks; behind it the `HooksActor`, which hands each notice to
//! the receivers that want it.
//!
//! Mailbox: 8,192. It only writes a notice down and passes it on, so a full one means that the thread is choked:
//! then channels drop their notices and count them, because no subscriber waits for a back end.

use super::format::Note;
use super::receiver_actor::{Drain, ReceiverActor, Target, Tell};
use crate::config;
use crate::domain::{AppId, ChannelNotice, Code, Error, Probe, Result, parse_hook_url};
use crate::telemetry::Metrics;
use crate::webhooks::client::Outbound;
use actix::prelude::*;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MAILBOX: usize = 8_192;

/// The receivers of all apps.
pub struct PusherHooks {
    actor: Addr<HooksActor>,
}

struct HooksActor {
    receivers: HashMap<AppId, Vec<Receiver>>,
    metrics: Arc<Metrics>,
}

struct Receiver {
    /// Names of facts; empty = all.
    events: Vec<String>,
    addr: Addr<ReceiverActor>,
}

impl PusherHooks {
    /// Starts an actor for each receiver of each app; `None` when no app has one.
    pub fn start(
        apps: &[config::App],
        config: &config::Webhooks,
        metrics: &Arc<Metrics>,
        arbiter: &ArbiterHandle,
    ) -> Result<Option<Self>> {
        let mut receivers: HashMap<AppId, Vec<Receiver>> = HashMap::new();
        let outbound = Outbound::new(config)?;
        for app in apps.iter().cloned().map(Arc::new) {
            for hook in &app.webhooks {
                let url = parse_hook_url(&hook.url).ok().and_then(|url| url.as_str().parse().ok());
                let url = url.ok_or_else(|| unusable(&hook.url))?;
                let (outbound, metrics) = (outbound.clone(), metrics.clone());
                let target = Target { app: app.clone(), url };
                let addr = ReceiverActor::start_in_arbiter(arbiter, move |_| {
                    ReceiverActor::new(target, outbound, metrics)
                });
                let receiver = Receiver { events: hook.events.clone(), addr };
                receivers.entry(app.id.clone()).or_default().push(receiver);
            }
        }
        if receivers.is_empty() {
            return Ok(None);
        }
        let metrics = metrics.clone();
        let actor = HooksActor::start_in_arbiter(arbiter, move |_| HooksActor { receivers, metrics });
        Ok(Some(Self { actor }))
    }

    /// Where channels tell what happens on them.
    pub fn recipient(&self) -> Recipient<ChannelNotice> {
        self.actor.clone().recipient()
    }

    /// Where the watchdog asks.
    pub fn probe(&self) -> Recipient<Probe> {
        self.actor.clone().recipient()
    }

    /// Sends what waits, without waiting for more; what fails is tried again within `limit`. Returns how many
    /// events were left.
    pub async fn drain(&self, limit: Duration) -> usize {
        let drained = self.actor.send(Drain(Instant::now() + limit));
        // The deadline is the receivers'; this one is for a thread that does not answer.
        let answer = tokio::time::timeout(limit + Duration::from_secs(1), drained).await;
        answer.map_or(0, Result::unwrap_or_default)
    }
}

fn unusable(url: &str) -> Error {
    Error::new(Code::Invalid, format!("[[apps.webhooks]] url {url} cannot be used."))
}

impl Actor for HooksActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<ChannelNotice> for HooksActor {
    type Result = ();

    fn handle(&mut self, notice: ChannelNotice, _: &mut Self::Context) {
        let name = notice.fact.name();
        let Some(receivers) = self.receivers.get(&notice.app) else { return };
        let wanting: Vec<&Receiver> = receivers.iter().filter(|r| r.wants(name)).collect();
        if wanting.is_empty() {
            return;
        }
        match Note::of(&notice) {
            Ok(note) => {
                for receiver in wanting {
                    if receiver.addr.try_send(Tell(note.clone())).is_err() {
                        self.metrics.mailbox_full.with_label_values(&["pusher_receiver"]).inc();
                    }
                }
            }
            Err(error) => tracing::error!(%error, name, "a notice could not be written down"),
        }
    }
}

impl Receiver {
    fn wants(&self, name: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|event| event == name)
    }
}

impl Handler<Drain> for HooksActor {
    type Result = ResponseFuture<usize>;

    fn handle(&mut self, drain: Drain, _: &mut Self::Context) -> Self::Result {
        let drained: Vec<_> = self.receivers.values().flatten().map(|r| r.addr.send(drain)).collect();
        Box::pin(async move {
            let left = join_all(drained).await;
            left.into_iter().map(Result::unwrap_or_default).sum()
        })
    }
}

impl Handler<Probe> for HooksActor {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {}
}
