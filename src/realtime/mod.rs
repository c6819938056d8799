//! The realtime story in one page.
//!
//! A client's WebSocket is a [`session`]: a pure machine that decides and an actor that carries out. What it
//! subscribes to are [`channel`]s, one actor each, born with their first subscriber and gone with their last.
//! The [`registry`] knows which channels exist and is the way to all of them: joins, leaves, publications of
//! back ends and the events of the outbox pass through it, so they keep their order. The [`relay`] is its
//! cursor in the outbox. Who signed in as whom, and who watches whom, is in [`users`].
//!
//! A channel encodes a message once ([`frame`]) and gives it to the threads of its subscribers ([`fan_out`]), where it
//! is written to each socket ([`direct_path`]), or goes to the session's mailbox where something else is still to be
//! written; a subscriber that does not keep up is cut off ([`link`]).
//!
//! A connection comes as the HTTP dispatcher's ([`client_stream`]) and is its session's from the upgrade on
//! ([`client_socket`]). A session's actor is frozen while its socket is jammed, so every deadline of a session is watched
//! from outside, by the [`sentinel`], over the [`session_table`].

pub mod channel;
pub mod channel_table;
pub mod client_socket;
pub mod client_stream;
pub mod connect_limit;
pub mod cursor;
pub mod direct_path;
pub mod fan_out;
pub mod frame;
pub mod framing;
pub mod hub;
pub mod link;
pub mod protocol;
pub mod publish_limit;
pub mod publishing;
pub mod registry;
pub mod relay;
pub mod sentinel;
pub mod session;
pub mod session_table;
pub mod users;

pub use channel_table::ChannelTable;
pub use frame::{Frame, Publication};
pub use hub::Hub;
pub use link::Link;
pub use publish_limit::PublishLimit;
pub use registry::RegistryActor;
pub use session_table::SessionTable;
pub use users::Users;
