//! Settings: one struct a section, every key with its default, unknown keys refused by name.
//!
//! `config.toml` at the root of the repository lists every key; a test holds it against [`Config::default`] (for
//! which the sections can be serialised).
//! A key that no code reads has no line here.

mod app;
mod notifications;
mod ports;
mod retention;
mod secret_keys;
mod source;
mod webhooks;

use crate::domain::{Code, Error, Result};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

pub use app::{App, AppWebhook};
pub use notifications::{Notifications, Smtp, SmtpTls};
pub use ports::PortRange;
pub use retention::Retention;
pub use secret_keys::{SecretKey, SecretKeys};
pub use source::load;
pub use webhooks::Webhooks;

/// Everything an operator can set.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen and how to stop.
    pub server: Server,
    /// Where the rows are.
    pub database: Database,
    /// Bearer tokens.
    pub auth: Auth,
    /// Bounds on what one connection, address or request may do.
    pub limits: Limits,
    /// What channels remember, and how long.
    pub channels: Channels,
    /// Outgoing webhooks.
    pub webhooks: Webhooks,
    /// Who is told of what, and how much of it.
    pub notifications: Notifications,
    /// How long rows are kept.
    pub retention: Retention,
    /// Logs.
    pub log: Log,
    /// The Pusher apps that clients and back ends connect to.
    #[serde(skip_serializing)]
    pub apps: Vec<App>,
}

/// `[server]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port; port 0 takes a free one, and `serve` prints it.
    pub bind: String,
    /// HTTP worker threads; 0 = one a core.
    pub workers: usize,
    /// From SIGTERM to exit at the latest.
    pub shutdown_timeout_seconds: u64,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Largest body of a REST request.
    pub max_body_bytes: usize,
    /// A connection that has not sent a whole request head for so long is closed; 0 = off.
    pub handshake_timeout_seconds: u64,
    /// Whether WebSocket messages may be compressed (permessage-deflate), when a client offers it: less traffic
    /// for more CPU.
    pub compression: bool,
    /// The process ends, loudly, when a core actor has not answered for so long; 0 = never.
    pub watchdog_seconds: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1:8080".to_owned(),
            workers: 0,
            shutdown_timeout_seconds: 30,
            trusted_proxies: Vec::new(),
            max_body_bytes: 1_048_576,
            handshake_timeout_seconds: 5,
            compression: false,
            watchdog_seconds: 5,
        }
    }
}

/// `[database]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/NAME`. `DATABASE_URL` overrides it.
    pub url: String,
    /// Connections to PostgreSQL, or readers of SQLite beside its one writer.
    pub pool_size: usize,
    /// How long a request waits for a connection before it is answered 503.
    pub wait_ms: u64,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: "sqlite:data/bellwire.db".to_owned(), pool_size: 8, wait_ms: 2_000 }
    }
}

/// `[auth]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Every token ends so long after it was made, as Sanctum's `expiration`; 0 = only by its own expiry.
    pub token_expiration_minutes: u64,
    /// `tokenable_type` values whose `tokenable_id` is a user of ours.
    pub tokenable_types: Vec<String>,
    /// How often the tokens of open sockets are looked at again.
    pub recheck_seconds: u64,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            token_expiration_minutes: 0,
            tokenable_types: vec!["App\\Models\\User".to_owned(), "user".to_owned()],
            recheck_seconds: 2,
        }
    }
}

