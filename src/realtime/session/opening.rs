//! `Opening`: how a connection begins: accepted with a mind, or only to be told why not.

use super::doorkeeper::Principal;
use super::machine::{Limits, Machine};
use super::mind::Mind;
use crate::config::App;
use crate::domain::{SocketId, TokenId, UserId};
use crate::realtime::frame::Ending;
use crate::realtime::hub::Hub;
use std::sync::Arc;

/// How a connection begins.
pub enum Opening {
    /// With an app, and a user if a token came along; it speaks the Pusher protocol.
    Accepted(Arc<App>, Option<Principal>),
    /// With an app and a mind of its own.
    Minded(Arc<App>, Box<dyn Mind>),
    /// Only to be told why not: browsers cannot read the status of a refused upgrade, but do read close codes.
    Refused(Ending),
}

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) mind: Box<dyn Mind>,
    pub(super) app: Arc<App>,
    /// Whose token it came with.
    pub(super) user: Option<UserId>,
}

impl Opening {
    /// The token that the connection came with, and what it is from here on.
    pub(super) fn begin(self, socket: SocketId, hub: &Hub) -> (Option<TokenId>, Result<Accepted, Ending>) {
        match self {
            Self::Accepted(app, principal) => {
                let (token, user) = principal.as_ref().map(|p| (p.token, p.user)).unzip();
                let limits = Limits::of(&hub.limits);
                let machine = Machine::new(socket, app.clone(), principal, hub.doorkeeper.clone(), limits);
                (token, Ok(Accepted { mind: Box::new(machine), app, user }))
            }
            Self::Minded(app, mind) => (None, Ok(Accepted { mind, app, user: None })),
            Self::Refused(ending) => (None, Err(ending)),
        }
    }
}
