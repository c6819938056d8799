//! `Judgement`: what follows from one attempt, for its delivery and for its endpoint. Pure.

use super::backoff::{Backoff, Schedule};
use super::breaker::Sign;
use super::outcome::{Control, Outcome, Report, RetryAfter};
use crate::domain::Timestamp;

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint has it.
    Delivered,
    /// It is tried again then.
    Retry(Timestamp),
    /// It was tried as often as it may be, or the endpoint wants no more of it.
    Failed,
}

/// Why an endpoint is disabled by the sender. The names stand in `webhooks.disabled_reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DisabledReason {
    /// It answered 410.
    Gone,
    /// It answered with the header `webhook-delivery: disable`.
    Asked,
}

impl DisabledReason {
    /// The name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Asked => "asked",
        }
    }
}

/// Everything that follows from one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// On the delivery.
    pub verdict: Verdict,
    /// On the endpoint, for its breaker.
    pub sign: Sign,
    /// Whether the endpoint is to be disabled.
    pub disable: Option<DisabledReason>,
}

/// When deliveries of one endpoint are tried again.
#[derive(Debug, Clone, Copy)]
pub struct RetryRule<'a> {
    /// The waits.
    pub schedule: &'a Schedule,
    /// What the endpoint makes of them.
    pub backoff: Backoff,
}

impl Judgement {
    /// On the attempt of this number (the first is 1, and so is the first after a delivery was sent again by
    /// hand) that ended `now`; `seed` is any random number.
    ///
    /// A 429 or 503 may say when to come back (RFC 9110 §10.2.3): that holds for all of the endpoint's
    /// deliveries, up to the longest wait of the schedule, and never shortens the schedule. A 410, and the
    /// header `webhook-delivery: disable`, end the endpoint; `webhook-delivery: abort-message` the delivery.
    pub fn on(report: &Report, attempt: u32, rule: RetryRule<'_>, now: Timestamp, seed: u64) -> Self {
        let disable = disables(report);
        if report.outcome == Outcome::Ok {
            return Self { verdict: Verdict::Delivered, sign: Sign::Good, disable };
        }
        if disable.is_some() || report.control == Some(Control::Abort) {
            return Self { verdict: Verdict::Failed, sign: Sign::Good, disable };
        }
        let pause = pause(report, rule, now);
        let planned = rule.backoff.after(rule.schedule, attempt, seed).map(|wait| now.plus(wait));
        Self {
            verdict: planned.map_or(Verdict::Failed, |at| Verdict::Retry(pause.map_or(at, |p| p.max(at)))),
            sign: pause.map_or(Sign::Bad, Sign::Busy),
            disable,
        }
    }
}

impl Judgement {
    /// What one request means for its endpoint, by what it means for each of its deliveries: one of them is to come
    /// again, and so does the request, as soon as the first of them does.
    pub fn of_request(judgements: &[Self]) -> Option<Self> {
        let retry_at = judgements.iter().filter_map(|judgement| match judgement.verdict {
            Verdict::Retry(at) => Some(at),
            _ => None,
        });
        let first = judgements.first()?;
        Some(Self { verdict: retry_at.min().map_or(first.verdict, Verdict::Retry), ..*first })
    }
}

fn disables(report: &Report) -> Option<DisabledReason> {
    match (report.status, report.control) {
        (Some(410), _) => Some(DisabledReason::Gone),
        (_, Some(Control::Disable)) => Some(DisabledReason::Asked),
        _ => None,
    }
}

