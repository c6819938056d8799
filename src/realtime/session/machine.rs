//! `Machine`: the Pusher protocol's mind: what a client said goes in, what to do comes out. No IO, no clock, no
//! actor.

use super::admission::{Admitted, Candidate, LIMIT, Refusal, too_deep};
use super::client_event;
use super::doorkeeper::{Doorkeeper, Principal};
use super::mind::{Effect, Mind};
use super::rate::{Meter, Rate};
use crate::config::{self, App};
use crate::domain::{ChannelName, SocketId};
use crate::realtime::frame::Ending;
use crate::realtime::protocol::depth;
use crate::realtime::protocol::pusher::{self, ClientEvent, ClientFrame, SignIn};
use crate::realtime::users::User;
use crate::realtime::users::user::MAX_WATCHED;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// One connection's state.
pub struct Machine {
    socket: SocketId,
    app: Arc<App>,
    principal: Option<Principal>,
    /// Who it signed in as.
    user: Option<User>,
    doorkeeper: Arc<dyn Doorkeeper>,
    limits: Limits,
    channels: HashMap<ChannelName, Subscription>,
    joins: u32,
    messages: Meter,
    client_events: Meter,
}

/// What it is subscribed to.
#[derive(Debug)]
struct Subscription {
    /// The number of its latest join.
    join: u32,
    /// Who it is there, in a presence channel.
    user_id: Option<Arc<str>>,
}

/// Bounds of one session.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Channels it may be subscribed to.
    pub subscriptions: usize,
    /// What a client is told to use as its silence before a ping, in seconds.
    pub activity_timeout: u64,
    /// Nested arrays and objects of a message.
    pub json_depth: usize,
    /// Messages it may send.
    pub messages: Option<Rate>,
}

impl Limits {
    /// What the settings say.
    pub fn of(limits: &config::Limits) -> Self {
        Self {
            subscriptions: limits.subscriptions_per_connection,
            activity_timeout: limits.activity_timeout_seconds,
            json_depth: limits.json_depth,
            messages: Rate::new(limits.messages_per_second, limits.message_burst),
        }
    }
}

impl Machine {
    /// A connection to this app, by this user if it came with a token.
    pub fn new(
        socket: SocketId,
        app: Arc<App>,
        principal: Option<Principal>,
        doorkeeper: Arc<dyn Doorkeeper>,
        limits: Limits,
    ) -> Self {
        let per_second = app.client_events_per_second;
        Self {
            socket,
            app,
            principal,
            user: None,
            doorkeeper,
            limits,
            channels: HashMap::new(),
            joins: 0,
            messages: Meter::new(limits.messages),
            client_events: Meter::new(Rate::new(per_second, per_second)),
        }
    }

    fn subscribe(&mut self, subscribe: &pusher::Subscribe) -> Vec<Effect> {
        let channel = match ChannelName::parse(&subscribe.channel) {
            Ok(channel) => channel,
            // An unusable name cannot be echoed as a channel.
            Err(message) => return vec![Effect::Refuse("channel_name", pusher::error(Some(4009), &message))],
        };
        match self.admit(&channel, subscribe) {
            Ok(Admitted { member, credential }) => {
                self.joins = self.joins.wrapping_add(1);
                let user_id = member.as_ref().map(|member| member.user_id.clone());
                self.channels.insert(channel.clone(), Subscription { join: self.joins, user_id });
                let proof = credential.then_some(Effect::Authenticated);
                proof.into_iter().chain([Effect::Join(channel, member, self.joins)]).collect()
            }
            Err(Refusal { kind, message, status }) => {
                let reason = if kind == LIMIT { "subscription_limit" } else { "subscription_auth" };
                let text = pusher::subscription_error(channel.as_str(), kind, &message, status);
                vec![Effect::Refuse(reason, text)]
            }
        }
    }

    fn admit(&self, channel: &ChannelName, subscribe: &pusher::Subscribe) -> Result<Admitted, Refusal> {
        let known = self.channels.contains_key(channel);
        if !known && self.channels.len() >= self.limits.subscriptions {
            let message = format!("A connection may have {} subscriptions.", self.limits.subscriptions);
            return Err(Refusal { kind: LIMIT, message, status: 403 });
        }
        let candidate = Candidate {
            app: &self.app,
            socket: self.socket,
            principal: self.principal.as_ref(),
            user: self.user.as_ref(),
            doorkeeper: &*self.doorkeeper,
            json_depth: self.limits.json_depth,
        };
        candidate.admit(channel, subscribe)
    }

    fn unsubscribe(&mut self, channel: &str) -> Vec<Effect> {
        // The protocol has no answer to this, and none to one that was not subscribed either.
        let name = ChannelName::parse(channel).ok().and_then(|name| self.channels.remove_entry(&name));
        name.map(|(name, _)| Effect::Leave(name)).into_iter().collect()
    }

