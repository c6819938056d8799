//! Who may join a channel, as whom: by the app's signature, by the token that the connection came with, or as
//! the user that it signed in as. Pure.

use super::doorkeeper::{Doorkeeper, Principal};
use crate::config::App;
use crate::domain::{ChannelKind, ChannelName, SocketId};
use crate::realtime::channel::Member;
use crate::realtime::protocol::depth;
use crate::realtime::protocol::pusher::Subscribe;
use crate::realtime::users::User;

/// The type of a refusal for one subscription too many.
pub(super) const LIMIT: &str = "LimitReached";
const AUTH: &str = "AuthError";

/// A connection that asks to join a channel.
pub(super) struct Candidate<'a> {
    pub(super) app: &'a App,
    pub(super) socket: SocketId,
    /// Whose token it came with.
    pub(super) principal: Option<&'a Principal>,
    /// Who it signed in as.
    pub(super) user: Option<&'a User>,
    pub(super) doorkeeper: &'a dyn Doorkeeper,
    pub(super) json_depth: usize,
}

/// It may join.
#[derive(Debug)]
pub(super) struct Admitted {
    /// Who it is, in a presence channel.
    pub(super) member: Option<Member>,
    /// Whether it has shown a credential for it.
    pub(super) credential: bool,
}

/// Why it may not.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The type of the error.
    pub(super) kind: &'static str,
    pub(super) message: String,
    /// The HTTP status that would say the same.
    pub(super) status: u16,
}

impl Candidate<'_> {
    /// Whether it may join, as which member, and whether it showed a credential for it.
    pub(super) fn admit(&self, channel: &ChannelName, subscribe: &Subscribe) -> Result<Admitted, Refusal> {
        if subscribe.channel_data.as_ref().is_some_and(|data| !depth::is_within(data, self.json_depth)) {
            return Err(unauthenticated(&too_deep(self.json_depth)));
        }
        let mut member = None;
        match channel.kind() {
            ChannelKind::Public => return Ok(Admitted { member, credential: false }),
            ChannelKind::ServerToUser => self.own_channel(channel)?,
            ChannelKind::Private | ChannelKind::Encrypted => drop(self.is_signed(channel, subscribe)?),
            ChannelKind::Presence => {
                let signed = self.is_signed(channel, subscribe)?;
                member = Some(self.member(signed, subscribe)?);
            }
        }
        Ok(Admitted { member, credential: true })
    }

    /// `#server-to-user-{id}` is for who signed in as that user, and needs no signature of its own.
    fn own_channel(&self, channel: &ChannelName) -> Result<(), Refusal> {
        match self.user {
            Some(user) if channel.server_to_user_id() == Some(&*user.id) => Ok(()),
            Some(_) => Err(forbidden("This channel is another user's.")),
            None => Err(unauthenticated("This channel needs a connection that is signed in.")),
        }
    }

    /// Whether the subscription is signed (true) or covered by the connection's token (false).
    fn is_signed(&self, channel: &ChannelName, subscribe: &Subscribe) -> Result<bool, Refusal> {
        let Some(auth) = subscribe.auth.as_deref().filter(|auth| !auth.is_empty()) else {
            return match self.principal {
                Some(principal) if self.doorkeeper.lets_in(principal, channel) => Ok(false),
                Some(_) => Err(forbidden("This user may not subscribe to the channel.")),
                None => Err(unauthenticated("The channel needs a signature or a connection with a token.")),
            };
        };
        let data = subscribe.channel_data.as_deref();
        if self.doorkeeper.signature_holds(self.app, auth, self.socket, channel, data) {
            Ok(true)
        } else {
            Err(unauthenticated("The signature is not valid for this connection and channel."))
        }
    }

    fn member(&self, signed: bool, subscribe: &Subscribe) -> Result<Member, Refusal> {
        match (signed, &subscribe.channel_data, self.user, self.principal) {
            (true, Some(data), ..) => Member::parse(data).map_err(unauthenticated),
            (true, None, Some(user), _) => Ok(user.member()),
            // What a client says of itself without a signature is not believed: the token says who it is.
            (false, _, _, Some(user)) => Ok(Member::named(&user.user.to_string(), &user.name)),
            _ => {
                let message = "A presence channel needs channel_data with a user_id, or a connection that is signed in.";
                Err(unauthenticated(message))
            }
        }
    }
}

/// What is said of JSON that is nested deeper than it may be.
pub(super) fn too_deep(most: usize) -> String {
    format!("JSON may be nested {most} deep.")
}

fn unauthenticated(message: &str) -> Refusal {
    Refusal { kind: AUTH, message: message.to_owned(), status: 401 }
}