fn pause(report: &Report, rule: RetryRule<'_>, now: Timestamp) -> Option<Timestamp> {
    if !matches!(report.status, Some(429 | 503)) {
        return None;
    }
    let asked = match report.retry_after? {
        RetryAfter::Wait(wait) => now.plus(wait),
        RetryAfter::At(then) => then,
    };
    let latest = now.plus(rule.backoff.longest(rule.schedule));
    Some(asked.min(latest)).filter(|until| *until > now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const FULL: Backoff = Backoff { max_retries: 5, delay_percent: 100 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    fn answer(status: u16) -> Report {
        Report {
            outcome: Outcome::of_status(status),
            status: Some(status),
            retry_after: None,
            control: None,
            body: None,
            error: None,
            duration: Duration::ZERO,
        }
    }

    fn judged(report: &Report, attempt: u32, seed: u64) -> Judgement {
        Judgement::on(
            report,
            attempt,
            RetryRule { schedule: &Schedule::default(), backoff: FULL },
            at(0),
            seed,
        )
    }

    fn busy(status: u16, seconds: u64) -> Report {
        Report { retry_after: Some(RetryAfter::Wait(Duration::from_secs(seconds))), ..answer(status) }
    }

    #[test]
    fn six_tries_are_all() {
        assert_eq!(judged(&answer(200), 1, 0).verdict, Verdict::Delivered);
        assert_eq!(judged(&answer(500), 1, 6_000).verdict, Verdict::Retry(at(60)));
        assert_eq!(judged(&answer(404), 5, 720_000).verdict, Verdict::Retry(at(7_200)));
        assert_eq!(judged(&answer(301), 6, 0).verdict, Verdict::Failed);
        assert_eq!(judged(&answer(500), 1, 0).sign, Sign::Bad);
    }

    #[test]
    fn an_endpoint_may_ask_for_more_time_but_not_for_less_nor_for_ever() {
        assert_eq!(judged(&busy(429, 600), 1, 6_000).verdict, Verdict::Retry(at(600)));
        assert_eq!(judged(&busy(503, 5), 1, 6_000).verdict, Verdict::Retry(at(60)));
        assert_eq!(judged(&busy(503, 999_999), 1, 6_000).verdict, Verdict::Retry(at(7_200)));
        assert_eq!(judged(&busy(503, 600), 1, 0).sign, Sign::Busy(at(600)));
        assert_eq!(judged(&busy(429, 600), 6, 0).verdict, Verdict::Failed);
        let date = Report { retry_after: Some(RetryAfter::At(at(90))), ..answer(429) };
        assert_eq!(judged(&date, 1, 6_000).verdict, Verdict::Retry(at(90)));
        let past = Report { retry_after: Some(RetryAfter::At(at(-9))), ..answer(429) };
        assert_eq!(judged(&past, 1, 6_000).sign, Sign::Bad);
        assert_eq!(
            judged(&busy(500, 600), 1, 6_000).verdict,
            Verdict::Retry(at(60)),
            "it means nothing there"
        );
    }

    #[test]
    fn an_endpoint_that_is_gone_or_asks_for_it_is_disabled() {
        let gone = judged(&answer(410), 1, 0);
        assert_eq!((gone.verdict, gone.disable), (Verdict::Failed, Some(DisabledReason::Gone)));
        let asked = |status| judged(&Report { control: Some(Control::Disable), ..answer(status) }, 1, 0);
        assert_eq!(
            (asked(200).verdict, asked(200).disable),
            (Verdict::Delivered, Some(DisabledReason::Asked))
        );
        assert_eq!((asked(500).verdict, asked(500).disable), (Verdict::Failed, Some(DisabledReason::Asked)));
    }

    #[test]
    fn a_request_comes_again_when_the_first_of_its_deliveries_does() {
        let failed = |attempt| judged(&answer(500), attempt, 6_000);
        let together = |attempts: &[u32]| {
            Judgement::of_request(&attempts.iter().map(|n| failed(*n)).collect::<Vec<_>>()).unwrap()
        };
        assert_eq!(together(&[6, 2, 1]), failed(1));
        assert_eq!(together(&[6, 6]), failed(6));
        let good = judged(&answer(200), 1, 0);
        assert_eq!(Judgement::of_request(&[good, good]), Some(good));
        assert_eq!(Judgement::of_request(&[]), None);
    }

    #[test]
    fn an_endpoint_may_refuse_one_message_for_good() {
        let refused = judged(&Report { control: Some(Control::Abort), ..answer(422) }, 1, 0);
        assert_eq!(refused, Judgement { verdict: Verdict::Failed, sign: Sign::Good, disable: None });
    }

    proptest! {
        #[test]
        fn no_retry_comes_before_the_schedule_or_after_its_longest_wait(
            status in 300..600_u16, hint in proptest::option::of(0..100_000_u64), attempt in 1..6_u32, seed: u64,
        ) {
            let report = hint.map_or(answer(status), |hint| busy(status, hint));
            if let Verdict::Retry(due) = judged(&report, attempt, seed).verdict {
                let wait = FULL.after(&Schedule::default(), attempt, seed).unwrap();
                prop_assert!(due >= at(0).plus(wait) && due <= at(7_920));
            }
        }
    }
}
