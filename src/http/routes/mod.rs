//! The routes, a file a resource: each reads the request, calls its room and answers, and decides nothing.

pub mod broadcasting;
pub mod broadcasts;
pub mod categories;
pub mod channels;
pub mod health;
pub mod notifications;
pub mod orders;
pub mod products;
pub mod pusher_api;
pub mod scheduler;
pub mod socket;
pub mod webhooks;
