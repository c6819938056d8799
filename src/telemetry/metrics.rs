//! Every metric, declared once, in one table; `/metrics` prints them in Prometheus' text format.

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// The metrics of one process. Made once by `app` and handed down; no room keeps a global.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    /// Open WebSockets.
    pub connections: IntGauge,
    /// Subscriptions of open WebSockets.
    pub subscriptions: IntGauge,
    /// Channels with at least one subscriber.
    pub channels: IntGauge,
    /// Messages that clients sent.
    pub messages_in: IntCounter,
    /// Messages written to clients.
    pub messages_out: IntCounter,
    /// From the moment a message is published to the moment it is handed to a socket, in seconds.
    pub publish_to_write: Histogram,
    /// Connections that ended or never began, by why: `slow_consumer`, `unauthenticated`, `rate_limited`, …
    pub refused: IntCounterVec,
    /// Messages of clients that were answered with an error, by the rule they broke.
    pub messages_refused: IntCounterVec,
    /// Events of back ends that were refused, by why: `rate_limited`, `app_channels`.
    pub events_refused: IntCounterVec,
    /// Messages that met a full mailbox, by actor.
    pub mailbox_full: IntCounterVec,
    /// Channels whose clients have moved since their positions were noted in the database.
    pub channels_unnoted: IntGauge,
    /// Clients that came back and were given what they missed, or told that it cannot be had: `complete`, `gap`.
    pub replays: IntCounterVec,
    /// Events routed from the outbox.
    pub events: IntCounter,
    /// Webhook attempts, by outcome.
    pub webhook_attempts: IntCounterVec,
    /// How long webhook attempts took, in seconds.
    pub webhook_duration: Histogram,
    /// Webhook deliveries by state: `in_flight`, `waiting`.
    pub webhook_deliveries: IntGaugeVec,
    /// Attempts at Pusher webhooks, by outcome.
    pub pusher_webhook_attempts: IntCounterVec,
    /// Events of Pusher webhooks by what became of them: `delivered`; `full` (made room for newer ones), `expired`
    /// (not taken in five minutes), `unsent` (left when the process ended).
    pub pusher_webhook_events: IntCounterVec,
    /// Scheduled notifications by what became of them: `delivered`, `deferred`, `unwanted`, `failed`.
    pub scheduled: IntCounterVec,
    /// How long the oldest scheduled notification had been due when it was last looked for, in seconds.
    pub scheduler_lag: Gauge,
    /// REST answers, by status.
    pub http_responses: IntCounterVec,
}

impl Metrics {
    /// All metrics at zero. Fails only if two of them share a name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| {
            let metric = IntCounter::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            prometheus::Result::Ok(metric)
        };
        let gauge = |name: &str, help: &str| {
            let metric = IntGauge::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            prometheus::Result::Ok(metric)
        };
        let seconds = |name: &str, help: &str| {
            let metric = Gauge::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            prometheus::Result::Ok(metric)
        };
        let counters = |name: &str, help: &str, label: &str| {
            let metric = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(metric.clone()))?;
            prometheus::Result::Ok(metric)
        };
        let gauges = |name: &str, help: &str, label: &str| {
            let metric = IntGaugeVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(metric.clone()))?;
            prometheus::Result::Ok(metric)
        };
        let histogram = |name: &str, help: &str, first: f64| {
            // Doubling steps: 16 of them reach from `first` to 32,768 times as much.
            let buckets = prometheus::exponential_buckets(first, 2.0, 16)?;
            let metric = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(metric.clone()))?;
            prometheus::Result::Ok(metric)
        };
        Ok(Self {
            connections: gauge("bellwire_connections", "Open WebSockets.")?,
            subscriptions: gauge("bellwire_subscriptions", "Subscriptions of open WebSockets.")?,
            channels: gauge("bellwire_channels", "Channels with at least one subscriber.")?,
            messages_in: counter("bellwire_messages_in_total", "Messages that clients sent.")?,
            messages_out: counter("bellwire_messages_out_total", "Messages written to clients.")?,
            publish_to_write: histogram(
                "bellwire_publish_to_write_seconds",
                "From publish to hand-over to the socket.",
                0.000_05,
            )?,
            refused: counters(
                "bellwire_connections_refused_total",
                "Connections ended or refused, by why.",
                "reason",
            )?,
            messages_refused: counters(
                "bellwire_messages_refused_total",
                "Messages of clients that were answered with an error, by the rule they broke.",
                "reason",
            )?,
            events_refused: counters(
                "bellwire_events_refused_total",
                "Events of back ends that were refused, by why.",
                "reason",
            )?,
            mailbox_full: counters(
                "bellwire_mailbox_full_total",
                "Messages that met a full mailbox.",
                "actor",
            )?,
            channels_unnoted: gauge("bellwire_channels_unnoted", "Channels with positions not yet noted.")?,
            replays: counters("bellwire_replays_total", "Clients that came back, by outcome.", "outcome")?,
            events: counter("bellwire_events_total", "Events routed from the outbox.")?,
            webhook_attempts: counters(
                "bellwire_webhook_attempts_total",
                "Webhook attempts by outcome.",
                "outcome",
            )?,
            webhook_duration: histogram(
                "bellwire_webhook_duration_seconds",
                "Duration of webhook attempts.",
                0.001,
            )?,
            webhook_deliveries: gauges(
                "bellwire_webhook_deliveries",
                "Webhook deliveries by state.",
                "state",
            )?,
            pusher_webhook_attempts: counters(
                "bellwire_pusher_webhook_attempts_total",
                "Attempts at Pusher webhooks by outcome.",
                "outcome",
            )?,
            pusher_webhook_events: counters(
                "bellwire_pusher_webhook_events_total",
                "Events of Pusher webhooks by result.",
                "result",
            )?,
            scheduled: counters(
                "bellwire_scheduled_notifications_total",
                "Scheduled notifications by outcome.",
                "outcome",
            )?,
            scheduler_lag: seconds("bellwire_scheduler_lag_seconds", "How long the oldest has been due.")?,
            http_responses: counters("bellwire_http_responses_total", "REST answers by status.", "status")?,
            registry,
        })
    }

    /// The text that `/metrics` answers with.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory fails only for a metric without a value, and those are left out.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}
