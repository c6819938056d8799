//! Notifications: how they come into being, and what becomes of them.

mod carrying;
mod channels;
pub(crate) mod desk;
mod dispatching;
mod fanning_out;
mod gathering;
mod history;
mod inbox;
mod mailing;
mod preferences;
mod sending;
mod subscribing;
mod tabs;

pub(crate) use desk::add_crowd;
