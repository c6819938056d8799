//! Users who signed in on their connections: who a user is ([`user`]), who is online and who watches whom
//! ([`directory`]), and the [`Users`] of all apps with the links to tell them on ([`table`]).

pub mod directory;
pub mod table;
pub mod user;

pub use table::Users;
pub use user::User;
