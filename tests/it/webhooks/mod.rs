//! Webhooks against real receivers that misbehave, over both databases.

mod client;
mod delivering;
mod leases;
mod pusher;
mod trouble;
mod world;
