//! `ChannelName`: a channel's name, checked once, and what its prefix means. The only place that spells prefixes.

use crate::domain::{TenantId, UserId};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Longest name accepted. The documentation says 164, the server libraries let 200 pass.
pub const MAX_NAME_LENGTH: usize = 200;

const SERVER_TO_USER: &str = "#server-to-user-";

/// Who may subscribe to a channel, by its prefix (Pusher protocol 7, "Channel types").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    /// Anyone with the app's key.
    Public,
    /// `private-`: a signature or a token that the policy lets in.
    Private,
    /// `private-encrypted-`: as private; payloads are sealed end to end and passed through.
    Encrypted,
    /// `presence-`: as private, and the members are known to each other.
    Presence,
    /// `#server-to-user-{id}`: that signed-in user alone.
    ServerToUser,
}

impl ChannelKind {
    /// Whether a subscription needs a signature or a token.
    pub const fn is_guarded(self) -> bool {
        !matches!(self, Self::Public)
    }
}

/// A valid channel name. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// Parses `^[A-Za-z0-9_\-=@,.;]+$` of at most 200 characters, or `#server-to-user-` and a user id; the error says
    /// which rule broke.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_NAME_LENGTH {
            return Err(format!("A channel name is at most {MAX_NAME_LENGTH} characters."));
        }
        if let Some(user_id) = text.strip_prefix(SERVER_TO_USER) {
            // Back ends choose their users' ids (`auth0|1`). No signature is ever made of such a name, so nothing in
            // it can make one fit another.
            return if user_id.is_empty() || user_id.chars().any(char::is_control) {
                Err("The id of a user has at least one character and no control characters.".to_owned())
            } else {
                Ok(Self(text.into()))
            };
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-=@,.;".contains(&b);
        if text.is_empty() || !text.bytes().all(allowed) {
            return Err("A channel name is letters, digits and _ - = @ , . ; only.".to_owned());
        }
        Ok(Self(text.into()))
    }

    /// `private-tenant.{id}`: where a tenant's catalog events are published.
    pub fn tenant(tenant: TenantId) -> Self {
        Self(format!("private-tenant.{tenant}").into())
    }

    /// `private-tenant.{id}.notifications`: notifications to everyone of a tenant.
    pub fn tenant_notifications(tenant: TenantId) -> Self {
        Self(format!("private-tenant.{tenant}.notifications").into())
    }

    /// `private-notification.{id}`: one user's notifications.
    pub fn user_notifications(user: UserId) -> Self {
        Self(format!("private-notification.{user}").into())
    }

    /// `private-webhooks.{id}`: what goes to a tenant's webhook endpoints alone. No user may join it.
    pub fn tenant_webhooks(tenant: TenantId) -> Self {
        Self(format!("private-webhooks.{tenant}").into())
    }

    /// `presence-tenant.{id}`: who of a tenant is online.
    pub fn tenant_presence(tenant: TenantId) -> Self {
        Self(format!("presence-tenant.{tenant}").into())
    }

    /// The name as clients spell it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the prefix says.
    pub fn kind(&self) -> ChannelKind {
        if self.0.starts_with("private-encrypted-") {
            ChannelKind::Encrypted
        } else if self.0.starts_with("private-") {
            ChannelKind::Private
        } else if self.0.starts_with("presence-") {
            ChannelKind::Presence
        } else if self.0.starts_with(SERVER_TO_USER) {
            ChannelKind::ServerToUser
        } else {
            ChannelKind::Public
        }
    }
}

impl ChannelName {
    /// Whether the last event that back ends published is kept for newcomers: `cache-`, `private-cache-`,
    /// `private-encrypted-cache-`, `presence-cache-`.
    pub fn is_cache(&self) -> bool {
        let prefix = match self.kind() {
            ChannelKind::Public => "",
            ChannelKind::Private => "private-",
            ChannelKind::Encrypted => "private-encrypted-",
            ChannelKind::Presence => "presence-",
            ChannelKind::ServerToUser => return false,
        };
        self.0.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("cache-"))
    }

    /// Whether events of the outbox are published here, so that its past can be read from rows.
    pub fn carries_rows(&self) -> bool {
        self.0.starts_with("private-tenant.") || self.is_one_users()
    }

    /// Whether it is one user's own: what is published there is for that user, and for no webhook endpoint.
    pub fn is_one_users(&self) -> bool {
        is_one_users(&self.0)
    }

    /// `#server-to-user-{id}`: what back ends tell one signed-in user.
    pub fn server_to_user(user_id: &str) -> Result<Self, String> {
        Self::parse(&format!("{SERVER_TO_USER}{user_id}"))
    }

    /// The user that a `#server-to-user-` channel belongs to.
    pub fn server_to_user_id(&self) -> Option<&str> {
        self.0.strip_prefix(SERVER_TO_USER)
    }
}

/// The same of a name that was not parsed.
pub fn is_one_users(channel: &str) -> bool {
    channel.starts_with("private-notification.")
}

/// Names are looked up, and those of one prefix found, by plain text.
impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_decides_the_kind() {
        for (name, kind) in [
            ("news", ChannelKind::Public),
            ("cache-news", ChannelKind::Public),
            ("privatenews", ChannelKind::Public),
            ("private-tenant.1", ChannelKind::Private),
            ("private-encrypted-x", ChannelKind::Encrypted),
            ("presence-room;1", ChannelKind::Presence),
            ("#server-to-user-7", ChannelKind::ServerToUser),
        ] {
            assert_eq!(ChannelName::parse(name).unwrap().kind(), kind, "{name}");
        }
    }

    #[test]
    fn a_cache_prefix_stands_behind_the_prefix_of_the_kind() {
        for (name, cache) in [
            ("cache-news", true),
            ("private-cache-x", true),
            ("private-encrypted-cache-x", true),
            ("presence-cache-x", true),
            ("news-cache-x", false),
            ("private-x", false),
            ("cachenews", false),
            ("#server-to-user-cache-x", false),
        ] {
            assert_eq!(ChannelName::parse(name).unwrap().is_cache(), cache, "{name}");
        }
    }

    #[test]
    fn a_name_with_a_colon_space_or_stray_hash_is_refused() {
        // ':' matters most: it would let one signature fit another socket and channel.
        for name in ["", "a:b", "a b", "#x", "#server-to-user-", "é", "a\n", &"x".repeat(201)] {
            assert!(ChannelName::parse(name).is_err(), "{name:?}");
        }
        assert!(ChannelName::parse(&"x".repeat(200)).is_ok());
    }

    #[test]
    fn the_channel_of_a_user_has_any_id_that_can_sign_in() {
        for id in ["7", "auth0|1", "a b", "a:b", "zoë", "#", &"x".repeat(128)] {
            let name = ChannelName::server_to_user(id).unwrap();
            assert_eq!((name.kind(), name.server_to_user_id()), (ChannelKind::ServerToUser, Some(id)));
        }
        for id in ["", "a\nb", "\0", "\u{7f}", "\u{85}"] {
            assert!(ChannelName::server_to_user(id).is_err(), "{id:?}");
        }
    }
}
