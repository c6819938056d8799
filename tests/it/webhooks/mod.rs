//! Webhooks against real receivers that misbehave, over both databases.

mod authorizing;
mod books;
mod client;
mod delivering;
mod dialling;
mod holding_back;
mod interim;
mod leases;
mod pusher;
mod pusher_batch;
mod redis_faults;
mod redis_stream;
mod secrets;
mod signatures;
mod standing_by;
mod trouble;
mod world;
