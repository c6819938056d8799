//! `Strategy`: the three ways of sending as rows and requests name them, and what each wants of an endpoint. Pure.

use super::redis_stream::StreamUrl;
use crate::domain::{Error, Result, parse_hook_url};
use crate::webhooks::authorization::Authorization;
use crate::webhooks::custom_headers::CustomHeaders;
use serde::Serialize;
use url::Url;

/// How an endpoint is sent to. The names stand in `webhooks.strategy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// A POST for each delivery.
    #[default]
    HttpPost,
    /// A POST in the format of Pusher's webhooks for all that may go.
    PusherBatch,
    /// An entry in a Redis stream for each delivery.
    RedisStream,
}

impl Strategy {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::HttpPost, Self::PusherBatch, Self::RedisStream];

    /// The name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HttpPost => "http_post",
            Self::PusherBatch => "pusher_batch",
            Self::RedisStream => "redis_stream",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == name)
    }

    /// Reads a URL that is sent to so, and brings it to one spelling; the error is a sentence that says which rule
    /// broke.
    pub fn parse_url(self, text: &str) -> Result<Url, String> {
        match self {
            Self::HttpPost | Self::PusherBatch => parse_hook_url(text),
            Self::RedisStream => StreamUrl::parse(text)?.url(),
        }
    }

    /// Reads a URL by the rules of the strategies that its scheme belongs to.
    pub fn parse_any_url(text: &str) -> Result<Url, String> {
        let strategy = if is_redis(text) { Self::RedisStream } else { Self::HttpPost };
        strategy.parse_url(text)
    }

    /// Whether a URL that was read by [`Self::parse_any_url`] is one to send to so.
    pub fn takes(self, url: &str) -> bool {
        is_redis(url) == (self == Self::RedisStream)
    }

    /// What its URLs begin with.
    pub const fn schemes(self) -> &'static str {
        match self {
            Self::HttpPost | Self::PusherBatch => "https:// or http://",
            Self::RedisStream => "rediss:// or redis://",
        }
    }

    /// Refuses what cannot be sent so: an entry of a stream has no head, and Redis knows a password alone.
    pub fn suits(self, headers: Option<&CustomHeaders>, auth: Option<&Authorization>) -> Result<()> {
        if self != Self::RedisStream {
            return Ok(());
        }
        if headers.is_some_and(|headers| headers.names().next().is_some()) {
            return Err(Error::field("headers", "An entry of a Redis stream has no headers."));
        }
        match auth {
            None | Some(Authorization::Basic { .. }) => Ok(()),
            Some(_) => Err(Error::field(
                "auth",
                "Redis takes auth of the type basic alone: the user (default, where there is none) and the password.",
            )),
        }
    }
}

fn is_redis(url: &str) -> bool {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme.trim());
    scheme.eq_ignore_ascii_case("redis") || scheme.eq_ignore_ascii_case("rediss")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_name_reads_back() {
        for strategy in Strategy::ALL {
            assert_eq!(Strategy::parse(strategy.as_str()), Some(strategy));
            assert_eq!(json!(strategy), strategy.as_str());
        }
        assert_eq!(Strategy::parse("carrier_pigeon"), None);
    }

    #[test]
    fn a_url_belongs_to_a_strategy_by_its_scheme() {
        for (text, strategy) in [
            ("HTTPS://a.example/", Strategy::HttpPost),
            ("http://a.example/redis://", Strategy::PusherBatch),
            ("redis://a.example?stream=s", Strategy::RedisStream),
            ("REDISS://a.example?stream=s", Strategy::RedisStream),
        ] {
            let url = Strategy::parse_any_url(text).unwrap();
            assert_eq!(strategy.parse_url(text).unwrap(), url);
            let taken = Strategy::ALL.map(|strategy| strategy.takes(url.as_str()));
            let is_redis = strategy == Strategy::RedisStream;
            assert_eq!(taken, [!is_redis, !is_redis, is_redis], "{text}");
        }
        assert!(Strategy::RedisStream.parse_url("http://a.example/").is_err());
        assert!(Strategy::PusherBatch.parse_url("redis://a.example?stream=s").is_err());
    }

    #[test]
    fn redis_takes_a_password_and_nothing_else() {
        let headers = CustomHeaders::parse(&json!({"x-shop": "7"})).unwrap();
        let basic = json!({"type": "basic", "username": "default", "password": "p"});
        let basic = Authorization::parse(basic).unwrap();
        let key = json!({"type": "api_key", "header": "x-key", "value": "v"});
        let key = Authorization::parse(key).unwrap();
        let refused = |headers, auth| {
            let error = Strategy::RedisStream.suits(headers, auth).unwrap_err();
            error.fields().keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(refused(Some(&headers), None), ["headers"]);
        assert_eq!(refused(None, Some(&key)), ["auth"]);
        assert!(Strategy::RedisStream.suits(Some(&CustomHeaders::default()), Some(&basic)).is_ok());
        assert!(Strategy::PusherBatch.suits(Some(&headers), Some(&key)).is_ok());
    }
}
