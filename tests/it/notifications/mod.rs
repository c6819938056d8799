//! Notifications: how they come into being, and what becomes of them.

mod desk;
mod dispatching;
mod fanning_out;
mod history;
mod inbox;
mod preferences;
mod sending;
mod tabs;
