//! Who is asking: tenants and users, bearer tokens as Laravel Sanctum makes them, and the identity behind one.

pub mod account;
pub mod identity;
pub mod token;
mod token_use;

pub use identity::Identity;
pub use token::Tokens;
