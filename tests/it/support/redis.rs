//! `Redis`: a real server for one test, on a free loopback port and in a folder of its own.
//!
//! It writes down all that it is told before it answers, so that a stop and a start lose nothing. It ends with the
//! test whatever becomes of it, as [`super::server::bound_to_us`] has it.

use super::receiver::Certificate;
use super::server::bound_to_us;
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Client, Cmd, Value, cmd};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

const SETTINGS: [&str; 10] = [
    "--bind",
    "127.0.0.1",
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--save",
    "",
    "--protected-mode",
    "no",
];

const START_LIMIT: Duration = Duration::from_secs(30);

/// A running (or, between `stop` and `start_again`, stopped) server.
pub(crate) struct Redis {
    process: Option<Child>,
    port: u16,
    settings: Vec<String>,
    is_encrypted: bool,
    folder: TempDir,
}

impl Redis {
    /// Starts a new, empty server.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with these arguments.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        let settings = settings.iter().map(|&text| text.to_owned()).collect();
        Self::launch_somewhere(settings, false, new_folder())
    }

    /// One that speaks TLS and nothing else.
    pub(crate) fn start_tls(certificate: &Certificate) -> Self {
        let folder = new_folder();
        let [certificate, key] = certificate.write(folder.path()).map(|path| path.display().to_string());
        let mut settings = Vec::new();
        for (name, value) in [("cert-file", &*certificate), ("key-file", &key), ("auth-clients", "no")] {
            settings.extend([format!("--tls-{name}"), value.to_owned()]);
        }
        Self::launch_somewhere(settings, true, folder)
    }

    fn launch_somewhere(settings: Vec<String>, is_encrypted: bool, folder: TempDir) -> Self {
        let mut server = Self { process: None, port: 0, settings, is_encrypted, folder };
        // The port was free a moment ago; should another have taken it since, the next one will do.
        let mut complaints = String::new();
        for _ in 0..5 {
            server.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            match server.launch() {
                Ok(()) => return server,
                Err(said) => complaints = said,
            }
        }
        panic!("Redis does not start: {complaints}");
    }

    /// `redis://127.0.0.1:PORT`, valid across a stop and a start, and what follows.
    pub(crate) fn url(&self, rest: &str) -> String {
        self.url_at("127.0.0.1", rest)
    }

    /// The same with another spelling of its host.
    pub(crate) fn url_at(&self, host: &str, rest: &str) -> String {
        let scheme = if self.is_encrypted { "rediss" } else { "redis" };
        format!("{scheme}://{host}:{}{rest}", self.port)
    }

    /// SIGKILL.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts the stopped server again, on its old port and data.
    pub(crate) fn start_again(&mut self) {
        self.launch().expect("Redis starts again");
    }

    fn launch(&mut self) -> Result<(), String> {
        let port = self.port.to_string();
        let ports = if self.is_encrypted {
            ["--port", "0", "--tls-port", &port]
        } else {
            ["--port", &port, "--tls-port", "0"]
        };
        let mut command = Command::new("redis-server");
        command.args(ports).args(SETTINGS).args(&self.settings);
        let mut process = bound_to_us(command.current_dir(self.folder.path()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ready = wait_until_ready(process.stdout.take().unwrap());
        self.process = Some(process);
        ready.inspect_err(|_| self.stop())
    }

    /// A client's connection, over which tests ask what they want to know.
    pub(crate) async fn client(&self) -> Asker {
        self.client_with("").await
    }

    /// The same with a password.
    pub(crate) async fn client_with(&self, password: &str) -> Asker {
        let credentials = if password.is_empty() { String::new() } else { format!(":{password}@") };
        let client = Client::open(format!("redis://{credentials}127.0.0.1:{}", self.port)).unwrap();
        Asker(client.get_multiplexed_async_connection().await.unwrap())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn new_folder() -> TempDir {
    let installed = Command::new("redis-server").arg("--version").output().is_ok();
    assert!(installed, "Redis' server is missing: apt-get install redis-server");
    tempfile::Builder::new().prefix("bellwire-redis-").tempdir().unwrap()
}

/// Reads the server's log, to its end and on a thread of its own so that the pipe never fills.
fn wait_until_ready(log: ChildStdout) -> Result<(), String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut said = String::new();
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if line.contains("Ready to accept connections") {
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

/// See [`Redis::client`].
pub(crate) struct Asker(MultiplexedConnection);

/// An entry of a stream: its id and its fields.
pub(crate) type Entry = (String, BTreeMap<String, String>);

impl Asker {
    /// Asks with these words; an error fails the test.
    pub(crate) async fn ask(&mut self, words: &[&str]) -> Value {
        let mut command: Cmd = cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut self.0).await.unwrap()
    }

    /// The same with a text for an answer.
    pub(crate) async fn text(&mut self, words: &[&str]) -> String {
        deadpool_redis::redis::from_redis_value(self.ask(words).await).unwrap()
    }

    /// All entries of the stream, read by a consumer of a new group.
    pub(crate) async fn read_group(&mut self, stream: &str, group: &str) -> Vec<Entry> {
        self.ask(&["XGROUP", "CREATE", stream, group, "0", "MKSTREAM"]).await;
        let read = ["XREADGROUP", "GROUP", group, "one", "COUNT", "100000", "STREAMS", stream, ">"];
        let found: Option<Vec<(String, Vec<Entry>)>> =
            deadpool_redis::redis::from_redis_value(self.ask(&read).await).unwrap();
        found.into_iter().flatten().flat_map(|(_, entries)| entries).collect()
    }

    /// A number that `INFO` tells.
    pub(crate) async fn info(&mut self, section: &str, name: &str) -> u64 {
        let told = self.text(&["INFO", section]).await;
        let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().trim().parse().unwrap()
    }
}
