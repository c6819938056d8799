//! What back ends sign and clients pass on: `channel_data` of presence channels, `user_data` of sign-ins.
#![no_main]

use bellwire::realtime::channel::Member;
use bellwire::realtime::users::User;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(member) = Member::parse(text) {
        assert!((1..=128).contains(&member.user_id.len()));
    }
    if let Ok(user) = User::parse(text) {
        assert!((1..=128).contains(&user.id.len()) && user.watchlist.len() <= 100);
        assert!(user.watchlist.is_sorted());
    }
});
