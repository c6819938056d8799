//! `StreamUrl`: where a stream is, as its owner writes it: `redis://HOST:PORT/DB?stream=NAME&maxlen=N`. Pure.
//!
//! All of it is one URL, so that an endpoint has one place that says where its deliveries go. A user name and a
//! password have no place in it: they are secret, and stand in `auth`.

use std::fmt;
use url::{Host, Url, form_urlencoded};

const MAX_URL: usize = 2_048;
const DEFAULT_PORT: u16 = 6_379;

/// A name as long as this is a mistake.
const MAX_NAME: usize = 255;

/// Redis has 16 unless set otherwise.
const MAX_DATABASE: u32 = 65_535;

/// Entries that a stream is cut back to, give or take a hundred, unless its owner says otherwise.
const DEFAULT_MAX_LEN: u64 = 100_000;
const MOST_MAX_LEN: u64 = 1_000_000_000;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::webhooks) struct StreamUrl {
    /// A name or an address; an IPv6 address stands in brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether TLS is spoken (`rediss://`).
    pub(super) is_encrypted: bool,
    pub(super) database: u32,
    pub(super) stream: String,
    /// How many entries the stream keeps, more or less.
    pub(super) max_len: u64,
}

impl StreamUrl {
    /// Reads it; the error is a sentence that says which rule broke.
    pub(in crate::webhooks) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|e| format!("The url is not a URL: {e}."))?;
        if !matches!(url.scheme(), "redis" | "rediss") {
            return Err("The url must begin with rediss:// or redis://.".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "The url must not carry a user name or password: they go into auth, as basic.".to_owned()
            );
        }
        if url.fragment().is_some() || text.len() > MAX_URL {
            return Err(format!("The url must have no fragment and at most {MAX_URL} characters."));
        }
        // To `url` the host of a scheme that it does not know is any text: this brings each spelling to one.
        let host = url.host_str().and_then(|host| Host::parse(host).ok()).map(|host| host.to_string());
        let (stream, max_len) = parameters(&url)?;
        match (host, url.port()) {
            (Some(host), port) if port != Some(0) => Ok(Self {
                host,
                port: port.unwrap_or(DEFAULT_PORT),
                is_encrypted: url.scheme() == "rediss",
                database: database(url.path())?,
                stream,
                max_len,
            }),
            _ => Err("The url has no host that could be called, or port 0.".to_owned()),
        }
    }

    /// The one spelling of it, with all that goes without saying.
    pub(in crate::webhooks) fn url(&self) -> Result<Url, String> {
        let text = self.to_string();
        // What goes without saying makes it longer.
        if text.len() > MAX_URL {
            return Err(format!(
                "The url must have at most {MAX_URL} characters, {} with all its parts.",
                text.len()
            ));
        }
        Url::parse(&text).map_err(|e| format!("The url is not a URL: {e}."))
    }

    /// The host as a resolver or a certificate has it.
    pub(super) fn bare_host(&self) -> &str {
        self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host)
    }
}

impl fmt::Display for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "rediss" } else { "redis" };
        let stream: String = form_urlencoded::byte_serialize(self.stream.as_bytes()).collect();
        let Self { host, port, database, max_len, .. } = self;
        write!(f, "{scheme}://{host}:{port}/{database}?stream={stream}&maxlen={max_len}")
    }
}

fn database(path: &str) -> Result<u32, String> {
    let number = path.strip_prefix('/').unwrap_or(path);
    if number.is_empty() {
        return Ok(0);
    }
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = number.parse().ok().filter(|database| digits && *database <= MAX_DATABASE);
    parsed.ok_or_else(|| format!("The url's path must be the number of a database, 0 to {MAX_DATABASE}."))
}

