//! `Outcome`: what an attempt came to, and the `Report` of it. Pure.

use crate::domain::Timestamp;
use std::time::Duration;

/// How an attempt ended. The names stand in `webhook_delivery_logs.outcome` and in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A 2xx answer, whole or read to the limit.
    Ok,
    /// An answer that is neither 2xx nor 3xx.
    Http,
    /// A 3xx answer; redirects are not followed.
    Redirect,
    /// No complete answer within the endpoint's time.
    Timeout,
    /// The name has no address, or none that may be dialled: which of the two is for the operator to know.
    Dns,
    /// The host is an address that may not be dialled, or the settings allow no such URL.
    Blocked,
    /// No connection could be made.
    Connect,
    /// No encryption could be agreed on, or the certificate is not good.
    Tls,
    /// The connection ended before an answer began.
    Closed,
    /// Redis answered with an error.
    Redis,
    /// What came back is not HTTP, or not Redis'.
    Protocol,
    /// A 2xx answer whose body broke off.
    Body,
    /// The token endpoint gave no token for the request.
    Token,
    /// The request cannot be put together from the endpoint's row.
    Unsendable,
}

impl Outcome {
    /// The name in tables and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Http => "http",
            Self::Redirect => "redirect",
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Blocked => "blocked",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Closed => "closed",
            Self::Redis => "redis",
            Self::Protocol => "protocol",
            Self::Body => "body",
            Self::Token => "token",
            Self::Unsendable => "unsendable",
        }
    }

    /// The class of an answer with this status.
    pub const fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Ok,
            300..=399 => Self::Redirect,
            _ => Self::Http,
        }
    }
}

/// The header `Retry-After` (RFC 9110 §10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// So long from now.
    Wait(Duration),
    /// Then.
    At(Timestamp),
}

impl RetryAfter {
    /// Reads the header: seconds or an HTTP date. Anything else is as good as none.
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            let seconds = value.parse().unwrap_or(u32::MAX);
            return Some(Self::Wait(Duration::from_secs(seconds.into())));
        }
        let since_1970 = httpdate::parse_http_date(value).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Timestamp::from_micros(i64::try_from(since_1970.as_micros()).ok()?).map(Self::At)
    }
}

/// The header `webhook-delivery` of an answer, as Svix's receivers send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// No more deliveries to this endpoint.
    Disable,
    /// No more attempts at this delivery.
    Abort,
}

impl Control {
    /// Reads the header. Anything else is as good as none.
    pub fn parse(value: &str) -> Option<Self> {
        match value.trim() {
            "disable" => Some(Self::Disable),
            "abort-message" => Some(Self::Abort),
            _ => None,
        }
    }
}

/// Everything that is kept of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// The status of the answer, if one began.
    pub status: Option<u16>,
    /// When the endpoint wants to be called again, if its answer says so.
    pub retry_after: Option<RetryAfter>,
    /// What else its answer asks of the sender.
    pub control: Option<Control>,
    /// The beginning of the answer's body.
    pub body: Option<String>,
    /// What went wrong, in words for the endpoint's owner: nothing of our network is in it.
    pub error: Option<String>,
    /// From dialling to the end.
    pub duration: Duration,
}

impl Report {
    /// Of an attempt that no answer came of.
    pub(super) fn without_answer(outcome: Outcome, error: String, duration: Duration) -> Self {
        Self {
            outcome,
            status: None,
            retry_after: None,
            control: None,
            body: None,
            error: Some(error),
            duration,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_2xx_is_delivered() {
        assert_eq!(Outcome::of_status(204), Outcome::Ok);
        assert_eq!(Outcome::of_status(304), Outcome::Redirect);
        assert_eq!(Outcome::of_status(101), Outcome::Http);
        assert_eq!(Outcome::of_status(410), Outcome::Http);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |seconds| Some(RetryAfter::Wait(Duration::from_secs(seconds)));
        assert_eq!((RetryAfter::parse("120"), RetryAfter::parse(" 0 ")), (wait(120), wait(0)));
        assert_eq!(RetryAfter::parse("99999999999999999999"), wait(u32::MAX.into()));
        let date = Timestamp::parse_rfc3339("1994-11-06T08:49:37Z").unwrap();
        assert_eq!(RetryAfter::parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(RetryAfter::At(date)));
        for nonsense in ["", "-1", "soon", "1.5", "Sun, 06 Nov"] {
            assert_eq!(RetryAfter::parse(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn an_answer_may_ask_for_no_more() {
        assert_eq!(Control::parse("disable"), Some(Control::Disable));
        assert_eq!(Control::parse("abort-message"), Some(Control::Abort));
        assert_eq!(Control::parse("enable"), None);
    }
}
