//! `Preference`: what a user, or a tenant for its users, chose; and what that comes to for one notification. Pure.
//!
//! Each choice is for a channel or for all, and for a type, for a prefix of types or for all. The narrowest one that
//! says something decides, field by field: a type before a channel, an exact type before a prefix, a user before
//! the tenant. Where nobody said anything a channel is on: who sends to a user means to reach them, and the user
//! may opt out.

use super::digest::DigestFrequency;
use super::{Channel, NotificationType, QuietHours};
use crate::domain::{EventFilter, Zone};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whether notifications are gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestMode {
    /// Each by itself.
    Off,
    /// Together, so often.
    Every(DigestFrequency),
}

/// One choice. What it leaves open the next wider one says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preference {
    /// For this channel only.
    pub channel: Option<Channel>,
    /// For these types only: a name (`order:created`) or a prefix (`order:*`).
    pub types: Option<EventFilter>,
    /// On or off.
    pub enabled: Option<bool>,
    /// Gathered or not.
    pub digest: Option<DigestMode>,
    /// Own quiet hours, which may be [`QuietHours::OFF`].
    pub quiet_hours: Option<QuietHours>,
}

impl Preference {
    fn speaks_of(&self, channel: Channel, kind: &NotificationType) -> bool {
        self.channel.is_none_or(|own| own == channel)
            && self.types.as_ref().is_none_or(|types| types.matches(kind.as_str()))
    }

    /// The narrower, the greater.
    fn narrowness(&self) -> (bool, usize, bool) {
        let types = self.types.as_ref().map_or("", EventFilter::as_str);
        let exact = !types.is_empty() && !types.ends_with('*');
        (exact, types.len(), self.channel.is_some())
    }
}

/// All that is known of a recipient's wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// The zone that holds for them ([`Zone::of_recipient`]).
    pub zone: Zone,
    /// Their own choices.
    pub own: Vec<Preference>,
    /// Their tenant's for all its users; one list for all of them.
    pub tenant: Arc<[Preference]>,
}

impl Wishes {
    /// Nobody chose anything.
    pub fn none(zone: Zone) -> Self {
        Self { zone, own: Vec::new(), tenant: Arc::default() }
    }

    /// The channels of a notification of this type whose sender names none: the inbox, and those that somebody, the
    /// recipient or their tenant, turned on in so many words.
    pub fn preferred(&self, kind: &NotificationType) -> BTreeSet<Channel> {
        let wanted = |channel: Channel| channel == Channel::InApp || self.settled(channel, kind).asked_for;
        Channel::ALL.iter().copied().filter(|channel| wanted(*channel)).collect()
    }

    /// What holds for a notification of this type on this channel.
    pub fn settled(&self, channel: Channel, kind: &NotificationType) -> Settled {
        let narrowest_first = |preferences: &[Preference]| {
            let mut speaking: Vec<Preference> =
                preferences.iter().filter(|p| p.speaks_of(channel, kind)).cloned().collect();
            speaking.sort_by_key(|p| std::cmp::Reverse(p.narrowness()));
            speaking
        };
        let (own, tenant) = (narrowest_first(&self.own), narrowest_first(&self.tenant));
        let all = || own.iter().chain(&tenant);
        let said = all().find_map(|p| p.enabled);
        Settled {
            enabled: said.unwrap_or(true),
            asked_for: said == Some(true),
            digest: all().find_map(|p| p.digest).unwrap_or(DigestMode::Off),
            quiet_hours: all().find_map(|p| p.quiet_hours),
        }
    }
}

/// What holds for one channel and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Whether it is on.
    pub enabled: bool,
    /// Whether somebody turned it on, rather than nobody having said anything.
    pub asked_for: bool,
    /// Whether it is gathered.
    pub digest: DigestMode,
    /// The quiet hours that somebody chose; none when nobody did.
    pub quiet_hours: Option<QuietHours>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(on: bool, channel: Option<Channel>, types: Option<&str>) -> Preference {
        let types = types.map(|t| EventFilter::parse(t).unwrap());
        Preference { channel, types, enabled: Some(on), ..Preference::default() }
    }

    fn settled(own: &[Preference], tenant: &[Preference], channel: Channel, kind: &str) -> Settled {
        let wishes = Wishes { own: own.to_vec(), tenant: tenant.into(), ..Wishes::none(Zone::UTC) };
        wishes.settled(channel, &NotificationType::parse(kind).unwrap())
    }

    #[test]
    fn all_is_on_and_by_itself_until_somebody_says_otherwise() {
        let expected =
            Settled { enabled: true, asked_for: false, digest: DigestMode::Off, quiet_hours: None };
        for channel in Channel::ALL {
            assert_eq!(settled(&[], &[], *channel, "order:created"), expected);
        }
    }

    #[test]
    fn the_narrower_choice_decides() {
        let own = [
            turned(false, None, None),
            turned(true, Some(Channel::Email), None),
            turned(false, None, Some("order:*")),
            turned(true, None, Some("order:created")),
            turned(false, Some(Channel::Webhook), Some("order:created")),
        ];
        let on = |channel, kind| settled(&own, &[], channel, kind).enabled;
        assert!(!on(Channel::InApp, "welcome"));
        assert!(on(Channel::Email, "welcome"));
        assert!(!on(Channel::Email, "order:updated"), "a type before a channel");
        assert!(on(Channel::Email, "order:created"), "an exact type before a prefix");
        assert!(!on(Channel::Webhook, "order:created"), "both before one");
    }

    #[test]
    fn a_user_comes_before_the_tenant_however_wide_the_choice() {
        let tenant = [turned(false, Some(Channel::Email), Some("promo"))];
        assert!(!settled(&[], &tenant, Channel::Email, "promo").enabled);
        assert!(settled(&[turned(true, None, None)], &tenant, Channel::Email, "promo").enabled);
    }

    #[test]
    fn a_star_is_all_types_whatever_they_are_called() {
        let own = [turned(false, None, Some("*"))];
        for kind in ["promo", "order:created", "webhook:disabled", "notification:weekly"] {
            assert!(!settled(&own, &[], Channel::Email, kind).enabled, "{kind}");
        }
    }

    #[test]
    fn each_field_is_decided_by_itself() {
        let daily = DigestMode::Every(DigestFrequency::Daily);
        let quiet = QuietHours::parse("20:00", "07:00").unwrap();
        let own = [
            turned(false, Some(Channel::Email), None),
            Preference { digest: Some(daily), ..Preference::default() },
        ];
        let tenant = [Preference { quiet_hours: Some(quiet), ..Preference::default() }];
        let expected = Settled { enabled: false, asked_for: false, digest: daily, quiet_hours: Some(quiet) };
        assert_eq!(settled(&own, &tenant, Channel::Email, "promo"), expected);
    }

    #[test]
    fn who_names_no_channel_reaches_the_inbox_and_what_was_turned_on() {
        let preferred = |own: Vec<Preference>, kind: &str| {
            let wishes = Wishes { own, ..Wishes::none(Zone::UTC) };
            wishes.preferred(&NotificationType::parse(kind).unwrap())
        };
        assert_eq!(preferred(Vec::new(), "promo"), BTreeSet::from([Channel::InApp]));
        let mail = || vec![turned(true, Some(Channel::Email), Some("order:*"))];
        assert_eq!(preferred(mail(), "promo"), BTreeSet::from([Channel::InApp]));
        assert_eq!(preferred(mail(), "order:created"), BTreeSet::from([Channel::InApp, Channel::Email]));
    }
}
