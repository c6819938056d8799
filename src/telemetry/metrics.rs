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
    /// How long claims of scheduled notifications took, in seconds; those that found nothing are not among them.
    pub scheduler_claim: Histogram,
    /// REST answers, by status.
    pub http_responses: IntCounterVec,
}

/// Makes metrics and registers them.
struct Declare<'a>(&'a Registry);

impl Declare<'_> {
    fn register<M: prometheus::core::Collector + Clone + 'static>(&self, metric: M) -> prometheus::Result<M> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.register(IntCounter::new(name, help)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }

    fn seconds(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.register(Gauge::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, label: &str) -> prometheus::Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), &[label])?)
    }

    fn gauges(&self, name: &str, help: &str, label: &str) -> prometheus::Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), &[label])?)
    }

    /// Doubling steps: 16 of them reach from `first` to 32,768 times as much.
    fn histogram(&self, name: &str, help: &str, first: f64) -> prometheus::Result<Histogram> {
        let buckets = prometheus::exponential_buckets(first, 2.0, 16)?;
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?)
    }
}

impl Metrics {
    /// All metrics at zero. Fails only if two of them share a name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        // Linux alone has what it reads.
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let new = Declare(&registry);
        let (counter, gauge) = (|name, help| new.counter(name, help), |name, help| new.gauge(name, help));
        let seconds = |name, help| new.seconds(name, help);
        let counters = |name, help, label| new.counters(name, help, label);
        let gauges = |name, help, label| new.gauges(name, help, label);
        let histogram = |name, help, first| new.histogram(name, help, first);
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
            scheduler_claim: histogram(
                "bellwire_scheduler_claim_seconds",
                "Duration of claims of scheduled notifications.",
                // Doubled, one of its bounds is 50 ms: what a claim may take.
                0.000_781_25,
            )?,
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
