//! `Decision`: what is done with a notification on one channel: sent, deferred, gathered or left. Pure.
//!
//! It is asked when the notification would go out, so that a choice made in the meantime counts.
//!
//! - `critical` is sent, whatever was chosen.
//! - What was scheduled keeps quiet hours on every channel: the recipient's own, else ten to eight.
//! - What is sent for now was wanted now. It keeps only quiet hours that somebody chose, and on the channels that
//!   disturb: an inbox makes no noise.
//! - A digest keeps quiet hours as what was scheduled does: nobody waits for it.

use super::digest::{DigestFrequency, DigestWindow};
use super::effective_time::{DueReason, EffectiveTime};
use super::preferences::{DigestMode, Settled, Wishes};
use super::words::words;
use super::{Channel, NotificationType, Priority, QuietHours};
use crate::domain::Timestamp;

/// How a notification came to be due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Somebody sent it, or an event made it, just now.
    Immediate,
    /// It was scheduled for a time.
    Scheduled,
    /// It is a digest: that it is gathered and when it goes was decided when it was begun.
    Digest,
}

words! {
    /// Why a notification is not sent on a channel.
    SkipReason ("reason") {
        /// The recipient, or their tenant, turned it off.
        TurnedOff = "turned_off",
    }
}

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What it is about.
    pub kind: &'a NotificationType,
    /// How much it matters.
    pub priority: Priority,
    /// Where it would go.
    pub channel: Channel,
    /// How it came to be due.
    pub trigger: Trigger,
}

/// What is done with it on that channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It goes out now.
    Send(DueReason),
    /// It goes out then.
    Defer(EffectiveTime),
    /// It goes out with others.
    Digest(DigestFrequency, DigestWindow),
    /// It does not go out.
    Skip(SkipReason),
}

impl Decision {
    /// On a notification that would go out `now` to somebody with these wishes.
    pub fn on(question: Question<'_>, wishes: &Wishes, now: Timestamp) -> Self {
        let settled = wishes.settled(question.channel, question.kind);
        if question.priority.is_critical() {
            return Self::critical(&settled, wishes, now);
        }
        if !settled.enabled {
            return Self::Skip(SkipReason::TurnedOff);
        }
        if question.trigger == Trigger::Digest {
            return Self::Send(DueReason::Digest);
        }
        if let DigestMode::Every(frequency) = settled.digest {
            let quiet = settled.quiet_hours.unwrap_or_default();
            let window = DigestWindow::after_quiet(now, frequency, quiet, &wishes.zone);
            return Self::Digest(frequency, window);
        }
        let quiet = Self::quiet_hours(question, &settled);
        let effective = EffectiveTime::of(now, question.priority, quiet, &wishes.zone);
        if effective.due_at > now { Self::Defer(effective) } else { Self::Send(effective.reason) }
    }

    /// The quiet hours that hold for a notification. Scheduling asks too, to say beforehand when it will be due.
    pub fn quiet_hours(question: Question<'_>, settled: &Settled) -> QuietHours {
        match question.trigger {
            Trigger::Scheduled => settled.quiet_hours.unwrap_or_default(),
            Trigger::Immediate if question.channel.disturbs() => {
                settled.quiet_hours.unwrap_or(QuietHours::OFF)
            }
            Trigger::Immediate | Trigger::Digest => QuietHours::OFF,
        }
    }

    /// Sent; the reason tells whether somebody's wish was passed over.
    fn critical(settled: &Settled, wishes: &Wishes, now: Timestamp) -> Self {
        let quiet = settled.quiet_hours.unwrap_or_default();
        let as_wished = settled.enabled && settled.digest == DigestMode::Off;
        let in_time = EffectiveTime::of(now, Priority::Critical, quiet, &wishes.zone).reason;
        Self::Send(if as_wished { in_time } else { DueReason::Critical })
    }
}

#[cfg(test)]
mod tests {
    use super::super::preferences::Preference;
    use super::*;
    use crate::domain::Zone;
    use proptest::prelude::*;

    const NIGHT: &str = "2026-03-02T23:00:00Z";
    const NOON: &str = "2026-03-02T12:00:00Z";

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn wishes(own: Preference) -> Wishes {
        Wishes { own: vec![own], ..Wishes::none(Zone::UTC) }
    }

    fn decide(
        priority: Priority,
        channel: Channel,
        trigger: Trigger,
        wishes: &Wishes,
        now: &str,
    ) -> Decision {
        let kind = NotificationType::parse("order:created").unwrap();
        Decision::on(Question { kind: &kind, priority, channel, trigger }, wishes, at(now))
    }

    fn due(decision: &Decision) -> String {
        match decision {
            Decision::Send(reason) => format!("now: {reason}"),
            Decision::Defer(effective) => {
                format!("{}: {}", &effective.due_at.to_string()[8..16], effective.reason)
            }
            Decision::Digest(frequency, window) => {
                format!("{}: {frequency}", &window.due_at.to_string()[8..16])
            }
            Decision::Skip(reason) => reason.to_string(),
        }
    }

