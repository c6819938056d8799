//! The schedule: what is asked for, what is due, and what becomes of it, whoever dies when.

mod api;
mod best_time;
mod claims;
mod maintenance;
mod processes;
mod world;
