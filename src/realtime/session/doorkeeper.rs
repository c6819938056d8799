//! What a session must ask of the outside: who may subscribe to what. `app` answers with the auth room.

use crate::config::App;
use crate::domain::{ChannelName, SocketId, TenantId, TokenId, UserId};

/// Who a connection's bearer token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The token, which is looked at again while the connection is open.
    pub token: TokenId,
    /// The user.
    pub user: UserId,
    /// The user's tenant.
    pub tenant: TenantId,
    /// The user's name, shown in presence channels.
    pub name: String,
}

/// Decides over guarded channels.
pub trait Doorkeeper: Send + Sync {
    /// Whether a user may subscribe to this channel without a signature.
    fn lets_in(&self, principal: &Principal, channel: &ChannelName) -> bool;

    /// Whether `auth` (`KEY:HEX`) is the app's signature over socket, channel and channel data.
    fn signature_holds(
        &self,
        app: &App,
        auth: &str,
        socket: SocketId,
        channel: &ChannelName,
        channel_data: Option<&str>,
    ) -> bool;

    /// Whether `auth` (`KEY:HEX`) is the app's signature over socket and user data.
    fn user_signature_holds(&self, app: &App, auth: &str, socket: SocketId, user_data: &str) -> bool;
}
