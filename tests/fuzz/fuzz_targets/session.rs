//! Everything a client can say: the decoder and the whole of the Pusher machine, one message a line.
#![no_main]

use bellwire::config::{self, App};
use bellwire::domain::{ChannelKind, ChannelName, Secret, SocketId, TenantId, TokenId, UserId};
use bellwire::realtime::session::machine::{Limits, Machine};
use bellwire::realtime::session::{Doorkeeper, Effect, Mind, Principal};
use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

const SUBSCRIPTIONS: usize = 3;

/// Lets in what is signed with "good", and its tenant's channels.
struct Fake;

impl Doorkeeper for Fake {
    fn lets_in(&self, principal: &Principal, channel: &ChannelName) -> bool {
        channel.as_str().ends_with(&format!("tenant.{}", principal.tenant))
    }

    fn signature_holds(&self, _: &App, auth: &str, _: SocketId, _: &ChannelName, _: Option<&str>) -> bool {
        auth == "good"
    }

    fn user_signature_holds(&self, _: &App, auth: &str, _: SocketId, _: &str) -> bool {
        auth == "good"
    }
}

fuzz_target!(|text: &str| {
    let mut app = App::new("1", "key", Secret::new("secret"));
    app.client_events = !text.starts_with('?');
    let principal =
        Principal { token: TokenId(1), user: UserId(7), tenant: TenantId(3), name: "Ana".to_owned() };
    let principal = (!text.starts_with('!')).then_some(principal);
    let mut limits = config::Limits::default();
    limits.subscriptions_per_connection = SUBSCRIPTIONS;
    let limits = Limits::of(&limits);
    let mut machine = Machine::new(SocketId::from_bits(1), Arc::new(app), principal, Arc::new(Fake), limits);
    let (mut joined, now) = (HashSet::new(), Instant::now());
    'session: for line in text.lines() {
        for effect in machine.text(line, now) {
            match effect {
                Effect::Send(text) | Effect::Refuse(_, text) => {
                    assert!(text.starts_with("{\"event\":\"pusher") && text.ends_with('}'));
                }
                Effect::Join(channel, member, _) => {
                    assert_eq!(member.is_some(), channel.kind() == ChannelKind::Presence);
                    joined.insert(channel);
                    assert!(joined.len() <= SUBSCRIPTIONS);
                }
                Effect::Leave(channel) => assert!(joined.remove(&channel)),
                Effect::Publish(channel, publication) => {
                    assert!(joined.contains(&channel) && channel.kind().is_guarded());
                    assert!(publication.name.starts_with("client-"));
                }
                Effect::SignIn(user) => assert!(!user.id.is_empty() && user.watchlist.len() <= 100),
                Effect::End(_) | Effect::Expel(..) => break 'session,
                _ => {}
            }
        }
    }
    let left: HashSet<ChannelName> = machine.take_channels().into_iter().collect();
    assert_eq!(left, joined);
});
