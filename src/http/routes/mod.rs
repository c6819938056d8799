//! The routes, a file a resource: each reads the request, calls its room and answers, and decides nothing.

pub mod categories;
pub mod orders;
pub mod products;
