//! What tests of several rooms need: databases of their own, real processes, ways to wait.

#[macro_use]
pub(crate) mod db;
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod receiver;

pub(crate) use db::TestDb;
pub(crate) use program::Program;
