//! The `info` parameter: which attributes of channels a back end wants to be told.

use super::wrong;
use crate::domain::{ChannelKind, ChannelName, Result};
use crate::realtime::channel_table::Counts;
use serde::Serialize;

/// A parsed `info`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Info {
    /// Users in a presence channel.
    pub(super) user_count: bool,
    /// Subscriptions to any channel.
    pub(super) subscription_count: bool,
    /// The last event of a cache channel.
    pub(super) cache: bool,
}

/// What is told of one channel; empty when nothing was asked.
#[derive(Debug, Default, Serialize)]
pub(super) struct Attributes {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_count: Option<u32>,
}

impl Info {
    /// Reads a list with commas: `user_count,subscription_count`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut info = Self::default();
        for attribute in text.split(',').map(str::trim).filter(|a| !a.is_empty()) {
            match attribute {
                "user_count" => info.user_count = true,
                "subscription_count" => info.subscription_count = true,
                "cache" => info.cache = true,
                other => {
                    let known = "user_count, subscription_count and cache";
                    return Err(wrong(format!("info has no attribute {other}; there are {known}.")));
                }
            }
        }
        Ok(info)
    }

    /// Refuses what a channel of this name cannot have.
    pub(super) fn check(self, channel: &ChannelName) -> Result<()> {
        if self.user_count && channel.kind() != ChannelKind::Presence {
            return Err(wrong("user_count is there for presence channels only."));
        }
        if self.cache && !channel.is_cache() {
            return Err(wrong("cache is there for cache channels only."));
        }
        Ok(())
    }

    /// What was asked of a channel and its kind has.
    pub(super) fn of(self, channel: &ChannelName, counts: Counts) -> Attributes {
        let present = self.user_count && channel.kind() == ChannelKind::Presence;
        Attributes {
            user_count: present.then_some(counts.users),
            subscription_count: self.subscription_count.then_some(counts.subscriptions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_info_is_a_list_of_known_attributes() {
        let both = Info { user_count: true, subscription_count: true, cache: false };
        assert_eq!(Info::parse("subscription_count, user_count,").unwrap(), both);
        assert_eq!(Info::parse("").unwrap(), Info::default());
        assert!(Info::parse("user_count,users").unwrap_err().message().contains("users"));
    }

    #[test]
    fn an_attribute_that_a_channel_cannot_have_is_refused() {
        let table = [
            ("user_count", "presence-a", true),
            ("user_count", "presence-cache-a", true),
            ("user_count", "private-a", false),
            ("user_count", "presence", false),
            ("cache", "private-cache-a", true),
            ("cache", "private-a", false),
            ("subscription_count", "a", true),
        ];
        for (info, channel, good) in table {
            let channel = ChannelName::parse(channel).unwrap();
            assert_eq!(Info::parse(info).unwrap().check(&channel).is_ok(), good, "{info} of {channel}");
        }
    }
}
