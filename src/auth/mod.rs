//! Who is asking, and for what: tenants and users, bearer tokens as Laravel Sanctum makes them and the identity
//! behind one, channel, user and API signatures of the Pusher protocol, and who may join which channel.

pub mod account;
pub mod api_signature;
pub mod channel_policy;
pub mod channel_signature;
pub mod identity;
pub mod token;
mod token_use;
pub mod user_signature;

pub use identity::Identity;
pub use token::Tokens;
