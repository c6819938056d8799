//! `BestTime`: the hour at which a recipient most probably reads what is sent. Pure.
//!
//! What can be chosen is the time asked for and every full hour of the recipient's clock within the window, quiet
//! ones moved to the end of the quiet; the hour before a quiet window and the one after it are its edges, and judged
//! by what is known of them. The highest rate wins, the earlier of equals. Of whom too little is known, nothing is
//! guessed: the time asked for stands.

mod belief;
mod choice;
mod habits;
mod observation;
#[cfg(test)]
mod simulation;
mod window;

pub use belief::{Belief, Prior};
pub use choice::Chosen;
pub use habits::{HALF_LIFE, HOURS, Habits, HourCount, hour_of_day, kept_weight};
pub use observation::{IN_TIME, Observation};
pub use window::{Deliver, Timing, Window};

use super::effective_time::{DueReason, EffectiveTime};
use super::{Priority, QuietHours};
use crate::domain::{Timestamp, Zone};
use jiff::ToSpan;
use std::time::Duration;

/// How much has to be known of a recipient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BestTimeRule {
    /// Sends to them, each worth what its age leaves of it.
    pub min_samples: f64,
}

impl Default for BestTimeRule {
    fn default() -> Self {
        Self { min_samples: 10.0 }
    }
}

/// What is known of a recipient, and what they wish.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    /// Their own history.
    pub habits: &'a Habits,
    /// What is known of others.
    pub prior: &'a Prior,
    /// When they want to be left alone.
    pub quiet: QuietHours,
    /// Whose clocks count.
    pub zone: &'a Zone,
}

/// What was chosen, and how good a choice it is.
#[derive(Debug, Clone, PartialEq)]
pub struct BestTime {
    /// When, why (`best_time`, `insufficient_data`, `quiet_hours`, `critical`), in which zone.
    pub time: EffectiveTime,
    /// How probably this hour is better than one of the window taken at random; none where nothing was chosen.
    pub confidence: Option<f64>,
    /// How probably it is read; none where nothing was chosen.
    pub read_rate: Option<f64>,
    /// How many sends to the recipient are known, each worth what its age leaves of it.
    pub sample_size: f64,
}

impl BestTime {
    /// Of a notification that may go out from `asked` on for as long as `window`.
    pub fn of(
        asked: Timestamp,
        window: Duration,
        priority: Priority,
        recipient: Recipient<'_>,
        rule: BestTimeRule,
    ) -> Self {
        let habits = recipient.habits.at(asked);
        let sample_size = habits.total().sends;
        let as_asked = EffectiveTime::of(asked, priority, recipient.quiet, recipient.zone);
        if priority.is_critical() {
            return Self { time: as_asked, confidence: None, read_rate: None, sample_size };
        }
        if sample_size < rule.min_samples {
            let time = EffectiveTime { reason: DueReason::InsufficientData, ..as_asked };
            return Self { time, confidence: None, read_rate: None, sample_size };
        }
        let judged: Vec<(Timestamp, Belief)> = candidates(asked, window, recipient)
            .into_iter()
            .map(|at| (at, Belief::of(&habits, recipient.prior, hour_of_day(at, recipient.zone))))
            .collect();
        let Some((due_at, belief)) = best(&judged) else {
            // All of the window is quiet: the nearest time that is not.
            return Self { time: as_asked, confidence: None, read_rate: None, sample_size };
        };
        let count = f64::from(u32::try_from(judged.len()).unwrap_or(u32::MAX));
        let average = judged.iter().map(|(_, belief)| belief.rate).sum::<f64>() / count;
        Self {
            time: EffectiveTime { due_at, reason: DueReason::BestTime, zone: recipient.zone.clone() },
            confidence: Some(belief.above(average)),
            read_rate: Some(belief.rate),
            sample_size,
        }
    }
}

/// The highest rate; of equal ones the earliest.
fn best(judged: &[(Timestamp, Belief)]) -> Option<(Timestamp, Belief)> {
    judged.iter().copied().reduce(|best, next| if next.1.rate > best.1.rate { next } else { best })
}

/// Times that are not quiet within the window, earliest first.
fn candidates(asked: Timestamp, window: Duration, recipient: Recipient<'_>) -> Vec<Timestamp> {
    let last = asked.plus(window.min(Window::LONGEST.length()));
    let full_hours = std::iter::successors(Some(hour_after(asked, recipient.zone)), |at| {
        Some(hour_after(*at, recipient.zone))
    });
    let mut times: Vec<Timestamp> = std::iter::once(asked)
        .chain(full_hours.take_while(|at| *at <= last))
        .map(|at| recipient.quiet.over(at, recipient.zone))
        .filter(|at| *at <= last)
        .collect();
    times.dedup();
    times
}

