//! `bellwire demo`: what it prints can be pasted, and does what it says.

use crate::support::{Program, server};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// A process and the lines that it prints.
struct Running {
    process: Child,
    lines: Receiver<String>,
    seen: String,
}

impl Running {
    fn start(command: &Command) -> Self {
        let mut process = server::bound_to_us(command).stdout(Stdio::piped()).spawn().unwrap();
        let (stdout, (tell, lines)) = (process.stdout.take().unwrap(), channel());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        Self { process, lines, seen: String::new() }
    }

    /// Reads on to a line that contains `part`.
    fn line_with(&mut self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|e| panic!("{part}: {e} after\n{}", self.seen));
            self.seen = format!("{}{line}\n", self.seen);
            if line.contains(part) {
                return line;
            }
        }
    }

    /// What was printed between two texts.
    fn printed(&self, before: &str, after: &str) -> String {
        let rest = self.seen.split_once(before).unwrap().1;
        rest.split_once(after).unwrap().0.to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_demos_commands_work_as_they_are_printed() {
    let program = Program::new().with_env("TMPDIR", ".");
    let mut demo = Running::start(&program.command(&["demo", "--bind", "127.0.0.1:0"]));
    let first = demo.line_with("signature verified");
    assert!(first.contains("product:updated"), "{first}");

    let mut node = Command::new("node");
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let script = demo.printed("node -e '", "\n  '\n").replace(
        "bind_global(",
        "bind('pusher:subscription_succeeded', () => console.log('listening')).bind_global(",
    );
    node.current_dir(clients).arg("-e").arg(script);
    let mut client = Running::start(&node);
    client.line_with("listening");

    let curl = demo.printed("\n  curl ", "\n\n");
    let changed = Command::new("sh").arg("-c").arg(format!("curl -sf {curl}")).output().unwrap();
    assert!(changed.status.success(), "curl {curl}: {changed:?}");
    client.line_with("product:updated");
    let stock = client.line_with("stock:updated");
    assert!(stock.contains("newStock: 7"), "{stock}");
    demo.line_with("newStock 7");

    kill_process(Pid::from_child(&demo.process), Signal::INT).unwrap();
    assert!(demo.process.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(program.folder()).unwrap().count(), 0, "it leaves nothing behind");
}

#[test]
fn the_demo_for_load_has_what_the_scripts_take_for_granted() {
    let program = Program::new().with_env("TMPDIR", ".");
    let refused = program.command(&["demo", "--load", "--bind", "0.0.0.0:0"]).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("loopback"), "{refused:?}");

    let mut demo = Running::start(&program.command(&["--json", "demo", "--load", "--bind", "127.0.0.1:0"]));
    let told: Value = serde_json::from_str(&demo.line_with("webhook_url")).unwrap();
    let expected = json!({
        "url": told["url"], "app": {"id": "load", "key": "load-key", "secret": "load-secret"}, "tenant": 1,
        "token": format!("1|{}", "load".repeat(10)), "first_user": 1, "last_user": 1_000,
        "webhook_url": told["webhook_url"],
    });
    assert_eq!(told, expected);

    let status = |arguments: &str| {
        let command = format!("curl -s -o /dev/null -w '%{{http_code}}' {arguments}");
        String::from_utf8(Command::new("sh").arg("-c").arg(command).output().unwrap().stdout).unwrap()
    };
    let webhook = told["webhook_url"].as_str().unwrap();
    assert_eq!(status(&format!("-d anything {webhook}")), "204");
    let (url, token) = (told["url"].as_str().unwrap(), told["token"].as_str().unwrap());
    let users = format!("-H 'Authorization: Bearer {token}' {url}/api/v1/notifications/in-app");
    assert_eq!(status(&users), "200");

    kill_process(Pid::from_child(&demo.process), Signal::INT).unwrap();
    assert!(demo.process.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(program.folder()).unwrap().count(), 0, "it leaves nothing behind");
}
