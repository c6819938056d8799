//! Webhooks against real receivers that misbehave, over both databases.

mod client;
mod delivering;
mod leases;
mod trouble;
mod world;
