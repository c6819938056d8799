//! `Program`: the real `bellwire` binary, run in a folder of its own with a clean environment.

use super::db::SECRET_KEY;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// A folder with, perhaps, a `config.toml`, and the environment that commands run there get.
pub(crate) struct Program {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// In an empty folder: all settings are defaults.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// On this database instead of the default file.
    pub(crate) fn on(database_url: &str) -> Self {
        let program = Self::new().with_env("DATABASE_URL", database_url);
        if database_url.starts_with("sqlite:") {
            return program;
        }
        program.with_env("BELLWIRE__WEBHOOKS__SECRET_KEYS", SECRET_KEY)
    }

    pub(crate) fn with_env(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn with_config(self, text: &str) -> Self {
        std::fs::write(self.folder().join("config.toml"), text).unwrap();
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The command, not yet run.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bellwire"));
        let foreign = |key: &str| key.starts_with("BELLWIRE") || key == "DATABASE_URL" || key == "RUST_LOG";
        for (key, _) in std::env::vars().filter(|(key, _)| foreign(key)) {
            command.env_remove(key);
        }
        command.envs(self.environment.iter().map(|(k, v)| (k, v)));
        command.current_dir(self.folder()).args(args);
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Answer {
        let mut command = self.command(args);
        // Not on the test's thread: the rooms' own tasks (a half-done transaction!) run there.
        Answer::from(actix_rt::task::spawn_blocking(move || command.output()).await.unwrap().unwrap())
    }

    /// Runs it with `--json` and gives the object that it printed; any other outcome fails the test.
    pub(crate) async fn json(&self, args: &[&str]) -> Value {
        let answer = self.run(&[args, &["--json"]].concat()).await;
        assert_eq!(answer.code, 0, "{args:?}: {answer:?}");
        let object: Value = serde_json::from_str(&answer.stdout).unwrap();
        assert!(object.is_object(), "{answer:?}");
        object
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
