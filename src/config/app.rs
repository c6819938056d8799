//! `[[apps]]`: one Pusher app, its secret, its limits and what it may do.

use super::wrong;
use crate::domain::{AppId, ChannelFact, Result, Secret, TenantId, parse_hook_url};
use serde::Deserialize;

/// `[[apps]]`: one Pusher app. `bellwire app create` prints one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// In the paths of the HTTP API.
    pub id: AppId,
    /// Public: in the address that clients connect to.
    pub key: String,
    /// Signs channel subscriptions and HTTP API requests.
    pub secret: Secret,
    /// Values of the `Origin` header that may connect, ask REST and have subscriptions signed
    /// (`https://shop.example`, `https://*.shop.example`); empty or `*` = any. A client that sends no `Origin` is no
    /// browser and is not bound by the list.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// A disabled app refuses connects with 4003 and back ends with 403.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The tenant that the app serves: other tenants' tokens are refused and their events not routed to it.
    /// `None` = every tenant.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// Open WebSockets; one more is closed with 4004. 0 = as many as the process takes.
    #[serde(default)]
    pub connections: usize,
    /// Channels that exist at one time; a subscription to one more is refused. 0 = no bound.
    #[serde(default = "default_channels")]
    pub channels: usize,
    /// Whether clients may send `client-` events.
    #[serde(default)]
    pub client_events: bool,
    /// Client events a second of one connection; more are answered with 4301. 0 = no bound.
    #[serde(default = "default_client_events")]
    pub client_events_per_second: u32,
    /// Largest data of an event, in bytes; more is a 413.
    #[serde(default = "default_data_bytes")]
    pub max_data_bytes: usize,
    /// Events a second that back ends may publish, on average, an event on several channels counting for each;
    /// more are a 429. 0 = no bound.
    #[serde(default)]
    pub events_per_second: u32,
    /// Whether subscribers are told how many they are (`pusher_internal:subscription_count`).
    #[serde(default)]
    pub subscription_count: bool,
    /// Where what happens on channels is posted, in Pusher's webhook format.
    #[serde(default)]
    pub webhooks: Vec<AppWebhook>,
}

/// `[[apps.webhooks]]`: a receiver of Pusher webhooks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppWebhook {
    /// Where to post.
    pub url: String,
    /// Which events (`channel_occupied`, `channel_vacated`, `member_added`, `member_removed`, `client_event`,
    /// `cache_miss`, `subscription_count`); empty = all.
    #[serde(default)]
    pub events: Vec<String>,
}

impl App {
    /// An app with these credentials and the defaults of everything else.
    pub fn new(id: &str, key: &str, secret: Secret) -> Self {
        Self {
            id: AppId(id.into()),
            key: key.to_owned(),
            secret,
            allowed_origins: Vec::new(),
            enabled: true,
            tenant: None,
            connections: 0,
            channels: default_channels(),
            client_events: false,
            client_events_per_second: default_client_events(),
            max_data_bytes: default_data_bytes(),
            events_per_second: 0,
            subscription_count: false,
            webhooks: Vec::new(),
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        let named = [("id", &*self.id.0), ("key", self.key.as_str()), ("secret", self.secret.expose())];
        match named.iter().find(|(_, value)| value.is_empty()) {
            Some((field, _)) => Err(wrong(format!("[[apps]] {field} must not be empty."))),
            None => self.webhooks.iter().try_for_each(AppWebhook::validate),
        }
    }
}

impl AppWebhook {
    fn validate(&self) -> Result<()> {
        parse_hook_url(&self.url).map_err(|message| wrong(format!("[[apps.webhooks]] {message}")))?;
        match self.events.iter().find(|name| !ChannelFact::NAMES.contains(&name.as_str())) {
            Some(name) => Err(wrong(format!(
                "[[apps.webhooks]] events has \"{name}\", which is none of {}.",
                ChannelFact::NAMES.join(", ")
            ))),
            None => Ok(()),
        }
    }
}

const fn yes() -> bool {
    true
}

const fn default_channels() -> usize {
    100_000
}

const fn default_client_events() -> u32 {
    10
}

const fn default_data_bytes() -> usize {
    10_240
}
