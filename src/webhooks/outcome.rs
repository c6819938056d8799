//! `Outcome`: what an attempt came to, and the `Verdict` on its delivery that follows from it. Pure.

use super::backoff::Backoff;
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
    /// The name has no address.
    Dns,
    /// Every address of the host is one that may not be dialled.
    Blocked,
    /// No connection could be made.
    Connect,
    /// No encryption could be agreed on, or the certificate is not good.
    Tls,
    /// The connection ended before an answer began.
    Closed,
    /// What came back is not HTTP.
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

/// Everything that is kept of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// The status of the answer, if one began.
    pub status: Option<u16>,
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
        Self { outcome, status: None, body: None, error: Some(error), duration }
    }
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint has it.
    Delivered,
    /// It is tried again then.
    Retry(Timestamp),
    /// It was tried as often as it may be.
    Failed,
}

impl Verdict {
    /// The verdict on the attempt of this number (the first is 1) that ended `now`; `seed` is any random number.
    pub fn on(outcome: Outcome, attempt: u32, backoff: Backoff, now: Timestamp, seed: u64) -> Self {
        match (outcome, backoff.after(attempt, seed)) {
            (Outcome::Ok, _) => Self::Delivered,
            (_, Some(wait)) => Self::Retry(now.plus(wait)),
            (_, None) => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { max_retries: 5, delay_percent: 100 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn only_2xx_is_delivered() {
        assert_eq!(Outcome::of_status(204), Outcome::Ok);
        assert_eq!(Outcome::of_status(304), Outcome::Redirect);
        assert_eq!(Outcome::of_status(101), Outcome::Http);
        assert_eq!(Outcome::of_status(410), Outcome::Http);
        assert_eq!(Verdict::on(Outcome::Ok, 1, BACKOFF, at(0), 0), Verdict::Delivered);
    }

    #[test]
    fn six_tries_are_all() {
        assert_eq!(Verdict::on(Outcome::Http, 1, BACKOFF, at(0), 6_000), Verdict::Retry(at(60)));
        assert_eq!(Verdict::on(Outcome::Timeout, 5, BACKOFF, at(0), 720_000), Verdict::Retry(at(7_200)));
        assert_eq!(Verdict::on(Outcome::Timeout, 6, BACKOFF, at(0), 0), Verdict::Failed);
    }
}