    fn sign_in(&mut self, sign_in: &SignIn) -> Vec<Effect> {
        let user = match self.verified_user(sign_in) {
            Ok(user) => user,
            // As Pusher does: told why, and the connection is over.
            Err(message) => {
                let text = pusher::error(Some(Ending::NOT_SIGNED_IN.code), &message);
                return vec![Effect::Send(text), Effect::Expel("sign_in", Ending::NOT_SIGNED_IN)];
            }
        };
        self.user = Some(user.clone());
        let success = Effect::Send(pusher::signin_success(&sign_in.user_data));
        let message =
            format!("A watchlist has at most {MAX_WATCHED} users; the first {MAX_WATCHED} are watched.");
        let cut = user.cut.then(|| Effect::Refuse("watchlist", pusher::error(Some(4302), &message)));
        [Effect::Authenticated, success].into_iter().chain(cut).chain([Effect::SignIn(user)]).collect()
    }

    fn verified_user(&self, sign_in: &SignIn) -> Result<User, String> {
        let SignIn { auth, user_data } = sign_in;
        if !self.doorkeeper.user_signature_holds(&self.app, auth, self.socket, user_data) {
            return Err("The signature is not valid for this connection and user.".to_owned());
        }
        if !depth::is_within(user_data, self.limits.json_depth) {
            return Err(too_deep(self.limits.json_depth));
        }
        let user = User::parse(user_data)?;
        if self.user.as_ref().is_some_and(|known| known.id != user.id) {
            return Err("The connection is signed in as another user.".to_owned());
        }
        Ok(user)
    }

    fn client_event(&mut self, event: ClientEvent, now: Instant) -> Vec<Effect> {
        match self.publication(event, now) {
            Ok(effect) => vec![effect],
            Err((reason, message)) => {
                vec![Effect::Refuse(reason, pusher::error(Some(client_event::REJECTED), &message))]
            }
        }
    }

    fn publication(&mut self, event: ClientEvent, now: Instant) -> Result<Effect, client_event::Broken> {
        let channel = client_event::destination(&self.app, &event)?;
        let Some(subscription) = self.channels.get(&channel) else {
            return Err(client_event::not_subscribed(&channel));
        };
        let user_id = subscription.user_id.clone();
        let publication = client_event::publication(&self.app, event, self.socket, user_id, now)?;
        if !self.client_events.admit(now) {
            let per_second = self.app.client_events_per_second;
            let message = format!("A connection may send {per_second} client events a second.");
            return Err(("client_event_too_fast", message));
        }
        Ok(Effect::Publish(channel, publication))
    }
}

impl Mind for Machine {
    fn opened(&mut self) -> Vec<Effect> {
        vec![Effect::Send(pusher::connection_established(self.socket, self.limits.activity_timeout))]
    }

    fn text(&mut self, text: &str, now: Instant) -> Vec<Effect> {
        if !self.messages.admit(now) {
            return vec![Effect::Expel("message_flood", Ending::FLOODING)];
        }
        if !depth::is_within(text, self.limits.json_depth) {
            return vec![Effect::Refuse("too_deep", pusher::error(None, &too_deep(self.limits.json_depth)))];
        }
        match pusher::decode(text) {
            Err(message) => vec![Effect::Refuse("unreadable", pusher::error(None, message))],
            Ok(ClientFrame::Ping) => vec![Effect::Send(pusher::pong())],
            Ok(ClientFrame::Pong) => Vec::new(),
            Ok(ClientFrame::Subscribe(subscribe)) => self.subscribe(&subscribe),
            Ok(ClientFrame::Unsubscribe(channel)) => self.unsubscribe(&channel),
            Ok(ClientFrame::SignIn(sign_in)) => self.sign_in(&sign_in),
            Ok(ClientFrame::ClientEvent(event)) => self.client_event(event, now),
            Ok(ClientFrame::Other) => {
                let message = "This event is not one that a client may send.";
                vec![Effect::Refuse("unknown_event", pusher::error(None, message))]
            }
        }
    }

    fn binary(&mut self, _: Bytes, _: Instant) -> Vec<Effect> {
        vec![Effect::End(Ending::NO_BINARY)]
    }

    fn refused(&mut self, channel: &ChannelName, join: u32) {
        if self.channels.get(channel).is_some_and(|subscription| subscription.join == join) {
            self.channels.remove(channel);
        }
    }

    fn user(&self) -> Option<Arc<str>> {
        self.user.as_ref().map(|user| user.id.clone())
    }

    fn subscriptions(&self) -> usize {
        self.channels.len()
    }

