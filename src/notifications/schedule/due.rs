//! When a scheduled notification is due, by its recipient's wishes as they are now. Pure.
//!
//! It says beforehand what `dispatch` will say when the time has come, and so it asks the same question: of the inbox,
//! where it goes there, else of the channel that is free first. What goes out at its best time keeps the quiet hours of
//! that channel, so that nothing is left to wait for when the time has come.

use crate::domain::Timestamp;
use crate::notifications::best_time::{BestTime, BestTimeRule, Chosen, Habits, Prior, Recipient, Window};
use crate::notifications::decision::{Decision, Question, Trigger};
use crate::notifications::effective_time::{DueReason, EffectiveTime};
use crate::notifications::preferences::Wishes;
use crate::notifications::{Channel, NotificationType, Priority};
use std::collections::BTreeSet;

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) kind: &'a NotificationType,
    pub(super) priority: Priority,
    /// None said: where its recipient wants it.
    pub(super) channels: Option<&'a BTreeSet<Channel>>,
    pub(super) at: Timestamp,
}

/// What is known of the recipient and of others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Past<'a> {
    pub(super) habits: &'a Habits,
    pub(super) prior: &'a Prior,
}

/// When it goes out. What is not wanted anywhere is due as asked: its recipient may want it by then.
pub(super) fn due(asked: Asked<'_>, wishes: &Wishes) -> EffectiveTime {
    deciding(asked, wishes).map_or_else(|| as_asked(asked, wishes, DueReason::AsAsked), |(_, time)| time)
}

/// The best time of a window, of which so much is left before it `ends`. What is critical, gathered or not wanted goes as
/// it would without.
pub(super) fn best(
    asked: Asked<'_>,
    (window, ends): (Window, Timestamp),
    wishes: &Wishes,
    past: Past<'_>,
) -> (EffectiveTime, Chosen) {
    let Past { habits, prior } = past;
    let deciding = deciding(asked, wishes).filter(|(_, time)| time.reason != DueReason::Digest);
    let time = match deciding.filter(|_| !asked.priority.is_critical() && ends > asked.at) {
        None => {
            let sample_size = habits.at(asked.at).total().sends;
            BestTime { time: due(asked, wishes), confidence: None, read_rate: None, sample_size }
        }
        Some((channel, _)) => {
            let Asked { kind, priority, at, .. } = asked;
            let question = Question { kind, priority, channel, trigger: Trigger::Scheduled };
            let quiet = Decision::quiet_hours(question, &wishes.settled(channel, kind));
            let recipient = Recipient { habits, prior, quiet, zone: &wishes.zone };
            BestTime::of(at, ends.since(at), priority, recipient, BestTimeRule::default())
        }
    };
    let chosen = Chosen::of(window, &time);
    (time.time, chosen)
}

/// The channel that decides, and when it lets it go; none where it is not wanted anywhere.
fn deciding(asked: Asked<'_>, wishes: &Wishes) -> Option<(Channel, EffectiveTime)> {
    let channels = asked.channels.cloned().unwrap_or_else(|| wishes.preferred(asked.kind));
    let times: Vec<(Channel, EffectiveTime)> = channels
        .into_iter()
        .filter_map(|channel| Some((channel, time_on(channel, asked, wishes)?)))
        .collect();
    let in_app = times.iter().find(|(channel, _)| *channel == Channel::InApp);
    let first = || times.iter().min_by_key(|(_, time)| time.due_at);
    in_app.or_else(first).cloned()
}

fn time_on(channel: Channel, asked: Asked<'_>, wishes: &Wishes) -> Option<EffectiveTime> {
    let Asked { kind, priority, at, .. } = asked;
    match Decision::on(Question { kind, priority, channel, trigger: Trigger::Scheduled }, wishes, at) {
        Decision::Send(reason) => Some(as_asked(asked, wishes, reason)),
        Decision::Defer(time) => Some(time),
        // It goes into its digest then.
        Decision::Digest(..) => Some(as_asked(asked, wishes, DueReason::Digest)),
        Decision::Skip(_) => None,
    }
}