/// The next instant at which the clock shows another hour.
fn hour_after(at: Timestamp, zone: &Zone) -> Timestamp {
    let reading = zone.reading(at);
    let hour = reading.date().at(reading.hour(), 0, 0, 0);
    let next = zone.instant(hour.checked_add(1.hour()).unwrap_or(hour));
    // At the end of time, and where a fold repeats what was read: an hour on.
    if next > at { next } else { at.plus(Duration::from_hours(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_hours(24);

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    /// Somebody to whom forty were sent at each of these hours, and who read as many as it says.
    fn habits(hours: &[(usize, u32)]) -> Habits {
        let sent_at = at("2026-03-01T00:00:00Z");
        let mut habits = Habits::none(sent_at);
        for (hour, reads) in hours {
            (0..40).for_each(|_| habits.sent(*hour, sent_at));
            (0..*reads).for_each(|_| habits.read(*hour, sent_at));
        }
        habits
    }

    fn unknown() -> Prior {
        let nothing = Habits::none(at("2026-03-01T00:00:00Z"));
        Prior::of(&nothing)
    }

    fn choose(hours: &[(usize, u32)], quiet: (&str, &str), zone: &str, window: Duration) -> BestTime {
        let (habits, prior, zone) = (habits(hours), unknown(), Zone::parse(zone).unwrap());
        let quiet = QuietHours::parse(quiet.0, quiet.1).unwrap();
        let recipient = Recipient { habits: &habits, prior: &prior, quiet, zone: &zone };
        let rule = BestTimeRule::default();
        BestTime::of(at("2026-03-02T10:20:00Z"), window, Priority::Normal, recipient, rule)
    }

    fn due(best: &BestTime) -> String {
        format!("{}: {}", &best.time.due_at.to_string()[8..16], best.time.reason)
    }

    const NIGHT: (&str, &str) = ("22:00", "08:00");

    #[test]
    fn the_hour_that_is_read_most_is_chosen() {
        let best = choose(&[(9, 10), (12, 30), (18, 39), (20, 20)], NIGHT, "UTC", DAY);
        assert_eq!(due(&best), "02T18:00: best_time");
        assert!(best.confidence.unwrap() > 0.95 && best.read_rate.unwrap() > 0.7);
        // Of a hundred and sixty, what a day has left.
        assert!(best.sample_size > 150.0 && best.sample_size < 160.0);
    }

    #[test]
    fn hours_are_those_of_the_recipients_clock() {
        let best = choose(&[(9, 38), (12, 2)], NIGHT, "Asia/Manila", DAY);
        assert_eq!(due(&best), "03T01:00: best_time");
    }

    #[test]
    fn only_the_window_is_looked_at_and_its_end_belongs_to_it() {
        let habits = [(10, 5), (12, 30), (18, 39)];
        assert_eq!(due(&choose(&habits, NIGHT, "UTC", Duration::from_mins(100))), "02T12:00: best_time");
        assert_eq!(due(&choose(&habits, NIGHT, "UTC", Duration::ZERO)), "02T10:20: best_time");
    }

    #[test]
    fn equal_hours_are_decided_for_the_earliest() {
        let even: Vec<(usize, u32)> = (0..24).map(|hour| (hour, 20)).collect();
        let best = choose(&even, NIGHT, "UTC", DAY);
        assert_eq!(due(&best), "02T10:20: best_time");
        assert!((best.confidence.unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn no_quiet_hour_is_chosen_however_much_is_read_in_it() {
        let best = choose(&[(23, 40), (8, 25), (12, 10)], NIGHT, "UTC", DAY);
        assert_eq!(due(&best), "03T08:00: best_time");
        let edge = choose(&[(23, 40), (8, 25), (12, 0)], ("22:00", "08:30"), "UTC", DAY);
        assert_eq!(due(&edge), "03T08:30: best_time", "the edge is a time like others");
        let all_quiet = choose(&[(12, 40)], ("09:00", "20:00"), "UTC", Duration::from_hours(3));
        assert_eq!(due(&all_quiet), "02T20:00: quiet_hours");
    }

    #[test]
    fn of_whom_too_little_is_known_nothing_is_guessed() {
        let stranger = choose(&[], NIGHT, "UTC", DAY);
        assert_eq!(due(&stranger), "02T10:20: insufficient_data");
        assert_eq!((stranger.confidence, stranger.read_rate), (None, None));
        let asleep = choose(&[], ("10:00", "11:00"), "UTC", DAY);
        assert_eq!(due(&asleep), "02T11:00: insufficient_data");
    }

    #[test]
    fn what_is_critical_does_not_wait_for_a_better_hour() {
        let (habits, prior) = (habits(&[(18, 39)]), unknown());
        let quiet = QuietHours::default();
        let recipient = Recipient { habits: &habits, prior: &prior, quiet, zone: &Zone::UTC };
        let asked = at("2026-03-02T23:00:00Z");
        let best = BestTime::of(asked, DAY, Priority::Critical, recipient, BestTimeRule::default());
        assert_eq!(due(&best), "02T23:00: critical");
    }

    proptest! {
        #[test]
        fn the_choice_is_within_the_window_and_not_quiet(
            seconds in 0..2_000_000_000_i64, hours in 0..200_u64, start in 0..24_u8, end in 0..24_u8,
            reads in proptest::collection::vec(0..40_u32, 24),
        ) {
            let known: Vec<(usize, u32)> = reads.into_iter().enumerate().collect();
            let asked = Timestamp::from_micros(seconds * 1_000_000).unwrap();
            let mut habits = Habits::none(asked);
            for (hour, reads) in known {
                (0..40).for_each(|_| habits.sent(hour, asked));
                (0..reads).for_each(|_| habits.read(hour, asked));
            }
            let (prior, zone) = (unknown(), Zone::parse("America/New_York").unwrap());
            let quiet = QuietHours::parse(&format!("{start:02}:00"), &format!("{end:02}:00")).unwrap();
            let recipient = Recipient { habits: &habits, prior: &prior, quiet, zone: &zone };
            let window = Duration::from_hours(hours);
            let best = BestTime::of(asked, window, Priority::Low, recipient, BestTimeRule::default());
            let due = best.time.due_at;
            prop_assert!(due >= asked && quiet.over(due, &zone) == due);
            match best.time.reason {
                DueReason::BestTime => {
                    prop_assert!(due <= asked.plus(window));
                    prop_assert!(best.confidence.is_some_and(|c| (0.49..=1.0).contains(&c)));
                }
                reason => prop_assert_eq!((reason, due), (DueReason::QuietHours, quiet.over(asked, &zone))),
            }
        }
    }
}