/// The name of the stream, and how long it may become.
fn parameters(url: &Url) -> Result<(String, u64), String> {
    let (mut stream, mut max_len) = (None, None);
    for (name, value) in url.query_pairs() {
        let place = match &*name {
            "stream" => &mut stream,
            "maxlen" => &mut max_len,
            _ => return Err("The url's parameters are stream and maxlen, and no others.".to_owned()),
        };
        if place.replace(value.into_owned()).is_some() {
            return Err(format!("The url has the parameter {name} twice."));
        }
    }
    let named = stream.filter(|name| !name.is_empty() && name.len() <= MAX_NAME);
    let Some(stream) = named.filter(|name| !name.chars().any(char::is_control)) else {
        return Err(format!(
            "The url must name the stream, as ?stream=NAME: 1 to {MAX_NAME} bytes and no control characters."
        ));
    };
    let Some(max_len) = max_len else { return Ok((stream, DEFAULT_MAX_LEN)) };
    let bounded = max_len.parse().ok().filter(|n| (1..=MOST_MAX_LEN).contains(n));
    bounded.map(|n| (stream, n)).ok_or_else(|| format!("The url's maxlen must be 1 to {MOST_MAX_LEN}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(text: &str) -> String {
        StreamUrl::parse(text).unwrap().url().unwrap().into()
    }

    #[test]
    fn a_place_has_one_spelling() {
        for (text, one) in [
            ("redis://Cache.EXAMPLE?stream=s", "redis://cache.example:6379/0?stream=s&maxlen=100000"),
            ("redis://127.1/?stream=s", "redis://127.0.0.1:6379/0?stream=s&maxlen=100000"),
            ("redis://0x7f000001:80?stream=s", "redis://127.0.0.1:80/0?stream=s&maxlen=100000"),
            (
                "rediss://[::FFFF:127.0.0.1]/3?stream=s",
                "rediss://[::ffff:7f00:1]:6379/3?stream=s&maxlen=100000",
            ),
            (
                "rediss://b%C3%BCcher.example/15?maxlen=9&stream=s",
                "rediss://xn--bcher-kva.example:6379/15?stream=s&maxlen=9",
            ),
            (
                "redis://a.example?stream=a:{b}+%26%C3%A4",
                "redis://a.example:6379/0?stream=a%3A%7Bb%7D+%26%C3%A4&maxlen=100000",
            ),
        ] {
            assert_eq!(spelled(text), one, "{text}");
            assert_eq!(spelled(one), one, "it reads back");
        }
        assert_eq!(StreamUrl::parse("redis://a?stream=a:{b}+%26%C3%A4").unwrap().stream, "a:{b} &ä");
        assert_eq!(StreamUrl::parse("redis://[::1]?stream=s").unwrap().bare_host(), "::1");
    }

    #[test]
    fn what_is_no_stream_is_refused_in_words() {
        for (text, why) in [
            ("", "not a URL"),
            ("redis:a?stream=s", "no host"),
            ("redis://?stream=s", "no host"),
            ("redis:///0?stream=s", "no host"),
            ("redis://a b?stream=s", "not a URL"),
            ("redis://a%20b?stream=s", "no host"),
            ("redis://a:0?stream=s", "port 0"),
            ("redis://a:65536?stream=s", "not a URL"),
            ("http://a.example/?stream=s", "rediss://"),
            ("unix:///run/redis.sock?stream=s", "rediss://"),
            ("redis://user@a?stream=s", "auth"),
            ("redis://:secret@a?stream=s", "auth"),
            ("redis://a/x?stream=s", "database"),
            ("redis://a/-1?stream=s", "database"),
            ("redis://a/+1?stream=s", "database"),
            ("redis://a/65536?stream=s", "database"),
            ("redis://a/0/1?stream=s", "database"),
            ("redis://a", "?stream=NAME"),
            ("redis://a?stream=", "?stream=NAME"),
            ("redis://a?stream=a%00b", "control"),
            ("redis://a?stream=s&stream=t", "twice"),
            ("redis://a?stream=s&maxlen=0", "maxlen"),
            ("redis://a?stream=s&maxlen=-1", "maxlen"),
            ("redis://a?stream=s&maxlen=many", "maxlen"),
            ("redis://a?stream=s&password=x", "no others"),
            ("redis://a?stream=s#x", "fragment"),
        ] {
            let error = StreamUrl::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(StreamUrl::parse(&format!("redis://a?stream={}", "s".repeat(256))).is_err());
        assert!(StreamUrl::parse(&format!("redis://a?stream={}", "s".repeat(255))).is_ok());
    }
}
