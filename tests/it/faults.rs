//! Experiments of `load-tests/faults.mjs` with small numbers, so that they still run when they are wanted large.

use std::path::Path;
use std::process::Command;

/// Runs an experiment on a database; what it prints says what it found, or which Debian package it misses.
async fn holds(number: &str, database: &str, settings: &[(&str, &str)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut node = Command::new("setpriv");
    node.args(["--pdeathsig", "TERM", "--", "node", "load-tests/faults.mjs", number])
        .current_dir(root)
        .env("BELLWIRE", env!("CARGO_BIN_EXE_bellwire"))
        .env("DATABASES", database)
        .envs(settings.iter().copied());
    let output = actix_rt::task::spawn_blocking(move || node.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[actix_rt::test]
async fn killed_at_some_of_all_points_nothing_is_lost() {
    holds("21", "sqlite", &[("FAULT_STEP", "97")]).await;
}

#[actix_rt::test]
async fn killed_at_random_each_delivery_ends_once() {
    holds("22", "sqlite", &[("KILLS", "3")]).await;
}

#[actix_rt::test]
async fn on_sqlite_nothing_is_told_before_it_is_synced() {
    holds("23", "sqlite", &[("ANSWERS", "40")]).await;
}

#[actix_rt::test]
async fn on_postgres_nothing_is_told_before_it_is_synced() {
    holds("23", "postgres", &[("ANSWERS", "40")]).await;
}

#[actix_rt::test]
async fn receivers_that_misbehave_are_told_of_as_what_they_are() {
    holds("25", "sqlite", &[("ROUNDS", "0")]).await;
}

#[actix_rt::test]
async fn a_dead_endpoint_is_tried_at_its_times() {
    holds("26", "sqlite", &[("DELIVERIES", "3")]).await;
}
