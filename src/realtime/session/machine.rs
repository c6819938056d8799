//! `Machine`: the Pusher protocol's mind: what a client said goes in, what to do comes out. No IO, no clock, no
//! actor.

use super::doorkeeper::{Doorkeeper, Principal};
use super::mind::{Effect, Mind};
use crate::config::App;
use crate::domain::{ChannelKind, ChannelName, SocketId};
use crate::realtime::channel::Member;
use crate::realtime::frame::Ending;
use crate::realtime::protocol::pusher::{self, ClientFrame};
use bytes::Bytes;
use bytestring::ByteString;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// One connection's state.
pub struct Machine {
    socket: SocketId,
    app: Arc<App>,
    principal: Option<Principal>,
    doorkeeper: Arc<dyn Doorkeeper>,
    limits: Limits,
    /// What it is subscribed to, each with the number of its latest join.
    channels: HashMap<ChannelName, u32>,
    joins: u32,
}

/// Bounds of one session.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Channels it may be subscribed to.
    pub subscriptions: usize,
    /// What a client is told to use as its silence before a ping, in seconds.
    pub activity_timeout: u64,
}

/// Why a subscription is refused: the error's type, its message and the HTTP status that would say the same.
type Refusal = (&'static str, String, u16);

impl Machine {
    /// A connection to this app, by this user if it came with a token.
    pub fn new(
        socket: SocketId,
        app: Arc<App>,
        principal: Option<Principal>,
        doorkeeper: Arc<dyn Doorkeeper>,
        limits: Limits,
    ) -> Self {
        Self { socket, app, principal, doorkeeper, limits, channels: HashMap::new(), joins: 0 }
    }

    fn subscribe(&mut self, subscribe: &pusher::Subscribe) -> Vec<Effect> {
        let channel = match ChannelName::parse(&subscribe.channel) {
            Ok(channel) => channel,
            // An unusable name cannot be echoed as a channel.
            Err(message) => return vec![Effect::Send(pusher::error(Some(4009), &message))],
        };
        match self.admit(&channel, subscribe) {
            Ok((member, credential)) => {
                self.joins = self.joins.wrapping_add(1);
                self.channels.insert(channel.clone(), self.joins);
                let proof = credential.then_some(Effect::Authenticated);
                proof.into_iter().chain([Effect::Join(channel, member, self.joins)]).collect()
            }
            Err((kind, message, status)) => {
                vec![Effect::Send(pusher::subscription_error(channel.as_str(), kind, &message, status))]
            }
        }
    }

    /// Whether this client may join, as which member, and whether it showed a credential for it.
    fn admit(
        &self,
        channel: &ChannelName,
        subscribe: &pusher::Subscribe,
    ) -> Result<(Option<Member>, bool), Refusal> {
        let known = self.channels.contains_key(channel);
        if !known && self.channels.len() >= self.limits.subscriptions {
            let message = format!("A connection may have {} subscriptions.", self.limits.subscriptions);
            return Err(("LimitReached", message, 403));
        }
        if !channel.kind().is_guarded() {
            return Ok((None, false));
        }
        let signed = self.credential(channel, subscribe)?;
        let member = match channel.kind() {
            ChannelKind::Presence => Some(self.member(signed, subscribe)?),
            _ => None,
        };
        Ok((member, true))
    }

    /// Whether the subscription is signed (true) or covered by the connection's token (false).
    fn credential(&self, channel: &ChannelName, subscribe: &pusher::Subscribe) -> Result<bool, Refusal> {
        let denied = |message: &str| Err(("AuthError", message.to_owned(), 401));
        match subscribe.auth.as_deref().filter(|auth| !auth.is_empty()) {
            Some(auth) => {
                let data = subscribe.channel_data.as_deref();
                if self.doorkeeper.signature_holds(&self.app, auth, self.socket, channel, data) {
                    Ok(true)
                } else {
                    denied("The signature is not valid for this connection and channel.")
                }
            }
            None => match &self.principal {
                Some(principal) if self.doorkeeper.lets_in(principal, channel) => Ok(false),
                Some(_) => Err(("AuthError", "This user may not subscribe to the channel.".to_owned(), 403)),
                None => denied("The channel needs a signature or a connection with a token."),
            },
        }
    }

    fn member(&self, signed: bool, subscribe: &pusher::Subscribe) -> Result<Member, Refusal> {
        let wrong = |message: &str| ("AuthError", message.to_owned(), 401);
        match (signed, &subscribe.channel_data, &self.principal) {
            (true, Some(data), _) => Member::parse(data).map_err(wrong),
            // What a client says of itself without a signature is not believed: the token says who it is.
            (false, _, Some(user)) => Ok(Member::named(&user.user.to_string(), &user.name)),
            _ => Err(wrong("A presence channel needs channel_data with a user_id.")),
        }
    }

    fn unsubscribe(&mut self, channel: &str) -> Vec<Effect> {
        // The protocol has no answer to this, and none to one that was not subscribed either.
        let name = ChannelName::parse(channel).ok().and_then(|name| self.channels.remove_entry(&name));
        name.map(|(name, _)| Effect::Leave(name)).into_iter().collect()
    }
}

impl Mind for Machine {
    fn opened(&mut self) -> Vec<Effect> {
        vec![Effect::Send(pusher::connection_established(self.socket, self.limits.activity_timeout))]
    }

    fn text(&mut self, text: &str, _: Instant) -> Vec<Effect> {
        match pusher::decode(text) {
            Err(message) => vec![Effect::Send(pusher::error(None, message))],
            Ok(ClientFrame::Ping) => vec![Effect::Send(pusher::pong())],
            Ok(ClientFrame::Pong) => Vec::new(),
            Ok(ClientFrame::Subscribe(subscribe)) => self.subscribe(&subscribe),
            Ok(ClientFrame::Unsubscribe(channel)) => self.unsubscribe(&channel),
            Ok(ClientFrame::Other(event)) => vec![Effect::Send(unsupported(&event))],
        }
    }

    fn binary(&mut self, _: Bytes, _: Instant) -> Vec<Effect> {
        vec![Effect::End(Ending::NO_BINARY)]
    }

    fn refused(&mut self, channel: &ChannelName, join: u32) {
        if self.channels.get(channel) == Some(&join) {
            self.channels.remove(channel);
        }
    }

    fn take_channels(&mut self) -> Vec<ChannelName> {
        self.channels.drain().map(|(name, _)| name).collect()
    }
}

fn unsupported(event: &str) -> ByteString {
    if event.starts_with("client-") {
        pusher::error(Some(4301), "Client events are not enabled for this app.")
    } else {
        pusher::error(None, "This event is not one that a client may send.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Secret, TenantId, TokenId, UserId};
    use serde_json::{Value, json};

    /// Signature "good" holds; a token lets into channels that name its tenant.
    struct Fake;

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
    }

    fn machine(principal: Option<Principal>) -> Machine {
        let app = App::new("1", "key", Secret::new("secret"));
        let limits = Limits { subscriptions: 2, activity_timeout: 120 };
        Machine::new(SocketId::from_bits(1), Arc::new(app), principal, Arc::new(Fake), limits)
    }

    fn ana() -> Principal {
        let name = "Ana".to_owned();
        Principal { token: TokenId(1), user: UserId(7), tenant: TenantId(3), name }
    }

    fn say(machine: &mut Machine, text: &str) -> Vec<Effect> {
        machine.text(text, Instant::now())
    }

    fn subscribe(machine: &mut Machine, data: &Value) -> Vec<Effect> {
        say(machine, &json!({"event": "pusher:subscribe", "data": data}).to_string())
    }

    fn sent(effects: &[Effect]) -> Value {
        match effects {
            [Effect::Send(text)] => serde_json::from_str(text).unwrap(),
            other => panic!("expected one answer, got {other:?}"),
        }
    }

    #[test]
    fn anyone_may_join_a_public_channel_and_has_not_shown_a_credential() {
        let effects = subscribe(&mut machine(None), &json!({"channel": "news", "auth": ""}));
        assert!(matches!(&effects[..], [Effect::Join(name, None, _)] if name.as_str() == "news"));
    }

    #[test]
    fn a_private_channel_takes_a_signature_or_a_token_that_is_let_in() {
        let signed = json!({"channel": "private-x", "auth": "good"});
        assert!(matches!(
            &subscribe(&mut machine(None), &signed)[..],
            [Effect::Authenticated, Effect::Join(..)]
        ));
        let token = json!({"channel": "private-tenant.3"});
        assert!(matches!(
            &subscribe(&mut machine(Some(ana())), &token)[..],
            [Effect::Authenticated, Effect::Join(..)]
        ));
    }

    #[test]
    fn a_wrong_signature_is_not_rescued_by_a_token() {
        let data = json!({"channel": "private-tenant.3", "auth": "bad"});
        let answer = sent(&subscribe(&mut machine(Some(ana())), &data));
        assert_eq!(answer["event"], "pusher:subscription_error");
    }

    #[test]
    fn another_tenants_channel_is_refused_with_403_and_no_credential_with_401() {
        let data = json!({"channel": "private-tenant.4"});
        for (principal, status) in [(Some(ana()), 403), (None, 401)] {
            let answer = sent(&subscribe(&mut machine(principal), &data));
            let data: Value = serde_json::from_str(answer["data"].as_str().unwrap()).unwrap();
            assert_eq!((data["type"].as_str(), data["status"].as_u64()), (Some("AuthError"), Some(status)));
            assert_eq!(answer["channel"], "private-tenant.4");
        }
    }

    #[test]
    fn a_presence_member_is_who_the_token_says_whatever_the_client_says() {
        let data = json!({"channel": "presence-tenant.3", "channel_data": "{\"user_id\":\"1\"}"});
        match &subscribe(&mut machine(Some(ana())), &data)[..] {
            [Effect::Authenticated, Effect::Join(_, Some(member), _)] => assert_eq!(&*member.user_id, "7"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_signed_presence_subscription_needs_a_member() {
        let data = json!({"channel": "presence-x", "auth": "good"});
        assert_eq!(sent(&subscribe(&mut machine(None), &data))["event"], "pusher:subscription_error");
    }

    #[test]
    fn subscribing_twice_joins_again_and_counts_once() {
        let mut machine = machine(None);
        for _ in 0..3 {
            assert_eq!(subscribe(&mut machine, &json!({"channel": "a"})).len(), 1);
        }
        assert!(matches!(&subscribe(&mut machine, &json!({"channel": "b"}))[..], [Effect::Join(..)]));
        assert_eq!(
            sent(&subscribe(&mut machine, &json!({"channel": "c"})))["event"],
            "pusher:subscription_error"
        );
    }

    #[test]
    fn a_refusal_of_an_earlier_join_does_not_undo_a_later_one() {
        let mut machine = machine(None);
        let leave = r#"{"event":"pusher:unsubscribe","data":{"channel":"a"}}"#;
        subscribe(&mut machine, &json!({"channel": "a"}));
        say(&mut machine, leave);
        let effects = subscribe(&mut machine, &json!({"channel": "a"}));
        let [Effect::Join(name, _, latest)] = &effects[..] else { panic!("{effects:?}") };
        machine.refused(name, latest - 1);
        assert_eq!(&machine.take_channels()[..], std::slice::from_ref(name));
    }

    #[test]
    fn unsubscribing_leaves_once() {
        let mut machine = machine(None);
        subscribe(&mut machine, &json!({"channel": "a"}));
        let leave = r#"{"event":"pusher:unsubscribe","data":{"channel":"a"}}"#;
        assert!(matches!(&say(&mut machine, leave)[..], [Effect::Leave(_)]));
        assert!(say(&mut machine, leave).is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_answered_and_the_connection_stays() {
        for text in ["", "{", "[1]", r#"{"event":"pusher:nonsense"}"#, r#"{"event":"client-x","data":{}}"#] {
            assert_eq!(sent(&say(&mut machine(None), text))["event"], "pusher:error", "{text}");
        }
        let answer = sent(&subscribe(&mut machine(None), &json!({"channel": "a:b"})));
        assert_eq!(answer["event"], "pusher:error");
    }
}
