//! A session: one client's WebSocket. The [`machine`] decides, the [`actor`] carries out; [`guard`] and
//! [`fragments`] bound what a client can make us hold.

pub mod actor;
pub mod doorkeeper;
pub mod fragments;
pub mod guard;
pub mod machine;

pub use actor::{Opening, open};
pub use doorkeeper::{Doorkeeper, Principal};