fn as_asked(asked: Asked<'_>, wishes: &Wishes, reason: DueReason) -> EffectiveTime {
    EffectiveTime { due_at: asked.at, reason, zone: wishes.zone.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Zone;
    use crate::notifications::QuietHours;
    use crate::notifications::digest::DigestFrequency;
    use crate::notifications::preferences::{DigestMode, Preference};

    const NIGHT: &str = "2026-03-02T23:00:00Z";

    fn when(channels: &[Channel], priority: Priority, own: Vec<Preference>) -> String {
        let wishes = Wishes { own, ..Wishes::none(Zone::UTC) };
        let kind = NotificationType::parse("promo").unwrap();
        let channels: BTreeSet<Channel> = channels.iter().copied().collect();
        let channels = (!channels.is_empty()).then_some(&channels);
        let at = Timestamp::parse_rfc3339(NIGHT).unwrap();
        let time = due(Asked { kind: &kind, priority, channels, at }, &wishes);
        format!("{} {}", &time.due_at.to_string()[8..16], time.reason)
    }

    #[test]
    fn the_night_is_waited_out_unless_it_is_critical() {
        assert_eq!(when(&[], Priority::Normal, Vec::new()), "03T08:00 quiet_hours");
        assert_eq!(when(&[], Priority::Critical, Vec::new()), "02T23:00 critical");
    }

    #[test]
    fn the_inbox_decides_and_where_it_does_not_go_there_the_channel_that_is_free_first() {
        let quiet = |channel, until| Preference {
            channel: Some(channel),
            quiet_hours: QuietHours::parse("21:00", until).ok(),
            ..Preference::default()
        };
        let own = || vec![quiet(Channel::InApp, "09:00"), quiet(Channel::Email, "07:00")];
        assert_eq!(when(&[Channel::InApp, Channel::Email], Priority::High, own()), "03T09:00 quiet_hours");
        assert_eq!(when(&[Channel::Webhook, Channel::Email], Priority::High, own()), "03T07:00 quiet_hours");
    }

    #[test]
    fn what_is_gathered_or_not_wanted_is_due_as_asked() {
        let daily =
            Preference { digest: Some(DigestMode::Every(DigestFrequency::Daily)), ..Preference::default() };
        assert_eq!(when(&[], Priority::Low, vec![daily]), "02T23:00 digest");
        let off = Preference { enabled: Some(false), ..Preference::default() };
        assert_eq!(when(&[], Priority::Low, vec![off]), "02T23:00 as_asked");
    }

    /// What is chosen on the second for somebody who reads what comes at nine in the evening.
    fn chosen(channels: &[Channel], own: Vec<Preference>, hours: u64) -> (String, bool) {
        let wishes = Wishes { own, ..Wishes::none(Zone::UTC) };
        let kind = NotificationType::parse("promo").unwrap();
        let at = Timestamp::parse_rfc3339("2026-03-02T12:00:00Z").unwrap();
        let mut habits = Habits::none(at);
        (0..40).for_each(|_| habits.sent(21, at));
        (0..40).for_each(|_| habits.read(21, at));
        let prior = Prior::of(&Habits::none(at));
        let channels = channels.iter().copied().collect();
        let asked = Asked { kind: &kind, priority: Priority::Normal, channels: Some(&channels), at };
        let ends = at.plus(std::time::Duration::from_hours(hours));
        let past = Past { habits: &habits, prior: &prior };
        let (time, chosen) = best(asked, (Window::USUAL, ends), &wishes, past);
        (format!("{} {}", &time.due_at.to_string()[8..16], time.reason), chosen.confidence.is_some())
    }

    #[test]
    fn the_best_time_keeps_the_quiet_hours_of_the_channel_that_decides() {
        let quiet = |channel, from| Preference {
            channel: Some(channel),
            quiet_hours: QuietHours::parse(from, "08:00").ok(),
            ..Preference::default()
        };
        let own = || vec![quiet(Channel::Email, "20:30")];
        assert_eq!(
            chosen(&[Channel::InApp, Channel::Email], own(), 24),
            ("02T21:00 best_time".to_owned(), true)
        );
        assert_eq!(chosen(&[Channel::Email], own(), 24), ("02T20:00 best_time".to_owned(), true));
    }

    #[test]
    fn what_is_gathered_or_has_no_window_left_is_not_chosen_for() {
        let daily =
            Preference { digest: Some(DigestMode::Every(DigestFrequency::Daily)), ..Preference::default() };
        assert_eq!(chosen(&[Channel::InApp], vec![daily], 24), ("02T12:00 digest".to_owned(), false));
        assert_eq!(chosen(&[Channel::InApp], Vec::new(), 0), ("02T12:00 as_asked".to_owned(), false));
    }
}