/// `[limits]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// WebSocket connects a minute from one address (one /64 of IPv6); 0 = off.
    pub connections_per_ip_per_minute: u32,
    /// A connection that has not authenticated for so long is closed with 4009; 0 = off.
    pub auth_timeout_seconds: u64,
    /// Open WebSockets of this process; more are refused with 503. 0 = what the file limit allows.
    pub connections: usize,
    /// Largest WebSocket message, fragments joined.
    pub message_bytes: usize,
    /// Fragments of one message.
    pub message_fragments: usize,
    /// From the first byte of a message to its last; a slower one closes with 1008; 0 = off.
    pub message_timeout_seconds: u64,
    /// Nested arrays and objects of what a client sends.
    pub json_depth: usize,
    /// Messages a second one connection may send, on average; 0 = off.
    pub messages_per_second: u32,
    /// Messages one connection may send at once, before the average counts.
    pub message_burst: u32,
    /// WebSocket pings and unasked pongs a second one connection may send, on average; 0 = off.
    pub control_frames_per_second: u32,
    /// Pings and unasked pongs one connection may send at once, before the average counts.
    pub control_frame_burst: u32,
    /// Channels one connection may be subscribed to.
    pub subscriptions_per_connection: usize,
    /// A connection that has had no subscription for so long is closed with 4202; 0 = off.
    pub unsubscribed_timeout_seconds: u64,
    /// Members of a presence channel.
    pub presence_members: usize,
    /// Bytes that may wait for one connection before it is cut off as a slow consumer.
    pub queue_bytes: usize,
    /// Messages that may wait for one connection before it is cut off.
    pub queue_messages: usize,
    /// A connection with messages waiting that has taken none for so long is cut off.
    pub stall_seconds: u64,
    /// A connection that was silent for so long is pinged.
    pub activity_timeout_seconds: u64,
    /// A ping that was not answered for so long closes the connection with 4201.
    pub pong_timeout_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_ip_per_minute: 100,
            auth_timeout_seconds: 10,
            connections: 0,
            message_bytes: 65_536,
            message_fragments: 128,
            message_timeout_seconds: 30,
            json_depth: 64,
            messages_per_second: 20,
            message_burst: 256,
            control_frames_per_second: 10,
            control_frame_burst: 60,
            subscriptions_per_connection: 128,
            unsubscribed_timeout_seconds: 600,
            presence_members: 100,
            queue_bytes: 262_144,
            queue_messages: 1_000,
            stall_seconds: 10,
            activity_timeout_seconds: 120,
            pong_timeout_seconds: 30,
        }
    }
}

/// `[channels]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Channels {
    /// A member whose socket broke off may come back within this time before the others are told that it left.
    pub presence_grace_ms: u64,
    /// Back ends are told that a channel is vacated when it has been empty for so long.
    pub vacated_grace_ms: u64,
    /// How long a cache channel keeps its last event.
    pub cache_ttl_seconds: u64,
    /// A client that comes back within this time gets what it missed; 0 = no replay.
    pub history_seconds: u64,
    /// Messages that a channel keeps for that.
    pub history_messages: usize,
    /// Bytes that a channel keeps for that.
    pub history_bytes: usize,
    /// Bytes that all channels of this process together keep for that.
    pub history_total_bytes: usize,
    /// A client is asked to confirm what it has received at most this often; 0 = with each message.
    pub confirm_ms: u64,
    /// How often the positions of clients are noted in the database, for after a restart.
    pub checkpoint_ms: u64,
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            presence_grace_ms: 3_000,
            vacated_grace_ms: 3_000,
            cache_ttl_seconds: 1_800,
            history_seconds: 120,
            history_messages: 500,
            history_bytes: 1_048_576,
            history_total_bytes: 268_435_456,
            confirm_ms: 0,
            checkpoint_ms: 250,
        }
    }
}

/// `[log]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What to log, as in `RUST_LOG` (which overrides it): `info`, `bellwire=debug,warn`, …
    pub filter: String,
    /// `auto` (human on a terminal, JSON otherwise), `human` or `json`.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Auto }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// For collectors: one object a line.
    Json,
}

