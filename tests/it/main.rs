//! The integration tests: one binary, a module a room. `cargo nextest run` gives each test its own process.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

#[macro_use]
mod support;

mod architecture;
mod auth;
mod catalog;
mod cli;
mod idempotency;
mod orders;
mod pusher_api;
mod realtime;
mod rest;
mod road;
mod statements;
mod storage;
mod traps;
mod webhooks;
