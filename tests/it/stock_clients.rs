//! The stock clients from npm (`tests/clients`) against a real server process, on both databases.

use crate::support::TestDb;
use std::path::Path;
use std::process::Command;

on_both_databases!(stock_clients_work_unmodified);

async fn stock_clients_work_unmodified(db: TestDb) {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    assert!(
        clients.join("node_modules").exists(),
        "tests/run installs the clients (or: npm ci in tests/clients)"
    );
    let mut node = Command::new("setpriv");
    // One file at a time: on PostgreSQL they share the database, and there are few cores.
    node.args(["--pdeathsig", "KILL", "--", "node", "--test", "--test-concurrency=1"])
        .arg("--test-reporter=spec")
        .current_dir(clients)
        .env("BELLWIRE_BIN", env!("CARGO_BIN_EXE_bellwire"));
    if !db.is_sqlite() {
        node.env("DATABASE_URL", db.url());
    }
    let output = actix_rt::task::spawn_blocking(move || node.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}