impl Config {
    /// Checks what single types cannot: values against each other.
    pub fn validate(&self) -> Result<()> {
        let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for app in &self.apps {
            app.validate()?;
            for hook in &app.webhooks {
                self.webhooks.permit_url(&hook.url).map_err(|m| wrong(format!("[[apps.webhooks]] {m}")))?;
            }
            if !ids.insert(app.id.0.clone()) || !keys.insert(app.key.clone()) {
                return Err(wrong(format!("[[apps]] id \"{}\" or its key stands twice.", app.id)));
            }
        }
        self.webhooks.validate()?;
        self.notifications.validate()?;
        self.retention.schedule()?;
        let positive = [
            ("limits.json_depth", self.limits.json_depth),
            ("limits.message_burst", self.limits.message_burst as usize),
            ("limits.control_frame_burst", self.limits.control_frame_burst as usize),
            ("channels.history_messages", self.channels.history_messages),
            ("channels.history_bytes", self.channels.history_bytes),
            ("channels.checkpoint_ms", usize::try_from(self.channels.checkpoint_ms).unwrap_or(usize::MAX)),
            ("database.pool_size", self.database.pool_size),
            ("limits.message_bytes", self.limits.message_bytes),
            ("limits.queue_messages", self.limits.queue_messages),
            ("limits.queue_bytes", self.limits.queue_bytes),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(wrong(format!("{key} must be at least 1."))),
            None => Ok(()),
        }
    }
}

fn wrong(message: String) -> Error {
    Error::new(Code::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use figment::Figment;
    use serde_json::Value;
    use std::path::Path;

    const FILE: &str = include_str!("../../config.toml");

    fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
        source::extract(&Figment::from(source::File::parse(Path::new("config.toml"), text)?))
    }

    fn refused(text: &str) -> String {
        match read::<Config>(text) {
            Ok(config) => config.validate().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_file_lists_every_key_with_its_default_and_no_other() {
        let listed: Value = read(FILE).unwrap();
        assert_eq!(listed, serde_json::to_value(Config::default()).unwrap());
    }

    #[test]
    fn every_key_of_the_file_has_a_comment() {
        let lines: Vec<&str> = FILE.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[1].contains(" = ") && !pair[1].starts_with("# ")) {
            assert!(pair[0].starts_with("# "), "{} has no comment", pair[1]);
        }
    }

    #[test]
    fn the_files_sample_app_is_good() {
        let setting = |line: &str| line.strip_prefix('#').filter(|l| !l.starts_with(' ')).map(str::to_owned);
        let sample: Vec<String> = FILE.lines().filter_map(setting).collect();
        let config: Config = read(&sample.join("\n")).unwrap();
        config.validate().unwrap();
        assert_eq!(config.apps.len(), 1);
        assert_eq!(sample.len(), 15, "[[apps]] and every key of it");
    }

    #[test]
    fn an_unknown_key_is_named() {
        assert!(refused("[limits]\nqueue_size = 1").contains("queue_size"));
        assert!(refused("[limit]\nqueue_bytes = 1").contains("limit"));
        let app = "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\nname = \"x\"";
        assert!(refused(app).contains("name"));
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused_by_its_key() {
        assert!(refused("[limits]\nqueue_bytes = 0").contains("limits.queue_bytes"));
        assert!(refused("[limits]\nqueue_bytes = \"much\"").contains("queue_bytes"));
        assert!(refused("[webhooks]\nallowed_networks = [\"10.0.0.0/40\"]").contains("allowed_networks"));
        let app = |id: &str| format!("[[apps]]\nid = \"{id}\"\nkey = \"k\"\nsecret = \"s\"\n");
        assert!(refused(&app("")).contains("id must not be empty"));
        assert!(refused(&(app("1") + &app("1"))).contains("stands twice"));
    }

    #[test]
    fn an_apps_webhook_names_a_url_and_known_events() {
        let hook = |line: &str| {
            format!("[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\n[[apps.webhooks]]\n{line}")
        };
        let good = hook("url = \"https://a.example/h\"\nevents = [\"channel_occupied\", \"cache_miss\"]");
        read::<Config>(&good).unwrap().validate().unwrap();
        assert!(refused(&hook("url = \"ftp://a.example/\"")).contains("https://"));
        let unknown = hook("url = \"https://a.example/\"\nevents = [\"channel_opened\"]");
        assert!(refused(&unknown).contains("\"channel_opened\", which is none of channel_occupied"));
    }
}