    #[test]
    fn what_was_scheduled_waits_for_the_morning_on_every_channel() {
        let nobody_chose = Wishes::none(Zone::UTC);
        for channel in Channel::ALL {
            let at_night = decide(Priority::Normal, *channel, Trigger::Scheduled, &nobody_chose, NIGHT);
            assert_eq!(due(&at_night), "03T08:00: quiet_hours");
            let at_noon = decide(Priority::Normal, *channel, Trigger::Scheduled, &nobody_chose, NOON);
            assert_eq!(due(&at_noon), "now: as_asked");
        }
    }

    #[test]
    fn what_is_sent_for_now_goes_out_at_night_unless_somebody_chose_otherwise() {
        let nobody_chose = Wishes::none(Zone::UTC);
        let own = wishes(Preference { quiet_hours: Some(QuietHours::default()), ..Preference::default() });
        for (wishes, channel, expected) in [
            (&nobody_chose, Channel::Email, "now: as_asked"),
            (&nobody_chose, Channel::InApp, "now: as_asked"),
            (&own, Channel::Email, "03T08:00: quiet_hours"),
            (&own, Channel::Webhook, "03T08:00: quiet_hours"),
            (&own, Channel::InApp, "now: as_asked"),
        ] {
            let decision = decide(Priority::High, channel, Trigger::Immediate, wishes, NIGHT);
            assert_eq!(due(&decision), expected, "{channel}");
        }
    }

    #[test]
    fn who_has_switched_quiet_hours_off_gets_what_was_scheduled_at_night() {
        let off = wishes(Preference { quiet_hours: Some(QuietHours::OFF), ..Preference::default() });
        assert_eq!(
            due(&decide(Priority::Low, Channel::InApp, Trigger::Scheduled, &off, NIGHT)),
            "now: as_asked"
        );
    }

    #[test]
    fn what_is_turned_off_is_left_and_what_is_gathered_waits_for_its_digest() {
        let off = wishes(Preference { enabled: Some(false), ..Preference::default() });
        assert_eq!(
            due(&decide(Priority::High, Channel::Email, Trigger::Immediate, &off, NOON)),
            "turned_off"
        );
        let hourly = DigestMode::Every(DigestFrequency::Hourly);
        let gathered = wishes(Preference { digest: Some(hourly), ..Preference::default() });
        let at = |now| due(&decide(Priority::Normal, Channel::Email, Trigger::Immediate, &gathered, now));
        assert_eq!(at(NOON), "02T13:00: hourly");
        assert_eq!(at(NIGHT), "03T08:00: hourly", "nobody waits for a digest at night");
    }

    #[test]
    fn what_is_critical_says_when_a_wish_was_passed_over() {
        let at = |own, now| {
            due(&decide(Priority::Critical, Channel::Email, Trigger::Scheduled, &wishes(own), now))
        };
        assert_eq!(at(Preference::default(), NOON), "now: as_asked");
        assert_eq!(at(Preference::default(), NIGHT), "now: critical");
        assert_eq!(at(Preference { enabled: Some(false), ..Preference::default() }, NOON), "now: critical");
        let weekly = Some(DigestMode::Every(DigestFrequency::Weekly));
        assert_eq!(at(Preference { digest: weekly, ..Preference::default() }, NOON), "now: critical");
    }

    proptest! {
        #[test]
        fn critical_goes_out_now_whatever_was_chosen(
            enabled: Option<bool>, digest in 0..5_usize, quiet in 0..3_usize, channel in 0..3_usize,
            scheduled: bool, seconds in 0..2_000_000_000_i64,
        ) {
            let digest = match digest {
                0 => None,
                1 => Some(DigestMode::Off),
                n => Some(DigestMode::Every(DigestFrequency::ALL[n - 2])),
            };
            let quiet_hours = [None, Some(QuietHours::OFF), Some(QuietHours::default())][quiet];
            let wishes = wishes(Preference { enabled, digest, quiet_hours, ..Preference::default() });
            let kind = NotificationType::parse("security_alert").unwrap();
            let question = Question {
                kind: &kind,
                priority: Priority::Critical,
                channel: Channel::ALL[channel],
                trigger: if scheduled { Trigger::Scheduled } else { Trigger::Immediate },
            };
            let now = Timestamp::from_micros(seconds * 1_000_000).unwrap();
            prop_assert!(matches!(Decision::on(question, &wishes, now), Decision::Send(_)));
            let normal = Question { priority: Priority::Normal, ..question };
            match Decision::on(normal, &wishes, now) {
                Decision::Send(_) => prop_assert!(enabled != Some(false)),
                Decision::Defer(effective) => prop_assert!(effective.due_at > now),
                Decision::Digest(_, window) => prop_assert!(window.due_at > now),
                Decision::Skip(_) => prop_assert_eq!(enabled, Some(false)),
            }
        }
    }
}
