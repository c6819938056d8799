//! `Server`: a real `bellwire serve` process, which ends with its test whatever becomes of that.

use super::Program;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const START_LIMIT: Duration = Duration::from_secs(30);

/// What most tests want of the settings: an app, webhooks to loopback, no limit on connects.
pub(crate) const CONFIG: &str = r#"
[limits]
connections_per_ip_per_minute = 0
[webhooks]
allowed_networks = ["127.0.0.0/8"]
redis_streams = true
sweep_ms = 200
[server]
shutdown_timeout_seconds = 5
[[apps]]
id = "100001"
key = "278d425bdf160c739803"
secret = "7ad3773142a6692b25b8"
"#;

/// A running server.
pub(crate) struct Server {
    process: Child,
    url: String,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Serves the program's folder and settings on a free port, from when this returns.
    pub(crate) fn start(program: &Program) -> Self {
        Self::run(&program.command(&["serve", "--bind", "127.0.0.1:0"]))
    }

    /// Runs a command that becomes `bellwire serve`.
    pub(crate) fn run(serve: &Command) -> Self {
        let mut process = bound_to_us(serve)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stdout, stderr) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        let (tell, told) = mpsc::channel();
        follow(stdout, move |line| {
            if let Some(url) = line.strip_prefix("bellwire listening on ") {
                let _ = tell.send(url.to_owned());
            }
        });
        let lines = log.clone();
        follow(stderr, move |line| {
            let mut log = lines.lock().unwrap();
            log.push_str(line);
            log.push('\n');
        });
        let Ok(url) = told.recv_timeout(START_LIMIT) else {
            let _ = process.kill();
            let status = process.wait();
            panic!("the server does not start ({status:?}): {}", log.lock().unwrap());
        };
        Self { process, url, log }
    }

    /// `http://127.0.0.1:PORT`, with a path behind it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// SIGKILL: no goodbye, no flush.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) async fn terminate(self) -> ExitStatus {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        actix_rt::task::spawn_blocking(move || {
            let mut server = self;
            server.process.wait().unwrap()
        })
        .await
        .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The same command, killed by the kernel when the thread that starts it ends.
pub(crate) fn bound_to_us(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(key, value),
            None => bound.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        bound.current_dir(folder);
    }
    bound
}

/// Reads to the end on a thread of its own, so that the pipe never fills.
fn follow(pipe: impl Read + Send + 'static, on_line: impl Fn(&str) + Send + 'static) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            on_line(&line);
        }
    });
}
