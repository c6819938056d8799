//! Channel names and socket ids: what is taken is what was said, and its kind follows from its prefix.
#![no_main]

use bellwire::domain::{ChannelName, SocketId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(name) = ChannelName::parse(text) {
        assert_eq!(name.as_str(), text);
        assert!(!text.is_empty() && text.len() <= 200);
        assert_eq!(
            name.kind().is_guarded(),
            text.starts_with("private-") || text.starts_with("presence-") || text.starts_with('#')
        );
    }
    if let Ok(socket) = text.parse::<SocketId>() {
        assert_eq!(socket.to_string().parse::<SocketId>().ok(), Some(socket));
        let (front, back) = text.split_once('.').unwrap();
        assert!(
            [front, back].iter().all(|half| !half.is_empty() && half.bytes().all(|b| b.is_ascii_digit()))
        );
    }
});
