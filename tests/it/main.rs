//! The integration tests: one binary, a module a room. `cargo nextest run` gives each test its own process.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on panics, and one that measures prints"
)]

#[macro_use]
mod support;

mod architecture;
mod auth;
mod autobahn;
mod broadcasting;
mod canary;
mod catalog;
mod channels;
mod cli;
mod control;
mod cors;
mod demo;
mod echo;
mod fan_out;
mod faults;
mod forgery;
mod idempotency;
mod idempotent_posts;
mod kill;
mod kill_bad_endpoints;
mod kill_notifications;
mod kill_strategies;
mod notification_indexes;
mod notification_templates;
mod notifications;
mod orders;
mod origins;
mod outages;
mod process;
mod protocol;
mod prune;
mod pusher_api;
mod realtime;
mod replay;
mod rest;
mod road;
mod schedule;
mod seed;
mod statements;
mod stock_clients;
mod storage;
mod traps;
mod upgrade;
mod webhook_api;
mod webhook_cli;
mod webhooks;
