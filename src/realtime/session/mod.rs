//! A session: one client's WebSocket. A [`mind`] decides (the Pusher protocol's is the [`machine`]), the [`actor`]
//! carries out; [`guard`] and [`fragments`] bound what a client can make us hold; [`extension`] and [`deflate`] are
//! permessage-deflate.

pub mod actor;
mod admission;
pub mod client_event;
pub mod confirmations;
mod connection;
pub mod deflate;
pub mod doorkeeper;
pub mod extension;
pub mod fault;
pub mod fragments;
pub mod guard;
pub mod header;
pub mod machine;
pub mod mind;
mod opening;
pub mod rate;
pub mod utf8;

pub use actor::open;
pub use doorkeeper::{Doorkeeper, Principal};
pub use mind::{Effect, Mind};
pub use opening::Opening;
