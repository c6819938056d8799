//! The stock clients from npm and `PyPI` (`tests/clients`) against a real server process.

use crate::support::server::CONFIG;
use crate::support::{Program, Server, TestDb};
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

#[actix_rt::test]
async fn pusher_for_python_works_unmodified() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/python/bin/python");
    let installed = Command::new(&python).args(["-c", "import pusher, websockets"]).output();
    assert!(
        installed.is_ok_and(|output| output.status.success()),
        "tests/run installs the Python packages pusher and websockets into target/python (or: python3 -m venv \
         target/python; target/python/bin/pip install -r tests/clients/requirements.txt)"
    );
    let program = Program::new().with_config(CONFIG);
    let server = Server::start(&program);
    let port = server.url("").rsplit(':').next().unwrap().to_owned();
    let mut tests = Command::new("setpriv");
    tests
        .args(["--pdeathsig", "KILL", "--"])
        .arg(python)
        .args(["-W", "error::ResourceWarning", "-m", "unittest", "-v", "pusher_test"])
        .current_dir(root.join("tests/clients"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("BELLWIRE_PORT", port)
        .env("BELLWIRE_APP", "100001 278d425bdf160c739803 7ad3773142a6692b25b8");
    let output = actix_rt::task::spawn_blocking(move || tests.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    assert!(output.status.success(), "{text}\n{}", server.log());
}
