//! Everything a client can say: the decoder and the whole of the Pusher machine, one message a line.
#![no_main]

use bellwire::config::App;
use bellwire::domain::{ChannelName, Secret, SocketId, TenantId, TokenId, UserId};
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
}

fuzz_target!(|text: &str| {
    let app = Arc::new(App::new("1", "key", Secret::new("secret")));
    let principal = Principal { token: TokenId(1), user: UserId(7), tenant: TenantId(3), name: "Ana".to_owned() };
    let principal = (!text.starts_with('!')).then_some(principal);
    let limits = Limits { subscriptions: SUBSCRIPTIONS, activity_timeout: 120 };
    let mut machine = Machine::new(SocketId::from_bits(1), app, principal, Arc::new(Fake), limits);
    let (mut joined, now) = (HashSet::new(), Instant::now());
    for line in text.lines() {
        for effect in machine.text(line, now) {
            match effect {
                Effect::Send(text) => assert!(text.starts_with("{\"event\":\"pusher") && text.ends_with('}')),
                Effect::Join(channel, member, _) => {
                    assert_eq!(member.is_some(), channel.as_str().starts_with("presence-"));
                    joined.insert(channel);
                    assert!(joined.len() <= SUBSCRIPTIONS);
                }
                Effect::Leave(channel) => assert!(joined.remove(&channel)),
                _ => {}
            }
        }
    }
    let left: HashSet<ChannelName> = machine.take_channels().into_iter().collect();
    assert_eq!(left, joined);
});
