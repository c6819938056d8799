//! Which guarded channels a user may join by token alone. Pure. Everything not named here needs the app's
//! signature, which only the app's back end can make.

use super::Identity;
use crate::domain::{ChannelKind, ChannelName, TenantId, UserId};

/// Whether a user may subscribe: `private-notification.{their id}`; `private-tenant.{their tenant}` and
/// `presence-tenant.{their tenant}`, and whatever stands behind a further dot (`….notifications`,
/// `….room.5`), which belongs to that tenant by its name.
pub fn may_join(user: UserId, tenant: TenantId, channel: &ChannelName) -> bool {
    let name = channel.as_str();
    match channel.kind() {
        ChannelKind::Public => true,
        ChannelKind::Private => {
            channel == &ChannelName::user_notifications(user)
                || belongs(name, ChannelName::tenant(tenant).as_str())
        }
        ChannelKind::Presence => belongs(name, ChannelName::tenant_presence(tenant).as_str()),
        ChannelKind::Encrypted | ChannelKind::ServerToUser => false,
    }
}

/// Whether the identity behind a token may subscribe.
pub fn identity_may_join(identity: &Identity, channel: &ChannelName) -> bool {
    may_join(identity.user_id, identity.tenant_id, channel)
}

fn belongs(name: &str, root: &str) -> bool {
    name.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_joins_what_is_theirs_and_their_tenants_and_nothing_else() {
        let table = [
            ("news", true),
            ("private-notification.7", true),
            ("private-notification.77", false),
            ("private-notification.7.x", false),
            ("private-tenant.3", true),
            ("private-tenant.3.notifications", true),
            ("private-tenant.33", false),
            ("private-tenant.33.notifications", false),
            ("private-tenant.4", false),
            ("private-tenant.", false),
            ("private-tenant.3-x", false),
            ("presence-tenant.3", true),
            ("presence-tenant.3.room.5", true),
            ("presence-tenant.4", false),
            ("presence-room.5", false),
            ("private-room.5", false),
            ("private-encrypted-tenant.3", false),
            ("#server-to-user-7", false),
        ];
        for (name, expected) in table {
            let channel = ChannelName::parse(name).unwrap();
            assert_eq!(may_join(UserId(7), TenantId(3), &channel), expected, "{name}");
        }
    }
}
