//! The `channel_data` of presence channels.
#![no_main]

use bellwire::realtime::channel::Member;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(member) = Member::parse(text) {
        assert!(!member.user_id.is_empty() && member.user_id.chars().count() <= 128);
    }
});
