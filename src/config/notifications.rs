//! `[notifications]`: bounds on sending.

use serde::{Deserialize, Serialize};

/// `[notifications]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notifications {
    /// Notifications a minute that a tenant may send, on average, each recipient counting; 0 = no bound.
    pub tenant_per_minute: u32,
    /// Notifications a minute that may be sent to one user, on average; what is critical is not counted. 0 = no bound.
    pub user_per_minute: u32,
    /// Scheduled notifications of one tenant that this process sends a minute, evenly, however many are due at once; 0 =
    /// no bound.
    pub scheduled_per_minute: u32,
}

impl Default for Notifications {
    fn default() -> Self {
        Self { tenant_per_minute: 60_000, user_per_minute: 60, scheduled_per_minute: 0 }
    }
}
