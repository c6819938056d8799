//! `Postgres`: a real server for one test, from Debian's binaries, on a free loopback port.
//!
//! `initdb` runs once: its result is kept under `target/` and copied for each test. The server ends with the
//! test whatever becomes of it: `Drop` in the ordinary case, a parent-death signal when the test is killed.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

/// What was committed survives a stop (not a power cut), and many servers share few cores.
const SETTINGS: [&str; 8] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "full_page_writes=off",
    "autovacuum=off",
    "shared_buffers=16MB",
    "max_connections=60",
    "lc_messages=C",
];

const START_LIMIT: Duration = Duration::from_secs(30);

/// A running (or, between `stop` and `start_again`, stopped) server with an empty database `postgres`.
pub(crate) struct Postgres {
    process: Option<Child>,
    port: u16,
    folder: TempDir,
}

impl Postgres {
    /// Starts a new, empty server.
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("bellwire-postgres-").tempdir().unwrap();
        copy_folder(&template(), &folder.path().join("data"));
        let mut server = Self { process: None, port: 0, folder };
        give_to_server(server.folder.path());
        // The port was free a moment ago; should another have taken it since, the next one will do.
        let mut complaints = String::new();
        for _ in 0..5 {
            server.port = free_port();
            match server.launch() {
                Ok(()) => return server,
                Err(said) => complaints = said,
            }
        }
        panic!("PostgreSQL does not start: {complaints}");
    }

    /// `postgres://…`, valid across a stop and a start.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends the server as a crash or an operator in a hurry would: connections break.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // SIGQUIT is an immediate shutdown; SIGKILL would leave its shared memory behind.
            let _ = kill_process(Pid::from_child(&process), Signal::QUIT);
            let _ = process.wait();
        }
    }

    /// Starts the stopped server again, on its old port and data.
    pub(crate) fn start_again(&mut self) {
        self.launch().expect("PostgreSQL starts again");
    }

    fn launch(&mut self) -> Result<(), String> {
        let mut command = as_server_user(&binary("postgres"), &["--pdeathsig", "QUIT"]);
        command.arg("-D").arg(self.folder.path().join("data")).arg("-p").arg(self.port.to_string());
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        let mut process = command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("PostgreSQL's binary runs");
        let ready = wait_until_ready(process.stderr.take().unwrap());
        self.process = Some(process);
        ready.inspect_err(|_| self.stop())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Reads the server's log, to its end and on a thread of its own so that the pipe never fills.
fn wait_until_ready(log: ChildStderr) -> Result<(), String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut said = String::new();
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if line.contains("database system is ready to accept connections") {
                let _ = tell.send(Ok(()));
            }
            if said.len() < 10_000 {
                said.push_str(&line);
                said.push('\n');
            }
        }
        let _ = tell.send(Err(said));
    });
    told.recv_timeout(START_LIMIT).unwrap_or_else(|_| Err(format!("not ready after {START_LIMIT:?}")))
}

/// The folder that `initdb` made, made now if it was not there. Tests run at once and take turns here.
fn template() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(home).unwrap();
    let initdb = binary("initdb");
    let version = initdb.ancestors().nth(2).and_then(Path::file_name).unwrap().to_owned();
    let template = home.join("postgres-template").join(version);
    let lock = File::create(home.join("postgres-template.lock")).unwrap();
    lock.lock().unwrap();
    if !template.exists() {
        // Built where the server's user may write, then put in place whole.
        let building = tempfile::tempdir().unwrap();
        give_to_server(building.path());
        run(as_server_user(&initdb, &[]).current_dir(building.path()).args(["-D", "data"]).args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--wal-segsize=1",
            "--no-sync",
        ]));
        let half = template.with_extension("half");
        let _ = fs::remove_dir_all(&half);
        fs::create_dir_all(template.parent().unwrap()).unwrap();
        copy_folder(&building.path().join("data"), &half);
        fs::rename(&half, &template).unwrap();
    }
    template
}

/// The newest PostgreSQL's binary of this name.
fn binary(name: &str) -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin").join(name)))
        })
        .filter(|(_, path)| path.is_file())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL's server is missing: apt-get install postgresql").1
}

/// PostgreSQL refuses to run as root; Debian's package brings the user `postgres` for it.
fn as_server_user(binary: &Path, options: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(options);
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.arg("--").arg(binary);
    command
}

fn give_to_server(folder: &Path) {
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").arg("-R").arg("postgres:postgres").arg(folder));
    }
}

fn copy_folder(from: &Path, to: &Path) {
    run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to));
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
