//! What tests of several rooms need: databases of their own, real processes, ways to wait.

#[macro_use]
pub(crate) mod db;
pub(crate) mod backend;
pub(crate) mod caller;
pub(crate) mod echo;
pub(crate) mod hub;
pub(crate) mod plan;
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod receiver;
pub(crate) mod redis;
pub(crate) mod rest;
pub(crate) mod server;
pub(crate) mod shop;
pub(crate) mod smtp;
pub(crate) mod socket;
pub(crate) mod statements;
pub(crate) mod wait;

pub(crate) use backend::Backend;
pub(crate) use caller::Caller;
pub(crate) use db::TestDb;
pub(crate) use program::Program;
pub(crate) use redis::Redis;
pub(crate) use server::Server;
pub(crate) use shop::{Shop, opening_time};
pub(crate) use wait::{until, until_within};