    fn take_channels(&mut self) -> Vec<ChannelName> {
        self.channels.drain().map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::admission::tests::{Fake, ana};
    use super::*;
    use crate::domain::Secret;
    use serde_json::{Value, json};

    const DEFAULTS: Limits =
        Limits { subscriptions: 2, activity_timeout: 120, json_depth: 8, messages: None };

    fn machine_with(principal: Option<Principal>, limits: Limits, change: impl FnOnce(&mut App)) -> Machine {
        let mut app = App::new("1", "key", Secret::new("secret"));
        change(&mut app);
        Machine::new(SocketId::from_bits(1), Arc::new(app), principal, Arc::new(Fake), limits)
    }

    fn machine(principal: Option<Principal>) -> Machine {
        machine_with(principal, DEFAULTS, |app| {
            app.client_events = true;
            app.client_events_per_second = 2;
            app.max_data_bytes = 20;
        })
    }

    fn say(machine: &mut Machine, text: &str) -> Vec<Effect> {
        machine.text(text, Instant::now())
    }

    fn subscribe(machine: &mut Machine, data: &Value) -> Vec<Effect> {
        say(machine, &json!({"event": "pusher:subscribe", "data": data}).to_string())
    }

    fn sign_in(machine: &mut Machine, data: &str) -> Vec<Effect> {
        let data = json!({"auth": "good", "user_data": data});
        say(machine, &json!({"event": "pusher:signin", "data": data}).to_string())
    }

    fn trigger(machine: &mut Machine, event: &str, channel: &str, data: &Value) -> Vec<Effect> {
        say(machine, &json!({"event": event, "channel": channel, "data": data}).to_string())
    }

    fn sent(effects: &[Effect]) -> Value {
        match effects {
            [Effect::Send(text) | Effect::Refuse(_, text)] => serde_json::from_str(text).unwrap(),
            other => panic!("expected one answer, got {other:?}"),
        }
    }

    fn refused(effects: &[Effect]) -> (&'static str, Option<u64>) {
        match effects {
            [Effect::Refuse(reason, _)] => (reason, sent(effects)["data"]["code"].as_u64()),
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn subscribing_twice_joins_again_and_counts_once() {
        let mut machine = machine(None);
        for _ in 0..3 {
            assert_eq!(subscribe(&mut machine, &json!({"channel": "a"})).len(), 1);
        }
        assert!(matches!(&subscribe(&mut machine, &json!({"channel": "b"}))[..], [Effect::Join(..)]));
        let full = subscribe(&mut machine, &json!({"channel": "c"}));
        assert_eq!(refused(&full).0, "subscription_limit");
        assert_eq!(sent(&full)["event"], "pusher:subscription_error");
        assert_eq!(machine.subscriptions(), 2);
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
        for text in
            ["", "{", "[1]", r#"{"event":"pusher:nonsense"}"#, r#"{"event":"pusher:signin","data":{}}"#]
        {
            assert_eq!(sent(&say(&mut machine(None), text))["event"], "pusher:error", "{text}");
        }
        let answer = sent(&subscribe(&mut machine(None), &json!({"channel": "a:b"})));
        assert_eq!(answer["event"], "pusher:error");
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_before_it_is_read() {
        let nested = |n: usize| {
            let (open, close) = ("[".repeat(n), "]".repeat(n));
            format!(r#"{{"event":"client-x","channel":"private-x","data":{open}{close}}}"#)
        };
        let mut machine = machine(None);
        assert_eq!(refused(&say(&mut machine, &nested(8))), ("too_deep", None));
        assert_eq!(refused(&say(&mut machine, &nested(7))).0, "client_event_not_subscribed");
        let signed_in = format!(r#"{{"id":"7","user_info":{}{}}}"#, "[".repeat(8), "]".repeat(8));
        assert!(matches!(
            &sign_in(&mut machine, &signed_in)[..],
            [Effect::Send(_), Effect::Expel("sign_in", _)]
        ));
    }

    #[test]
    fn a_flood_of_messages_ends_the_connection_with_1008() {
        let limits = Limits { messages: Rate::new(5, 3), ..DEFAULTS };
        let (mut machine, now) = (machine_with(None, limits, |_| {}), Instant::now());
        let ping = r#"{"event":"pusher:ping"}"#;
        for _ in 0..3 {
            assert!(matches!(&machine.text(ping, now)[..], [Effect::Send(_)]));
        }
        let flood = machine.text(ping, now);
        assert!(matches!(&flood[..], [Effect::Expel("message_flood", ending)] if ending.code == 1008));
    }

    #[test]
    fn a_client_event_goes_to_the_others_as_it_was_sent() {
        let mut machine = machine(None);
        let member = json!({"channel": "presence-x", "auth": "good", "channel_data": "{\"user_id\":7}"});
        subscribe(&mut machine, &json!({"channel": "private-x", "auth": "good"}));
        subscribe(&mut machine, &member);
        for (channel, user) in [("private-x", None), ("presence-x", Some("7"))] {
            let effects = trigger(&mut machine, "client-typing", channel, &json!({"n": 1}));
            let [Effect::Publish(name, publication)] = &effects[..] else { panic!("{effects:?}") };
            assert_eq!((name.as_str(), &*publication.name), (channel, "client-typing"));
            assert_eq!((&*publication.data, publication.user_id.as_deref()), (r#"{"n":1}"#, user));
            assert_eq!(publication.except, Some(SocketId::from_bits(1)));
        }
        let third = trigger(&mut machine, "client-typing", "private-x", &json!(1));
        assert_eq!(refused(&third), ("client_event_too_fast", Some(4301)));
    }

    #[test]
    fn a_client_event_that_breaks_a_rule_is_answered_with_4301_and_the_rule() {
        let long = format!("client-{}", "x".repeat(194));
        let table = [
            ("client-x", "private-other", json!(1), "client_event_not_subscribed"),
            ("client-x", "news", json!(1), "client_event_channel"),
            ("client-x", "private-encrypted-x", json!(1), "client_event_channel"),
            ("client-x", "#server-to-user-7", json!(1), "client_event_channel"),
            ("client-x", "a:b", json!(1), "client_event_channel"),
            (long.as_str(), "private-x", json!(1), "client_event_name"),
            ("client-x", "private-x", json!("x".repeat(19)), "client_event_too_big"),
        ];
        for (event, channel, data, reason) in table {
            let mut machine = machine(None);
            for channel in ["private-x", "news"] {
                subscribe(&mut machine, &json!({"channel": channel, "auth": "good"}));
            }
            let answer = trigger(&mut machine, event, channel, &data);
            assert_eq!(refused(&answer), (reason, Some(4301)), "{channel}");
        }
        let mut disabled = machine_with(None, DEFAULTS, |_| {});
        subscribe(&mut disabled, &json!({"channel": "private-x", "auth": "good"}));
        let answer = trigger(&mut disabled, "client-x", "private-x", &json!(1));
        assert_eq!(refused(&answer), ("client_event_disabled", Some(4301)));
    }

    #[test]
    fn a_sign_in_is_answered_with_the_user_data_as_it_came() {
        let data = r#"{"id":"7","user_info":{"name":"Ana"}, "watchlist":["8"]}"#;
        let mut machine = machine(None);
        for _ in 0..2 {
            let effects = sign_in(&mut machine, data);
            let [Effect::Authenticated, Effect::Send(text), Effect::SignIn(user)] = &effects[..] else {
                panic!("{effects:?}")
            };
            assert_eq!((&*user.id, user.watchlist.len()), ("7", 1));
            let message: Value = serde_json::from_str(text).unwrap();
            let said: Value = serde_json::from_str(message["data"].as_str().unwrap()).unwrap();
            assert_eq!(
                (message["event"].as_str(), said),
                (Some("pusher:signin_success"), json!({"user_data": data}))
            );
        }
        let another = sign_in(&mut machine, r#"{"id":"8"}"#);
        assert!(matches!(&another[..], [Effect::Send(_), Effect::Expel("sign_in", end)] if end.code == 4009));
    }

    #[test]
    fn a_watchlist_that_is_too_long_is_told_and_the_sign_in_stands() {
        let list: Vec<String> = (0..101).map(|n| n.to_string()).collect();
        let effects = sign_in(&mut machine(None), &json!({"id": "7", "watchlist": list}).to_string());
        let [_, _, Effect::Refuse("watchlist", text), Effect::SignIn(user)] = &effects[..] else {
            panic!("{effects:?}")
        };
        assert!(text.contains("4302"));
        assert_eq!(user.watchlist.len(), 100);
    }

    #[test]
    fn who_is_signed_in_may_join_their_own_channel_and_presence_without_channel_data() {
        let mut machine = machine_with(Some(ana()), Limits { subscriptions: 9, ..DEFAULTS }, |_| {});
        let own = json!({"channel": "#server-to-user-u1", "auth": ""});
        assert_eq!(sent(&subscribe(&mut machine, &own))["event"], "pusher:subscription_error");
        sign_in(&mut machine, r#"{"id":"u1","user_info":{"n":1}}"#);
        assert!(matches!(&subscribe(&mut machine, &own)[..], [Effect::Authenticated, Effect::Join(..)]));
        let presence = json!({"channel": "presence-x", "auth": "good"});
        let effects = subscribe(&mut machine, &presence);
        let [_, Effect::Join(_, Some(member), _)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!((&*member.user_id, member.user_info.get()), ("u1", r#"{"n":1}"#));
    }
}
