//! `SmtpSink`: a real SMTP server for one test, which does what the names of its recipients say.

use super::server::bound_to_us;
use bellwire::config::{Smtp, SmtpTls};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// A running server.
pub(crate) struct SmtpSink {
    process: Child,
    port: u16,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl SmtpSink {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With options of its program.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(root.join("target/python/bin/python"));
        command.arg(root.join("tests/clients/smtp_sink.py")).args(options);
        let spawned = bound_to_us(&command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut process = spawned.expect("tests/run installs aiosmtpd into target/python");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().expect("tests/run installs aiosmtpd into target/python").unwrap();
        let taken = Arc::<Mutex<Vec<Value>>>::default();
        let kept = taken.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, port: first.trim().parse().unwrap(), taken }
    }

    /// The settings to send through it.
    pub(crate) fn settings(&self) -> Smtp {
        Smtp {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            tls: SmtpTls::None,
            from: "Corner Shop <shop@corner.example>".to_owned(),
            timeout_seconds: 5,
            ..Smtp::default()
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The e-mails that it took, in their order.
    pub(crate) fn taken(&self) -> Vec<Value> {
        self.taken.lock().unwrap().clone()
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