fn forbidden(message: &str) -> Refusal {
    Refusal { kind: AUTH, message: message.to_owned(), status: 403 }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::{Secret, TenantId, TokenId, UserId};

    /// Signature "good" holds; a token lets into channels that name its tenant.
    pub(in super::super) struct Fake;

    impl Doorkeeper for Fake {
        fn lets_in(&self, principal: &Principal, channel: &ChannelName) -> bool {
            channel.as_str().ends_with(&format!("tenant.{}", principal.tenant))
        }

        fn signature_holds(
            &self,
            _: &App,
            auth: &str,
            _: SocketId,
            _: &ChannelName,
            _: Option<&str>,
        ) -> bool {
            auth == "good"
        }

        fn user_signature_holds(&self, _: &App, auth: &str, _: SocketId, _: &str) -> bool {
            auth == "good"
        }
    }

    pub(in super::super) fn ana() -> Principal {
        let name = "Ana".to_owned();
        Principal { token: TokenId(1), user: UserId(7), tenant: TenantId(3), name }
    }

    /// What is asked for: a channel, a signature, channel data.
    type Ask<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

    fn admit(
        token: bool,
        signed_in: bool,
        (channel, auth, channel_data): Ask<'_>,
    ) -> Result<Admitted, Refusal> {
        let app = App::new("1", "key", Secret::new("secret"));
        let (principal, user) = (ana(), User::parse(r#"{"id":"u1"}"#).unwrap());
        let candidate = Candidate {
            app: &app,
            socket: SocketId::from_bits(1),
            principal: token.then_some(&principal),
            user: signed_in.then_some(&user),
            doorkeeper: &Fake,
            json_depth: 8,
        };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let ask = Subscribe { channel: channel.into(), auth: owned(auth), channel_data: owned(channel_data) };
        candidate.admit(&ChannelName::parse(channel).unwrap(), &ask)
    }

    #[test]
    fn anyone_may_join_a_public_channel_and_has_not_shown_a_credential() {
        for ask in [("news", Some(""), None), ("cache-news", None, None)] {
            let admitted = admit(false, false, ask).unwrap();
            assert!(admitted.member.is_none() && !admitted.credential);
        }
    }

    #[test]
    fn a_guarded_channel_takes_a_signature_or_a_token_that_is_let_in() {
        for channel in ["private-x", "private-encrypted-x", "private-cache-x"] {
            assert!(admit(false, false, (channel, Some("good"), None)).unwrap().credential, "{channel}");
        }
        assert!(admit(true, false, ("private-tenant.3", None, None)).unwrap().credential);
        assert!(admit(true, false, ("private-tenant.3", Some(""), None)).unwrap().credential);
    }

    #[test]
    fn a_wrong_signature_is_not_rescued_by_a_token() {
        let refusal = admit(true, true, ("private-tenant.3", Some("bad"), None)).unwrap_err();
        assert_eq!((refusal.kind, refusal.status), ("AuthError", 401));
    }

    #[test]
    fn another_tenants_channel_is_refused_with_403_and_no_credential_with_401() {
        for (token, status) in [(true, 403), (false, 401)] {
            assert_eq!(admit(token, false, ("private-tenant.4", None, None)).unwrap_err().status, status);
        }
    }

    #[test]
    fn a_member_is_who_the_signature_says_else_who_signed_in_else_whose_token_it_is() {
        let (said, own) = (Some(r#"{"user_id":"1"}"#), ("presence-tenant.3", None));
        for (token, signed_in, ask, expected) in [
            (true, true, ("presence-x", Some("good"), said), Some("1")),
            (true, true, ("presence-x", Some("good"), None), Some("u1")),
            (true, false, ("presence-x", Some("good"), None), None),
            (true, true, (own.0, own.1, said), Some("7")),
            (true, false, (own.0, own.1, None), Some("7")),
            (false, true, (own.0, own.1, said), None),
            (false, false, ("presence-x", Some("good"), Some("{}")), None),
        ] {
            let member = admit(token, signed_in, ask).ok().and_then(|admitted| admitted.member);
            assert_eq!(member.as_ref().map(|m| &*m.user_id), expected, "{token} {signed_in} {ask:?}");
        }
    }

    #[test]
    fn a_users_own_channel_is_for_who_signed_in_as_that_user_alone() {
        for (signed_in, channel, status) in [
            (true, "#server-to-user-u1", None),
            (true, "#server-to-user-u2", Some(403)),
            (true, "#server-to-user-7", Some(403)),
            (false, "#server-to-user-u1", Some(401)),
            (false, "#server-to-user-7", Some(401)),
        ] {
            let refused = admit(true, signed_in, (channel, Some("good"), None)).err();
            assert_eq!(refused.map(|refusal| refusal.status), status, "{channel}");
        }
    }

    #[test]
    fn channel_data_that_is_nested_too_deep_is_refused() {
        let deep = format!(r#"{{"user_id":"1","user_info":{}{}}}"#, "[".repeat(8), "]".repeat(8));
        assert!(admit(false, false, ("presence-x", Some("good"), Some(&deep))).is_err());
    }
}
