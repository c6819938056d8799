//! Codecs: bytes to frames and back. They know no actor and keep no state.

pub mod depth;
pub mod pusher;
