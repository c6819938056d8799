//! `[webhooks]`: bounds, breaker and schedule of outgoing webhooks, where an endpoint says nothing else.

use super::{PortRange, SecretKeys, wrong};
use crate::domain::Result;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Url;

/// More requests at once than any process has descriptors for.
const MAX_CONCURRENCY: usize = 100_000;

/// The longest a retry may wait, and a breaker stay open: a week.
const MAX_RETRY_SECONDS: u64 = 604_800;

/// The longest that a replaced secret may go on signing: a week.
const MAX_OVERLAP_SECONDS: u64 = 604_800;

/// `[webhooks]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Networks that endpoints may be in although they are private.
    pub allowed_networks: Vec<IpNet>,
    /// Ports that endpoints may be on.
    pub allowed_ports: Vec<PortRange>,
    /// Whether what is not encrypted is refused: `http://` and `redis://`.
    pub https_only: bool,
    /// Whether endpoints may be Redis streams. Where a Redis asks for no password, whoever may name it writes into it.
    pub redis_streams: bool,
    /// Seal what endpoints keep secret; the first seals, all open. None: on SQLite a key is made in a file beside the
    /// database, on PostgreSQL no endpoint can be made.
    #[serde(skip_serializing)]
    pub secret_keys: SecretKeys,
    /// How long a secret that was replaced signs beside the new one; at most a week.
    pub secret_overlap_seconds: u64,
    /// Endpoints that one tenant may have. Each event is matched against all of them.
    pub endpoints_per_tenant: usize,
    /// Requests in flight to one endpoint.
    pub concurrency_per_endpoint: usize,
    /// Requests in flight to all endpoints of one tenant.
    pub concurrency_per_tenant: usize,
    /// Requests in flight in this process.
    pub concurrency: usize,
    /// How long to wait after the first failed attempt, the second, …; ± 10 %.
    pub retry_seconds: Vec<u64>,
    /// Failed attempts in a row that open an endpoint's breaker.
    pub breaker_threshold: u32,
    /// How long an open breaker holds everything back before it is probed.
    pub breaker_open_seconds: u64,
    /// How often rows are searched for deliveries that nobody was told of.
    pub sweep_ms: u64,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            allowed_networks: Vec::new(),
            allowed_ports: vec![
                PortRange::new(80, 80),
                PortRange::new(443, 443),
                PortRange::new(1_024, 65_535),
            ],
            https_only: false,
            redis_streams: false,
            secret_keys: SecretKeys::default(),
            secret_overlap_seconds: 86_400,
            endpoints_per_tenant: 1_000,
            concurrency_per_endpoint: 8,
            concurrency_per_tenant: 64,
            concurrency: 256,
            retry_seconds: vec![60, 300, 900, 3_600, 7_200],
            breaker_threshold: 5,
            breaker_open_seconds: 3_600,
            sweep_ms: 1_000,
        }
    }
}

impl Webhooks {
    /// Whether a URL may be sent to; the error is a sentence for whoever names it. What its host's addresses are is
    /// seen when it is dialled.
    pub fn permit_url(&self, url: &str) -> Result<(), String> {
        match Url::parse(url) {
            Ok(url) => {
                if url.scheme().starts_with("redis") {
                    self.permit_redis()?;
                }
                let is_encrypted = matches!(url.scheme(), "https" | "rediss");
                self.permit(is_encrypted, url.port_or_known_default().unwrap_or(0))
            }
            Err(e) => Err(format!("The url is not a URL: {e}.")),
        }
    }

    /// Whether Redis may be spoken to.
    pub fn permit_redis(&self) -> Result<(), String> {
        if self.redis_streams {
            return Ok(());
        }
        Err("Redis streams are not allowed here; the operator can allow them (webhooks.redis_streams)."
            .to_owned())
    }

    /// Whether such a port may be dialled, with encryption or without.
    pub fn permit(&self, is_encrypted: bool, port: u16) -> Result<(), String> {
        if self.https_only && !is_encrypted {
            return Err("The url must begin with https:// or rediss:// (webhooks.https_only).".to_owned());
        }
        if self.allowed_ports.iter().any(|range| range.contains(port)) {
            return Ok(());
        }
        let ports: Vec<String> = self.allowed_ports.iter().map(ToString::to_string).collect();
        Err(format!("The url's port {port} is none of {} (webhooks.allowed_ports).", ports.join(", ")))
    }

    /// Checks what single types cannot.
    pub(super) fn validate(&self) -> Result<()> {
        let positive = [
            ("endpoints_per_tenant", self.endpoints_per_tenant),
            ("concurrency_per_endpoint", self.concurrency_per_endpoint),
            ("concurrency_per_tenant", self.concurrency_per_tenant),
            ("concurrency", self.concurrency),
            ("breaker_threshold", self.breaker_threshold as usize),
            ("breaker_open_seconds", usize::try_from(self.breaker_open_seconds).unwrap_or(usize::MAX)),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(wrong(format!("webhooks.{key} must be at least 1.")));
        }
        if self.concurrency > MAX_CONCURRENCY || self.concurrency_per_tenant > MAX_CONCURRENCY {
            return Err(wrong(format!("webhooks.concurrency must be at most {MAX_CONCURRENCY}.")));
        }
        if self.breaker_open_seconds > MAX_RETRY_SECONDS {
            return Err(wrong(format!(
                "webhooks.breaker_open_seconds must be at most {MAX_RETRY_SECONDS}, a week."
            )));
        }
        if self.allowed_ports.is_empty() {
            return Err(wrong("webhooks.allowed_ports must name a port at least.".to_owned()));
        }
        if self.secret_overlap_seconds > MAX_OVERLAP_SECONDS {
            return Err(wrong(format!(
                "webhooks.secret_overlap_seconds must be at most {MAX_OVERLAP_SECONDS}, a week."
            )));
        }
        if self.retry_seconds.len() != 5 || self.retry_seconds.iter().any(|s| *s > MAX_RETRY_SECONDS) {
            return Err(wrong(format!(
                "webhooks.retry_seconds must have 5 waits, each of at most {MAX_RETRY_SECONDS} seconds."
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_on_another_port_or_without_encryption_is_refused_where_the_operator_says_so() {
        let webhooks = Webhooks { redis_streams: true, ..Webhooks::default() };
        for url in
            ["http://a.example/", "https://a.example/", "https://a.example:8443/", "http://a.example:1024/"]
        {
            assert_eq!(webhooks.permit_url(url), Ok(()), "{url}");
        }
        for (url, port) in
            [("http://a.example:22/", "22"), ("https://a.example:25/", "25"), ("http://[::1]:1023/", "1023")]
        {
            let error = webhooks.permit_url(url).unwrap_err();
            assert!(error.contains(&format!("port {port} is none of 80, 443, 1024-65535")), "{error}");
        }
        // Of Redis every URL that is saved names its port.
        assert_eq!(webhooks.permit_url("redis://a.example:6379/0?stream=s"), Ok(()));
        assert!(webhooks.permit_url("redis://a.example:25/0?stream=s").unwrap_err().contains("port 25"));
        let strict = Webhooks { https_only: true, redis_streams: true, ..Webhooks::default() };
        assert_eq!(strict.permit_url("rediss://a.example:6379/0?stream=s"), Ok(()));
        assert!(strict.permit_url("redis://a.example:6379/0?stream=s").unwrap_err().contains("rediss://"));
        assert_eq!(strict.permit_url("https://a.example/"), Ok(()));
        assert!(strict.permit_url("http://a.example/").unwrap_err().contains("webhooks.https_only"));
    }
}
